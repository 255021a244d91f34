package store

import (
	"context"
	"fmt"
	"testing"

	"callpoint/mapping"
	"callpoint/store/kv"
)

// A counting engine counts transactions.
type counting struct {
	engine
	updates int
}

func (c *counting) Update(ctx context.Context, fn func(kv.Tx) error) error {
	c.updates++
	return c.engine.Update(ctx, fn)
}

// Each commit writes the list of free pages, so pruning must not take one for a few visitors.
func TestPruningTakesFewCommits(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	var events []mapping.Event
	for n := range 1500 {
		events = append(events, event(fmt.Sprintf("visitor-%d", n), 0))
	}
	if _, err := s.Add(context.Background(), events, nil); err != nil {
		t.Fatal(err)
	}
	c := &counting{engine: s.db}
	s.db = c
	dropAll(t, s)
	s.db = c.engine
	// One for the visitors, one for the summaries.
	if c.updates != 2 {
		t.Errorf("%d updates for %d visitors, want 2", c.updates, len(events))
	}
}
