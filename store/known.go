package store

import (
	"bytes"
	"context"
	"fmt"
)

// Known gives those of the Task ids that are stored as calls.
func (s *Store) Known(taskIDs []string) (known []string, err error) {
	err = s.view(func(tx *txn) error {
		for _, id := range taskIDs {
			if tx.Bucket(bCalls).Get([]byte(id)) != nil {
				known = append(known, id)
			}
		}
		return nil
	})
	return known, err
}

// EachTaskID visits the ids of all calls whose Task is not known to be deleted, some at
// a time, in short transactions.
func (s *Store) EachTaskID(fn func(ids []string) error) error {
	const atOnce = 2500
	var from []byte
	for done := false; !done; {
		var ids []string
		err := s.view(func(tx *txn) error {
			c := tx.Bucket(bCalls).Cursor()
			k, v := c.Seek(from)
			for ; k != nil && len(ids) < atOnce; k, v = c.Next() {
				call, err := openCall(k, v)
				if err != nil {
					return err
				}
				if !call.Deleted {
					ids = append(ids, string(k))
				}
				from = append(bytes.Clone(k), 0)
			}
			done = k == nil
			return nil
		})
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			continue
		}
		if err := fn(ids); err != nil {
			return err
		}
	}
	return nil
}

// ApplyCalls stores Tasks that were read by their ids, as ApplyTasks does, and leaves
// the cursor alone.
func (s *Store) ApplyCalls(ctx context.Context, read []Call) (changed int, err error) {
	err = s.update(ctx, func(tx *txn) error {
		changed = 0
		for i := range read {
			ok, err := applyTask(tx, &read[i])
			if err != nil {
				return fmt.Errorf("task %s: %w", read[i].TaskID, err)
			}
			if ok {
				changed++
			}
		}
		return nil
	})
	return changed, err
}

// Differ counts those of the Tasks that ApplyCalls would change.
func (s *Store) Differ(read []Call) (n int, err error) {
	err = s.view(func(tx *txn) error {
		for _, c := range read {
			old, ok, err := loadCall(tx, []byte(c.TaskID))
			if err != nil {
				return err
			}
			if !ok || old.Hash != c.Hash {
				n++
			}
		}
		return nil
	})
	return n, err
}

// MarkDeleted notes that the org holds these Tasks no more, not even in its recycle bin.
func (s *Store) MarkDeleted(ctx context.Context, taskIDs []string) (changed int, err error) {
	err = s.update(ctx, func(tx *txn) error {
		changed = 0
		for _, id := range taskIDs {
			c, ok, err := loadCall(tx, []byte(id))
			if err != nil {
				return err
			}
			if !ok || c.Deleted {
				continue
			}
			c.Deleted = true
			c.Hash = "purged" // no row of the org has it: should the Task come back, it differs
			if _, err := applyTask(tx, &c); err != nil {
				return err
			}
			changed++
		}
		return nil
	})
	return changed, err
}
