package store

import (
	"bytes"
	"context"
	"time"

	"callpoint/store/kv"
)

// Due returns up to limit touchpoints that are due by now, oldest first.
func (s *Store) Due(now time.Time, limit int) (due []Touchpoint, err error) {
	err = s.view(func(tx kv.Tx) error {
		due = nil
		r := upTo(bDue, now)
		r.Limit = limit
		hintRows(tx, r, func(k []byte) []kv.Range { return touchpointKeys(k[8:], true) })
		for k := range tx.Scan(r) {
			later, err := s.awaits(tx, k[8:])
			if err != nil {
				return err
			}
			t, ok, err := readTouchpoint(tx, k[8:])
			if err != nil {
				return err
			}
			if ok && !later {
				due = append(due, t)
			}
		}
		return nil
	})
	return due, err
}

// DueKeys returns the keys of up to limit touchpoints that are due by now, oldest first,
// without those for which skip returns true.
func (s *Store) DueKeys(now time.Time, limit int, skip func(key string) bool) (keys []string, err error) {
	err = s.view(func(tx kv.Tx) error {
		keys = nil
		due := upTo(bDue, now)
		due.Limit = limit // of the hint: those that skip excludes are few
		hintRows(tx, due, func(k []byte) []kv.Range { return touchpointKeys(k[8:], false) })
		for k := range tx.Scan(upTo(bDue, now)) {
			key := string(k[8:])
			if skip(key) {
				continue
			}
			later, err := s.awaits(tx, k[8:])
			if err != nil {
				return err
			}
			if !later {
				keys = append(keys, key)
			}
			if len(keys) == limit {
				break
			}
		}
		return nil
	})
	return keys, err
}

