package store

import (
	"context"
	"fmt"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"
)

// A Call is a Task as read, with its resolution.
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
	// Forgotten: the Task names a visitor who was erased. It counts as a Task without an
	// id, and its touchpoint stays as it is.
	Forgotten bool `json:"forgotten,omitempty"`
}

// ApplyTasks stores the Tasks of one page that differ from what is known, marks
// their journeys dirty, and moves the cursor, in one transaction.
func (s *Store) ApplyTasks(ctx context.Context, page []Call, cursor Cursor) (changed int, err error) {
	err = s.update(ctx, func(tx kv.Tx) error {
		changed = 0
		hintTasks(tx, page)
		for i := range page {
			ok, err := applyTask(tx, &page[i])
			if err != nil {
				return fmt.Errorf("task %s: %w", page[i].TaskID, err)
			}
			if ok {
				changed++
			}
		}
		return put(tx, bMeta, cursor.key(), cursor)
	})
	return changed, err
}

func applyTask(tx kv.Tx, read *Call) (bool, error) {
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
	// A Task of a forgotten visitor remains one until it names another visitor.
	if gone || c.Visitor == "" && old.Forgotten {
		c.erase()
	}
	journey := JourneyKey(c.Visitor, c.TaskID)
	if known {
		// The resolution for another id does not apply to this one.
		if old.Visitor == c.Visitor && !c.Forgotten {
			c.Resolution, c.ResolvedAt, c.Snapshot = old.Resolution, old.ResolvedAt, old.Snapshot
		}
		if err := tx.Delete(bTimeline, append(timeKey(old.At), id...)); err != nil {
			return false, err
		}
		// An id that was corrected concerns both visitors.
		if was := JourneyKey(old.Visitor, old.TaskID); was != journey {
			if err := tx.Delete(bJourneys, prefixed(was, id)); err != nil {
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
	if known && (c.Person != old.Person || c.Visitor != old.Visitor) {
		if err := dropFacts(tx, &old); err != nil {
			return false, err
		}
	}
	if err := storeCall(tx, &c); err != nil {
		return false, err
	}
	if err := tx.Put(bTimeline, append(timeKey(c.At), id...), nil); err != nil {
		return false, err
	}
	if err := tx.Put(bJourneys, prefixed(journey, id), nil); err != nil {
		return false, err
	}
	return true, markDirty(tx, journey)
}

// Call reads one call, and its touchpoint if it has one.
func (s *Store) Call(taskID string) (c Call, t *Touchpoint, err error) {
	err = s.view(func(tx kv.Tx) error {
		tx.Hint(append(touchpointKeys([]byte(CallKey(taskID)), true), kv.Key(bCalls, []byte(taskID)))...)
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

// EachCall calls fn with the calls by call time, newest first, from until back to since
// (zero: no bound), until it returns false. It reads a page of calls in a transaction.
func (s *Store) EachCall(since, until time.Time, fn func(Call, *Touchpoint) bool) error {
	if until.IsZero() {
		until = lastKeyTime
	}
	return eachPage(s.view, func(tx kv.Tx, to []byte) (page []callRow, next []byte, err error) {
		if len(to) == 0 {
			to = timeKey(until)
		}
		return callsBefore(tx, to, since)
	}, func(page []callRow) error {
		for _, p := range page {
			if !fn(p.call, p.touchpoint) {
				return errStop
			}
		}
		return nil
	})
}

type callRow struct {
	call       Call
	touchpoint *Touchpoint
}

// callPage is how many calls EachCall reads in one transaction.
const callPage = 500

// callsBefore reads one page of calls with a timeline key below to, newest first.
func callsBefore(tx kv.Tx, to []byte, since time.Time) (page []callRow, next []byte, err error) {
	r := kv.Range{Bucket: bTimeline, To: to, Reverse: true, Limit: callPage}
	if !since.IsZero() {
		r.From = ceilKey(since)
	}
	hintRows(tx, r, func(k []byte) []kv.Range {
		return append(touchpointKeys([]byte(CallKey(string(k[8:]))), true), kv.Key(bCalls, k[8:]))
	})
	for k := range tx.Scan(r) {
		var row callRow
		var ok bool
		if row.call, ok, err = loadCall(tx, k[8:]); err != nil || !ok {
			return nil, nil, fmt.Errorf("%w: call %s is on the timeline only: %v", ErrDamaged, k[8:], err)
		}
		t, ok, err := readTouchpoint(tx, []byte(CallKey(row.call.TaskID)))
		if err != nil {
			return nil, nil, err
		}
		if ok {
			row.touchpoint = &t
		}
		page = append(page, row)
	}
	if len(page) == callPage {
		next = page[callPage-1].key()
	}
	return page, next, nil
}

func (r callRow) key() []byte { return append(timeKey(r.call.At), r.call.TaskID...) }
