package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"time"

	"callpoint/mapping"
)

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

// markDirty gives the journey a new generation: a resolution of an older one is dropped.
func markDirty(tx *txn, journey string) error {
	b := tx.Bucket(bDirty)
	gen, err := b.NextSequence()
	if err != nil {
		return err
	}
	return b.Put([]byte(journey), generation(gen))
}

func generation(g uint64) []byte { return binary.BigEndian.AppendUint64(nil, g) }
