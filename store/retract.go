package store

import (
	"context"
	"time"
)

// Retract records that the records of these touchpoints were deleted from the org. Nothing
// is written for them, whatever their content becomes, until Restore.
func (s *Store) Retract(ctx context.Context, keys []string) error {
	return s.eachTouchpoint(ctx, keys, func(t *Touchpoint) bool {
		t.Retracted, t.State, t.Delete = true, Unchanged, false
		t.vanish()
		t.Code, t.Message, t.Attempts = "", "", 0
		return true
	})
}

// Restore makes all touchpoints due that were retracted, and returns how many there are.
func (s *Store) Restore(ctx context.Context, now time.Time) (n int, err error) {
	var keys []string
	err = s.EachTouchpoint(func(t Touchpoint) error {
		if t.Retracted {
			keys = append(keys, t.Key)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(keys), s.eachTouchpoint(ctx, keys, func(t *Touchpoint) bool {
		t.Retracted, t.State, t.NextAttempt = false, Pending, now
		if t.PersonField != "" && t.Who == "" {
			t.orphan(now)
		}
		return true
	})
}
