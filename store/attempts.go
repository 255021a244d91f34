package store

import (
	"bytes"
	"context"
	"time"
)

// Due gives up to limit touchpoints whose time to be sent has come, oldest first.
func (s *Store) Due(now time.Time, limit int) (due []Touchpoint, err error) {
	err = s.view(func(tx *txn) error {
		return eachDueKey(tx, now, func(key []byte) (bool, error) {
			t, ok, err := readTouchpoint(tx, key)
			if ok && err == nil {
				due = append(due, t)
			}
			return len(due) < limit, err
		})
	})
	return due, err
}

// DueKeys is Due without reading what is due, and passes over what skip names.
func (s *Store) DueKeys(now time.Time, limit int, skip func(key string) bool) (keys []string, err error) {
	err = s.view(func(tx *txn) error {
		return eachDueKey(tx, now, func(k []byte) (bool, error) {
			if key := string(k); !skip(key) {
				keys = append(keys, key)
			}
			return len(keys) < limit, nil
		})
	})
	return keys, err
}

// eachDueKey calls fn with the keys of what is due, oldest first, until it returns false.
func eachDueKey(tx *txn, now time.Time, fn func(key []byte) (bool, error)) error {
	c := tx.Bucket(bDue).Cursor()
	for k, _ := c.First(); k != nil && !keyTime(k).After(now); k, _ = c.Next() {
		if more, err := fn(k[8:]); err != nil || !more {
			return err
		}
	}
	return nil
}

// ReleaseParked makes parked touchpoints due whose time has come, or that keys name.
func (s *Store) ReleaseParked(ctx context.Context, now time.Time, keys map[string]bool) (n int, err error) {
	var release [][]byte
	err = s.view(func(tx *txn) error {
		return tx.Bucket(bParked).ForEach(func(k, v []byte) error {
			if keys[string(k)] || !keyTime(v).After(now) {
				release = append(release, bytes.Clone(k))
			}
			return nil
		})
	})
	if err != nil || len(release) == 0 {
		return 0, err
	}
	err = s.update(ctx, func(tx *txn) error {
		n = 0
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

// Begin records that these touchpoints are about to be sent: from here on they may
// stand, and until the answer is recorded it is unknown with which content. That is a
// mark beside the record, because rewriting a thousand of them would be most of the cost.
// What is not to be sent any more as it was read is left alone, and its keys given back.
func (s *Store) Begin(ctx context.Context, sent []Touchpoint) (changed []string, err error) {
	err = s.update(ctx, func(tx *txn) error {
		changed = nil
		for _, t := range sent {
			key := []byte(t.Key)
			now, ok, err := loadTouchpoint(tx, key)
			if err != nil {
				return err
			}
			if waits := now.State == Pending || now.State == Retrying; !ok || !waits || now.Hash != t.Hash || now.Delete != t.Delete {
				changed = append(changed, t.Key)
				continue
			}
			if err := tx.Bucket(bSending).Put(key, []byte{1}); err != nil {
				return err
			}
		}
		return nil
	})
	return changed, err
}

// An Outcome is what became of one attempt.
type Outcome struct {
	Key      string
	Hash     string // of the content that was sent
	Delete   bool   // it was the deletion that was sent
	Gone     bool   // deleted in Salesforce, as it should be
	RecordID string
	Master   string // the person that the record is known to hang from
	Again    bool   // the record was written, and is not right yet: it stays due
	// State is Written, Retrying or Parked; for the latter two Next says when it is tried again.
	State         State
	Next          time.Time
	Code, Message string
}

// Finish records outcomes. Content that changed while it was on its way stays pending, and
// so does a deletion that was wanted meanwhile.
func (s *Store) Finish(ctx context.Context, now time.Time, all []Outcome) error {
	return s.update(ctx, func(tx *txn) error {
		for _, o := range all {
			if err := finish(tx, now, o); err != nil {
				return err
			}
		}
		return nil
	})
}

func finish(tx *txn, now time.Time, o Outcome) error {
	old, ok, err := loadTouchpoint(tx, []byte(o.Key))
	if err != nil || !ok {
		return err
	}
	if o.Gone && old.Delete && !old.Nobody {
		return dropTouchpoint(tx, &old)
	}
	t := old
	if o.Gone {
		// It is to be created anew, or there is nobody whom it could belong to.
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
		t.Attempts++
	}
	return schedule(tx, &old, &t)
}

// Backlog says what waits, for health and the summary of a cycle.
type Backlog struct {
	Due, Parked, Dirty int
	OldestDue          time.Time
}

// Backlog counts what waits.
func (s *Store) Backlog() (b Backlog, err error) {
	err = s.view(func(tx *txn) error {
		c := tx.Bucket(bDue).Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			if b.Due == 0 {
				b.OldestDue = keyTime(k)
			}
			b.Due++
		}
		c = tx.Bucket(bParked).Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			b.Parked++
		}
		c = tx.Bucket(bDirty).Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			b.Dirty++
		}
		return nil
	})
	return b, err
}

// ParkedTouchpoints lists what Salesforce refuses.
func (s *Store) ParkedTouchpoints() (all []Touchpoint, err error) {
	err = s.view(func(tx *txn) error {
		return tx.Bucket(bParked).ForEach(func(k, _ []byte) error {
			t, ok, err := readTouchpoint(tx, k)
			if ok && err == nil {
				all = append(all, t)
			}
			return err
		})
	})
	return all, err
}
