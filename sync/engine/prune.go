package engine

import (
	"context"
	"time"

	"callpoint/mapping"
	"callpoint/store"
)

// Prune drops the events and visits from before a time, whole sessions at a time. It may
// run beside a cycle.
func (e *Engine) Prune(ctx context.Context, before time.Time) (store.Pruned, error) {
	return e.cfg.Store.Prune(ctx, before, func(j *mapping.Journey, before time.Time) {
		e.mu.Lock() // a cycle may put other settings in place
		defer e.mu.Unlock()
		e.cfg.Settings.Prune(j, before)
		if e.cfg.Settings.ChannelCarryover == 0 {
			j.PrunedLast = nil // its channel is all that it is for
		}
	})
}
