package engine_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

// offRig returns a rig whose own clock is off by a duration that the test sets.
func offRig(t *testing.T) (*rig, *time.Duration) {
	t.Helper()
	off, org := new(time.Duration), func() time.Time { return noon }
	own := func() time.Time { return org().Add(*off) }
	r := newRig(t, orgsim.Config{}, func(ec *engine.Config, sc *salesforce.Config) {
		ec.Now, sc.Now = own, own
		ec.Start, ec.StartBack = time.Time{}, 720*time.Hour
	})
	org = r.clock.now
	return r, off
}

func (r *rig) cursor() (store.Cursor, bool) {
	r.t.Helper()
	c, ok, err := r.store.Cursor()
	if err != nil {
		r.t.Fatal(err)
	}
	return c, ok
}

// A first start with a wrong clock stores neither start nor cursor: they would stay.
func TestFirstStartWithAWrongClock(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]time.Duration{"ahead": 100 * 24 * time.Hour, "behind": -100 * 24 * time.Hour, "an hour ahead": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, off := offRig(t)
			*off = wrong
			r.call("v", "")
			if err := r.fails(); !strings.Contains(err.Error(), "clock") {
				t.Errorf("the error does not name the clock: %v", err)
			}
			if c, ok := r.cursor(); ok {
				t.Errorf("a cursor was stored: %+v", c)
			}
			*off = 0
			r.clock.advance(time.Minute)
			r.reopen() // times of a test have no monotonic reading that would outlast the jump
			r.cycle()
			c, ok := r.cursor()
			if want := r.clock.now().Add(-720 * time.Hour); !ok || c.Start.Sub(want).Abs() > time.Minute {
				t.Errorf("start %v, want %v", c.Start, want)
			}
		})
	}
}

// While the clocks disagree calls are read and written, and the cursor stays.
func TestCursorStaysWhileClocksDisagree(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]time.Duration{"ahead": 100 * 24 * time.Hour, "behind": -100 * 24 * time.Hour, "an hour behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, off := offRig(t)
			r.visit("v", noon.Add(-2*time.Hour))
			r.cycle()
			before, _ := r.cursor()
			*off = wrong
			r.clock.advance(time.Hour)
			task := r.call("v", r.lead("Ada"))
			r.cycle()
			if r.record(task) == nil {
				t.Error("the call was not written")
			}
			if after, _ := r.cursor(); after != before {
				t.Errorf("the cursor moved from %+v to %+v", before, after)
			}
			*off = 0
			r.clock.advance(time.Minute)
			r.cycle()
			if after, _ := r.cursor(); !after.Since.After(before.Since) {
				t.Errorf("the cursor stays at %v although the clocks agree", after.Since)
			}
		})
	}
}

// A Date that is ahead, by however little, moves no cursor beyond the own clock; nor does an
// own clock that is ahead of the Date.
func TestCursorFollowsTheEarlierClock(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]time.Duration{"the Date is ahead": -4 * time.Minute, "the own clock is ahead": 4 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, off := offRig(t)
			*off = wrong
			r.cycle()
			r.clock.advance(time.Hour)
			r.call("v", "")
			r.cycle()
			c, _ := r.cursor()
			earlier := r.clock.now().Add(min(0, wrong))
			if c.Since.After(earlier.Add(-10*time.Minute)) || c.Since.Before(earlier.Add(-11*time.Minute)) {
				t.Errorf("cursor %v, want 10 minutes before %v", c.Since, earlier)
			}
		})
	}
}

// A budget that was written by a clock that was ahead holds up nothing.
func TestBudgetOfAFutureClock(t *testing.T) {
	t.Parallel()
	now := noon.Add(100 * 24 * time.Hour)
	b := engine.NewBudget(2, 0.1, func() time.Time { return now })
	for range 2 {
		b.Note(salesforce.CallInfo{Counted: true, Usage: salesforce.Usage{Used: 100, Max: 100, At: now}})
	}
	if !b.State().Spent {
		t.Fatal("the budget is not spent: no proof")
	}
	now = noon
	if s := b.State(); s.Spent || s.Used != 0 {
		t.Errorf("after the clock was corrected: %+v", s)
	}
	if err := b.Allow("query"); err != nil {
		t.Error(err)
	}
}

// One answer with a Date that is far ahead loses no call that was made before that time, and
// nothing waits for it: neither a hold, nor a record that was locked.
func TestOneDateAhead(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{11 * time.Minute, 30 * time.Hour, 10 * 365 * 24 * time.Hour} {
		r := newRig(t, orgsim.Config{})
		first := r.people(1)[0]
		for range 2 {
			r.cycle()
			r.clock.advance(time.Minute)
		}
		locked := r.people(1)[0]
		r.refuse("UNABLE_TO_LOCK_ROW", "", locked)
		r.org.Fault(orgsim.Fault{Op: orgsim.OpRead, Header: map[string]string{"Date": r.clock.now().Add(ahead).Format(http.TimeFormat)}})
		r.try()
		r.org.ClearFaults()
		r.clock.advance(time.Minute)
		late := r.people(1)[0] // stamped long before that Date
		r.clock.advance(2 * time.Minute)
		r.cycle()
		r.clock.advance(time.Hour)
		r.cycle()
		for name, task := range map[string]string{"first": first, "locked": locked, "late": late} {
			if r.record(task) == nil {
				t.Errorf("%s ahead: the %s call has no record", ahead, name)
			}
		}
	}
}
