package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"time"

	"callpoint/mapping"
)

// State is where a touchpoint stands on its way to Salesforce.
type State string

const (
	Pending   State = "pending"   // to be sent
	Written   State = "written"   // stands in Salesforce as it should
	Unchanged State = "unchanged" // resolved again, with the same content: not sent
	Retrying  State = "retrying"  // an attempt failed for a while
	Parked    State = "parked"    // Salesforce refuses the content
)

// CallKey is the external id of a call's touchpoint.
func CallKey(taskID string) string { return "callpoint_" + taskID }

// A Touchpoint is one record of the org: as it should stand, and what is known of
// what stands. It differs from mapping.Touchpoint: this one is kept.
type Touchpoint struct {
	Key     string         `json:"key"`
	TaskID  string         `json:"task_id,omitempty"`
	Journey string         `json:"journey"`
	Who     string         `json:"who,omitempty"`
	Values  map[string]any `json:"values"`
	// PersonField is the field that takes the link to the person of Who; empty for none.
	PersonField string `json:"person_field,omitempty"`
	Hash        string `json:"hash"`
	// Frozen: its visitor was forgotten. The record in Salesforce stays as it is, and what
	// it says is not kept here.
	Frozen bool `json:"frozen,omitempty"`
	Delete bool `json:"delete,omitempty"` // its basis went: to be deleted
	// Session is the basis of a journey record; nil for a call's.
	Session *mapping.Session `json:"session,omitempty"`

	// Retracted: its record was taken back. Nothing is written until Restore.
	Retracted bool `json:"retracted,omitempty"`

	State       State     `json:"state"`
	WrittenHash string    `json:"written_hash,omitempty"`
	WrittenAt   time.Time `json:"written_at,omitzero"`
	RecordID    string    `json:"record_id,omitempty"` // the record's id in Salesforce
	Sent        bool      `json:"sent,omitempty"`      // it may stand there, whatever is known
	Attempts    int       `json:"attempts,omitempty"`  // since the content changed
	NextAttempt time.Time `json:"next_attempt,omitzero"`
	Code        string    `json:"code,omitempty"` // Salesforce's last refusal
	Message     string    `json:"message,omitempty"`
}

// kept is a Touchpoint whose values stay as they are stored. Most changes are to its
// state alone, and decoding the values would be most of their cost.
type kept struct {
	Touchpoint
	Values json.RawMessage `json:"values"`
}

// MayStand reports whether the org may hold a record of this key.
func (t *Touchpoint) MayStand() bool { return t.Sent || t.RecordID != "" }

// desired turns what should stand into a record to keep.
func desired(journey string, m mapping.Touchpoint) (Touchpoint, error) {
	t := Touchpoint{Key: m.Key, TaskID: m.TaskID, Journey: journey, Who: m.Who, Session: m.Session, Values: maps.Clone(m.Values)}
	for field, v := range t.Values {
		if _, ok := v.(mapping.PersonRef); ok {
			t.PersonField = field
			delete(t.Values, field)
		}
	}
	b, err := json.Marshal([]any{t.Values, t.PersonField, t.Who})
	if err != nil {
		return t, err
	}
	sum := sha256.Sum256(b)
	t.Hash = hex.EncodeToString(sum[:16])
	return t, nil
}

// A Resolved journey is what follows from a Journey that was read.
type Resolved struct {
	Journey Journey
	Result  mapping.Result
}

// Commit stores resolutions and the touchpoints that follow from them, in one
// transaction. A journey that changed since it was read is left dirty and skipped.
// It returns how many touchpoints came out with the content that stands already.
func (s *Store) Commit(ctx context.Context, now time.Time, all []Resolved) (unchanged int, err error) {
	err = s.update(ctx, func(tx *txn) error {
		unchanged = 0
		for i := range all {
			n, err := commitJourney(tx, now, &all[i])
			if err != nil {
				return err
			}
			unchanged += n
		}
		return nil
	})
	return unchanged, err
}

