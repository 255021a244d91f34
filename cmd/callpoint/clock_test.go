package main

import (
	"strings"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/orgsim"
)

// A machine whose clock is 100 days ahead of Salesforce's must not let retention erase what
// is young by everybody else's clock.
func TestWrongClockPrunesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		off  time.Duration // this machine's clock minus the org's
		kept bool
	}{
		{"100 days ahead", 100 * 24 * time.Hour, true},
		{"the clocks agree", 0, false}, // the control
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBenchOf(t, orgsim.Config{Now: func() time.Time { return time.Now().Add(-c.off) }}, "CALLPOINT_RETENTION=48h")
			event := mapping.Event{Kind: mapping.View, Visitor: "old", At: time.Now().Add(-50 * time.Hour).UTC(), URL: "https://www.example.com/"}
			s, err := store.Open(b.store, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Add(t.Context(), []mapping.Event{event}, nil); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			_, errs, code := b.run("--sync-once")
			if (code == exitDone) == c.kept || c.kept && !strings.Contains(errs, "100 days ahead of Salesforce's") {
				t.Errorf("exit %d\n%s", code, errs)
			}
			if s, err = store.Open(b.store, store.Options{}); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			events := 0
			if err := s.EachVisitor(func(j store.Journey) bool { events += len(j.Events); return true }); err != nil {
				t.Fatal(err)
			}
			if kept := events == 1; kept != c.kept {
				t.Errorf("kept %v, want %v", kept, c.kept)
			}
		})
	}
}
