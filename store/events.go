package store

import (
	"bytes"
	"context"
	"errors"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"
)

// Add makes events and visits durable, all or none, and returns how many of them it did not
// add: repeats, those of forgotten visitors, and those older than what retention has
// dropped. Journeys with calls are marked dirty.
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
	if s.shared != nil {
		return s.addShared(ctx, rows, bytes)
	}
	sortRows(rows)
	var a adder
	err = s.db.Ingest(ctx, kv.Load{Rows: len(rows), Bytes: bytes}, func(tx kv.Tx) error {
		a = adder{tx: tx, known: s.earliest.Load()}
		for i := range rows {
			if err := a.add(&rows[i]); err != nil {
				return err
			}
		}
		return a.finish()
	})
	if err != nil {
		return 0, err
	}
	if a.known != nil {
		s.earliest.Store(a.known)
	}
	s.counts.forgotten.Add(uint64(a.forgotten))
	s.counts.pruned.Add(uint64(a.pruned))
	return len(rows) - a.added, nil
}

// An adder is one transaction of Add.
type adder struct {
	tx                       kv.Tx
	known                    *time.Time // a value of meta "earliest"; nil: not known
	earliest                 time.Time
	added, forgotten, pruned int

	tombstones bool // somebody was forgotten

	// These are of the visitor that was looked up last; rows are sorted by visitor.
	visitor   string
	isGone    bool      // forgotten
	oldest    time.Time // what is older was dropped by retention
	isVisitor bool
	marked    bool
}

// add stores one row, unless the store has it, or a later version of it.
func (a *adder) add(r *Row) error {
	if err := a.lookUp(r.Visitor()); err != nil {
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
	if old := a.tx.Get(r.bucket(), r.key); old != nil {
		if later, err := r.replaces(old); err != nil || !later {
			return err
		}
	}
	if err := a.tx.Put(r.bucket(), r.key, r.value); err != nil {
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

// lookUp reads what applies to all rows of a visitor.
func (a *adder) lookUp(id []byte) error {
	if a.isVisitor && a.visitor == string(id) {
		return nil
	}
	visitor := string(id)
	if !a.isVisitor {
		a.tombstones = hasAny(a.tx, kv.Range{Bucket: bForgotten})
	}
	gone := false
	if a.tombstones {
		var err error
		if gone, err = isForgotten(a.tx, visitor); err != nil {
			return err
		}
	}
	var oldest time.Time
	if before := a.tx.Get(bPrunedBefore, id); len(before) == 8 {
		oldest = keyTime(before)
	}
	a.visitor, a.isVisitor, a.isGone, a.oldest, a.marked = visitor, true, gone, oldest, false
	return nil
}

// replaces reports whether the row takes the place of a stored one with the same key. The
// choice between the two does not depend on which of them arrived first.
func (r *Row) replaces(stored []byte) (bool, error) {
	if bytes.Equal(r.value, stored) {
		return false, nil
	}
	if r.kind == rowEvent {
		return replaces(r, stored, mapping.CompareRepeats)
	}
	return replaces(r, stored, mapping.CompareVisits)
}

func replaces[T any](r *Row, stored []byte, compare func(a, b *T) int) (bool, error) {
	var v, old T
	if err := errors.Join(open(r.key, r.value, &v), open(r.key, stored, &old)); err != nil {
		return false, err
	}
	return compare(&v, &old) < 0, nil
}

// finish stores an earlier time of the earliest event.
func (a *adder) finish() error {
	if a.earliest.IsZero() || a.known != nil && !a.earliest.Before(*a.known) {
		return nil
	}
	known, err := setEarliest(a.tx, a.earliest)
	a.known = &known
	return err
}

// setEarliest makes at the time of the earliest event if it is earlier than the stored one,
// and then records up to when calls that were before the first event must be resolved
// again. It returns the time that is stored now.
func setEarliest(tx kv.Tx, at time.Time) (stored time.Time, err error) {
	var was, recheck time.Time
	ok, err := get(tx, bMeta, []byte("earliest"), &was)
	if err != nil || ok && !at.Before(was) {
		return was, err
	}
	if !ok {
		was = lastKeyTime
	}
	if err := put(tx, bMeta, []byte("earliest"), at); err != nil {
		return at, err
	}
	// The bound that an earlier move left is later: it stays.
	if _, err := get(tx, bMeta, []byte("recheck"), &recheck); err != nil || !recheck.IsZero() {
		return at, err
	}
	return at, put(tx, bMeta, []byte("recheck"), was)
}

func hasCalls(tx kv.Tx, journey string) bool { return hasAny(tx, under(bJourneys, journey)) }

func hasAny(tx kv.Tx, r kv.Range) bool {
	k, _ := kv.First(tx, r)
	return k != nil
}
