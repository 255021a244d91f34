package engine_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

const why = "Why__c"

// newTelling is a rig whose Tasks have a field for the reason.
func newTelling(t *testing.T, oc orgsim.Config, change ...func(*engine.Config, *salesforce.Config)) *rig {
	t.Helper()
	r := newRig(t, oc, append(change, func(ec *engine.Config, _ *salesforce.Config) { ec.ReasonField = why })...)
	r.org.Schema("Task").AddField(orgsim.Field{Name: why, Type: "string", Length: 40})
	return r
}

// says expects what a Task says in the org.
func (r *rig) says(task string, want any) {
	r.t.Helper()
	rec, _ := r.org.Get("Task", task)
	if got := rec[why]; got != want {
		r.t.Errorf("Task %s says %v, want %v", task, got, want)
	}
}

// Each Task says why its call is (not) tied to a session, and follows what changes. Our
// own edits are read again by the polls, and nothing comes of it.
func TestTasksSayTheReason(t *testing.T) {
	t.Parallel()
	r := newTelling(t, orgsim.Config{})
	r.visit("v0", noon.Add(-65*time.Minute))
	matched, unknown, none := r.call("v0", ""), r.call("v1", ""), r.call("", "")
	held := r.call("v2", "", map[string]any{"bizible2__Bizible_Touchpoint_Date__c": "2026-11-23T11:59:00Z"})
	early := r.call("v3", "", map[string]any{"bizible2__Bizible_Touchpoint_Date__c": "2026-11-20T12:00:00Z"})
	if s := r.cycle(); s.ReasonsWritten != 3 {
		t.Errorf("%d reasons written, want 3", s.ReasonsWritten)
	}
	r.says(matched, "matched")
	r.says(unknown, "unknown_visitor")
	r.says(none, "no_bizible_id")
	r.says(held, nil)
	r.says(early, nil)

	r.clock.advance(10 * time.Minute)
	r.cycle() // the hold ends, and our edits are read
	r.says(held, "unknown_visitor")
	before := r.org.Requests()
	for range 5 {
		r.clock.advance(3 * time.Minute)
		if s := r.cycle(); s.TasksChanged != 0 || s.Calls != 0 || s.APICalls != 1 {
			t.Errorf("nothing changed, and yet: %+v", s)
		}
	}
	if after := r.org.Requests(); after.Updated != before.Updated {
		t.Errorf("%d records updated, and nothing changed", after.Updated-before.Updated)
	}

	r.visit("v1", noon.Add(-70*time.Minute)) // late
	r.cycle()
	r.says(unknown, "matched")
}

// An answer that is lost leaves the reason due: it is written again, once.
func TestReasonAnswerLost(t *testing.T) {
	t.Parallel()
	r := newTelling(t, orgsim.Config{})
	task := r.seen(1, nil)[0]
	r.org.Fault(orgsim.Fault{Op: orgsim.OpUpdate, Drop: orgsim.DropAfter, Times: -1})
	r.fails()
	if r.record(task) == nil {
		t.Error("the touchpoint did not get through")
	}
	r.org.ClearFaults()
	r.reopen()
	if s := r.cycle(); s.ReasonsWritten != 1 {
		t.Errorf("%+v", s)
	}
	if s := r.cycle(); s.ReasonsWritten != 0 {
		t.Errorf("%+v", s)
	}
	r.says(task, "unknown_visitor")
}

