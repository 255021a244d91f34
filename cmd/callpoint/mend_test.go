package main

import (
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/monitor"
	"callpoint/sync/orgsim"
)

func TestCheckOfAGoodOrg(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.task(yesterday("12:00:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	out, errs, code := b.run("check")
	if code != exitDone || strings.Contains(out, "failed") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	for _, name := range []string{"configuration", "store", "login", "api_access", "Task", "task_query", touchpoints, "double_credit", persons, "api_budget", "clock"} {
		if !strings.Contains(out, "ok       "+name) {
			t.Errorf("no line for %s:\n%s", name, out)
		}
	}
	if n := b.org.Requests().Written; n != 0 {
		t.Errorf("check wrote %d records", n)
	}
	calls := b.org.Requests().APICalls
	if out, _, code := b.run("check", "--permission-set"); code != exitDone || b.org.Requests().APICalls != calls {
		t.Errorf("exit %d, or it logged in", code)
	} else {
		var set permissionSetXML
		if err := xml.Unmarshal([]byte(out), &set); err != nil || len(set.Fields) < 30 || len(set.Objects) != 5 {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// Everything that can be wrong with an org, the line that says so, and its cure.
func TestCheckNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		env   []string
		spoil func(*bench)
		line  string // begins with
		says  []string
	}{
		{"login", []string{"SALESFORCE_CONSUMER_SECRET=wrong"}, nil, "failed   login", []string{"SALESFORCE_CONSUMER_SECRET"}},
		{"id field", nil, func(b *bench) { b.org.Schema("Task").HideField("bizible2__BizibleId__c") }, "failed   Task", []string{"CALLPOINT_BIZIBLE_ID_FIELD"}},
		{"filter", []string{"CALLPOINT_TASK_FILTER=Colour = 'red'"}, nil, "failed   task_query", []string{"Colour"}},
		{"view all data", nil, func(b *bench) {
			b.org.Fault(orgsim.Fault{Op: orgsim.OpQuery, Times: -1, Status: 400, Code: "OPERATION_TOO_LARGE"})
		}, "warning  task_query", []string{"View All Data"}},
		{"no create", nil, func(b *bench) { b.org.Schema(touchpoints).Access(func(o *orgsim.Object) { o.NoCreate = true }) },
			"failed   " + touchpoints, []string{"create", "Permission Sets"}},
		{"hidden object", nil, func(b *bench) { b.org.Schema(touchpoints).Access(func(o *orgsim.Object) { o.Hidden = true }) },
			"failed   " + touchpoints, []string{"grant access"}},
		{"no external id", nil, func(b *bench) {
			b.org.Schema(touchpoints).Change("bizible2__UniqueId__c", func(f *orgsim.Field) { f.ExternalID = false })
		}, "failed   " + touchpoints + " key", []string{"External ID and Unique", "CALLPOINT_EXTERNAL_ID_FIELD"}},
		{"not unique", nil, func(b *bench) {
			b.org.Schema(touchpoints).Change("bizible2__UniqueId__c", func(f *orgsim.Field) { f.Unique = false })
		}, "warning  " + touchpoints + " key", []string{"View All Data"}},
		{"locked field", nil, func(b *bench) { b.org.Schema(touchpoints).LockField("bizible2__Medium__c") },
			"warning  field", []string{"bizible2__Medium__c", "cannot be written"}},
		{"short field", nil, func(b *bench) {
			b.org.Schema(touchpoints).Change("bizible2__Medium__c", func(f *orgsim.Field) { f.Length = 20 })
		}, "warning  field", []string{"bizible2__Medium__c", "20 characters"}},
		{"required field", nil, func(b *bench) {
			b.org.Schema(touchpoints).AddField(orgsim.Field{Name: "Region__c", Required: true})
		}, "failed   field", []string{"Region__c", "required"}},
		{"person", nil, func(b *bench) { b.org.Schema(persons).LockField("bizible2__Lead__c") },
			"failed   " + persons, []string{"bizible2__Lead__c"}},
		{"double credit", nil, func(b *bench) {
			id := b.task(yesterday("12:00:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
			if _, err := b.org.Insert(touchpoints, map[string]any{"bizible2__UniqueId__c": "mm-1", "bizible2__Ad_Id__c": id}); err != nil {
				b.t.Fatal(err)
			}
		}, "failed   double_credit", []string{"Marketo Measure", "credit twice"}},
		{"budget", []string{"CALLPOINT_API_BUDGET=100"}, nil, "failed   api_budget", []string{"CALLPOINT_POLL_INTERVAL"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.env...)
			if c.spoil != nil {
				c.spoil(b)
			}
			out, _, code := b.run("check")
			want := exitDone
			if strings.HasPrefix(c.line, "failed") {
				want = exitConfig
			}
			if code != want {
				t.Errorf("exit %d, want %d", code, want)
			}
			if !strings.Contains(out, c.line+" ") {
				t.Errorf("no line %q:\n%s", c.line, out)
			}
			for _, s := range c.says {
				if !strings.Contains(out, s) {
					t.Errorf("does not say %q:\n%s", s, out)
				}
			}
		})
	}
}

// refused is a bench with two calls of which Salesforce refuses one record.
func refused(t *testing.T) (b *bench, d *running, bad string, cure func()) {
	t.Helper()
	b = listenBench(t)
	d = b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", ""))
	b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	bad = b.task(yesterday("14:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	cure = b.org.Fault(orgsim.Fault{Times: -1, RowError: &orgsim.RowError{Code: "FIELD_CUSTOM_VALIDATION_EXCEPTION", Message: "Region is required", Key: store.CallKey(bad)}})
	d.sync()
	return b, d, bad, cure
}

func TestParkedIsListedAndRetried(t *testing.T) {
	t.Parallel()
	for name, daemon := range map[string]bool{"daemon": true, "no daemon": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, d, bad, cure := refused(t)
			if daemon {
				t.Cleanup(d.stop)
			} else {
				d.stop()
			}
			out, errs, code := b.run("parked")
			if code != exitDone || !strings.Contains(out, bad) || !strings.Contains(out, "Region is required") || !strings.Contains(out, "validation rule") {
				t.Fatalf("exit %d\n%s%s", code, out, errs)
			}
			if _, _, code := b.run("parked", "retry"); code != exitParked {
				t.Errorf("retry before the cure: exit %d, want %d", code, exitParked)
			}
			if _, _, code := b.run("parked", "retry", "00T000000000001AAA"); code != exitFailed {
				t.Errorf("retry of what is not there: exit %d, want %d", code, exitFailed)
			}
			cure()
			out, errs, code = b.run("parked", "retry", bad, "--output", "json")
			var answer monitor.Retried
			if err := json.Unmarshal([]byte(out), &answer); err != nil || code != exitDone || answer != (monitor.Retried{Released: 1}) {
				t.Errorf("exit %d\n%s%s", code, out, errs)
			}
			b.expect(bad, map[string]any{"Touchpoint_Type": "Call"})
		})
	}
}

func TestReconcileAndRetractCommands(t *testing.T) {
	t.Parallel()
	for name, daemon := range map[string]bool{"daemon": true, "no daemon": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, d, bad, cure := refused(t)
			cure()
			if daemon {
				t.Cleanup(d.stop)
			} else {
				d.stop()
			}
			if _, errs, code := b.run("parked", "retry"); code != exitDone {
				t.Fatal(errs)
			}
			if err := b.org.Delete(touchpoints, b.touchpoint(bad)["Id"].(string)); err != nil {
				t.Fatal(err)
			}
			if out, errs, code := b.run("reconcile"); code != exitDone || !strings.Contains(out, "1 records gone") || !strings.Contains(out, bad) {
				t.Errorf("exit %d\n%s%s", code, out, errs)
			}
			out, errs, code := b.run("reconcile", "--fix", "--output", "json")
			var r engine.Reconciled
			if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitDone || !r.Fixed || r.Gone != 1 {
				t.Errorf("exit %d %v\n%s%s", code, err, out, errs)
			}
			b.touchpoint(bad)
			if out, _, code := b.run("retract"); code != exitUsage || !strings.Contains(out, "2 touchpoints") || len(b.org.Records(touchpoints)) != 2 {
				t.Errorf("without --yes: exit %d\n%s", code, out)
			}
			if out, errs, code := b.run("retract", "--yes"); code != exitDone || len(b.org.Records(touchpoints)) != 0 {
				t.Errorf("exit %d\n%s%s", code, out, errs)
			}
			if out, errs, code := b.run("retract", "--undo"); code != exitDone || !strings.Contains(out, "2 touchpoints") {
				t.Errorf("exit %d\n%s%s", code, out, errs)
			}
		})
	}
}

func TestDryRunPrintsFieldByField(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CALLPOINT_DRY_RUN=true")
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/?utm_source=google", ""))
	d.stop()
	id := b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	out, errs, code := b.run("--sync-once")
	if code != exitDone || !strings.Contains(out, "create callpoint_"+id) || !strings.Contains(out, `bizible2__Touchpoint_Type__c: (empty) -> "Call"`) ||
		!strings.Contains(out, "1 touchpoints would be created") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	out, _, _ = b.run("--sync-once", "--output", "json")
	var answer struct {
		Matched *int           `json:"matched"`
		DryRun  engine.Preview `json:"dry_run"`
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || answer.Matched == nil || answer.DryRun.Create != 1 {
		t.Errorf("%v\n%s", err, out)
	}
	if n := b.org.Requests().Written; n != 0 || len(b.org.Records(touchpoints)) != 0 {
		t.Errorf("a dry run wrote %d records", n)
	}
}

func TestSpentBudgetEndsSyncOnceWithOne(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CALLPOINT_API_BUDGET=4")
	b.syncOnce() // three describes and a poll
	if _, errs, code := b.run("--sync-once"); code != exitFailed || !strings.Contains(errs, "paused until") || !strings.Contains(errs, "CALLPOINT_API_BUDGET") {
		t.Errorf("exit %d\n%s", code, errs)
	}
	if n := b.org.Requests().APICalls; n != 4 {
		t.Errorf("%d API calls, the budget is 4", n)
	}
}

// The columns of check stand under each other, however long an object's name is.
func TestFindingsStandInColumns(t *testing.T) {
	t.Parallel()
	text := (&program{}).findingsText([]finding{
		{"login", "ok", "as a user", ""},
		{"My_Very_Long_Touchpoint_Object_Name__c key", "warning", "not unique", "Mark it Unique."},
	})
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines:\n%s", len(lines), text)
	}
	at := strings.Index(lines[0], "as a user")
	if at != strings.Index(lines[1], "not unique") || at != strings.Index(lines[2], "Mark it") {
		t.Errorf("the columns differ:\n%s", text)
	}
}
