package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	bolt "go.etcd.io/bbolt"
)

// maxProblems bounds what Check reports: after so many the file is past reading one by one.
const maxProblems = 100

// Check verifies the file's structure, every checksum, and the indexes against the
// records, both ways. It returns one sentence for each thing that is wrong. Writes go on
// beside it; compaction and backup wait.
func (s *Store) Check() (problems []string, err error) {
	s.copying.Lock() // the file keeps its name
	defer s.copying.Unlock()
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return s.check(f)
}

func (s *Store) check(f io.ReaderAt) (problems []string, err error) {
	var tx *bolt.Tx
	var m meta
	// Between two transactions, because the meta page of this one is overwritten soon.
	err = s.between(context.Background(), func() error {
		tx, err = s.db.Load().Begin(false)
		m = readMeta(f)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() //nolint:errcheck // a read transaction
	var c checker
	newWalk(f, m, func(format string, args ...any) { c.add("structure: "+format, args...) }).all()
	if len(c.problems) > 0 {
		return c.problems, nil // what bbolt makes of it is not to be relied on
	}
	err = s.guard(func() error {
		c.tx = &txn{Tx: tx}
		c.envelopes()
		c.calls()
		c.touchpoints()
		c.reasons()
		c.indexes()
		return nil
	})
	return c.problems, err
}

type checker struct {
	tx       *txn
	problems []string
}

func (c *checker) add(format string, args ...any) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, fmt.Sprintf(format, args...))
	}
}

// each visits a bucket; its callbacks return nothing, because a check goes on.
func (c *checker) each(bucket []byte, fn func(k, v []byte)) {
	_ = c.tx.Bucket(bucket).ForEach(func(k, v []byte) error {
		fn(k, v)
		return nil
	})
}

func (c *checker) envelopes() {
	for _, name := range buckets {
		if !sealed(name) {
			continue
		}
		c.each(name, func(k, v []byte) {
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
			return // envelopes said so
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
			if t.Who != "" {
				c.exists(bPersonless, append(timeKey(t.NextAttempt), k...))
			}
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
		if r.waits() {
			c.exists(bUntold, append(timeKey(r.Next), k...))
		}
	})
	c.each(bUntold, func(k, _ []byte) {
		var r Reason
		ok, err := get(c.tx.Bucket(bReasons), k[8:], &r)
		if err == nil && (!ok || !r.waits() || !bytes.Equal(timeKey(r.Next), k[:8])) {
			c.add("untold: entry %q has no reason that waits since then", k)
		}
	})
}

// exists reports a record whose index entry is missing.
func (c *checker) exists(index, key []byte) {
	if k, _ := c.tx.Bucket(index).Cursor().Seek(key); !bytes.Equal(k, key) {
		c.add("%s: entry %q is missing", index, key)
	}
}

// indexes reports entries without a record, or with one that no longer says so.
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
	for _, name := range [][]byte{bContents, bSending} {
		c.each(name, func(k, _ []byte) {
			if c.tx.Bucket(bTouchpoints).Get(k) == nil {
				c.add("%s: %q belongs to no touchpoint", name, k)
			}
		})
	}
	c.each(bDue, func(k, _ []byte) {
		t, ok, err := loadTouchpoint(c.tx, k[8:])
		if err == nil && (!ok || t.State != Pending && t.State != Retrying || !bytes.Equal(timeKey(t.NextAttempt), k[:8])) {
			c.add("due: entry %q has no touchpoint that waits since then", k)
		}
	})
	c.each(bPersonless, func(k, _ []byte) {
		t, ok, err := loadTouchpoint(c.tx, k[8:])
		if err == nil && (!ok || t.State != NoPerson || !bytes.Equal(timeKey(t.NextAttempt), k[:8])) {
			c.add("personless: entry %q has no touchpoint that waits for a person since then", k)
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
	last := c.tx.Bucket(bDirty).Sequence()
	c.each(bDirty, func(k, v []byte) {
		if len(v) != 8 || binary.BigEndian.Uint64(v) > last {
			c.add("dirty: mark of %q is out of range", k)
		}
	})
}
