package store

import (
	"bytes"
	"context"
	"time"

	"callpoint/mapping"
)

// pruned is what is kept of a visitor whose events retention has dropped.
type pruned struct {
	Before   time.Time        `json:"pruned_before"`
	Sessions int              `json:"sessions,omitempty"`
	Form     time.Time        `json:"form,omitzero"`
	Last     *mapping.Session `json:"last,omitempty"`
}

// Pruned says what Prune did.
type Pruned struct {
	Visitors int // of whom something was dropped
	Rows     int // events and visits that were dropped
	Open     int // visitors who keep everything, because a call of theirs is open
	Expired  int // summaries of visitors without calls, so old that nobody asks for them
}

// summaryAge is how long after its events the summary of a visitor who never called is
// kept: without it a visitor who comes back would count as a new one.
const summaryAge = 365 * 24 * time.Hour

// pruneVisitors and pruneRows bound one transaction of Prune, pruneLook one of its searches.
// Each commit sorts and writes the list of all free pages, which grows with what was pruned:
// of a million events 9 s where transactions of 100 visitors took 60 s.
const (
	pruneVisitors = 2000
	pruneRows     = 8000
	pruneLook     = 2000
)

// Prune drops the events and visits from before a time, in short transactions. A visitor
// with an open call (to be resolved, held, to be sent or parked) keeps everything for
// now. cut is mapping.Settings.Prune: it moves a journey's PrunedBefore to where sessions
// are not cut in two, and says what to remember. It runs within a transaction and must
// not call the store.
func (s *Store) Prune(ctx context.Context, before time.Time, cut func(*mapping.Journey, time.Time)) (sum Pruned, err error) {
	for _, search := range []func(tx *txn, from []byte, before time.Time) (found []string, next []byte, err error){oldEvents, oldVisits} {
		for from := []byte{}; from != nil; {
			if err := ctx.Err(); err != nil {
				return sum, err
			}
			var visitors []string
			err := s.view(func(tx *txn) (err error) {
				visitors, from, err = search(tx, from, before)
				return err
			})
			if err != nil {
				return sum, err
			}
			if err := s.pruneAll(ctx, visitors, before, cut, &sum); err != nil {
				return sum, err
			}
		}
	}
	return sum, s.expire(ctx, before.Add(-summaryAge), &sum)
}

// oldEvents finds visitors whose first event is old. It looks at one key of each.
func oldEvents(tx *txn, from []byte, before time.Time) (found []string, next []byte, err error) {
	c := tx.Bucket(bEvents).Cursor()
	k, _ := c.Seek(from)
	for range pruneLook {
		if k == nil {
			return found, nil, nil
		}
		visitor, rest := afterSep(k)
		if len(rest) >= 8 && keyTime(rest).Before(before) {
			found = append(found, string(visitor))
		}
		next = append(bytes.Clone(visitor), 1) // the next visitor: this one's keys lie between id 00 and id 01
		k, _ = c.Seek(next)
	}
	return found, next, nil
}

// oldVisits finds visitors with an old visit.
func oldVisits(tx *txn, from []byte, before time.Time) (found []string, next []byte, err error) {
	c := tx.Bucket(bVisits).Cursor()
	k, v := c.Seek(from)
	for range pruneLook {
		if k == nil {
			return found, nil, nil
		}
		var visit struct { // decoding the rest would be most of the cost
			StartedAt time.Time `json:"started_at"`
		}
		if err := open(k, v, &visit); err != nil {
			return nil, nil, err
		}
		if visit.StartedAt.Before(before) {
			visitor, _ := afterSep(k)
			found = append(found, string(visitor))
			k, v = c.Seek(append(bytes.Clone(visitor), 1))
			continue
		}
		k, v = c.Next()
	}
	return found, bytes.Clone(k), nil
}

