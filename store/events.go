package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"callpoint/mapping"

	bolt "go.etcd.io/bbolt"
)

// Add makes events and visits durable, all or none, and says how many of them
// stood there already. Journeys with calls that they belong to are marked dirty.
func (s *Store) Add(ctx context.Context, events []mapping.Event, visits []mapping.Visit) (repeated int, err error) {
	rows, err := encode(events, visits)
	if err != nil {
		return 0, err
	}
	err = s.update(ctx, func(tx *bolt.Tx) error {
		repeated = 0
		b := adder{tx: tx, earliest: time.Time{}}
		for _, r := range rows {
			added, err := b.add(r)
			if err != nil {
				return err
			}
			if !added {
				repeated++
			}
		}
		return b.finish()
	})
	return repeated, err
}

// row is one event or visit, encoded before the transaction begins.
type row struct {
	bucket  []byte
	key     []byte
	value   []byte
	visitor string
	at      time.Time
	visit   *mapping.Visit
}

// encode sorts the rows by key: neighbours in the file are written together.
func encode(events []mapping.Event, visits []mapping.Visit) ([]row, error) {
	rows := make([]row, 0, len(events)+len(visits))
	for _, e := range events {
		key := eventKey(e)
		value, err := seal(key, e)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{bEvents, key, value, e.Visitor, e.At, nil})
	}
	for _, v := range visits {
		key := prefixed(v.Visitor, []byte(v.SessionID))
		value, err := seal(key, v)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{bVisits, key, value, v.Visitor, v.StartedAt, &v})
	}
	for _, r := range rows {
		if len(r.key) > bolt.MaxKeySize {
			return nil, fmt.Errorf("key of visitor %.40q is too long", r.visitor)
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		if c := bytes.Compare(a.bucket, b.bucket); c != 0 {
			return c
		}
		return bytes.Compare(a.key, b.key)
	})
	return rows, nil
}

// adder carries what one transaction of Add learns.
type adder struct {
	tx       *bolt.Tx
	earliest time.Time
	checked  string // the visitor that was looked up last: rows come sorted
}

// add stores one row; false means that it, or a later version of it, stood there.
func (a *adder) add(r row) (bool, error) {
	// Also of a visit that loses to a later version: the order of arrival must not matter.
	if a.earliest.IsZero() || r.at.Before(a.earliest) {
		a.earliest = r.at
	}
	b := a.tx.Bucket(r.bucket)
	if old := b.Get(r.key); old != nil {
		if r.visit == nil {
			return false, nil
		}
		var stood mapping.Visit
		if err := open(r.key, old, &stood); err != nil {
			return false, err
		}
		if !newer(r.visit, &stood) {
			return false, nil
		}
	}
	if err := b.Put(r.key, r.value); err != nil {
		return false, err
	}
	if r.visitor == a.checked {
		return true, nil
	}
	a.checked = r.visitor
	if !hasCalls(a.tx, r.visitor) {
		return true, nil
	}
	return true, markDirty(a.tx, r.visitor)
}

// newer reports whether v replaces old: the later end wins, then more page views.
func newer(v, old *mapping.Visit) bool {
	if !v.EndedAt.Equal(old.EndedAt) {
		return v.EndedAt.After(old.EndedAt)
	}
	return v.PageViews > old.PageViews
}

// finish moves the earliest event time, and notes up to when calls that lay before
// it must be looked at again.
func (a *adder) finish() error {
	if a.earliest.IsZero() {
		return nil
	}
	meta := a.tx.Bucket(bMeta)
	var was, recheck time.Time
	ok, err := get(meta, []byte("earliest"), &was)
	if err != nil || ok && !a.earliest.Before(was) {
		return err
	}
	if !ok {
		was = lastKeyTime
	}
	if err := put(meta, []byte("earliest"), a.earliest); err != nil {
		return err
	}
	// The mark of an earlier move reaches further: it stays.
	if _, err := get(meta, []byte("recheck"), &recheck); err != nil || !recheck.IsZero() {
		return err
	}
	return put(meta, []byte("recheck"), was)
}

func hasCalls(tx *bolt.Tx, journey string) bool {
	prefix := prefixed(journey)
	k, _ := tx.Bucket(bJourneys).Cursor().Seek(prefix)
	return bytes.HasPrefix(k, prefix)
}

// markDirty gives the journey a new generation: a resolution of an older one is dropped.
func markDirty(tx *bolt.Tx, journey string) error {
	b := tx.Bucket(bDirty)
	gen, err := b.NextSequence()
	if err != nil {
		return err
	}
	return b.Put([]byte(journey), binary.BigEndian.AppendUint64(nil, gen))
}

// scan calls fn for the keys with a prefix, until it returns false.
func scan(b *bolt.Bucket, prefix []byte, fn func(k, v []byte) (bool, error)) error {
	c := b.Cursor()
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if more, err := fn(k, v); err != nil || !more {
			return err
		}
	}
	return nil
}

// values reads every value under a prefix.
func values[T any](b *bolt.Bucket, prefix []byte) (all []T, err error) {
	err = scan(b, prefix, func(k, v []byte) (bool, error) {
		var t T
		if err := open(k, v, &t); err != nil {
			return false, err
		}
		all = append(all, t)
		return true, nil
	})
	return all, err
}
