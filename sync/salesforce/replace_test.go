package salesforce_test

import (
	"context"
	"testing"

	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

const personField = "bizible2__Bizible_Person__c"

// twoPersons makes two persons and a touchpoint of each, and returns the ids of the
// persons and of the touchpoints "a" and "b".
func twoPersons(t *testing.T, org *orgsim.Org) (persons, touchpoints []string) {
	t.Helper()
	for _, k := range []string{"a", "b"} {
		p, err := org.Insert(orgsim.Person, map[string]any{key: "p" + k})
		if err != nil {
			t.Fatal(err)
		}
		tp, err := org.Insert(orgsim.Touchpoint, map[string]any{key: k, personField: p})
		if err != nil {
			t.Fatal(err)
		}
		persons, touchpoints = append(persons, p), append(touchpoints, tp)
	}
	return persons, touchpoints
}

func ofPerson(k, person string, more ...any) salesforce.Row {
	fields := map[string]any{key: k, personField: person}
	for i := 0; i < len(more); i += 2 {
		fields[more[i].(string)] = more[i+1]
	}
	return row(fields)
}

// A replacement deletes and creates in one API call, under the same keys.
func TestOrgReplace(t *testing.T) {
	t.Parallel()
	org, url := newOrg(t, orgsim.Config{})
	c := connect(t, url, nil)
	persons, ids := twoPersons(t, org)
	before := org.Requests().APICalls
	deleted, created, err := c.Replace(context.Background(), ids, salesforce.Batch{Object: orgsim.Touchpoint, ExternalID: key,
		Records: []salesforce.Row{ofPerson("a", persons[1]), ofPerson("b", persons[0])}})
	if err != nil || deleted[0].Err != nil || created[1].Err != nil || !created[0].Created || created[0].ID == ids[0] {
		t.Fatalf("%+v %+v %v", deleted, created, err)
	}
	if n := org.Requests().APICalls - before; n != 1 {
		t.Errorf("%d API calls", n)
	}
	all := org.Records(orgsim.Touchpoint)
	if len(all) != 2 || all[0][personField] != persons[1] || all[1][personField] != persons[0] {
		t.Errorf("records: %v", all)
	}
}

// A replacement that is refused changes nothing, and says which record is at fault.
func TestOrgReplaceIsAllOrNothing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		late    bool
		gone    bool
		bad     string
		deletes []string // codes by record; "" for none but that of the request
		creates []string
	}{
		"create refused": {bad: "Not_A_Picklist", creates: []string{"", "STRING_TOO_LONG"}},
		"deleted before": {gone: true, deletes: []string{"", "ENTITY_IS_DELETED"}},
		"key not free":   {late: true, creates: []string{"DUPLICATE_VALUE", "DUPLICATE_VALUE"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			org, url := newOrg(t, orgsim.Config{})
			c := connect(t, url, nil)
			persons, ids := twoPersons(t, org)
			org.KeysFreedLate(test.late)
			if test.gone {
				if err := org.Delete(orgsim.Touchpoint, ids[1]); err != nil {
					t.Fatal(err)
				}
			}
			second := ofPerson("b", persons[0])
			if test.bad != "" {
				second.Fields["bizible2__Keyword_MatchType__c"] = "far longer than fifteen characters"
			}
			deleted, created, err := c.Replace(context.Background(), ids, salesforce.Batch{Object: orgsim.Touchpoint, ExternalID: key,
				Records: []salesforce.Row{ofPerson("a", persons[1]), second}})
			if err != nil {
				t.Fatal(err)
			}
			codes := func(what string, got []salesforce.Result, want []string) {
				for i, r := range got {
					switch {
					case r.Err == nil:
						t.Errorf("%s %d passed", what, i)
					case want == nil || want[i] == "":
						if !salesforce.RolledBack(r.Err) {
							t.Errorf("%s %d: %v, want a rollback", what, i, r.Err)
						}
					case r.Err.Code != want[i]:
						t.Errorf("%s %d: %v, want %s", what, i, r.Err, want[i])
					}
				}
			}
			codes("delete", deleted, test.deletes)
			codes("create", created, test.creates)
			for _, r := range org.Records(orgsim.Touchpoint) {
				if r["Id"] != ids[0] && r["Id"] != ids[1] {
					t.Errorf("a record was made: %v", r)
				}
			}
		})
	}
}

// What would be taken for a reference does not travel in a composite request.
func TestReplaceRefusesReferences(t *testing.T) {
	t.Parallel()
	org, url := newOrg(t, orgsim.Config{})
	c := connect(t, url, nil)
	persons, ids := twoPersons(t, org)
	before := org.Requests().APICalls
	_, _, err := c.Replace(context.Background(), ids[:1], salesforce.Batch{Object: orgsim.Touchpoint, ExternalID: key,
		Records: []salesforce.Row{ofPerson("a", persons[1], "bizible2__Medium__c", "@{d0[0].id}")}})
	if salesforce.Classify(err) != salesforce.Bug || org.Requests().APICalls != before {
		t.Errorf("%v, %d calls", err, org.Requests().APICalls-before)
	}
}

// Queries that travel with an upsert see what it wrote; they are left out where they do not fit.
func TestOrgUpsertThenQuery(t *testing.T) {
	t.Parallel()
	org, url := newOrg(t, orgsim.Config{})
	c := connect(t, url, nil)
	persons, _ := twoPersons(t, org)
	soql := "SELECT Id, " + personField + " FROM " + orgsim.Touchpoint + " WHERE " + key + " = 'c'"
	batch := salesforce.Batch{Object: orgsim.Touchpoint, ExternalID: key, Records: []salesforce.Row{ofPerson("c", persons[1])}}
	before := org.Requests().APICalls
	results, pages, err := c.UpsertThenQuery(context.Background(), []salesforce.Batch{batch}, []string{soql})
	if err != nil || results[0][0].Err != nil || len(pages) != 1 || len(pages[0].Records) != 1 || pages[0].Records[0][personField] != persons[1] {
		t.Fatalf("%+v %+v %v", results, pages, err)
	}
	if n := org.Requests().APICalls - before; n != 1 {
		t.Errorf("%d API calls", n)
	}
	batch.Records = []salesforce.Row{row(map[string]any{key: "c", "bizible2__Medium__c": "@{x}"})}
	if results, pages, err = c.UpsertThenQuery(context.Background(), []salesforce.Batch{batch}, []string{soql}); err != nil || results[0][0].Err != nil || pages != nil {
		t.Errorf("a record that holds a reference: %+v %+v %v", results, pages, err)
	}
}