// pruneAll drops what is old of these visitors, some of them to a transaction.
func (s *Store) pruneAll(ctx context.Context, visitors []string, before time.Time, cut func(*mapping.Journey, time.Time), sum *Pruned) error {
	for len(visitors) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		var did Pruned
		var n int
		err := s.update(ctx, func(tx *txn) error {
			did, n = Pruned{}, 0
			for _, v := range visitors[:min(pruneVisitors, len(visitors))] {
				if err := pruneVisitor(tx, v, before, cut, &did); err != nil {
					return err
				}
				if n++; did.Rows >= pruneRows {
					break
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		visitors = visitors[n:]
		sum.Visitors += did.Visitors
		sum.Rows += did.Rows
		sum.Open += did.Open
	}
	return nil
}

func pruneVisitor(tx *txn, visitor string, before time.Time, cut func(*mapping.Journey, time.Time), did *Pruned) error {
	j, err := readJourney(tx, visitor)
	if err != nil {
		return err
	}
	if j.open() {
		did.Open++
		return nil
	}
	m := mapping.Journey{
		Visitor: visitor, Events: j.Events, Visits: j.Visits,
		PrunedBefore: j.PrunedBefore, PrunedSessions: j.PrunedSessions, PrunedForm: j.PrunedForm, PrunedLast: j.PrunedLast,
	}
	for _, c := range j.Calls {
		m.Calls = append(m.Calls, c.Call)
	}
	cut(&m, before)
	if !m.PrunedBefore.After(j.PrunedBefore) {
		return nil
	}
	var gone [][]byte
	for _, e := range j.Events {
		if e.At.Before(m.PrunedBefore) {
			gone = append(gone, eventKey(e))
		}
	}
	for _, k := range gone {
		if err := tx.Bucket(bEvents).Delete(k); err != nil {
			return err
		}
	}
	did.Rows += len(gone)
	for _, v := range j.Visits {
		if !v.StartedAt.Before(m.PrunedBefore) {
			continue
		}
		if err := tx.Bucket(bVisits).Delete(prefixed(visitor, []byte(v.SessionID))); err != nil {
			return err
		}
		did.Rows++
	}
	did.Visitors++
	return put(tx.Bucket(bPruned), []byte(visitor), pruned{m.PrunedBefore, m.PrunedSessions, m.PrunedForm, m.PrunedLast})
}

// open reports whether something about a call is still to be done for which the events
// may be needed.
func (j *Journey) open() bool {
	if j.Generation != 0 {
		return true
	}
	for _, c := range j.Calls {
		switch c.Resolution.Reason {
		case "", mapping.Held:
			return true
		case mapping.Matched, mapping.MatchedClockSkew:
			if c.Snapshot == nil {
				return true // nothing could speak for it
			}
		}
	}
	for _, t := range j.Touchpoints {
		switch t.State {
		case Pending, Retrying, Parked:
			return true
		}
	}
	return false
}

// expire drops the summaries of visitors of whom nothing else is known for so long.
func (s *Store) expire(ctx context.Context, before time.Time, sum *Pruned) error {
	for from := []byte{}; from != nil; {
		var n int
		var next []byte
		err := s.update(ctx, func(tx *txn) error {
			n, next = 0, nil
			var gone [][]byte
			b, looked := tx.Bucket(bPruned), 0
			c := b.Cursor()
			for k, v := c.Seek(from); k != nil; k, v = c.Next() {
				if looked++; looked > pruneLook {
					next = bytes.Clone(k)
					break
				}
				var p pruned
				if err := open(k, v, &p); err != nil {
					return err
				}
				prefix := prefixed(string(k))
				if p.Before.Before(before) && !hasPrefix(tx, bEvents, prefix) && !hasPrefix(tx, bVisits, prefix) &&
					!hasPrefix(tx, bJourneys, prefix) && !hasPrefix(tx, bOwned, prefix) {
					gone = append(gone, bytes.Clone(k))
				}
			}
			for _, k := range gone {
				if err := b.Delete(k); err != nil {
					return err
				}
			}
			n = len(gone)
			return nil
		})
		if err != nil {
			return err
		}
		sum.Expired += n
		from = next
	}
	return nil
}
