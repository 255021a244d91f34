package store

import (
	"fmt"
	"testing"
	"time"

	"callpoint/mapping"
)

func TestPostponeReleaseResend(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	ctx, now := t.Context(), time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var keys []string
	for i := range 3 {
		id := mapping.ID18(fmt.Sprintf("00T0000000000%02d", i))
		keys = append(keys, CallKey(id))
		call := Call{Hash: "1", Call: mapping.Call{TaskID: id, At: now, Visitor: "v"}}
		if _, err := s.ApplyTasks(ctx, []Call{call}, Cursor{Since: now}); err != nil {
			t.Fatal(err)
		}
	}
	journeys, err := s.NextDirty(ctx, now, 10)
	if err != nil || len(journeys) != 1 {
		t.Fatal(journeys, err)
	}
	a := answer{Resolved: Resolved{Journey: journeys[0]}}
	for i, c := range journeys[0].Calls {
		a.Result.Calls = append(a.Result.Calls, mapping.Resolution{TaskID: c.TaskID})
		a.touchpoints = append(a.touchpoints, mapping.Touchpoint{Key: keys[i], TaskID: c.TaskID, Values: map[string]any{"a": 1.0}})
	}
	if _, err := settle(ctx, s, now, []answer{a}); err != nil {
		t.Fatal(err)
	}
	due := func(at time.Time) int {
		all, err := s.Due(at, 10)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	later := now.Add(time.Hour)
	if err := s.Postpone(ctx, keys[:2], later, "CODE", "why"); err != nil {
		t.Fatal(err)
	}
	if due(now) != 1 || due(later) != 3 {
		t.Errorf("due %d now and %d later, want 1 and 3", due(now), due(later))
	}
	if all, err := s.Touchpoints(keys); err != nil || all[keys[0]].Attempts != 0 || all[keys[0]].Code != "CODE" || all[keys[2]].Code != "" {
		t.Errorf("%+v %v", all, err)
	}
	all, err := s.Touchpoints(keys)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(ctx, now, []Outcome{
		{Key: keys[1], Hash: all[keys[1]].Hash, State: Parked, Next: later},
		{Key: keys[2], Hash: all[keys[2]].Hash, State: Written, RecordID: "a02"},
	}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.MakeAllDue(ctx, now); n != 2 || err != nil || due(now) != 2 {
		t.Errorf("released %d, %v; due %d", n, err, due(now))
	}
	if err := s.Resend(ctx, keys, now, true); err != nil || due(now) != 3 {
		t.Errorf("%v; due %d", err, due(now))
	}
	seen := 0
	if err := s.EachTouchpoint(func(Touchpoint) error { seen++; return nil }); err != nil || seen != 3 {
		t.Errorf("%d touchpoints, %v", seen, err)
	}
}

func TestKnownAndDeletedTasks(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	ctx, now := t.Context(), time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var ids []string
	var calls []Call
	for i := range 5 {
		ids = append(ids, mapping.ID18(fmt.Sprintf("00T0000000000%02d", i)))
		calls = append(calls, Call{Hash: "1", Call: mapping.Call{TaskID: ids[i], At: now, Visitor: "v"}})
	}
	if n, err := s.ApplyCalls(ctx, calls); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := s.MarkDeleted(ctx, []string{ids[1], "00T"}); n != 1 || err != nil {
		t.Error(n, err)
	}
	if n, err := s.MarkDeleted(ctx, ids[1:2]); n != 0 || err != nil {
		t.Error("marked twice:", n, err)
	}
	var standing []string
	if err := s.EachTaskID(func(some []string) error { standing = append(standing, some...); return nil }); err != nil || len(standing) != 4 {
		t.Errorf("%v %v", standing, err)
	}
	if known, err := s.FilterStored([]string{ids[0], "00T"}); err != nil || len(known) != 1 || known[0] != ids[0] {
		t.Errorf("%v %v", known, err)
	}
	if n, err := s.ApplyCalls(ctx, calls[1:2]); n != 1 || err != nil {
		t.Error("a Task that came back is not taken:", n, err)
	}
}
