package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/sync/orgsim"
)

// many Tasks share one second, over pages whose locator expires or breaks off.
func TestFiveThousandTasksInOneSecond(t *testing.T) {
	t.Parallel()
	n := 5000
	if testing.Short() {
		n = 1000
	}
	r := newRig(t, orgsim.Config{PageSize: n / 5})
	r.visit("v", noon.Add(-3*time.Hour))
	for i := range n {
		r.call("", "", map[string]any{"Subject": fmt.Sprint(i)})
	}
	r.org.Fault(orgsim.Fault{Op: orgsim.OpMore, Nth: 3, Status: 400, Code: "INVALID_QUERY_LOCATOR"})
	r.org.Fault(orgsim.Fault{Op: orgsim.OpMore, Nth: 5, Truncate: true})
	s := r.cycle()
	if s.TasksChanged != n || s.Calls != n {
		t.Errorf("%d changed, %d calls, want %d each", s.TasksChanged, s.Calls, n)
	}
	r.clock.advance(11 * time.Minute)
	if s := r.cycle(); s.TasksChanged != 0 {
		t.Errorf("read again: %+v", s)
	}
}

// A row that becomes visible after a poll passed its stamp is found by the overlap, and
// counted.
func TestLateRowsAreFoundAndCounted(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{})
	r.seen(1, nil)
	r.cycle()
	r.clock.advance(time.Minute)
	late, err := r.org.InsertLate("Task", map[string]any{"TaskSubtype": "Call", "CallType": "Inbound", "bizible2__BizibleId__c": "late"}, 8*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for range 7 {
		r.clock.advance(time.Minute)
		if s := r.cycle(); s.TasksChanged != 0 || s.LateRows != 0 {
			t.Fatalf("before it is visible: %+v", s)
		}
	}
	r.clock.advance(time.Minute)
	if s := r.cycle(); s.TasksChanged != 1 || s.LateRows != 1 {
		t.Errorf("%+v, want one late row", s)
	}
	if _, _, err := r.store.Call(late); err != nil {
		t.Error(err)
	}
	r.clock.advance(time.Minute)
	r.seen(1, nil)
	if s := r.cycle(); s.TasksChanged != 1 || s.LateRows != 0 {
		t.Errorf("a row on time: %+v", s)
	}
}

// Where a query is too much for the org its span gets shorter, down to less than the
// overlap, until all is read; then it is whole again.
func TestTooLargeQueriesAreNarrowed(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"QUERY_TIMEOUT", "OPERATION_TOO_LARGE"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, orgsim.Config{})
			r.visit("v", noon.Add(-3*time.Hour))
			for i := range 300 {
				r.call("", "")
				if i%3 == 0 {
					r.clock.advance(20 * time.Second)
				}
			}
			r.org.Fault(orgsim.Fault{Op: orgsim.OpQuery, Times: -1, MinRows: 50, Status: 400, Code: code})
			if s := r.cycle(); s.TasksChanged != 300 {
				t.Errorf("%+v", s)
			}
			r.org.ClearFaults()
			r.clock.advance(time.Hour)
			r.cycle()
			r.clock.advance(time.Minute)
			if s := r.cycle(); s.APICalls != 1 {
				t.Errorf("the span stayed narrow: %+v", s)
			}
		})
	}
}

// A first run that is stopped goes on where it was.
func TestFirstRunGoesOnWhereItWasStopped(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{PageSize: 200})
	r.clock.set(-100 * time.Hour)
	for range 1000 {
		r.call("", "")
		r.clock.advance(time.Minute)
	}
	r.clock.set(0)
	r.org.Fault(orgsim.Fault{Op: orgsim.OpMore, Nth: 3, Times: -1, Status: 503, Body: "<html>"})
	r.fails()
	r.org.ClearFaults()
	r.reopen()
	read := r.org.Requests().RowsRead
	if s := r.cycle(); s.Calls != 1000 && s.TasksChanged != 400 {
		t.Errorf("%+v", s)
	}
	if n := r.org.Requests().RowsRead - read; n > 450 {
		t.Errorf("%d rows read again of 1000", n)
	}
	if !strings.Contains(r.log.String(), "reading tasks") {
		t.Error("a long read said nothing")
	}
}

// Session after the Task: the same record gets the web data.
func TestSessionThatArrivesAfterItsTouchpoint(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{})
	r.visit("other", noon.Add(-3*time.Hour))
	task := r.call("v", "")
	r.cycle()
	first := r.record(task)
	if first["bizible2__Touchpoint_Source__c"] != "CRM Activity" {
		t.Fatalf("%v", first)
	}
	r.visit("v", noon.Add(-70*time.Minute))
	r.clock.advance(time.Hour)
	r.cycle()
	rec := r.record(task)
	if rec["Id"] != first["Id"] || rec["bizible2__Ad_Campaign_Name__c"] != "c" {
		t.Errorf("%v", rec)
	}
	// An earlier call takes the session's credit, and the id is corrected.
	early := r.call("v", "", map[string]any{"bizible2__Bizible_Touchpoint_Date__c": noon.Add(-65 * time.Minute).Format("2006-01-02T15:04:05Z")})
	r.clock.advance(time.Minute)
	r.cycle()
	if r.record(early)["bizible2__Ad_Campaign_Name__c"] != "c" || r.record(task)["bizible2__Touchpoint_Source__c"] != "CRM Activity" {
		t.Error("the earlier call did not take the credit")
	}
	if err := r.org.Update("Task", early, map[string]any{"bizible2__BizibleId__c": "other"}); err != nil {
		t.Fatal(err)
	}
	r.clock.advance(time.Minute)
	r.cycle()
	if r.record(task)["bizible2__Ad_Campaign_Name__c"] != "c" || r.record(early)["bizible2__Touchpoint_Source__c"] != "CRM Activity" {
		t.Error("the corrected id was not followed")
	}
	r.agree()
}

// Calls before the first event are left out until an earlier event comes.
func TestBeforeCollection(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{})
	task := r.call("v", "")
	r.visit("v", noon)
	r.cycle()
	if c, tp, err := r.store.Call(task); err != nil || tp != nil || c.Resolution.Reason != mapping.BeforeCollection {
		t.Fatalf("%v %v %v", c.Resolution.Reason, tp, err)
	}
	r.visit("x", noon.Add(-2*time.Hour))
	r.cycle()
	if r.record(task) == nil {
		t.Error("no touchpoint after an earlier event came")
	}
}
