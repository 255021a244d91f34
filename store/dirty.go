package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"
)

// NextDirty returns up to limit dirty journeys, the oldest mark first. Before, in a
// transaction of its own, it marks the journeys whose wake is due by now.
func (s *Store) NextDirty(ctx context.Context, now time.Time, limit int) ([]Journey, error) {
	if err := s.drain(ctx); err != nil {
		return nil, err
	}
	if err := s.wake(ctx, now); err != nil {
		return nil, err
	}
	var all []Journey
	err := s.view(func(tx kv.Tx) error {
		all = nil
		var keys []string
		for _, journey := range tx.Scan(kv.Range{Bucket: bGenerations, Limit: limit}) {
			keys = append(keys, string(journey))
		}
		hintJourneys(tx, keys)
		for _, journey := range keys {
			j, err := readJourney(tx, journey)
			if err != nil {
				return err
			}
			all = append(all, j)
		}
		return nil
	})
	return all, err
}

// wake marks the journeys whose wake is due dirty. It writes nothing where there is none.
func (s *Store) wake(ctx context.Context, now time.Time) error {
	var due bool
	err := s.view(func(tx kv.Tx) error {
		k, _ := kv.First(tx, upTo(bWake, now))
		due = k != nil
		return nil
	})
	if err != nil || !due {
		return err
	}
	return s.update(ctx, func(tx kv.Tx) error {
		var keys [][]byte
		for k := range tx.Scan(upTo(bWake, now)) {
			keys = append(keys, bytes.Clone(k))
		}
		hintMarks(tx, func(yield func(string) bool) {
			for _, k := range keys {
				if !yield(string(k[8:])) {
					return
				}
			}
		})
		for _, k := range keys {
			if err := errors.Join(tx.Delete(bWake, k), markDirty(tx, string(k[8:]))); err != nil {
				return err
			}
		}
		return nil
	})
}

// markPage is how many calls MarkAll reads in one transaction.
const markPage = 1000

// MarkAll marks every journey that has calls dirty, because the rules changed, and stores
// the fingerprint of the new rules in the last of several short transactions.
func (s *Store) MarkAll(ctx context.Context, fingerprint string) (n int, err error) {
	update := func(fn func(kv.Tx) error) error { return s.update(ctx, fn) }
	err = eachPage(update, func(tx kv.Tx, from []byte) (marked int, next []byte, err error) {
		var ids []string
		for k := range tx.Scan(kv.Range{Bucket: bJourneys, From: from, Heads: true, Limit: markPage, Keys: true}) {
			id, _ := afterSep(k)
			ids = append(ids, string(id))
			next = pastID(id)
		}
		hintMarks(tx, slices.Values(ids))
		for _, id := range ids {
			if err := markDirty(tx, id); err != nil {
				return 0, nil, err
			}
		}
		marked = len(ids)
		if marked == markPage {
			return marked, next, nil
		}
		return marked, nil, put(tx, bMeta, []byte("fingerprint"), fingerprint)
	}, func(marked int) error {
		n += marked
		return nil
	})
	return n, err
}

// Fingerprint returns that of the rules with which every stored call was last mapped.
func (s *Store) Fingerprint() (f string, err error) {
	_, err = s.State("fingerprint", &f)
	return f, err
}

// MarkBeforeCollection marks the journeys of calls that were left out because they were
// before the first event, where an earlier event has arrived since.
func (s *Store) MarkBeforeCollection(ctx context.Context) error {
	if err := s.drain(ctx); err != nil {
		return err
	}
	var until time.Time
	if _, err := s.State("recheck", &until); err != nil || until.IsZero() {
		return err
	}
	return s.update(ctx, func(tx kv.Tx) error {
		var earliest time.Time
		if _, err := get(tx, bMeta, []byte("earliest"), &earliest); err != nil {
			return err
		}
		timeline := kv.Range{Bucket: bTimeline, From: timeKey(earliest), To: ceilKey(until)}
		hintRows(tx, timeline, func(k []byte) []kv.Range { return []kv.Range{kv.Key(bCalls, k[8:])} })
		for k := range tx.Scan(timeline) {
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
		return put(tx, bMeta, []byte("recheck"), time.Time{})
	})
}

// markDirty gives the journey a new generation: a resolution of an older one is dropped.
func markDirty(tx kv.Tx, journey string) error {
	if err := clearDirty(tx, journey); err != nil {
		return err
	}
	g, err := nextGeneration(tx)
	if err != nil {
		return err
	}
	return errors.Join(tx.Put(bDirty, []byte(journey), g), tx.Put(bGenerations, g, []byte(journey)))
}

// clearDirty removes the mark of a journey, if it has one.
func clearDirty(tx kv.Tx, journey string) error {
	g := tx.Get(bDirty, []byte(journey))
	if g == nil {
		return nil
	}
	return errors.Join(tx.Delete(bGenerations, bytes.Clone(g)), tx.Delete(bDirty, []byte(journey)))
}

// nextGeneration counts up what distinguishes marks.
func nextGeneration(tx kv.Tx) ([]byte, error) {
	var last uint64
	name := []byte("generation")
	if _, err := get(tx, bMeta, name, &last); err != nil {
		return nil, err
	}
	return generation(last + 1), put(tx, bMeta, name, last+1)
}

func generation(g uint64) []byte { return binary.BigEndian.AppendUint64(nil, g) }

func readGeneration(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("%w: a generation has %d bytes", ErrDamaged, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}