// MakeParkedDue makes parked touchpoints due whose next attempt is due by now, or whose key
// is among keys. It returns how many there were.
func (s *Store) MakeParkedDue(ctx context.Context, now time.Time, keys map[string]bool) (n int, err error) {
	var release [][]byte
	err = s.view(func(tx kv.Tx) error {
		release = nil
		for k, v := range tx.Scan(kv.Range{Bucket: bParked}) {
			if keys[string(k)] || !keyTime(v).After(now) {
				release = append(release, bytes.Clone(k))
			}
		}
		return nil
	})
	if err != nil || len(release) == 0 {
		return 0, err
	}
	err = s.update(ctx, func(tx kv.Tx) error {
		n = 0
		hintTouchpoints(tx, release)
		for _, k := range release {
			old, ok, err := loadTouchpoint(tx, k)
			if err != nil {
				return err
			}
			if !ok || old.State != Parked {
				continue
			}
			t := old
			t.State, t.NextAttempt = Retrying, now
			if err := schedule(tx, &old, &t); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}

// Begin records that these touchpoints are about to be sent: from now on the org may hold
// them, and until the result is recorded it is unknown with which content. The mark is kept
// beside the record, because rewriting a thousand records would be most of the cost.
// Touchpoints that changed since they were read are skipped; their keys are returned.
func (s *Store) Begin(ctx context.Context, sent []Touchpoint) (changed []string, err error) {
	if err := s.mayBegin(); err != nil {
		return nil, err
	}
	err = s.update(ctx, func(tx kv.Tx) error {
		changed = nil
		if kv.Remote(tx) {
			var keys [][]byte
			for _, t := range sent {
				keys = append(keys, []byte(t.Key))
			}
			hintTouchpoints(tx, keys)
		}
		for _, t := range sent {
			key := []byte(t.Key)
			now, ok, err := loadTouchpoint(tx, key)
			if err != nil {
				return err
			}
			if !ok || !now.queued() || now.Hash != t.Hash || now.Delete != t.Delete {
				changed = append(changed, t.Key)
				continue
			}
			if err := tx.Put(bSending, key, s.sendMark(&now)); err != nil {
				return err
			}
		}
		return nil
	})
	return changed, err
}

// An Outcome is the result of one attempt.
type Outcome struct {
	Key      string
	Hash     string // of the content that was sent
	Delete   bool   // a deletion was sent
	Gone     bool   // the record was deleted in Salesforce
	RecordID string
	Master   string // the person that the record is known to hang from
	Attempt  int    // the number of the attempt since the content changed; 0: the next one
	Again    bool   // the record was written, and is not right yet: it stays due
	// State is Written, Retrying or Parked; for the latter two Next is the time of the next attempt.
	State         State
	Next          time.Time
	Code, Message string
}

// Finish records outcomes in one transaction. Content that changed while the request was in
// flight stays pending, and so does a deletion that was wanted meanwhile.
func (s *Store) Finish(ctx context.Context, now time.Time, all []Outcome) error {
	return s.update(ctx, func(tx kv.Tx) error {
		if kv.Remote(tx) {
			var keys [][]byte
			for _, o := range all {
				keys = append(keys, []byte(o.Key))
			}
			hintTouchpoints(tx, keys)
		}
		for _, o := range all {
			if err := finish(tx, now, o); err != nil {
				return err
			}
		}
		return nil
	})
}

func finish(tx kv.Tx, now time.Time, o Outcome) error {
	old, ok, err := loadTouchpoint(tx, []byte(o.Key))
	if err != nil || !ok {
		return err
	}
	if o.Gone && old.Delete && !old.Nobody {
		return dropTouchpoint(tx, &old)
	}
	t := old
	t.InFlight = nil
	if o.Gone {
		// It is to be created again, or there is nobody to whom it could belong.
		t.vanish()
		if t.Nobody {
			t.orphan(now)
		}
		return schedule(tx, &old, &t)
	}
	if o.RecordID != "" && t.RecordID != o.RecordID {
		t.RecordID, t.Master = o.RecordID, ""
	}
	if o.Master != "" {
		t.Master = o.Master
	}
	current := old.Hash == o.Hash && old.Delete == o.Delete
	switch {
	case o.State == Written:
		t.WrittenHash, t.WrittenAt, t.Attempts, t.Code, t.Message = o.Hash, now, 0, "", ""
		if o.Again {
			t.WrittenHash = ""
		} else if current {
			t.State = Written
		}
	case current:
		t.State, t.NextAttempt, t.Code, t.Message = o.State, o.Next, o.Code, o.Message
		// A commit whose answer was lost is made again: the attempt counts once.
		if t.Attempts++; o.Attempt > 0 {
			t.Attempts = o.Attempt
		}
	}
	return schedule(tx, &old, &t)
}

// A Backlog counts what is queued, for health and the summary of a cycle.
type Backlog struct {
	Due, Parked, Dirty int
	NoPerson           int // touchpoints without a person, so without a record
	OldestDue          time.Time
}

// Backlog counts touchpoints that are due, parked or without a person, and visitors and persons to be resolved.
func (s *Store) Backlog() (b Backlog, err error) {
	err = s.view(func(tx kv.Tx) error {
		b = Backlog{Parked: count(tx, bParked), NoPerson: count(tx, bPersonless), Dirty: count(tx, bDirty) + count(tx, bPeopleDirty)}
		for k := range tx.Scan(kv.Range{Bucket: bDue, Keys: true}) {
			if b.Due == 0 {
				b.OldestDue = keyTime(k)
			}
			b.Due++
		}
		return nil
	})
	return b, err
}

func count(tx kv.Tx, b kv.Bucket) (n int) {
	for range tx.Scan(kv.Range{Bucket: b, Keys: true}) {
		n++
	}
	return n
}

// ParkedTouchpoints returns the touchpoints that Salesforce refuses.
func (s *Store) ParkedTouchpoints() (all []Touchpoint, err error) {
	err = s.view(func(tx kv.Tx) error {
		all = nil
		hintRows(tx, kv.Range{Bucket: bParked}, func(k []byte) []kv.Range { return touchpointKeys(k, true) })
		for k := range tx.Scan(kv.Range{Bucket: bParked}) {
			t, ok, err := readTouchpoint(tx, k)
			if err != nil {
				return err
			}
			if ok {
				all = append(all, t)
			}
		}
		return nil
	})
	return all, err
}
