package engine_test

import (
	"errors"
	"testing"
	"time"

	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

func TestSpentBudgetPausesAndIsKept(t *testing.T) {
	t.Parallel()
	limit := 7
	r := newRig(t, orgsim.Config{}, func(e *engine.Config, _ *salesforce.Config) {
		e.Budget = engine.NewBudget(limit, 0.1, e.Now)
	})
	r.seen(3, nil)
	r.cycle() // three describes, a page of Tasks, a person looked up, an upsert
	if b := r.engine.Budget(); b.Used != 6 || b.Spent || b.OrgMax != 15000 {
		t.Fatalf("%+v", b)
	}
	r.seen(2, nil)
	r.clock.advance(time.Minute)
	var spent *engine.BudgetError
	// The poll takes the last call: what it found waits.
	if err := r.fails(); !errors.As(err, &spent) || !spent.Until.Equal(noon.Add(25*time.Hour)) {
		t.Fatalf("err = %v", err)
	}
	r.reopen()
	calls := r.org.Requests().APICalls
	r.clock.advance(10 * time.Minute)
	if err := r.fails(); !errors.As(err, &spent) || engine.Cure(err) != spent.Cure() {
		t.Errorf("err = %v", err)
	}
	if n := r.org.Requests().APICalls; n != calls || r.engine.Budget().Used != limit {
		t.Errorf("%d calls made while paused; after a restart %+v", n-calls, r.engine.Budget())
	}
	if r.backlog().Parked != 0 || r.backlog().Due != 2 {
		t.Errorf("%+v", r.backlog())
	}
	r.clock.advance(6 * time.Minute) // a quarter of an hour after the last call: one is let through
	r.fails()
	if n := r.org.Requests().APICalls; n != calls+1 {
		t.Errorf("%d calls to see how it stands, want 1", n-calls)
	}
	r.clock.set(26 * time.Hour)
	limit = 100
	if s := r.cycle(); s.TouchpointsWritten != 2 {
		t.Errorf("a day later: %+v", s)
	}
	r.agree()
}

func TestReserveOfTheOrgIsNotTouched(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{DailyLimit: 20}) // 18 of 20 may be used
	r.seen(3, nil)
	r.cycle()
	for range 30 {
		r.clock.advance(time.Minute)
		r.engine.Cycle(t.Context()) //nolint:errcheck // it fails once the rest is the reserve
	}
	used := r.org.Requests().APICalls
	if b := r.engine.Budget(); !b.Spent || b.OrgMax != 20 || b.OrgStop != 18 {
		t.Errorf("%+v", b)
	}
	if used > 19 { // and one that asks how it stands
		t.Errorf("%d of 20 calls used", used)
	}
	if used < 18 {
		t.Errorf("%d of 18 calls used", used)
	}
}

// An idle minute costs one call, also while something leaves the filter.
func TestIdlePollCostsOneCall(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{})
	r.seen(3, nil)
	mail := r.call("v8", "", map[string]any{"TaskSubtype": "Email"})
	r.cycle()
	for i := range 5 {
		r.clock.advance(time.Minute)
		if i == 1 {
			if err := r.org.Update("Task", mail, map[string]any{"bizible2__BizibleId__c": nil}); err != nil {
				t.Fatal(err)
			}
		}
		if s := r.cycle(); s.APICalls > 1 && i != 1 || (i == 1) != (s.TasksChanged == 1) {
			t.Errorf("minute %d: %+v", i, s)
		}
	}
	if c, _, err := r.store.Call(mail); err != nil || c.Visitor != "" {
		t.Errorf("the cleared id went unnoticed: %q %v", c.Visitor, err)
	}
}
