package store

import (
	"context"
	"time"

	"callpoint/store/kv"
)

// updateBatch bounds one transaction, so that the collector's writes get their turn.
const updateBatch = 1000

// Postpone sets the next attempt of queued touchpoints without counting an attempt, because
// the cause does not lie in them. code and message describe the cause; empty ones keep the
// last refusal. Like the following methods it changes many touchpoints in several
// transactions.
func (s *Store) Postpone(ctx context.Context, keys []string, next time.Time, code, message string) error {
	return s.eachTouchpoint(ctx, keys, func(t *Touchpoint) bool {
		if !t.queued() {
			return false
		}
		t.NextAttempt = next
		if code != "" || message != "" {
			t.State, t.Code, t.Message = Retrying, code, message
		}
		return true
	})
}

// MakeAllDue makes every touchpoint due now that is parked or has a later attempt, because
// the cause of its refusal may be gone.
func (s *Store) MakeAllDue(ctx context.Context, now time.Time) (n int, err error) {
	var keys []string
	err = s.view(func(tx kv.Tx) error {
		keys = nil
		for k := range tx.Scan(later(bDue, now)) {
			keys = append(keys, string(k[8:]))
		}
		for k := range tx.Scan(kv.Range{Bucket: bPersonless}) {
			keys = append(keys, string(k[8:]))
		}
		for k := range tx.Scan(kv.Range{Bucket: bParked, Keys: true}) {
			keys = append(keys, string(k))
		}
		return nil
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
		return t.queued()
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

// eachTouchpoint changes touchpoints, updateBatch of them in a transaction. fn may run twice
// on a fresh copy; false leaves the touchpoint as it is.
func (s *Store) eachTouchpoint(ctx context.Context, keys []string, fn func(*Touchpoint) bool) error {
	for len(keys) > 0 {
		n := min(updateBatch, len(keys))
		err := s.update(ctx, func(tx kv.Tx) error {
			if kv.Remote(tx) {
				var some [][]byte
				for _, key := range keys[:n] {
					some = append(some, []byte(key))
				}
				hintTouchpoints(tx, some)
			}
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
	err = s.view(func(tx kv.Tx) error {
		if kv.Remote(tx) {
			var some []kv.Range
			for _, key := range keys {
				some = append(some, touchpointKeys([]byte(key), true)...)
			}
			tx.Hint(some...)
		}
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

// EachTouchpoint calls fn with every touchpoint by key, without content. It reads a page of
// touchpoints in a transaction.
func (s *Store) EachTouchpoint(fn func(Touchpoint) error) error {
	return eachPage(s.view, func(tx kv.Tx, from []byte) (page []Touchpoint, next []byte, err error) {
		for k, v := range tx.Scan(kv.Range{Bucket: bTouchpoints, From: from, Limit: updateBatch}) {
			t, err := openTouchpoint(k, v)
			if err != nil {
				return nil, nil, err
			}
			if page = append(page, t); len(page) == updateBatch {
				next = pastKey(k)
			}
		}
		return page, next, nil
	}, func(page []Touchpoint) error {
		for _, t := range page {
			if err := fn(t); err != nil {
				return err
			}
		}
		return nil
	})
}
