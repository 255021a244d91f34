package store

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"callpoint/mapping"
)

// An answer is a resolution together with the touchpoints of its calls.
type answer struct {
	Resolved
	touchpoints []mapping.Touchpoint
}

// settle commits answers and then the touchpoints of the persons who called, as a cycle does.
func settle(ctx context.Context, s *Store, now time.Time, all []answer) (unchanged int, err error) {
	resolved := make([]Resolved, len(all))
	wanted := map[string]map[string]mapping.Touchpoint{}
	for i, a := range all {
		wanted[a.Journey.Key] = map[string]mapping.Touchpoint{}
		for _, t := range a.touchpoints {
			wanted[a.Journey.Key][t.TaskID] = t
		}
		for _, c := range a.Journey.Calls {
			var f *mapping.Fact
			if _, ok := wanted[a.Journey.Key][c.TaskID]; ok {
				f = &mapping.Fact{Key: CallKey(c.TaskID), TaskID: c.TaskID, Visitor: c.Visitor, At: c.At, Counts: true, Writes: true}
			}
			a.Result.Facts = append(a.Result.Facts, f)
		}
		resolved[i] = a.Resolved
	}
	if err := s.Commit(ctx, now, resolved); err != nil {
		return 0, err
	}
	for {
		people, err := s.NextPeople(100)
		if err != nil || len(people) == 0 {
			return unchanged, err
		}
		var placed []Placed
		for _, p := range people {
			x := Placed{Journey: p, Touchpoints: map[string][]mapping.Touchpoint{}}
			for _, f := range p.Facts {
				journey := factJourney(&f)
				if t, ok := wanted[journey][f.TaskID]; ok && f.Writes {
					x.Touchpoints[journey] = append(x.Touchpoints[journey], t)
				}
			}
			placed = append(placed, x)
		}
		n, err := s.CommitPeople(ctx, now, placed)
		if unchanged += n; err != nil {
			return unchanged, err
		}
	}
}

// openTest opens a new store, which must be sound when the test is over.
func openTest(t testing.TB) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "callpoint.db"), Options{})
}

func openAt(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		sound(t, s)
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// sound runs Check on an open store.
func sound(t testing.TB, s *Store) {
	t.Helper()
	problems, err := s.Check()
	if err != nil {
		t.Errorf("check: %v", err)
	}
	for _, p := range problems {
		t.Errorf("check: %s", p)
	}
}
