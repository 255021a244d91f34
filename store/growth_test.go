package store

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"callpoint/mapping"
)

// A small file grows by little, so that it is not mostly what lies beyond its last page.
func TestFileGrowsInStepsOfItsSize(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	if _, err := fill(t, s, 50); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"written", "compacted"} {
		file, used, err := s.Size()
		if err != nil || used < 5<<20 || file > used+used/8+2<<20 {
			t.Errorf("%s: %d bytes of which %d are in use, %v", at, file, used, err)
		}
		if _, _, err := s.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ size, limit, want int64 }{
		{0, 0, 1 << 20}, {64 << 20, 0, 4 << 20}, {1 << 30, 0, 16 << 20}, {1 << 30, 32 << 20, 2 << 20}, {1 << 30, 8 << 20, 1 << 20},
	} {
		if got := (Options{MaxSize: c.limit}).step(c.size); int64(got) != c.want {
			t.Errorf("%d bytes, limit %d: step %d, want %d", c.size, c.limit, got, c.want)
		}
	}
}

// Each commit writes the list of free pages, so pruning must not take one for a few visitors.
func TestPruningTakesFewCommits(t *testing.T) {
	t.Parallel()
	s := openAt(t, filepath.Join(t.TempDir(), "callpoint.db"), Options{})
	var events []mapping.Event
	for n := range 1500 {
		events = append(events, event(fmt.Sprintf("visitor-%d", n), 0))
	}
	if _, err := s.Add(context.Background(), events, nil); err != nil {
		t.Fatal(err)
	}
	commits := func() (n int) {
		if err := s.view(func(tx *txn) error { n = tx.ID(); return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := commits()
	dropAll(t, s)
	// One for the visitors, one for the summaries.
	if n := commits() - before; n > 2 {
		t.Errorf("%d commits for %d visitors", n, len(events))
	}
}
