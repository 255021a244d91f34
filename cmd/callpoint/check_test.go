package main

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"callpoint/sync/orgsim"
)

func TestCheckOfAGoodOrg(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.task(yesterday("12:00:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	out, errs, code := b.run("check")
	if code != exitDone || strings.Contains(out, "failed") || strings.Contains(out, "warning") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	for _, name := range []string{"configuration", "store", "journeys", "no_person", "login", "api_access", "package", "Task", "task_query", touchpoints, "person_field", persons,
		"Lead", "Contact", "Account", "Opportunity", "OpportunityContactRole", "Case", "converted_leads", "double_credit", "doubled_persons", "attribution", "api_budget", "clock"} {
		if !strings.Contains(out, "ok       "+name) {
			t.Errorf("no line for %s:\n%s", name, out)
		}
	}
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "ok ") {
			t.Errorf("a line that does not begin with its status: %q", line)
		}
	}
	if n := b.org.Requests().Written; n != 0 {
		t.Errorf("check wrote %d records", n)
	}
}

func (b *bench) insert(object string, fields map[string]any) string {
	b.t.Helper()
	id, err := b.org.Insert(object, fields)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// own makes a call of a Lead that callpoint has written, and the Lead's id.
func (b *bench) own() (lead string) {
	lead = b.insert("Lead", map[string]any{"LastName": "Byron", "Company": "A"})
	b.task(yesterday("12:00:00"), map[string]any{"bizible2__BizibleId__c": visitorA, "WhoId": lead, "Type": "Call"})
	person := b.insert(persons, map[string]any{"bizible2__UniqueId__c": "callpoint_" + lead, "bizible2__Lead__c": lead})
	b.insert(touchpoints, map[string]any{"bizible2__UniqueId__c": "callpoint_00T", "bizible2__Bizible_Person__c": person, "bizible2__Touchpoint_Type__c": "Call"})
	return lead
}

// TestCheckNamesWhatIsWrong spoils one thing at a time: the line that says so, and
// its cure.
func TestCheckNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	hide := func(object, field string) func(*bench) {
		return func(b *bench) { b.org.Schema(object).HideField(field) }
	}
	access := func(object string, change func(*orgsim.Object)) func(*bench) {
		return func(b *bench) { b.org.Schema(object).Access(change) }
	}
	gone := func(object string) func(*bench) {
		return access(object, func(o *orgsim.Object) { o.Hidden = true })
	}
	for _, c := range []struct {
		name  string
		env   []string
		org   orgsim.Config
		spoil func(*bench)
		line  string // begins with
		says  []string
	}{
		{"login", []string{"SALESFORCE_CONSUMER_SECRET=wrong"}, orgsim.Config{}, nil, "failed   login", []string{"SALESFORCE_CONSUMER_SECRET"}},
		{"old package", nil, orgsim.Config{PackageVersion: "6.6"}, nil, "failed   package", []string{"6.6", "6.7 or later"}},
		{"package unreadable", nil, orgsim.Config{}, gone("Publisher"), "ok       package", []string{"6.7 or later: Task has bizible2__BizibleId__c"}},
		{"id field", nil, orgsim.Config{}, hide("Task", "bizible2__BizibleId__c"), "failed   Task", []string{"CALLPOINT_BIZIBLE_ID_FIELD"}},
		{"filter", []string{"CALLPOINT_TASK_FILTER=Colour = 'red'"}, orgsim.Config{}, nil, "failed   task_query", []string{"Colour"}},
		{"view all data", nil, orgsim.Config{}, func(b *bench) {
			b.org.Fault(orgsim.Fault{Op: orgsim.OpQuery, Times: -1, Status: 400, Code: "OPERATION_TOO_LARGE"})
		}, "warning  task_query", []string{"View All Data"}},
		{"few ids", nil, orgsim.Config{}, func(b *bench) {
			for i := range 3 {
				id := map[string]any{}
				if i == 0 {
					id["bizible2__BizibleId__c"] = visitorA
				}
				b.task(yesterday("12:00:00"), id)
			}
		}, "warning  task_query", []string{"only 1 of 3 calls"}},
		{"no create", nil, orgsim.Config{}, access(touchpoints, func(o *orgsim.Object) { o.NoCreate = true }),
			"failed   " + touchpoints, []string{"may not create", "Permission Sets"}},
		{"no delete", nil, orgsim.Config{}, access(touchpoints, func(o *orgsim.Object) { o.NoDelete = true }),
			"failed   " + touchpoints, []string{"may not delete", "Permission Sets"}},
		{"hidden object", nil, orgsim.Config{}, gone(touchpoints), "failed   " + touchpoints, []string{"grant access"}},
		{"no external id", nil, orgsim.Config{}, func(b *bench) {
			b.org.Schema(touchpoints).Change("bizible2__UniqueId__c", func(f *orgsim.Field) { f.ExternalID = false })
		}, "failed   " + touchpoints + " key", []string{"External ID and Unique", "CALLPOINT_EXTERNAL_ID_FIELD"}},
		{"not unique", nil, orgsim.Config{}, func(b *bench) {
			b.org.Schema(touchpoints).Change("bizible2__UniqueId__c", func(f *orgsim.Field) { f.Unique = false })
		}, "warning  " + touchpoints + " key", []string{"View All Data"}},
		{"locked field", nil, orgsim.Config{}, func(b *bench) { b.org.Schema(touchpoints).LockField("bizible2__Medium__c") },
			"warning  field", []string{"bizible2__Medium__c", "cannot be written"}},
		{"hidden field", nil, orgsim.Config{}, hide(touchpoints, "bizible2__Browser__c"), "warning  field", []string{"bizible2__Browser__c"}},
		{"required field", nil, orgsim.Config{}, func(b *bench) {
			b.org.Schema(touchpoints).AddField(orgsim.Field{Name: "Region__c", Required: true})
		}, "failed   field", []string{"Region__c", "required"}},
		{"no person field", nil, orgsim.Config{}, func(b *bench) { b.org.Schema(touchpoints).RemoveField("bizible2__Bizible_Person__c") },
			"failed   person_field", []string{"no field-level security", "Read on Bizible Persons"}},
		{"an object of the org's own", []string{"CALLPOINT_TOUCHPOINT_OBJECT=My_Touch__c"}, orgsim.Config{}, func(b *bench) {
			b.org.AddObject("My_Touch__c", "a0Z", orgsim.Field{Name: "bizible2__UniqueId__c", ExternalID: true, Unique: true})
		}, "ok       person_field", []string{"My_Touch__c has no field bizible2__Bizible_Person__c"}},
		{"persons", nil, orgsim.Config{}, gone(persons), "failed   " + persons, []string{"grant access"}},
		{"person field", nil, orgsim.Config{}, func(b *bench) { b.org.Schema(persons).LockField("bizible2__Lead__c") },
			"failed   " + persons, []string{"bizible2__Lead__c"}},
		{"no Leads", nil, orgsim.Config{}, gone("Lead"), "warning  Lead", []string{"Read on Lead"}},
		{"conversions", nil, orgsim.Config{}, hide("Lead", "ConvertedContactId"), "warning  Lead", []string{"ConvertedContactId", "does not count as its Contact"}},
		{"no Opportunities", nil, orgsim.Config{}, gone("Opportunity"), "warning  OpportunityContactRole", []string{"Opportunity and Contact", "warning  Opportunity "}},
		{"no contact roles", nil, orgsim.Config{}, gone("OpportunityContactRole"), "warning  OpportunityContactRole", []string{"Opportunity and Contact"}},
		{"Case contact", nil, orgsim.Config{}, hide("Case", "ContactId"), "warning  Case", []string{"ContactId"}},
		{"converted leads", nil, orgsim.Config{}, func(b *bench) { b.org.ConvertedLeads(false) }, "warning  converted_leads", []string{"View and Edit Converted Leads", "integration licence"}},
		{"permissions unreadable", nil, orgsim.Config{}, gone("UserPermissionAccess"), "ok       converted_leads", nil},
		{"double credit by key", nil, orgsim.Config{}, func(b *bench) {
			lead := b.own()
			mm := b.insert(persons, map[string]any{"bizible2__UniqueId__c": "Person_x"})
			b.insert(touchpoints, map[string]any{"bizible2__UniqueId__c": "TP2_Person_" + lead + "_2026112312", "bizible2__Touchpoint_Type__c": "Call", "bizible2__Bizible_Person__c": mm})
		}, "warning  double_credit", []string{"wrote 1 touchpoints (keys TP2_…)", "Settings, Integrations", "callpoint retract"}},
		{"double credit by person", nil, orgsim.Config{}, func(b *bench) {
			lead := b.own()
			mm := b.insert(persons, map[string]any{"bizible2__UniqueId__c": "Person_x", "bizible2__Lead__c": lead})
			b.insert(touchpoints, map[string]any{"bizible2__UniqueId__c": "TP2_Person_x_1", "bizible2__Touchpoint_Type__c": "Call", "bizible2__Bizible_Person__c": mm})
		}, "warning  double_credit", nil},
		{"web visits are not double credit", nil, orgsim.Config{}, func(b *bench) {
			lead := b.own()
			mm := b.insert(persons, map[string]any{"bizible2__UniqueId__c": "Person_x"})
			b.insert(touchpoints, map[string]any{"bizible2__UniqueId__c": "TP2_Person_" + lead + "_1", "bizible2__Touchpoint_Type__c": "Web Visit", "bizible2__Bizible_Person__c": mm})
			b.insert(touchpoints, map[string]any{"bizible2__UniqueId__c": "TP2_Person_00QHs00000000ZZIAA_1", "bizible2__Touchpoint_Type__c": "Call", "bizible2__Bizible_Person__c": mm})
		}, "ok       double_credit", nil},
		{"doubled persons", nil, orgsim.Config{}, func(b *bench) {
			b.insert(persons, map[string]any{"bizible2__UniqueId__c": "Person_x", "bizible2__Lead__c": b.own()})
		}, "warning  doubled_persons", []string{"callpoint reconcile --fix", "1 Leads and Contacts"}},
		{"budget", []string{"CALLPOINT_API_BUDGET=100"}, orgsim.Config{}, nil, "failed   api_budget", []string{"CALLPOINT_POLL_INTERVAL"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBenchOf(t, c.org, c.env...)
			if c.spoil != nil {
				c.spoil(b)
			}
			out, _, code := b.run("check")
			want := exitDone
			if strings.Contains(out, "failed  ") {
				want = exitConfig
			}
			if code != want || strings.HasPrefix(c.line, "failed") != (code == exitConfig) && c.name != "view all data" {
				t.Errorf("exit %d, want %d\n%s", code, want, out)
			}
			if !strings.Contains(out, c.line+" ") {
				t.Errorf("no line %q:\n%s", c.line, out)
			}
			for _, s := range c.says {
				if !strings.Contains(out, s) {
					t.Errorf("does not say %q:\n%s", s, out)
				}
			}
			for line := range strings.Lines(out) {
				if status, _, _ := strings.Cut(line, " "); !slices.Contains([]string{"ok", "warning", "failed"}, status) {
					t.Errorf("a line that does not begin with its status: %q", line)
				}
				if strings.Contains(line, "ength") && strings.Contains(line, "bizible2__") {
					t.Errorf("advice that nobody can follow: %q", line)
				}
			}
		})
	}
}

