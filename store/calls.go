package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
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

// A Journey is everything stored of one visitor, or of one call without a visitor.
type Journey struct {
	Key         string
	Visitor     string
	Generation  uint64 // of the dirty mark; 0 if the journey is clean
	Events      []mapping.Event
	Visits      []mapping.Visit
	Calls       []Call
	Touchpoints map[string]Touchpoint // by external id: of its calls, and its own

	// What retention left of the visitor: see mapping.Journey.
	PrunedBefore   time.Time
	PrunedSessions int
	PrunedForm     time.Time
	PrunedLast     *mapping.Session
}

// Journey reads one journey. An unknown one is empty.
func (s *Store) Journey(key string) (j Journey, err error) {
	err = s.view(func(tx *txn) error {
		if j, err = readJourney(tx, key); err != nil {
			return err
		}
		for key, t := range j.Touchpoints {
			if err := loadContent(tx, &t); err != nil {
				return err
			}
			j.Touchpoints[key] = t
		}
		return nil
	})
	return j, err
}

// readJourney leaves the contents of touchpoints out: resolving needs none.
func readJourney(tx *txn, key string) (Journey, error) {
	j := Journey{Key: key, Touchpoints: map[string]Touchpoint{}}
	if key != "" && key[0] != 1 {
		j.Visitor = key
	}
	if v := tx.Bucket(bDirty).Get([]byte(key)); v != nil {
		j.Generation = binary.BigEndian.Uint64(v)
	}
	var p pruned
	if _, err := get(tx.Bucket(bPruned), []byte(key), &p); err != nil {
		return j, err
	}
	j.PrunedBefore, j.PrunedSessions, j.PrunedForm, j.PrunedLast = p.Before, p.Sessions, p.Form, p.Last
	var err error
	if j.Events, err = values[mapping.Event](tx.Bucket(bEvents), prefixed(key)); err != nil {
		return j, err
	}
	if j.Visits, err = values[mapping.Visit](tx.Bucket(bVisits), prefixed(key)); err != nil {
		return j, err
	}
	err = scan(tx.Bucket(bJourneys), prefixed(key), func(k, _ []byte) (bool, error) {
		_, id := afterSep(k)
		c, ok, err := loadCall(tx, id)
		if err != nil || !ok {
			return ok, err
		}
		j.Calls = append(j.Calls, c)
		return true, j.add(tx, []byte(CallKey(c.TaskID)))
	})
	if err != nil {
		return j, err
	}
	return j, scan(tx.Bucket(bOwned), prefixed(key), func(k, _ []byte) (bool, error) {
		_, id := afterSep(k)
		return true, j.add(tx, id)
	})
}

func (j *Journey) add(tx *txn, key []byte) error {
	t, ok, err := loadTouchpoint(tx, key)
	if ok && err == nil {
		j.Touchpoints[t.Key] = t
	}
	return err
}

// Dirty gives up to limit journeys that must be resolved, after wakes that are due
// by now have been turned into dirty marks.
func (s *Store) Dirty(ctx context.Context, now time.Time, limit int) ([]Journey, error) {
	if err := s.wake(ctx, now); err != nil {
		return nil, err
	}
	var all []Journey
	err := s.view(func(tx *txn) error {
		for _, mark := range oldestMarks(tx.Bucket(bDirty), limit) {
			j, err := readJourney(tx, string(mark.journey))
			if err != nil {
				return err
			}
			all = append(all, j)
		}
		return nil
	})
	return all, err
}

// A mark says that a journey is to be answered for, and since when in the order of marks.
type mark struct{ journey, since []byte }

// oldestMarks picks the oldest of some marks. Tasks that were read together have ids that
// follow each other: what is stored of them shares pages, which are written once.
func oldestMarks(b *bucket, limit int) []mark {
	var some []mark
	c := b.Cursor()
	for k, v := c.First(); k != nil && len(some) < 20*limit; k, v = c.Next() {
		some = append(some, mark{k, v})
	}
	slices.SortFunc(some, func(a, b mark) int { return bytes.Compare(a.since, b.since) })
	return some[:min(limit, len(some))]
}

// wake turns the wakes that are due into dirty marks. It writes nothing where none is.
func (s *Store) wake(ctx context.Context, now time.Time) error {
	due, err := s.firstDue(bWake, now)
	if err != nil || !due {
		return err
	}
	return s.update(ctx, func(tx *txn) error {
		return eachDue(tx.Bucket(bWake), now, func(journey []byte) error {
			return markDirty(tx, string(journey))
		})
	})
}

func (s *Store) firstDue(bucket []byte, now time.Time) (due bool, err error) {
	err = s.view(func(tx *txn) error {
		k, _ := tx.Bucket(bucket).Cursor().First()
		due = k != nil && !keyTime(k).After(now)
		return nil
	})
	return due, err
}

// eachDue removes the entries up to now and calls fn with what follows their time.
func eachDue(b *bucket, now time.Time, fn func(rest []byte) error) error {
	var keys [][]byte
	c := b.Cursor()
	for k, _ := c.First(); k != nil && !keyTime(k).After(now); k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return err
		}
		if err := fn(k[8:]); err != nil {
			return err
		}
	}
	return nil
}

// MarkAll marks every journey that has calls dirty, in short transactions, because
// the rules changed, and then stores the fingerprint of the new rules.
func (s *Store) MarkAll(ctx context.Context, fingerprint string) (n int, err error) {
	var last []byte
	for done := false; !done; {
		err := s.update(ctx, func(tx *txn) error {
			c := tx.Bucket(bJourneys).Cursor()
			k, _ := c.Seek(last)
			for i := 0; i < 1000 && k != nil; i++ {
				id, _ := afterSep(k)
				if err := markDirty(tx, string(id)); err != nil {
					return err
				}
				// The next journey: its calls lie between id 00 and id 01.
				last = append(bytes.Clone(id), 1)
				k, _ = c.Seek(last)
				n++
			}
			if done = k == nil; done {
				return put(tx.Bucket(bMeta), []byte("fingerprint"), fingerprint)
			}
			return nil
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Fingerprint is that of the rules that every stored call was last mapped with.
func (s *Store) Fingerprint() (f string, err error) {
	_, err = s.State("fingerprint", &f)
	return f, err
}

// MarkBeforeCollection marks the journeys of calls that were left out because they
// lay before the first event, where an earlier event has since come.
func (s *Store) MarkBeforeCollection(ctx context.Context) error {
	var until time.Time
	if _, err := s.State("recheck", &until); err != nil || until.IsZero() {
		return err
	}
	return s.update(ctx, func(tx *txn) error {
		meta := tx.Bucket(bMeta)
		var earliest time.Time
		if _, err := get(meta, []byte("earliest"), &earliest); err != nil {
			return err
		}
		c := tx.Bucket(bTimeline).Cursor()
		for k, _ := c.Seek(timeKey(earliest)); k != nil && keyTime(k).Before(until); k, _ = c.Next() {
			call, ok, err := loadCall(tx, k[8:])
			if err != nil {
				return err
			}
			if !ok || call.Resolution.Reason != mapping.BeforeCollection {
				continue
			}
			if err := markDirty(tx, JourneyKey(call.Visitor, call.TaskID)); err != nil {
				return err
			}
		}
		return put(meta, []byte("recheck"), time.Time{})
	})
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

func generation(g uint64) []byte { return binary.BigEndian.AppendUint64(nil, g) }
