package engine_test

import (
	"testing"
	"time"

	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

// A start that is moved back reads what lies between, be it a time or a duration back.
func TestStartMovedBack(t *testing.T) {
	t.Parallel()
	for name, absolute := range map[string]bool{"a time": true, "a duration": false} {
		back := 24 * time.Hour
		r := newRig(t, orgsim.Config{}, func(e *engine.Config, _ *salesforce.Config) {
			e.Start, e.StartBack = time.Time{}, back
			if absolute {
				e.Start = noon.Add(-back)
			}
			e.Settings.WriteBeforeCollection = true
		})
		r.clock.set(-200 * time.Hour)
		old := r.people(1)[0]
		r.clock.set(0)
		fresh := r.people(1)[0]
		r.cycle()
		if r.record(old) != nil || r.record(fresh) == nil {
			t.Fatalf("%s: before, the wrong records stand", name)
		}
		back = 720 * time.Hour
		r.reopen()
		r.clock.advance(time.Hour)
		r.cycle()
		r.mustStand(old, fresh)
		r.clock.advance(time.Hour)
		if s := r.cycle(); s.TasksRead != 0 {
			t.Errorf("%s: %d Tasks are read again and again", name, s.TasksRead)
		}
	}
}

// What the user could not see when a poll passed it is found by reconcile, and read by it with
// fix, or by reread.
func TestTasksThatCameIntoSight(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"reconcile", "reread", "reread before the start"} {
		r := newRig(t, orgsim.Config{}, func(e *engine.Config, _ *salesforce.Config) { e.Settings.WriteBeforeCollection = true })
		seen := r.people(1)[0]
		lead, ago := r.lead("Hidden"), time.Duration(0)
		if how == "reread before the start" {
			ago = 1000 * time.Hour
		}
		r.clock.set(-ago)
		hidden, err := r.org.InsertLate("Task", map[string]any{"Subject": "Hidden", "Type": "Call", "TaskSubtype": "Call", "CallType": "Inbound",
			"Status": "Completed", "WhoId": lead, "bizible2__BizibleId__c": "hidden"}, ago+150*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		r.clock.set(0)
		r.cycle()
		r.clock.advance(2 * time.Hour)
		r.cycle()
		r.clock.advance(time.Hour)
		r.cycle()
		if r.record(seen) == nil || r.record(hidden) != nil {
			t.Fatal("the test does not test it")
		}
		switch how {
		case "reconcile":
			d, err := r.engine.Reconcile(t.Context(), false)
			if err != nil || d.TasksUnread != 1 || !d.Differs() || r.record(hidden) != nil {
				t.Errorf("%+v %v", d, err)
			}
			if d, err = r.engine.Reconcile(t.Context(), true); err != nil || !d.Fixed {
				t.Errorf("%+v %v", d, err)
			}
		default:
			since := noon.Add(-1100 * time.Hour)
			if from, err := r.engine.Reread(t.Context(), since); err != nil || !from.Equal(since) {
				t.Errorf("from %s: %v", from, err)
			}
			r.cycle()
		}
		r.mustStand(seen, hidden)
	}
}