func commitJourney(tx *txn, now time.Time, r *Resolved) (unchanged int, err error) {
	key := []byte(r.Journey.Key)
	mark := tx.Bucket(bDirty).Get(key)
	if mark == nil || !bytes.Equal(mark, generation(r.Journey.Generation)) {
		return 0, nil
	}
	if err := commitCalls(tx, now, r); err != nil {
		return 0, err
	}
	if unchanged, err = commitTouchpoints(tx, now, r); err != nil {
		return 0, err
	}
	if !r.Result.Wake.IsZero() {
		if err := tx.Bucket(bWake).Put(append(timeKey(r.Result.Wake), key...), nil); err != nil {
			return 0, err
		}
	}
	return unchanged, tx.Bucket(bDirty).Delete(key)
}

func commitCalls(tx *txn, now time.Time, r *Resolved) error {
	for i, res := range r.Result.Calls {
		c := r.Journey.Calls[i]
		c.Resolution, c.Snapshot, c.ResolvedAt = res, res.Snapshot, now
		c.Resolution.Snapshot = nil
		if c.Forgotten {
			c.Snapshot, c.Resolution.Detail = nil, forgottenDetail
		}
		if err := put(tx.Bucket(bCalls), []byte(c.TaskID), c); err != nil {
			return err
		}
	}
	return nil
}

func commitTouchpoints(tx *txn, now time.Time, r *Resolved) (unchanged int, err error) {
	stays := map[string]bool{}
	for _, c := range r.Journey.Calls {
		if c.Forgotten {
			stays[CallKey(c.TaskID)] = true
		}
	}
	for _, m := range r.Result.Touchpoints {
		if stays[m.Key] {
			continue
		}
		stays[m.Key] = true
		t, err := desired(r.Journey.Key, m)
		if err != nil {
			return 0, err
		}
		same, err := want(tx, now, t)
		if err != nil {
			return 0, err
		}
		if same {
			unchanged++
		}
	}
	for _, k := range r.Result.Retract {
		if stays[k] {
			continue
		}
		stays[k] = true
		if err := unwant(tx, now, k); err != nil {
			return 0, err
		}
	}
	for k, t := range r.Journey.Touchpoints {
		// One that was never sent goes without a trace; one that may stand is kept as it is.
		if !stays[k] && !t.MayStand() {
			if err := dropTouchpoint(tx, &t); err != nil {
				return 0, err
			}
		}
	}
	return unchanged, nil
}

// want makes t what should stand under its key. Equal content is not sent again.
func want(tx *txn, now time.Time, t Touchpoint) (same bool, err error) {
	var old kept
	known, err := get(tx.Bucket(bTouchpoints), []byte(t.Key), &old)
	if err != nil {
		return false, err
	}
	if known && old.Hash == t.Hash && !old.Delete {
		if old.State == Written {
			old.State = Unchanged
			return true, put(tx.Bucket(bTouchpoints), []byte(t.Key), old)
		}
		return old.State == Unchanged, nil
	}
	t.WrittenHash, t.WrittenAt, t.RecordID, t.Sent = old.WrittenHash, old.WrittenAt, old.RecordID, old.Sent
	if t.TaskID == "" {
		if err := tx.Bucket(bOwned).Put(prefixed(t.Journey, []byte(t.Key)), nil); err != nil {
			return false, err
		}
	}
	t.State, t.NextAttempt = Pending, now
	// It went back to what stands before the change was sent.
	if t.Retracted = old.Retracted; t.Retracted || t.WrittenHash == t.Hash && !old.Delete {
		t.State = Unchanged
	}
	return t.State == Unchanged, schedule(tx, &old.Touchpoint, &t)
}

// unwant marks a record that may stand for deletion.
func unwant(tx *txn, now time.Time, key string) error {
	var old Touchpoint
	ok, err := get(tx.Bucket(bTouchpoints), []byte(key), &old)
	if err != nil || !ok || old.Delete {
		return err
	}
	if !old.MayStand() {
		return dropTouchpoint(tx, &old)
	}
	t := old
	t.Delete, t.State, t.NextAttempt, t.Attempts, t.Code, t.Message = true, Pending, now, 0, "", ""
	return schedule(tx, &old, &t)
}

// schedule stores t in place of old and keeps the due and parked indexes in step.
func schedule(tx *txn, old, t *Touchpoint) error {
	if err := reindex(tx, old, t); err != nil {
		return err
	}
	return put(tx.Bucket(bTouchpoints), []byte(t.Key), t)
}

// scheduleKept is schedule for a change that leaves the values alone.
func scheduleKept(tx *txn, old *Touchpoint, t *kept) error {
	if err := reindex(tx, old, &t.Touchpoint); err != nil {
		return err
	}
	return put(tx.Bucket(bTouchpoints), []byte(t.Key), t)
}

