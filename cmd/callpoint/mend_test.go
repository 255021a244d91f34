package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/monitor"
	"callpoint/sync/orgsim"
)

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

// reread reads what changed since a time once more, through a daemon and without one, and says
// what was wrong with its time.
func TestReread(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CALLPOINT_START=240h", "CALLPOINT_BEFORE_COLLECTION=write")
	b.seed()
	b.syncOnce()
	if _, errs, code := b.run("reread"); code != exitUsage || !strings.Contains(errs, "--since") {
		t.Errorf("without --since: exit %d: %s", code, errs)
	}
	if _, _, code := b.run("reread", "--since", "2099-01-01T00:00:00Z"); code != exitUsage {
		t.Errorf("in the future: exit %d", code)
	}
	out, errs, code := b.run("reread", "--since", "1000h", "--output", "json")
	var answer monitor.Reread
	if err := json.Unmarshal([]byte(out), &answer); err != nil || code != exitDone || answer.Summary.TasksRead == 0 || time.Since(answer.From) < 999*time.Hour {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	d := b.daemon()
	if out, errs, code := b.run("reread", "--since", "24h"); code != exitDone || !strings.Contains(out, "Read since") {
		t.Errorf("by the daemon: exit %d: %s%s", code, out, errs)
	}
	d.stop()
}
