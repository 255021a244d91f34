package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"callpoint/store/kv"
)

// A Reason is the desired value of a Task's reason field, and what is known of the value
// that was written.
type Reason struct {
	TaskID    string    `json:"task_id"`
	Field     string    `json:"field"`
	Want      string    `json:"want"`
	Written   string    `json:"written,omitempty"` // empty: nothing was written to this field
	WrittenAt time.Time `json:"written_at,omitzero"`

	// These are of a value that could not be written yet.
	Attempts int       `json:"attempts,omitempty"`
	Next     time.Time `json:"next,omitzero"`
	Code     string    `json:"code,omitempty"` // Salesforce's last refusal
	Message  string    `json:"message,omitempty"`
}

// pending reports whether the desired value is not written yet.
func (r *Reason) pending() bool { return r.Want != r.Written }

// WantReasons sets the desired values of a field, by Task id. A Task that has the value
// already, or is queued for it, is skipped; an empty value keeps what the Task has.
func (s *Store) WantReasons(ctx context.Context, now time.Time, field string, want map[string]string) error {
	changed := map[string]*Reason{} // nil: to be dropped
	err := s.view(func(tx kv.Tx) error {
		clear(changed)
		if kv.Remote(tx) {
			hintKeys(tx, bReasons, slices.Collect(maps.Keys(want)))
		}
		for id, value := range want {
			var r Reason
			known, err := get(tx, bReasons, []byte(id), &r)
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
	return s.update(ctx, func(tx kv.Tx) error {
		if kv.Remote(tx) {
			hintKeys(tx, bReasons, slices.Collect(maps.Keys(changed)))
		}
		for id, r := range changed {
			if err := putReason(tx, id, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// putReason stores a reason, or drops it if r is nil, and updates the index of those that
// are due.
func putReason(tx kv.Tx, id string, r *Reason) error {
	var old Reason
	known, err := get(tx, bReasons, []byte(id), &old)
	if err != nil {
		return err
	}
	if known && old.pending() {
		if err := tx.Delete(bReasonsDue, append(timeKey(old.Next), id...)); err != nil {
			return err
		}
	}
	if r == nil {
		return tx.Delete(bReasons, []byte(id))
	}
	if r.pending() {
		if err := tx.Put(bReasonsDue, append(timeKey(r.Next), id...), nil); err != nil {
			return err
		}
	}
	return put(tx, bReasons, []byte(id), r)
}

// DueReasons returns up to limit reasons that are due by now, oldest first.
func (s *Store) DueReasons(now time.Time, limit int) (due []Reason, err error) {
	return s.reasons(upTo(bReasonsDue, now), limit)
}

// reasons reads up to limit reasons by a range of their index.
func (s *Store) reasons(r kv.Range, limit int) (all []Reason, err error) {
	r.Limit = limit
	err = s.view(func(tx kv.Tx) error {
		all = nil
		hintRows(tx, r, func(k []byte) []kv.Range { return []kv.Range{kv.Key(bReasons, k[8:])} })
		for k := range tx.Scan(r) {
			var r Reason
			if _, err := get(tx, bReasons, k[8:], &r); err != nil {
				return err
			}
			all = append(all, r)
		}
		return nil
	})
	return all, err
}

// FinishReasons stores the results of reasons that were sent: Written, or the refusal
// with the time of the next attempt.
func (s *Store) FinishReasons(ctx context.Context, all []Reason) error {
	return s.update(ctx, func(tx kv.Tx) error {
		if kv.Remote(tx) {
			var ids []string
			for i := range all {
				ids = append(ids, all[i].TaskID)
			}
			hintKeys(tx, bReasons, ids)
		}
		for i := range all {
			if err := putReason(tx, all[i].TaskID, &all[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// MakeReasonsDue makes every reason due now that has a later attempt, because the cause of
// its refusal may be gone.
func (s *Store) MakeReasonsDue(ctx context.Context, now time.Time) error {
	for {
		all, err := s.reasons(later(bReasonsDue, now), updateBatch)
		if err != nil || len(all) == 0 {
			return err
		}
		for i := range all {
			all[i].Next = now
		}
		if err := s.FinishReasons(ctx, all); err != nil {
			return err
		}
	}
}

// Reason returns the reason of a Task; nil if none was ever set.
func (s *Store) Reason(taskID string) (r *Reason, err error) {
	err = s.view(func(tx kv.Tx) error {
		var found Reason
		ok, err := get(tx, bReasons, []byte(taskID), &found)
		if ok {
			r = &found
		}
		return err
	})
	return r, err
}