func reindex(tx *txn, old, t *Touchpoint) error {
	if err := unschedule(tx, old); err != nil {
		return err
	}
	switch t.State {
	case Pending, Retrying:
		return tx.Bucket(bDue).Put(append(timeKey(t.NextAttempt), t.Key...), nil)
	case Parked:
		return tx.Bucket(bParked).Put([]byte(t.Key), timeKey(t.NextAttempt))
	}
	t.NextAttempt = time.Time{}
	return nil
}

func unschedule(tx *txn, t *Touchpoint) error {
	if t.Key == "" {
		return nil
	}
	if err := tx.Bucket(bParked).Delete([]byte(t.Key)); err != nil {
		return err
	}
	return tx.Bucket(bDue).Delete(append(timeKey(t.NextAttempt), t.Key...))
}

func dropTouchpoint(tx *txn, t *Touchpoint) error {
	if err := unschedule(tx, t); err != nil {
		return err
	}
	if err := tx.Bucket(bOwned).Delete(prefixed(t.Journey, []byte(t.Key))); err != nil {
		return err
	}
	return tx.Bucket(bTouchpoints).Delete([]byte(t.Key))
}

// Due gives up to limit touchpoints whose time to be sent has come, oldest first.
func (s *Store) Due(now time.Time, limit int) (due []Touchpoint, err error) {
	err = s.view(func(tx *txn) error {
		c := tx.Bucket(bDue).Cursor()
		for k, _ := c.First(); k != nil && len(due) < limit && !keyTime(k).After(now); k, _ = c.Next() {
			var t Touchpoint
			ok, err := get(tx.Bucket(bTouchpoints), k[8:], &t)
			if err != nil {
				return err
			}
			if ok {
				due = append(due, t)
			}
		}
		return nil
	})
	return due, err
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
			var old Touchpoint
			if ok, err := get(tx.Bucket(bTouchpoints), k, &old); err != nil || !ok || old.State != Parked {
				if err != nil {
					return err
				}
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
// stand, and until the answer is recorded it is unknown with which content.
func (s *Store) Begin(ctx context.Context, sent []Touchpoint) error {
	return s.update(ctx, func(tx *txn) error {
		for _, t := range sent {
			var now kept
			ok, err := get(tx.Bucket(bTouchpoints), []byte(t.Key), &now)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			now.Sent, now.WrittenHash = true, ""
			if err := put(tx.Bucket(bTouchpoints), []byte(t.Key), now); err != nil {
				return err
			}
		}
		return nil
	})
}

// An Outcome is what became of one attempt.
type Outcome struct {
	Key      string
	Hash     string // of the content that was sent
	Gone     bool   // deleted in Salesforce, as it should be
	RecordID string
	// State is Written, Retrying or Parked; for the latter two Next says when it is tried again.
	State         State
	Next          time.Time
	Code, Message string
}

// Finish records outcomes. Content that changed while it was on its way stays pending.
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
	var old kept
	ok, err := get(tx.Bucket(bTouchpoints), []byte(o.Key), &old)
	if err != nil || !ok {
		return err
	}
	if o.Gone && old.Delete {
		return dropTouchpoint(tx, &old.Touchpoint)
	}
	t := old
	if o.Gone {
		// It was wanted again while the deletion was on its way: it is pending as a new record.
		t.RecordID, t.WrittenHash = "", ""
		return scheduleKept(tx, &old.Touchpoint, &t)
	}
	if o.RecordID != "" {
		t.RecordID = o.RecordID
	}
	current := old.Hash == o.Hash
	switch {
	case o.State == Written:
		t.WrittenHash, t.WrittenAt, t.Attempts, t.Code, t.Message = o.Hash, now, 0, "", ""
		if current && !old.Delete {
			t.State = Written
		}
	case current:
		t.State, t.NextAttempt, t.Code, t.Message = o.State, o.Next, o.Code, o.Message
		t.Attempts++
	}
	return scheduleKept(tx, &old.Touchpoint, &t)
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
			var t Touchpoint
			ok, err := get(tx.Bucket(bTouchpoints), k, &t)
			if ok && err == nil {
				all = append(all, t)
			}
			return err
		})
	})
	return all, err
}
