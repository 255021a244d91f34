package store

import (
	"context"
	"fmt"
	"time"

	"callpoint/mapping"
)

// A Call is a Task as read, with the answer for it.
type Call struct {
	mapping.Call
	// Hash is over the fields read. SystemModstamp is not in it: it moves without a visible change.
	Hash       string             `json:"hash"`
	ReadAt     time.Time          `json:"read_at"`
	Resolution mapping.Resolution `json:"resolution,omitzero"`
	ResolvedAt time.Time          `json:"resolved_at,omitzero"`
	// LookAt is when the person of a Task that names none is looked up through its WhatId;
	// zero: it is not.
	LookAt time.Time `json:"look_at,omitzero"`
	// Forgotten says that the Task names a visitor who was erased: it counts as one
	// without an id, and its touchpoint stays as it is.
	Forgotten bool `json:"forgotten,omitempty"`
}

// ApplyTasks stores the Tasks of one page that differ from what is known, marks
// their journeys dirty, and moves the cursor, in one transaction.
func (s *Store) ApplyTasks(ctx context.Context, page []Call, cursor Cursor) (changed int, err error) {
	err = s.update(ctx, func(tx *txn) error {
		changed = 0
		for i := range page {
			ok, err := applyTask(tx, &page[i])
			if err != nil {
				return fmt.Errorf("task %s: %w", page[i].TaskID, err)
			}
			if ok {
				changed++
			}
		}
		return put(tx.Bucket(bMeta), []byte("cursor"), cursor)
	})
	return changed, err
}

func applyTask(tx *txn, read *Call) (bool, error) {
	c := *read
	id := []byte(c.TaskID)
	old, known, err := loadCall(tx, id)
	if err != nil || known && old.Hash == c.Hash {
		return false, err
	}
	gone, err := isForgotten(tx, c.Visitor)
	if err != nil {
		return false, err
	}
	// A Task of a forgotten visitor stays one until it names another.
	if gone || c.Visitor == "" && old.Forgotten {
		c.erase()
	}
	journey := JourneyKey(c.Visitor, c.TaskID)
	if known {
		// What another id led to is no answer for this one.
		if old.Visitor == c.Visitor && !c.Forgotten {
			c.Resolution, c.ResolvedAt, c.Snapshot = old.Resolution, old.ResolvedAt, old.Snapshot
		}
		if err := tx.Bucket(bTimeline).Delete(append(timeKey(old.At), id...)); err != nil {
			return false, err
		}
		// An id that was corrected concerns both visitors.
		if was := JourneyKey(old.Visitor, old.TaskID); was != journey {
			if err := tx.Bucket(bJourneys).Delete(prefixed(was, id)); err != nil {
				return false, err
			}
			if err := markDirty(tx, was); err != nil {
				return false, err
			}
		}
	}
	if c.Forgotten && !old.Forgotten {
		if err := freezeCall(tx, c.TaskID); err != nil {
			return false, err
		}
	}
	if err := nameCall(tx, &c, &old); err != nil {
		return false, err
	}
	if err := storeCall(tx, &c); err != nil {
		return false, err
	}
	if err := tx.Bucket(bTimeline).Put(append(timeKey(c.At), id...), nil); err != nil {
		return false, err
	}
	if err := tx.Bucket(bJourneys).Put(prefixed(journey, id), nil); err != nil {
		return false, err
	}
	return true, markDirty(tx, journey)
}

// Call reads one call and its touchpoint, if it has one.
func (s *Store) Call(taskID string) (c Call, t *Touchpoint, err error) {
	err = s.view(func(tx *txn) error {
		var ok bool
		var err error
		if c, ok, err = loadCall(tx, []byte(taskID)); err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("call %s: %w", taskID, ErrNotFound)
		}
		tp, ok, err := readTouchpoint(tx, []byte(CallKey(taskID)))
		if ok && err == nil {
			t = &tp
		}
		return err
	})
	return c, t, err
}

// EachCall visits calls by call time, newest first, from until back to since (zero:
// no bound), in short transactions, until fn returns false.
func (s *Store) EachCall(since, until time.Time, fn func(Call, *Touchpoint) bool) error {
	if until.IsZero() {
		until = lastKeyTime
	}
	from := timeKey(until)
	for from != nil {
		page, next, err := s.callsBefore(from, since)
		if err != nil {
			return err
		}
		for _, p := range page {
			if !fn(p.call, p.touchpoint) {
				return nil
			}
		}
		from = next
	}
	return nil
}

type callRow struct {
	call       Call
	touchpoint *Touchpoint
}

// callsBefore reads one page of calls with a timeline key below from, newest first.
func (s *Store) callsBefore(from []byte, since time.Time) (page []callRow, next []byte, err error) {
	err = s.view(func(tx *txn) error {
		c := tx.Bucket(bTimeline).Cursor()
		k, _ := c.Seek(from)
		if k == nil {
			k, _ = c.Last()
		} else {
			k, _ = c.Prev()
		}
		for ; k != nil; k, _ = c.Prev() {
			if !since.IsZero() && keyTime(k).Before(since) {
				return nil
			}
			if len(page) == 500 {
				next = page[499].key()
				return nil
			}
			var r callRow
			var ok bool
			var err error
			if r.call, ok, err = loadCall(tx, k[8:]); err != nil || !ok {
				return fmt.Errorf("%w: call %s is on the timeline only: %v", ErrDamaged, k[8:], err)
			}
			t, ok, err := readTouchpoint(tx, []byte(CallKey(r.call.TaskID)))
			if err != nil {
				return err
			}
			if ok {
				r.touchpoint = &t
			}
			page = append(page, r)
		}
		return nil
	})
	return page, next, err
}

func (r callRow) key() []byte { return append(timeKey(r.call.At), r.call.TaskID...) }
