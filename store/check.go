package store

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"callpoint/store/kv"
)

// maxProblems bounds the list that Check returns.
const maxProblems = 100

// Check verifies the structure of the store, every checksum, and the indexes against the
// records, both ways. It returns one sentence for each thing that is wrong. Writes go on
// meanwhile; compaction and backup wait.
func (s *Store) Check() (problems []string, err error) {
	if db, ok := s.db.(interface {
		Structure(context.Context) ([]string, error)
	}); ok {
		// Nothing that bbolt reads from a damaged structure can be relied on.
		if problems, err = db.Structure(context.Background()); err != nil || len(problems) > 0 {
			return problems, err
		}
	}
	var c checker
	view := s.view
	if s.shared != nil {
		view = func(fn func(kv.Tx) error) error { return s.shared.ViewLong(context.Background(), time.Hour, fn) }
	}
	err = view(func(tx kv.Tx) error {
		c = checker{tx: tx}
		c.envelopes()
		c.calls()
		c.touchpoints()
		c.reasons()
		c.indexes()
		c.dirty()
		return nil
	})
	if err != nil {
		return nil, err // what could not be read seemed to be missing
	}
	return c.problems, nil
}

type checker struct {
	tx       kv.Tx
	problems []string
}

func (c *checker) add(format string, args ...any) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, fmt.Sprintf(format, args...))
	}
}

// each calls fn for every row of a bucket. fn returns no error, because a check goes on.
func (c *checker) each(b kv.Bucket, fn func(k, v []byte)) {
	if !kv.Remote(c.tx) {
		for k, v := range c.tx.Scan(kv.Range{Bucket: b}) {
			fn(k, v)
		}
		return
	}
	type row struct{ k, v []byte }
	var page []row
	flush := func() {
		// fn runs first with a transaction that records what it reads, then for good.
		tx, problems, r := c.tx, c.problems, &recorder{}
		c.tx = r
		for _, x := range page {
			fn(x.k, x.v)
		}
		c.tx, c.problems = tx, problems
		tx.Hint(r.read...)
		for _, x := range page {
			fn(x.k, x.v)
		}
		page = page[:0]
	}
	for k, v := range c.tx.Scan(kv.Range{Bucket: b}) {
		if page = append(page, row{k, v}); len(page) == checkPage {
			flush()
		}
	}
	flush()
}

// checkPage is how many rows are checked together where reading takes a round trip.
const checkPage = 1000

// A recorder is an empty transaction that records which keys are read.
type recorder struct{ read []kv.Range }

func (r *recorder) Get(b kv.Bucket, key []byte) []byte {
	r.read = append(r.read, kv.Key(b, bytes.Clone(key)))
	return nil
}
func (r *recorder) Put(kv.Bucket, []byte, []byte) error     { return nil }
func (r *recorder) Delete(kv.Bucket, []byte) error          { return nil }
func (r *recorder) Scan(kv.Range) iter.Seq2[[]byte, []byte] { return func(func(k, v []byte) bool) {} }
func (r *recorder) Hint(...kv.Range)                        {}

func (c *checker) envelopes() {
	for b, name := range buckets {
		if !sealed(kv.Bucket(b)) {
			continue
		}
		c.each(kv.Bucket(b), func(k, v []byte) {
			if err := wellFormed(k, v); err != nil {
				c.add("%s: %v", name, err)
			}
		})
	}
}

func (c *checker) calls() {
	c.each(bCalls, func(k, v []byte) {
		call, err := openCall(k, v)
		if err != nil {
			return // envelopes reports it
		}
		if call.TaskID != string(k) {
			c.add("calls: %q holds task %q", k, call.TaskID)
		}
		c.exists(bTimeline, append(timeKey(call.At), k...))
		c.exists(bJourneys, prefixed(JourneyKey(call.Visitor, call.TaskID), k))
		// A call that was stored before the index existed has no person of its own.
		if r := (callRecord{}); open(k, v, &r) == nil && r.Person != "" {
			c.exists(bCallers, prefixed(r.Person, k))
		}
		if !call.LookAt.IsZero() {
			c.exists(bUnnamed, append(timeKey(call.LookAt), k...))
		}
	})
}

func (c *checker) touchpoints() {
	c.each(bTouchpoints, func(k, v []byte) {
		t, err := openTouchpoint(k, v)
		if err != nil {
			return
		}
		if t.Key != string(k) {
			c.add("touchpoints: %q holds %q", k, t.Key)
		}
		switch t.State {
		case Pending, Retrying:
			c.exists(bDue, append(timeKey(t.NextAttempt), k...))
		case Parked:
			c.exists(bParked, k)
		case NoPerson:
			c.exists(bPersonless, append(timeKey(t.NextAttempt), k...))
		case Written, Unchanged:
		default:
			c.add("touchpoints: %q has the unknown state %q", k, t.State)
		}
		if t.TaskID == "" {
			c.exists(bOwned, prefixed(t.Journey, k))
		}
		if t.Content == nil && !t.Frozen {
			c.exists(bContents, k)
		}
	})
}

// reasons compares reasons with their index, both ways.
func (c *checker) reasons() {
	c.each(bReasons, func(k, v []byte) {
		var r Reason
		if open(k, v, &r) != nil {
			return
		}
		if r.TaskID != string(k) {
			c.add("reasons: %q holds task %q", k, r.TaskID)
		}
		if r.pending() {
			c.exists(bReasonsDue, append(timeKey(r.Next), k...))
		}
	})
	c.each(bReasonsDue, func(k, _ []byte) {
		var r Reason
		ok, err := get(c.tx, bReasons, k[8:], &r)
		if err == nil && (!ok || !r.pending() || !bytes.Equal(timeKey(r.Next), k[:8])) {
			c.add("reasons_due: entry %q has no reason that is due then", k)
		}
	})
}

