package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

// A weekly is an engine that runs as in the daemon, by the clock of the test.
type weekly struct {
	*rig
	tasks []string
	end   func()
}

// newWeekly has written its records, and a week before it.
func newWeekly(t *testing.T, calls int) *weekly {
	t.Helper()
	w := &weekly{rig: newRig(t, orgsim.Config{}, func(e *engine.Config, _ *salesforce.Config) { e.Settings.RetractDelete = true })}
	w.tasks = w.seen(calls, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- w.engine.Run(ctx, 24*time.Hour) }()
	w.end = func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}
	w.after(0)
	if n := len(w.org.Records(touchpoint)); n != calls {
		t.Fatalf("%d records stand, want %d", n, calls)
	}
	return w
}

// after lets time go by, and then a cycle with what the daemon does after one.
func (w *weekly) after(d time.Duration) {
	w.t.Helper()
	w.clock.advance(d)
	if r, err := w.engine.Sync(w.t.Context()); err != nil || r.Err != nil {
		w.t.Fatal(err, r.Err)
	}
}

func (w *weekly) removeRecord(task string) {
	w.t.Helper()
	if err := w.org.Delete(touchpoint, w.record(task)["Id"].(string)); err != nil {
		w.t.Fatal(err)
	}
}

// The daemon compares store and org once a week: not at its start, not sooner, and the
// next time a week later.
func TestReconcileIsWeekly(t *testing.T) {
	t.Parallel()
	w := newWeekly(t, 3)
	task := w.tasks[0]
	for range 2 {
		w.removeRecord(task)
		w.after(7*24*time.Hour - time.Minute)
		if w.record(task) != nil {
			t.Fatal("mended before the week was over")
		}
		w.after(time.Minute)
		if w.record(task) == nil {
			t.Fatal("not mended after a week")
		}
	}
	w.end()
	if n := strings.Count(w.log.String(), "store and org differed"); n != 2 {
		t.Errorf("said %d times that something was mended, want 2", n)
	}
}

// A week after few Tasks were purged their records go, as CALLPOINT_RETRACT=delete wants.
// Where many are missing at once, a permission was lost more likely: nothing is touched
// until somebody says so.
func TestManyMissingTasksAreNotBelieved(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		calls, purged int
		believed      bool
	}{
		{30, 20, true},   // not many
		{30, 21, false},  // many, and much of all
		{300, 30, true},  // many, but a tenth
		{300, 31, false}, // more than that
	} {
		w := newWeekly(t, c.calls)
		for _, task := range w.tasks[:c.purged] {
			if err := w.org.Purge("Task", task); err != nil {
				t.Fatal(err)
			}
		}
		w.after(7 * 24 * time.Hour)
		stand := c.calls
		if c.believed {
			stand -= c.purged
		}
		if n := len(w.org.Records(touchpoint)); n != stand {
			t.Errorf("%d of %d Tasks purged: %d records stand, want %d", c.purged, c.calls, n, stand)
		}
		w.end()
		if said := strings.Contains(w.log.String(), "was a permission lost?"); said == c.believed {
			t.Errorf("%d of %d Tasks purged: said so: %v", c.purged, c.calls, said)
		}
		if _, err := w.engine.Reconcile(t.Context(), true); err != nil {
			t.Error(err)
		}
		if n := len(w.org.Records(touchpoint)); n != c.calls-c.purged {
			t.Errorf("%d of %d Tasks purged: %d records stand after reconcile --fix", c.purged, c.calls, n)
		}
	}
}
