package store

import (
	"bytes"
	"context"
	"errors"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"
)

// A pruned is the summary of a visitor whose events retention has dropped.
type pruned struct {
	Before   time.Time        `json:"pruned_before"`
	Sessions int              `json:"sessions,omitempty"`
	Steps    []mapping.Step   `json:"steps,omitempty"`
	Last     *mapping.Session `json:"last,omitempty"`

	Form time.Time `json:"form,omitzero"` // of schema 3 and before: the first form
}

// steps returns the sessions that positions need. Those of an older schema are known by the
// last session, which was not before the first one.
func (p *pruned) steps() []mapping.Step {
	if p.Steps != nil || p.Last == nil {
		return p.Steps
	}
	first := mapping.Step{ID: p.Last.ID, At: p.Last.StartedAt}
	if p.Sessions == 1 {
		first.Form = p.Form
	}
	steps := []mapping.Step{first}
	if p.Sessions > 1 && !p.Form.IsZero() {
		steps = append(steps, mapping.Step{ID: "the first form", At: p.Form, Form: p.Form})
	}
	return steps
}

// A Pruned counts what Prune did.
type Pruned struct {
	Visitors int // of whom something was dropped
	Rows     int // events and visits that were dropped
	Open     int // visitors who keep everything, because a call of theirs is open
	Expired  int // summaries of visitors without calls that were too old to keep
}

// summaryAge is how long after its events the summary of a visitor who never called is
// kept: without it a visitor who comes back would count as a new one.
const summaryAge = 365 * 24 * time.Hour

// pruneVisitors and pruneRows bound one transaction of Prune, prunePage one of its searches.
// bbolt rewrites its whole freelist on every commit, so large batches are cheaper: pruning a
// million events took 9 s, against 60 s with 100 visitors a transaction.
const (
	pruneVisitors = 2000
	pruneRows     = 8000
	prunePage     = 2000
)

// Prune drops the events and visits before a time, in several short transactions. A visitor
// with an open call (to be resolved, held, to be sent or parked) keeps everything for
// now. cut is mapping.Settings.Prune: it moves a journey's PrunedBefore to a time at which
// no session is cut in two, and sets the summary. It runs within a transaction and must
// not call the store.
func (s *Store) Prune(ctx context.Context, before time.Time, cut func(*mapping.Journey, time.Time)) (sum Pruned, err error) {
	if err := s.drain(ctx); err != nil {
		return sum, err
	}
	for _, search := range []func(tx kv.Tx, from []byte, before time.Time) (found []string, next []byte, err error){oldEvents, oldVisits} {
		err := eachPage(s.view, func(tx kv.Tx, from []byte) ([]string, []byte, error) {
			return search(tx, from, before)
		}, func(visitors []string) error {
			return errors.Join(ctx.Err(), s.pruneAll(ctx, visitors, before, cut, &sum))
		})
		if err != nil {
			return sum, err
		}
	}
	return sum, s.expire(ctx, before.Add(-summaryAge), &sum)
}

// oldEvents finds visitors whose first event is old. It reads one key of each visitor.
func oldEvents(tx kv.Tx, from []byte, before time.Time) (found []string, next []byte, err error) {
	n := 0
	for k := range tx.Scan(kv.Range{Bucket: bEvents, From: from, Heads: true, Limit: prunePage, Keys: true}) {
		visitor, rest := afterSep(k)
		if len(rest) >= 8 && keyTime(rest).Before(before) {
			found = append(found, string(visitor))
		}
		if n++; n == prunePage {
			next = pastID(visitor)
		}
	}
	return found, next, nil
}

