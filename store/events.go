package store

import (
	"bytes"
	"context"
	"errors"
	"time"

	"callpoint/mapping"
)

// Add makes events and visits durable, all or none, and says how many of them it did not
// add: those that stood there already, those of visitors that were forgotten, and those
// from before what retention has dropped. Journeys with calls are marked dirty.
func (s *Store) Add(ctx context.Context, events []mapping.Event, visits []mapping.Visit) (repeated int, err error) {
	rows := make([]Row, 0, len(events)+len(visits))
	for i := range events {
		r, err := EventRow(&events[i])
		if err != nil {
			return 0, err
		}
		rows = append(rows, r)
	}
	for i := range visits {
		r, err := VisitRow(&visits[i])
		if err != nil {
			return 0, err
		}
		rows = append(rows, r)
	}
	return s.AddRows(ctx, rows)
}

// AddRows is Add of rows that are encoded already. It sorts them.
func (s *Store) AddRows(ctx context.Context, rows []Row) (repeated int, err error) {
	var bytes int64
	for i := range rows {
		bytes += int64(rows[i].Size())
	}
	if err := s.room(bytes); err != nil {
		return 0, err
	}
	sortRows(rows)
	var a adder
	err = s.enqueue(ctx, &write{bytes: bytes, fn: func(tx *txn) error {
		a = adder{tx: tx}
		if len(rows) >= denseRows {
			tx.Bucket(bEvents).FillPercent, tx.Bucket(bVisits).FillPercent = denseFill, denseFill
		}
		for i := range rows {
			if err := a.add(&rows[i]); err != nil {
				return err
			}
		}
		return a.finish()
	}})
	if err != nil {
		return 0, err
	}
	s.counts.forgotten.Add(uint64(a.forgotten))
	s.counts.pruned.Add(uint64(a.pruned))
	return len(rows) - a.added, nil
}

// A batch of denseRows or more comes from an import, whose rows lie close together: pages
// that are split are left fuller than for rows that come one by one.
const (
	denseRows = 2000
	denseFill = 0.75
)

// adder carries what one transaction of Add learns.
type adder struct {
	tx                       *txn
	earliest                 time.Time
	added, forgotten, pruned int

	// Of the visitor that was looked up last; rows come sorted.
	visitor   string
	isGone    bool      // forgotten
	oldest    time.Time // what is older was dropped by retention
	isVisitor bool
	marked    bool
}

// add stores one row, unless it, or a later version of it, stands there.
func (a *adder) add(r *Row) error {
	if err := a.look(r.Visitor()); err != nil {
		return err
	}
	switch {
	case a.isGone:
		a.forgotten++
		return nil
	case r.at.Before(a.oldest):
		a.pruned++
		return nil
	}
	// Also of a visit that loses to a later version: the order of arrival must not matter.
	if a.earliest.IsZero() || r.at.Before(a.earliest) {
		a.earliest = r.at
	}
	b := a.tx.Bucket(r.bucket())
	if old := b.Get(r.key); old != nil {
		if later, err := r.replaces(old); err != nil || !later {
			return err
		}
	}
	if err := b.Put(r.key, r.value); err != nil {
		return err
	}
	a.added++
	if a.marked {
		return nil
	}
	a.marked = true
	if !hasCalls(a.tx, a.visitor) {
		return nil
	}
	return markDirty(a.tx, a.visitor)
}

// look learns what holds for all rows of a visitor.
func (a *adder) look(id []byte) error {
	if a.isVisitor && a.visitor == string(id) {
		return nil
	}
	visitor := string(id)
	gone, err := isForgotten(a.tx, visitor)
	if err != nil {
		return err
	}
	var p pruned
	if _, err := get(a.tx.Bucket(bPruned), []byte(visitor), &p); err != nil {
		return err
	}
	a.visitor, a.isVisitor, a.isGone, a.oldest, a.marked = visitor, true, gone, p.Before, false
	return nil
}

// replaces reports whether the row takes the place of one of the same key: an event never
// does, of a visit the later version.
func (r *Row) replaces(stands []byte) (bool, error) {
	if r.kind == rowEvent {
		return false, nil
	}
	var v, old mapping.Visit
	if err := errors.Join(open(r.key, r.value, &v), open(r.key, stands, &old)); err != nil {
		return false, err
	}
	return newer(&v, &old), nil
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
	if a.earliest.IsZero() || !a.tx.earliest.IsZero() && !a.earliest.Before(a.tx.earliest) {
		return nil
	}
	meta := a.tx.Bucket(bMeta)
	var was, recheck time.Time
	ok, err := get(meta, []byte("earliest"), &was)
	if err != nil {
		return err
	}
	if ok && !a.earliest.Before(was) {
		a.tx.earliest = was
		return nil
	}
	a.tx.earliest = a.earliest
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

func hasCalls(tx *txn, journey string) bool {
	return hasPrefix(tx, bJourneys, prefixed(journey))
}

func hasPrefix(tx *txn, bucket, prefix []byte) bool {
	k, _ := tx.Bucket(bucket).Cursor().Seek(prefix)
	return bytes.HasPrefix(k, prefix)
}

// scan calls fn for the keys with a prefix, until it returns false.
func scan(b *bucket, prefix []byte, fn func(k, v []byte) (bool, error)) error {
	c := b.Cursor()
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if more, err := fn(k, v); err != nil || !more {
			return err
		}
	}
	return nil
}

// values reads every value under a prefix.
func values[T any](b *bucket, prefix []byte) (all []T, err error) {
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
