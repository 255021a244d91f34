package store

import (
	"context"
	"time"
)

// A Reason is what a Task in Salesforce is to say of its call, and what is known of
// what it says.
type Reason struct {
	TaskID    string    `json:"task_id"`
	Field     string    `json:"field"`
	Want      string    `json:"want"`
	Written   string    `json:"written,omitempty"` // empty: nothing was written to this field
	WrittenAt time.Time `json:"written_at,omitzero"`

	// Of what could not be written yet.
	Attempts int       `json:"attempts,omitempty"`
	Next     time.Time `json:"next,omitzero"`
	Code     string    `json:"code,omitempty"` // Salesforce's last refusal
	Message  string    `json:"message,omitempty"`
}

// waits reports whether the Task does not say what it should.
func (r *Reason) waits() bool { return r.Want != r.Written }

// WantReasons notes what Tasks are to say in a field, by Task id. A Task that says so
// already, or waits to, is left alone; an empty value says that it shall keep what it has.
func (s *Store) WantReasons(ctx context.Context, now time.Time, field string, want map[string]string) error {
	changed := map[string]*Reason{} // nil: to be dropped
	err := s.view(func(tx *txn) error {
		for id, value := range want {
			var r Reason
			known, err := get(tx.Bucket(bReasons), []byte(id), &r)
			switch {
			case err != nil:
				return err
			case value == "" && known:
				changed[id] = nil
			case value == "" || known && r.Field == field && r.Want == value:
			case known && r.Field == field:
				changed[id] = &Reason{TaskID: id, Field: field, Want: value, Written: r.Written, WrittenAt: r.WrittenAt, Next: now}
			default:
				changed[id] = &Reason{TaskID: id, Field: field, Want: value, Next: now}
			}
		}
		return nil
	})
	if err != nil || len(changed) == 0 {
		return err
	}
	return s.update(ctx, func(tx *txn) error {
		for id, r := range changed {
			if err := putReason(tx, id, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// putReason stores a reason, or drops it where r is nil, and keeps the index of those
// that wait.
func putReason(tx *txn, id string, r *Reason) error {
	var old Reason
	b, index := tx.Bucket(bReasons), tx.Bucket(bUntold)
	known, err := get(b, []byte(id), &old)
	if err != nil {
		return err
	}
	if known && old.waits() {
		if err := index.Delete(append(timeKey(old.Next), id...)); err != nil {
			return err
		}
	}
	if r == nil {
		return b.Delete([]byte(id))
	}
	if r.waits() {
		if err := index.Put(append(timeKey(r.Next), id...), nil); err != nil {
			return err
		}
	}
	return put(b, []byte(id), r)
}

// DueReasons gives up to limit reasons that are to be written by now, the oldest first.
func (s *Store) DueReasons(now time.Time, limit int) (due []Reason, err error) {
	err = s.view(func(tx *txn) error {
		c := tx.Bucket(bUntold).Cursor()
		for k, _ := c.First(); k != nil && len(due) < limit && !keyTime(k).After(now); k, _ = c.Next() {
			var r Reason
			if _, err := get(tx.Bucket(bReasons), k[8:], &r); err != nil {
				return err
			}
			due = append(due, r)
		}
		return nil
	})
	return due, err
}

// FinishReasons stores what became of reasons that were sent: Written, or the refusal
// with the time of the next attempt.
func (s *Store) FinishReasons(ctx context.Context, all []Reason) error {
	return s.update(ctx, func(tx *txn) error {
		for i := range all {
			if err := putReason(tx, all[i].TaskID, &all[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// ReleaseReasons makes every reason due that waits for a later attempt, because what it
// was refused for may have changed.
func (s *Store) ReleaseReasons(ctx context.Context, now time.Time) error {
	for {
		later, err := s.laterReasons(now, releaseBatch)
		if err != nil || len(later) == 0 {
			return err
		}
		for i := range later {
			later[i].Next = now
		}
		if err := s.FinishReasons(ctx, later); err != nil {
			return err
		}
	}
}

func (s *Store) laterReasons(now time.Time, limit int) (later []Reason, err error) {
	err = s.view(func(tx *txn) error {
		c := tx.Bucket(bUntold).Cursor()
		for k, _ := c.Seek(timeKey(now.Add(time.Millisecond))); k != nil && len(later) < limit; k, _ = c.Next() {
			var r Reason
			if _, err := get(tx.Bucket(bReasons), k[8:], &r); err != nil {
				return err
			}
			later = append(later, r)
		}
		return nil
	})
	return later, err
}

// Reason tells what a Task is to say of its call; nil where nothing was ever wanted.
func (s *Store) Reason(taskID string) (r *Reason, err error) {
	err = s.view(func(tx *txn) error {
		var found Reason
		ok, err := get(tx.Bucket(bReasons), []byte(taskID), &found)
		if ok {
			r = &found
		}
		return err
	})
	return r, err
}
