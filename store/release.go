package store

import (
	"bytes"
	"context"
	"time"
)

// releaseBatch bounds one transaction, so that the collector's writes get their turn.
const releaseBatch = 1000

// Postpone sets when touchpoints that wait are tried next, without counting an attempt:
// what keeps them back is no fault of theirs. code and message say what it is; empty
// ones leave what was said last.
func (s *Store) Postpone(ctx context.Context, keys []string, next time.Time, code, message string) error {
	return s.eachTouchpoint(ctx, keys, func(t *Touchpoint) bool {
		if t.State != Pending && t.State != Retrying {
			return false
		}
		t.NextAttempt = next
		if code != "" || message != "" {
			t.State, t.Code, t.Message = Retrying, code, message
		}
		return true
	})
}

// ReleaseAll makes everything due that is parked or waits for a later attempt, because
// what it was refused for may have changed.
func (s *Store) ReleaseAll(ctx context.Context, now time.Time) (n int, err error) {
	var keys []string
	err = s.view(func(tx *txn) error {
		c := tx.Bucket(bDue).Cursor()
		for k, _ := c.Seek(timeKey(now.Add(time.Millisecond))); k != nil; k, _ = c.Next() {
			keys = append(keys, string(k[8:]))
		}
		c = tx.Bucket(bPersonless).Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			keys = append(keys, string(k[8:]))
		}
		return tx.Bucket(bParked).ForEach(func(k, _ []byte) error {
			keys = append(keys, string(k))
			return nil
		})
	})
	if err != nil {
		return 0, err
	}
	err = s.eachTouchpoint(ctx, keys, func(t *Touchpoint) bool {
		if t.State == NoPerson && t.Who != "" {
			t.adopt(now)
			return true
		}
		if t.State == Parked {
			t.State = Retrying
		}
		t.NextAttempt = now
		return t.State == Pending || t.State == Retrying
	})
	return len(keys), err
}

// Resend makes touchpoints due whose record differs from what it should be. gone reports
// that there is no record. A touchpoint that is parked, or has no content (its visitor was
// erased), is left alone.
func (s *Store) Resend(ctx context.Context, keys []string, now time.Time, gone bool) error {
	return s.eachTouchpoint(ctx, keys, func(t *Touchpoint) bool {
		if t.State == Parked || t.Hash == "" {
			return false // it is tried again when its time comes, or has no content to send
		}
		t.State, t.NextAttempt, t.WrittenHash = Pending, now, ""
		if gone {
			t.vanish()
		}
		return true
	})
}

// eachTouchpoint changes touchpoints in short transactions. fn may run twice on a fresh
// copy; false leaves the touchpoint as it is.
func (s *Store) eachTouchpoint(ctx context.Context, keys []string, fn func(*Touchpoint) bool) error {
	for len(keys) > 0 {
		n := min(releaseBatch, len(keys))
		err := s.update(ctx, func(tx *txn) error {
			for _, key := range keys[:n] {
				old, ok, err := loadTouchpoint(tx, []byte(key))
				if err != nil {
					return err
				}
				t := old
				if !ok || !fn(&t) {
					continue
				}
				if err := schedule(tx, &old, &t); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

// Touchpoints reads these touchpoints; unknown keys are absent.
func (s *Store) Touchpoints(keys []string) (all map[string]Touchpoint, err error) {
	all = make(map[string]Touchpoint, len(keys))
	err = s.view(func(tx *txn) error {
		for _, key := range keys {
			t, ok, err := readTouchpoint(tx, []byte(key))
			if err != nil {
				return err
			}
			if ok {
				all[key] = t
			}
		}
		return nil
	})
	return all, err
}

// EachTouchpoint visits every touchpoint by key, in short transactions, without content.
func (s *Store) EachTouchpoint(fn func(Touchpoint) error) error {
	var from []byte
	for {
		var page []Touchpoint
		err := s.view(func(tx *txn) error {
			c := tx.Bucket(bTouchpoints).Cursor()
			for k, v := c.Seek(from); k != nil && len(page) < releaseBatch; k, v = c.Next() {
				t, err := openTouchpoint(k, v)
				if err != nil {
					return err
				}
				page = append(page, t)
				from = append(bytes.Clone(k), 0)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, t := range page {
			if err := fn(t); err != nil {
				return err
			}
		}
		if len(page) < releaseBatch {
			return nil
		}
	}
}
