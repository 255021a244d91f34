package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"
	"callpoint/store/kv/pgkv/pgtest"
)

// openSharedTest opens a store in PostgreSQL, and returns its URL.
func openSharedTest(t testing.TB, o Options) (*Store, string) {
	t.Helper()
	server := pgtest.Shared(t)
	url := server.URL(server.Schema(t))
	return openAt(t, url, o), url
}

// fillShared stores some visitors with events, calls and touchpoints that are due.
func fillShared(t testing.TB, s *Store, visitors int) {
	t.Helper()
	ctx := context.Background()
	var events []mapping.Event
	var calls []Call
	for v := range visitors {
		for n := range 3 {
			events = append(events, event(fmt.Sprintf("visitor-%04d", v), n))
		}
		calls = append(calls, sharedCall(v, "1"))
	}
	if _, err := s.Add(ctx, events, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ApplyTasks(ctx, calls, Cursor{Since: goldenAt}); err != nil {
		t.Fatal(err)
	}
}

func sharedCall(v int, hash string) Call {
	return Call{Call: mapping.Call{TaskID: fmt.Sprintf("00THs0000%06dMAA", v), Visitor: fmt.Sprintf("visitor-%04d", v), At: goldenAt.Add(time.Minute),
		Fields: map[string]any{"WhoId": fmt.Sprintf("00QHs0000%06dMAA", v)}}, Hash: hash, ReadAt: goldenAt}
}

// resolveAll resolves what is dirty: a touchpoint for each call.
func resolveAll(t testing.TB, s *Store, limit int) (n int) {
	t.Helper()
	dirty, err := s.NextDirty(t.Context(), goldenAt, limit)
	if err != nil {
		t.Fatal(err)
	}
	var all []answer
	for _, j := range dirty {
		r := answer{Resolved: Resolved{Journey: j}}
		for _, c := range j.Calls {
			r.Result.Calls = append(r.Result.Calls, mapping.Resolution{TaskID: c.TaskID, Reason: mapping.Matched})
			r.touchpoints = append(r.touchpoints, mapping.Touchpoint{Key: CallKey(c.TaskID), TaskID: c.TaskID, Who: c.WhoID(), Values: map[string]any{"events": len(j.Events)}})
		}
		all = append(all, r)
	}
	if _, err := settle(t.Context(), s, goldenAt, all); err != nil {
		t.Fatal(err)
	}
	return len(dirty)
}

// Each method takes a number of round trips that does not grow with what it reads: a hint
// that was forgotten shows here.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	s, _ := openSharedTest(t, Options{})
	ctx := t.Context()
	fillShared(t, s, 300)
	var due []Touchpoint
	keys := func() (all []string) {
		for _, d := range due {
			all = append(all, d.Key)
		}
		return all
	}
	check := func(_ int, err error) error { return err }
	for _, c := range []struct {
		name string
		most int64
		do   func() error
	}{
		{"Add", 1, func() error {
			return check(s.Add(ctx, []mapping.Event{event("visitor-0001", 7), event("new", 1)}, nil))
		}},
		{"ApplyTasks", 4, func() error {
			var page []Call
			for v := range 250 {
				page = append(page, sharedCall(v, "2"))
			}
			return check(s.ApplyTasks(ctx, page, Cursor{Since: goldenAt}))
		}},
		{"NextDirty, Commit and the people of 200", 30, func() error {
			if n := resolveAll(t, s, 200); n != 200 {
				return fmt.Errorf("%d journeys", n)
			}
			return nil
		}},
		{"the same of the rest", 30, func() error { resolveAll(t, s, 200); return nil }},
		{"Due", 3, func() (err error) {
			if due, err = s.Due(goldenAt, 250); len(due) != 250 {
				return fmt.Errorf("%d due", len(due))
			}
			return err
		}},
		{"DueKeys", 3, func() error { _, err := s.DueKeys(goldenAt, 250, func(string) bool { return false }); return err }},
		{"Begin", 2, func() error { _, err := s.Begin(ctx, due); return err }},
		{"Finish", 2, func() error {
			var all []Outcome
			for _, d := range due {
				all = append(all, Outcome{Key: d.Key, Hash: d.Hash, State: Written, RecordID: "a0"})
			}
			return s.Finish(ctx, goldenAt, all)
		}},
		{"Touchpoints", 2, func() error { _, err := s.Touchpoints(keys()); return err }},
		{"Resend", 2, func() error { return s.Resend(ctx, keys(), goldenAt, false) }},
		{"Postpone", 2, func() error { return s.Postpone(ctx, keys(), goldenAt, "", "") }},
		{"Persons", 2, func() error { _, err := s.Persons(keys()); return err }},
		{"PutPersons", 1, func() error { return s.PutPersons(ctx, []Person{{Who: "a"}, {Who: "b"}}) }},
		{"WantReasons", 4, func() error {
			want := map[string]string{}
			for _, k := range keys() {
				want[k] = "matched"
			}
			return s.WantReasons(ctx, goldenAt, "F__c", want)
		}},
		{"DueReasons", 3, func() error { _, err := s.DueReasons(goldenAt, 250); return err }},
		{"Journey", 4, func() error { _, err := s.Journey("visitor-0001"); return err }},
		{"Call", 2, func() error { _, _, err := s.Call("00THs0000000001MAA"); return err }},
		{"EachCall", 3, func() error {
			n := 0
			err := s.EachCall(time.Time{}, time.Time{}, func(Call, *Touchpoint) bool { n++; return true })
			if n != 300 {
				return fmt.Errorf("%d calls", n)
			}
			return err
		}},
		{"EachVisitor, 301 visitors", 4 * 6, func() error { return s.EachVisitor(func(Journey) bool { return true }) }},
		{"EachTouchpoint", 3, func() error { return s.EachTouchpoint(func(Touchpoint) error { return nil }) }},
		{"EachTaskID", 3, func() error { return s.EachTaskID(func([]string) error { return nil }) }},
		{"FilterStored", 2, func() error { _, err := s.FilterStored(keys()); return err }},
		{"MarkAll", 3, func() error { return check(s.MarkAll(ctx, "rules")) }},
		{"Backlog", 6, func() error { _, err := s.Backlog(); return err }},
		{"Cursor", 2, func() error { _, _, err := s.Cursor(); return err }},
		{"SetState", 1, func() error { return s.SetState(ctx, "x", 1) }},
		{"MarkBeforeCollection", 8, func() error { return s.MarkBeforeCollection(ctx) }},
		{"Prune, nothing is old", 14, func() error { _, err := s.Prune(ctx, goldenAt.AddDate(-1, 0, 0), cutAll); return err }},
	} {
		before := s.shared.Trips()
		if err := c.do(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if n := s.shared.Trips() - before; n > c.most {
			t.Errorf("%s: %d round trips, want at most %d", c.name, n, c.most)
		}
	}
}

// A visitor's events and its call arrive at two instances at the same moment: the
// touchpoint has all of the events. In the control Add looks by itself whether the visitor
// has calls, and some events are lost.
func TestNothingIsMissedBetweenInstances(t *testing.T) {
	t.Parallel()
	leader, url := openSharedTest(t, Options{Instance: Instance{Name: "leader"}})
	other := openAt(t, url, Options{Instance: Instance{Name: "other", Daemon: true, Collector: true}})
	rounds := 20
	if testing.Short() {
		rounds = 6
	}
	const visitors = 40
	lost := map[bool]int{}
	// On a busy machine the control may need more rounds before it loses one.
	for round := 0; round < rounds || lost[true] == 0 && round < 20*rounds; round++ {
		control := round%2 == 1
		leader.undrained = control
		added := make(chan error, visitors)
		var calls []Call
		base := round * visitors
		for v := range visitors {
			calls = append(calls, sharedCall(base+v, "1"))
			go func() {
				visitor := fmt.Sprintf("visitor-%04d", base+v)
				had := control && other.sees(t, visitor)
				_, err := other.Add(context.Background(), []mapping.Event{event(visitor, 1)}, nil)
				if had {
					err = errors.Join(err, leader.update(t.Context(), func(tx kv.Tx) error { return markDirty(tx, visitor) }))
				}
				added <- err
			}()
		}
		if _, err := leader.ApplyTasks(t.Context(), calls, Cursor{}); err != nil {
			t.Fatal(err)
		}
		for resolveAll(t, leader, 200) > 0 {
		}
		for range visitors {
			if err := <-added; err != nil {
				t.Fatal(err)
			}
		}
		for resolveAll(t, leader, 200) > 0 {
		}
		for v := range visitors {
			_, tp, err := leader.Call(calls[v].TaskID)
			if err != nil || tp == nil {
				t.Fatal(err)
			}
			if tp.Values()["events"] != 1.0 {
				lost[control]++
			}
		}
	}
	t.Logf("%d events were missed, %d without arrivals", lost[false], lost[true])
	if lost[false] > 0 {
		t.Errorf("%d touchpoints lack an event", lost[false])
	}
	if lost[true] == 0 {
		t.Error("the control lost nothing: the test tests nothing")
	}
}

// sees is what Add would do without arrivals: it looks whether the visitor has calls.
func (s *Store) sees(t testing.TB, visitor string) (had bool) {
	err := s.view(func(tx kv.Tx) error { had = hasCalls(tx, visitor); return nil })
	if err != nil {
		t.Error(err)
	}
	return had
}

// An Add that began before its visitor was erased leaves nothing behind.
func TestForgetWhileAnAddIsInProgress(t *testing.T) {
	t.Parallel()
	s, _ := openSharedTest(t, Options{})
	ctx := t.Context()
	if _, err := s.Add(ctx, []mapping.Event{event("erased", 1)}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Forget(ctx, "erased", goldenAt); err != nil {
		t.Fatal(err)
	}
	// The statement saw no tombstone, and commits after the erasure.
	late, err := EventRow(&mapping.Event{Kind: mapping.View, Visitor: "erased", At: goldenAt, URL: "https://www.example.com/late"})
	if err != nil {
		t.Fatal(err)
	}
	err = s.update(ctx, func(tx kv.Tx) error {
		return errors.Join(tx.Put(bEvents, late.key, late.value), tx.Put(bArrivals, []byte("late"), append(timeKey(goldenAt), "erased"...)))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.NextDirty(ctx, goldenAt, 10); err != nil {
		t.Fatal(err)
	}
	if j, err := s.Journey("erased"); err != nil || len(j.Events) != 0 {
		t.Errorf("the late event is kept: %+v, %v", j.Events, err)
	}
	if pending, err := s.ErasurePending(); pending || err != nil {
		t.Errorf("the erasure is pending: %v %v", pending, err)
	}
}

// Methods that write are refused where another process leads; adding and reading are not.
func TestOnlyTheLeaderWrites(t *testing.T) {
	t.Parallel()
	leader, url := openSharedTest(t, Options{Instance: Instance{Name: "leader"}})
	if err := leader.SetState(t.Context(), "x", 1); err != nil {
		t.Fatal(err)
	}
	standby := openAt(t, url, Options{Instance: Instance{Name: "standby", Daemon: true}})
	if err := standby.SetState(t.Context(), "x", 2); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a standby's write: %v", err)
	}
	command := openAt(t, url, Options{Instance: Instance{Name: "command"}})
	if err := command.SetState(t.Context(), "x", 2); !errors.Is(err, ErrInUse) {
		t.Errorf("a command's write: %v", err)
	}
	for _, s := range []*Store{standby, command} {
		if _, err := s.Add(t.Context(), []mapping.Event{event("a", 1)}, nil); err != nil {
			t.Errorf("an event: %v", err)
		}
		var x int
		if ok, err := s.State("x", &x); !ok || x != 1 || err != nil {
			t.Errorf("a reading: %v %d %v", ok, x, err)
		}
	}
}