// TestCheckFindsEverythingAtOnce takes many things away; each has its line.
func TestCheckFindsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.org.Schema("Task").HideField("bizible2__BizibleId__c")
	for _, name := range []string{touchpoints, persons, "Lead", "Case", "Opportunity"} {
		b.org.Schema(name).Access(func(o *orgsim.Object) { o.Hidden = true })
	}
	b.org.ConvertedLeads(false)
	out, _, code := b.run("check")
	for _, line := range []string{"failed   Task ", "failed   " + touchpoints, "failed   " + persons, "warning  Lead ", "warning  Case ", "warning  Opportunity ",
		"warning  converted_leads", "ok       clock"} {
		if !strings.Contains(out, line) {
			t.Errorf("no line %q", line)
		}
	}
	if code != exitConfig || t.Failed() {
		t.Errorf("exit %d\n%s", code, out)
	}
}

func TestCheckCountsAttribution(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	contact := b.insert("Contact", map[string]any{"LastName": "Byron"})
	person := b.insert(persons, map[string]any{"bizible2__UniqueId__c": "callpoint_" + contact, "bizible2__Contact__c": contact})
	for i, at := range []string{"2026-11-20T10:00:00Z", "2026-11-21T10:00:00Z"} {
		b.insert(touchpoints, map[string]any{"bizible2__UniqueId__c": fmt.Sprint("callpoint_", i), "bizible2__Bizible_Person__c": person,
			"bizible2__Contact__c": contact, "bizible2__Touchpoint_Date__c": at})
	}
	b.insert(orgsim.Attribution, map[string]any{"bizible2__Contact__c": contact, "bizible2__Touchpoint_Date__c": "2026-11-21T10:00:00Z"})
	b.insert(orgsim.Attribution, map[string]any{"bizible2__Contact__c": contact, "bizible2__Touchpoint_Date__c": "2026-11-22T10:00:00Z"})
	if out, _, _ := b.run("check"); !strings.Contains(out, "1 of the newest 2 touchpoints of Contacts that callpoint wrote have attribution touchpoints") {
		t.Errorf("check:\n%s", out)
	}
	b.org.Schema(orgsim.Attribution).Access(func(o *orgsim.Object) { o.Hidden = true })
	if out, _, _ := b.run("check"); !strings.Contains(out, "ok       attribution       not counted") {
		t.Errorf("check without access:\n%s", out)
	}
}

