package store

import (
	"context"
	"testing"
	"time"
)

// A reason waits until it was written; what was refused waits for its time, a new one
// does not.
func TestReasons(t *testing.T) {
	t.Parallel()
	s, ctx, now := openTest(t), context.Background(), goldenAt
	want := func(at time.Time, field, value string) {
		t.Helper()
		if err := s.WantReasons(ctx, at, field, map[string]string{"a": value}); err != nil {
			t.Fatal(err)
		}
	}
	due := func(at time.Time, n int) []Reason {
		t.Helper()
		all, err := s.DueReasons(at, 10)
		if err != nil || len(all) != n {
			t.Fatalf("due at %s: %+v %v, want %d", at, all, err, n)
		}
		sound(t, s)
		return all
	}
	finish := func(r Reason) {
		t.Helper()
		if err := s.FinishReasons(ctx, []Reason{r}); err != nil {
			t.Fatal(err)
		}
	}
	want(now, "F__c", "matched")
	r := due(now, 1)[0]
	r.Attempts, r.Next, r.Code = 1, now.Add(time.Hour), "UNABLE_TO_LOCK_ROW"
	finish(r)
	want(now.Add(time.Minute), "F__c", "matched")
	due(now.Add(time.Minute), 0)
	want(now.Add(time.Minute), "F__c", "outside_window")
	r = due(now.Add(time.Minute), 1)[0]
	if r.Attempts != 0 || r.Code != "" {
		t.Errorf("a new reason remembers the refusal of another: %+v", r)
	}
	r.Written, r.WrittenAt = r.Want, now
	finish(r)
	due(now.Add(24*time.Hour), 0)
	want(now, "F__c", "matched")
	want(now, "F__c", "outside_window")
	due(now.Add(24*time.Hour), 0)
	want(now, "G__c", "outside_window")
	r = due(now, 1)[0]
	r.Next = now.Add(time.Hour)
	finish(r)
	if err := s.MakeReasonsDue(ctx, now); err != nil {
		t.Fatal(err)
	}
	due(now, 1)
	want(now, "G__c", "")
	due(now.Add(24*time.Hour), 0)
	if kept, err := s.Reason("a"); kept != nil || err != nil {
		t.Errorf("kept %+v, %v", kept, err)
	}
}