// oldVisits finds visitors with an old visit. It may find one twice.
func oldVisits(tx kv.Tx, from []byte, before time.Time) (found []string, next []byte, err error) {
	n := 0
	for k, v := range tx.Scan(kv.Range{Bucket: bVisits, From: from, Limit: prunePage}) {
		if n++; n == prunePage {
			next = pastKey(k)
		}
		visitor, _ := afterSep(k)
		if len(found) > 0 && found[len(found)-1] == string(visitor) {
			continue
		}
		var visit struct { // decoding the rest would be most of the cost
			StartedAt time.Time `json:"started_at"`
		}
		if err := open(k, v, &visit); err != nil {
			return nil, nil, err
		}
		if visit.StartedAt.Before(before) {
			found = append(found, string(visitor))
		}
	}
	return found, next, nil
}

// pruneAll drops what is old of these visitors, some of them to a transaction.
func (s *Store) pruneAll(ctx context.Context, visitors []string, before time.Time, cut func(*mapping.Journey, time.Time), sum *Pruned) error {
	for len(visitors) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		var did Pruned
		var n int
		err := s.update(ctx, func(tx kv.Tx) error {
			did, n = Pruned{}, 0
			hintJourneys(tx, visitors[:min(pruneVisitors, len(visitors))])
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

func pruneVisitor(tx kv.Tx, visitor string, before time.Time, cut func(*mapping.Journey, time.Time), did *Pruned) error {
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
		PrunedBefore: j.PrunedBefore, PrunedSessions: j.PrunedSessions, PrunedSteps: j.PrunedSteps, PrunedLast: j.PrunedLast,
	}
	for _, c := range j.Calls {
		m.Calls = append(m.Calls, c.Call)
	}
	cut(&m, before)
	if !m.PrunedBefore.After(j.PrunedBefore) {
		return nil
	}
	for _, e := range j.Events {
		if !e.At.Before(m.PrunedBefore) {
			continue
		}
		if err := tx.Delete(bEvents, eventKey(e)); err != nil {
			return err
		}
		did.Rows++
	}
	for _, v := range j.Visits {
		if !v.StartedAt.Before(m.PrunedBefore) {
			continue
		}
		if err := tx.Delete(bVisits, prefixed(visitor, []byte(v.SessionID))); err != nil {
			return err
		}
		did.Rows++
	}
	did.Visitors++
	id := []byte(visitor)
	return errors.Join(put(tx, bPruned, id, pruned{Before: m.PrunedBefore, Sessions: m.PrunedSessions, Steps: m.PrunedSteps, Last: m.PrunedLast}),
		tx.Put(bPrunedBefore, id, timeKey(m.PrunedBefore)))
}

// open reports whether the events may still be needed for a call.
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
				return true // the call could not be mapped without its events
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

// expire drops the summaries of visitors of whom nothing else is known.
func (s *Store) expire(ctx context.Context, before time.Time, sum *Pruned) error {
	update := func(fn func(kv.Tx) error) error { return s.update(ctx, fn) }
	return eachPage(update, func(tx kv.Tx, from []byte) (expired int, next []byte, err error) {
		n := 0
		var gone [][]byte
		bounds := kv.Range{Bucket: bPrunedBefore, From: from, Limit: prunePage}
		hintRows(tx, bounds, func(k []byte) (all []kv.Range) {
			for _, b := range []kv.Bucket{bEvents, bVisits, bJourneys, bOwned} {
				r := under(b, string(k))
				r.Limit = 1
				all = append(all, r)
			}
			return all
		})
		for k, v := range tx.Scan(bounds) {
			if n++; n == prunePage {
				next = pastKey(k)
			}
			if id := string(k); len(v) == 8 && keyTime(v).Before(before) && !hasAny(tx, under(bEvents, id)) && !hasAny(tx, under(bVisits, id)) &&
				!hasAny(tx, under(bJourneys, id)) && !hasAny(tx, under(bOwned, id)) {
				gone = append(gone, bytes.Clone(k))
			}
		}
		for _, k := range gone {
			if err := errors.Join(tx.Delete(bPruned, k), tx.Delete(bPrunedBefore, k)); err != nil {
				return 0, nil, err
			}
		}
		return len(gone), next, nil
	}, func(expired int) error {
		sum.Expired += expired
		return nil
	})
}