// A Task that does not take its reason keeps nobody waiting, is not asked every cycle,
// and gets it in the end.
func TestReasonRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code  string
		after time.Duration // of the second attempt, at the latest
	}{{"UNABLE_TO_LOCK_ROW", time.Minute}, {"FIELD_CUSTOM_VALIDATION_EXCEPTION", 25 * time.Hour}} {
		t.Run(c.code, func(t *testing.T) {
			t.Parallel()
			r := newTelling(t, orgsim.Config{})
			tasks := r.seen(3, nil)
			r.org.Fault(orgsim.Fault{Op: orgsim.OpUpdate, Times: -1, RowError: &orgsim.RowError{Code: c.code, Message: "no", Key: tasks[1]}})
			if s := r.cycle(); s.ReasonsWritten != 2 || s.TouchpointsWritten != 3 || s.Parked != 0 {
				t.Errorf("%+v", s)
			}
			r.agree()
			r.says(tasks[1], nil)
			if s := r.cycle(); s.APICalls != 1 {
				t.Errorf("asked again at once: %+v", s)
			}
			kept, err := r.store.Reason(tasks[1])
			if err != nil || kept == nil || kept.Code != c.code || kept.Attempts != 1 {
				t.Errorf("kept %+v, %v", kept, err)
			}
			r.org.ClearFaults()
			r.reopen()
			r.clock.advance(c.after)
			r.cycle()
			r.says(tasks[1], "unknown_visitor")
		})
	}
}

