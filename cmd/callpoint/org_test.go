package main

import (
	"strings"
	"testing"

	"callpoint/sync/orgsim"
)

func TestOrgFlags(t *testing.T) {
	t.Parallel()
	org, err := orgOptions{hide: []string{"Lead.ConvertedContactId"}, readOnly: []string{orgsim.Touchpoint + ".bizible2__Medium__c", orgsim.Person},
		noObject: []string{"OpportunityContactRole"}, packageVersion: "6.7", sandbox: true}.simulate()
	if err != nil {
		t.Fatal(err)
	}
	person := org.Schema(orgsim.Person)
	if !org.Schema("Lead").Field("ConvertedContactId").Hidden || !org.Schema(orgsim.Touchpoint).Field("bizible2__Medium__c").Locked ||
		!person.NoCreate || !person.NoUpdate || !person.NoDelete || !org.Schema("OpportunityContactRole").Hidden {
		t.Error("a restriction is missing")
	}
	if publisher := org.Records("Publisher"); len(publisher) != 1 || publisher[0]["MinorVersion"] != 7.0 || org.Records("Organization")[0]["IsSandbox"] != true {
		t.Errorf("version or sandbox: %v", publisher)
	}
	b := newBench(t)
	for want, args := range map[string][]string{
		"--hide Lead: want OBJECT.FIELD":   {"--hide", "Lead"},
		"--hide Lead.Nothing: Lead has no": {"--hide", "Lead.Nothing"},
		"it has no field-level security":   {"--hide", orgsim.Touchpoint + ".bizible2__Bizible_Person__c"},
		"--no-object Nothing: no object":   {"--no-object", "Nothing"},
		"--read-only Nothing: no object":   {"--read-only", "Nothing"},
		"--package-version six":            {"--package-version", "six"},
		"loopback addresses only":          {"--listen", "0.0.0.0:0"},
		"--fault nonsense":                 {"--fault", "nonsense"},
	} {
		if _, errs, code := b.run(append([]string{"org"}, args...)...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("org %v: exit %d: %s", args, code, errs)
		}
	}
}