// TestFindingsAreOneLineEach holds off a terminal, whatever a name's length.
func TestFindingsAreOneLineEach(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := &program{stdout: &out}
	p.printFinding(finding{"login", "ok", "as a user", ""})
	p.printFinding(finding{"My_Very_Long_Touchpoint_Object_Name__c key", "warning", "not unique.", "Mark it Unique."})
	want := "ok       login             as a user\nwarning  My_Very_Long_Touchpoint_Object_Name__c key  not unique. Mark it Unique.\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// packageRow is a line of the package's table.
type packageRow struct{ object, field, required, formula, orgs string }

func packageRows(t *testing.T) map[string]packageRow {
	f, err := os.Open("../../sync/orgsim/package.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows := map[string]packageRow{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		c := strings.Split(lines.Text(), "\t")
		object := strings.Replace(c[0], "Activity", "Task", 1)
		rows[object+"."+c[1]] = packageRow{object, c[1], c[8], c[12], c[14]}
	}
	return rows
}

// TestPermissionSet pins the permission set, and holds every field of it against
// the package's table: a deployment refuses required fields, master-detail fields
// and fields that the org lacks.
func TestPermissionSet(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	read := func(args ...string) (permissionSetXML, string) {
		out, errs, code := b.run(append([]string{"check", "--permission-set"}, args...)...)
		var set permissionSetXML
		if err := xml.Unmarshal([]byte(out), &set); err != nil || code != exitDone {
			t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
		}
		return set, out
	}
	set, text := read()
	if n := b.org.Requests().Requests; n != 0 {
		t.Errorf("it made %d requests", n)
	}
	var objects []string
	for _, o := range set.Objects {
		rights := ""
		for _, r := range []struct {
			has  bool
			name string
		}{{o.Read, "R"}, {o.Create, "C"}, {o.Edit, "E"}, {o.Delete, "D"}, {o.ViewAll, "+"}, {o.ModifyAll, "!"}} {
			if r.has {
				rights += r.name
			}
		}
		objects = append(objects, o.Object+" "+rights)
	}
	want := []string{"Account R+", "Case R+", "Contact R+", "Lead R+", "Opportunity R+", orgsim.Attribution + " R+", persons + " RCED+", touchpoints + " RCED+"}
	if !slices.Equal(objects, want) {
		t.Errorf("objects\n got %q\nwant %q", objects, want)
	}
	table := packageRows(t)
	standard := []string{"Case.ContactId", "Contact.AccountId", "Task.Type", "Task.WhatId", "Task.WhoId"}
	listed := map[string]bool{}
	for _, f := range set.Fields {
		if listed[f.Field] {
			t.Errorf("%s is listed twice", f.Field)
		}
		listed[f.Field] = true
		row, packaged := table[f.Field]
		switch {
		case !packaged && !slices.Contains(standard, f.Field):
			t.Errorf("%s is neither of the package nor a known standard field", f.Field)
		case packaged && (row.required != "false" || row.orgs != "4 of 4" || row.field == "Name"):
			t.Errorf("%s: required %s, in %s orgs: it would not deploy", f.Field, row.required, row.orgs)
		case row.formula == "yes" && f.Editable:
			t.Errorf("%s is a formula and editable", f.Field)
		}
		if !f.Readable || f.Editable != (row.object == touchpoints || row.object == persons) {
			t.Errorf("%s: readable %v, editable %v", f.Field, f.Readable, f.Editable)
		}
	}
	for name, row := range table {
		if rareFields[row.field] && row.object == touchpoints && row.orgs == "4 of 4" {
			t.Errorf("%s is in every org", name)
		}
	}
	for _, name := range append(standard, "Task.bizible2__BizibleId__c", touchpoints+".bizible2__Medium__c", touchpoints+".bizible2__UniqueId__c",
		persons+".bizible2__Lead__c", orgsim.Attribution+".bizible2__Revenue_Lead_Conversion__c") {
		if !listed[name] {
			t.Errorf("%s is missing", name)
		}
	}
	var users []string
	for _, u := range set.User {
		users = append(users, u.Name)
	}
	if !slices.Equal(users, []string{"AllowViewEditConvertedLeads", "ApiEnabled"}) {
		t.Errorf("system permissions %q", users)
	}
	for _, name := range []string{"<object>Task<", "<object>OpportunityContactRole<", touchpoints + ".bizible2__Bizible_Person__c<"} {
		if strings.Contains(text, name) {
			t.Errorf("it lists %s", name)
		}
	}
}

// TestPermissionSetSuffices deploys the printed permission set, and runs check with
// nothing but its rights.
func TestPermissionSetSuffices(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{"default": nil, "reason on the Task": {"CALLPOINT_REASON_FIELD=Task.Why__c"}, "journeys": {"CALLPOINT_TOUCHPOINTS=journey"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, append(env, "CALLPOINT_BEFORE_COLLECTION=write")...)
			b.org.Schema("Task").AddField(orgsim.Field{Name: "Why__c", Type: "string", Length: 40})
			b.own()
			set, _, code := b.run("check", "--permission-set")
			if err := b.org.DeployPermissionSet([]byte(set)); err != nil || code != exitDone {
				t.Fatalf("exit %d, %v", code, err)
			}
			out, _, code := b.run("check")
			if code != exitDone || strings.Contains(out, "warning") {
				t.Errorf("exit %d\n%s", code, out)
			}
			if s := b.syncOnce(); s.TouchpointsWritten != 1 || s.Parked != 0 {
				t.Errorf("a cycle with these rights: %+v", s)
			}
		})
	}
}