// exists reports a record whose index entry is missing.
func (c *checker) exists(index kv.Bucket, key []byte) {
	if c.tx.Get(index, key) == nil {
		c.add("%s: entry %q is missing", buckets[index], key)
	}
}

// indexes reports entries without a record, or with a record of another value.
func (c *checker) indexes() {
	c.each(bTimeline, func(k, _ []byte) {
		if call, ok, err := loadCall(c.tx, k[8:]); err == nil && (!ok || !bytes.Equal(timeKey(call.At), k[:8])) {
			c.add("timeline: entry %q has no call at that time", k)
		}
	})
	c.each(bJourneys, func(k, _ []byte) {
		journey, id := afterSep(k)
		if call, ok, err := loadCall(c.tx, id); err == nil && (!ok || JourneyKey(call.Visitor, call.TaskID) != string(journey)) {
			c.add("journeys: entry %q has no call of that visitor", k)
		}
	})
	c.each(bCallers, func(k, _ []byte) {
		person, id := afterSep(k)
		if call, ok, err := loadCall(c.tx, id); err == nil && (!ok || call.Person != string(person)) {
			c.add("callers: entry %q has no call of that person", k)
		}
	})
	c.each(bUnnamed, func(k, _ []byte) {
		if call, ok, err := loadCall(c.tx, k[8:]); err == nil && (!ok || !bytes.Equal(timeKey(call.LookAt), k[:8])) {
			c.add("unnamed: entry %q has no call whose person is looked up then", k)
		}
	})
	for _, b := range []kv.Bucket{bContents, bSending} {
		c.each(b, func(k, _ []byte) {
			if c.tx.Get(bTouchpoints, k) == nil {
				c.add("%s: %q belongs to no touchpoint", buckets[b], k)
			}
		})
	}
	c.each(bDue, func(k, _ []byte) {
		t, ok, err := loadTouchpoint(c.tx, k[8:])
		if err == nil && (!ok || t.State != Pending && t.State != Retrying || !bytes.Equal(timeKey(t.NextAttempt), k[:8])) {
			c.add("due: entry %q has no touchpoint that is due then", k)
		}
	})
	c.each(bPersonless, func(k, _ []byte) {
		t, ok, err := loadTouchpoint(c.tx, k[8:])
		if err == nil && (!ok || t.State != NoPerson || !bytes.Equal(timeKey(t.NextAttempt), k[:8])) {
			c.add("personless: entry %q has no touchpoint whose person is looked up then", k)
		}
	})
	c.each(bUnplaced, func(k, _ []byte) {
		if t, ok, err := loadTouchpoint(c.tx, k); err == nil && (!ok || !t.unplaced()) {
			c.add("unplaced: the person of %q is known", k)
		}
	})
	c.each(bParked, func(k, _ []byte) {
		if t, ok, err := loadTouchpoint(c.tx, k); err == nil && (!ok || t.State != Parked) {
			c.add("parked: %q is not parked", k)
		}
	})
	c.each(bOwned, func(k, _ []byte) {
		journey, id := afterSep(k)
		if t, ok, err := loadTouchpoint(c.tx, id); err == nil && (!ok || t.Journey != string(journey)) {
			c.add("owned: entry %q has no record of that visitor", k)
		}
	})
	c.each(bPeople, func(k, _ []byte) {
		person, journey, key := splitFact(k)
		if id, ok := strings.CutPrefix(key, CallKey("")); ok && !strings.HasPrefix(key, journeyPrefix) {
			call, ok, err := loadCall(c.tx, []byte(id))
			if err == nil && (!ok || JourneyKey(call.Visitor, call.TaskID) != journey || call.Person != person && !call.Forgotten) {
				c.add("people: entry %q has no call of that person and visitor", k)
			}
		} else if c.tx.Get(bTouchpoints, []byte(key)) == nil {
			c.add("people: entry %q has no touchpoint", k)
		}
	})
	c.each(bSteps, func(k, _ []byte) {
		if c.tx.Get(bDirty, k) == nil && !hasAny(c.tx, under(bJourneys, string(k))) {
			c.add("steps: %q has no call", k)
		}
	})
	c.each(bPruned, func(k, v []byte) {
		var p pruned
		if open(k, v, &p) == nil && !bytes.Equal(c.tx.Get(bPrunedBefore, k), timeKey(p.Before)) {
			c.add("pruned_before: entry %q is missing or differs", k)
		}
	})
	c.each(bPrunedBefore, func(k, _ []byte) {
		if c.tx.Get(bPruned, k) == nil {
			c.add("pruned_before: entry %q has no summary", k)
		}
	})
}

// dirty compares dirty journeys with their index, both ways.
func (c *checker) dirty() {
	var last uint64
	if _, err := get(c.tx, bMeta, []byte("generation"), &last); err != nil {
		return // envelopes reports it
	}
	c.each(bDirty, func(k, v []byte) {
		g, err := readGeneration(v)
		switch {
		case err != nil || g > last:
			c.add("dirty: the generation of %q is out of range", k)
		case !bytes.Equal(c.tx.Get(bGenerations, v), k):
			c.add("generations: entry %d is missing", g)
		}
	})
	c.each(bPeopleDirty, func(k, v []byte) {
		if g, err := readGeneration(v); err != nil || g > last {
			c.add("people_dirty: the generation of %q is out of range", k)
		}
	})
	c.each(bGenerations, func(k, v []byte) {
		if len(v) == 0 || !bytes.Equal(c.tx.Get(bDirty, v), k) {
			c.add("generations: entry %x belongs to no dirty journey", k)
		}
	})
}