// Where every Task is refused, one collection is asked and not all of them; the operator
// hears of it once, and parked retry asks again.
func TestReasonsRefusedAltogether(t *testing.T) {
	t.Parallel()
	r := newTelling(t, orgsim.Config{})
	tasks := r.seen(450, nil)
	refuse := orgsim.Fault{Op: orgsim.OpUpdate, Times: -1,
		RowError: &orgsim.RowError{Code: "INSUFFICIENT_ACCESS_OR_READONLY", Message: "insufficient access rights on object id"}}
	r.org.Fault(refuse)
	if s := r.cycle(); s.ReasonsWritten != 0 || s.TouchpointsWritten != 450 {
		t.Errorf("%+v", s)
	}
	if n := r.org.Requests().Failed; n != 200 {
		t.Errorf("%d Tasks were asked for nothing, want one collection", n)
	}
	for range 5 {
		r.clock.advance(3 * time.Minute)
		if s := r.cycle(); s.APICalls != 1 {
			t.Errorf("asked again: %+v", s)
		}
	}
	if n := strings.Count(r.log.String(), "refuses the reason"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	r.org.ClearFaults()
	if _, err := r.engine.RetryParked(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if s := r.cycle(); s.ReasonsWritten != 450 {
		t.Errorf("%+v", s)
	}
	r.says(tasks[449], "unknown_visitor")
}

// A field that is not there, or not ours to edit, costs a word in the log. Once it is,
// every call's Task gets its reason.
func TestReasonFieldLocked(t *testing.T) {
	t.Parallel()
	r := newTelling(t, orgsim.Config{})
	r.org.Schema("Task").LockField(why)
	task := r.seen(1, nil)[0]
	if s := r.cycle(); s.TouchpointsWritten != 1 || s.ReasonsWritten != 0 {
		t.Errorf("%+v", s)
	}
	if n := r.org.Requests().Failed; n != 0 || !strings.Contains(r.log.String(), "Task."+why) {
		t.Errorf("%d rows refused; log:\n%s", n, r.log)
	}
	r.org.Schema("Task").Change(why, func(f *orgsim.Field) { f.Locked = false })
	r.clock.advance(25 * time.Hour)
	r.cycle()
	r.says(task, "unknown_visitor")
}

// A Task deleted before its reason was written is not written to, and no longer waits.
func TestReasonOfDeletedTask(t *testing.T) {
	t.Parallel()
	r := newTelling(t, orgsim.Config{})
	task := r.seen(1, nil)[0]
	r.org.Fault(orgsim.Fault{Op: orgsim.OpUpdate, RowError: &orgsim.RowError{Code: "UNABLE_TO_LOCK_ROW"}})
	r.cycle()
	if err := r.org.Delete("Task", task); err != nil {
		t.Fatal(err)
	}
	r.clock.advance(time.Hour)
	r.cycle()
	if kept, err := r.store.Reason(task); err != nil || kept != nil {
		t.Errorf("kept %+v, %v", kept, err)
	}
	if n := r.org.Requests().Failed; n != 1 {
		t.Errorf("%d rows refused, want the first alone", n)
	}
}

// The org's triggers on Task take few records at once: reasons go in smaller collections.
func TestReasonsSplit(t *testing.T) {
	t.Parallel()
	r := newTelling(t, orgsim.Config{})
	tasks := r.seen(20, nil)
	r.org.Fault(orgsim.Fault{Op: orgsim.OpUpdate, Times: 2, RowError: &orgsim.RowError{Code: "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", Message: "System.LimitException: Apex CPU time limit exceeded"}})
	if s := r.cycle(); s.ReasonsWritten != 20 {
		t.Errorf("%+v\n%s", s, r.log)
	}
	r.says(tasks[19], "unknown_visitor")
}

// A dry run edits no Task, and says what it would write.
func TestDryRunWritesNoReason(t *testing.T) {
	t.Parallel()
	r := newTelling(t, orgsim.Config{}, func(ec *engine.Config, _ *salesforce.Config) { ec.DryRun = true })
	task := r.seen(1, nil)[0]
	r.cycle()
	r.says(task, nil)
	p, err := r.engine.Preview(t.Context())
	if err != nil || p.Reasons != 1 {
		t.Fatalf("%+v %v", p, err)
	}
	i := slices.IndexFunc(p.Records, func(r engine.PreviewRecord) bool { return r.Action == engine.WouldTell })
	if i < 0 || p.Records[i].TaskID != task || p.Records[i].Fields["Task."+why] != (engine.FieldChange{To: "unknown_visitor"}) {
		t.Errorf("%+v", p.Records)
	}
}

// Another field starts anew.
func TestAnotherReasonField(t *testing.T) {
	t.Parallel()
	field := why
	r := newTelling(t, orgsim.Config{}, func(*engine.Config, *salesforce.Config) {})
	task := r.seen(1, nil)[0]
	r.cycle()
	r.org.Schema("Task").AddField(orgsim.Field{Name: "Second__c", Type: "string", Length: 40})
	field = "Second__c"
	r.change = append(r.change, func(ec *engine.Config, _ *salesforce.Config) { ec.ReasonField = field })
	r.reopen()
	r.clock.advance(25 * time.Hour)
	r.cycle()
	rec, _ := r.org.Get("Task", task)
	if got := fmt.Sprint(rec[why], " ", rec["Second__c"]); got != "unknown_visitor unknown_visitor" {
		t.Errorf("the fields say %s", got)
	}
	if kept, err := r.store.Reason(task); err != nil || kept == nil || *kept != (store.Reason{TaskID: task, Field: field, Want: "unknown_visitor", Written: "unknown_visitor", WrittenAt: kept.WrittenAt}) {
		t.Errorf("kept %+v, %v", kept, err)
	}
}

// Tasks say their reason also while every touchpoint is refused.
func TestReasonsWhileTouchpointsArePaused(t *testing.T) {
	t.Parallel()
	r := newTelling(t, orgsim.Config{})
	task := r.seen(30, nil)[0]
	r.org.Fault(orgsim.Fault{Op: orgsim.OpUpsert, Object: touchpoint, Times: -1,
		RowError: &orgsim.RowError{Code: "INSUFFICIENT_ACCESS_OR_READONLY", Message: "no"}})
	if err := r.fails(); !errors.As(err, new(*engine.PausedError)) {
		t.Errorf("the cycle ended with %v", err)
	}
	r.says(task, "unknown_visitor")
}

// Where the org takes no more calls, the reasons are not asked for either: they wait for the
// next cycle.
func TestNoReasonsWithoutCalls(t *testing.T) {
	t.Parallel()
	r := newTelling(t, orgsim.Config{})
	task := r.seen(1, nil)[0]
	r.org.Fault(orgsim.Fault{Op: orgsim.OpUpsert, Times: -1, Status: http.StatusForbidden, Code: "REQUEST_LIMIT_EXCEEDED"})
	r.fails()
	r.says(task, nil)
	r.org.ClearFaults()
	r.clock.advance(time.Hour) // the pause after the limit
	r.cycle()
	r.says(task, "unknown_visitor")
}
