package store

import (
	"context"
	"fmt"

	"callpoint/store/kv"
)

// FilterStored returns those of the Task ids that are stored as calls.
func (s *Store) FilterStored(taskIDs []string) (known []string, err error) {
	err = s.view(func(tx kv.Tx) error {
		known = nil
		hintKeys(tx, bCalls, taskIDs)
		for _, id := range taskIDs {
			if tx.Get(bCalls, []byte(id)) != nil {
				known = append(known, id)
			}
		}
		return nil
	})
	return known, err
}

// EachTaskID calls fn with the ids of all calls whose Task is not known to be deleted, a
// page of them at a time. It reads each page in a transaction.
func (s *Store) EachTaskID(fn func(ids []string) error) error {
	const pageSize = 2500
	return eachPage(s.view, func(tx kv.Tx, from []byte) (ids []string, next []byte, err error) {
		n := 0
		for k, v := range tx.Scan(kv.Range{Bucket: bCalls, From: from, Limit: pageSize}) {
			call, err := openCall(k, v)
			if err != nil {
				return nil, nil, err
			}
			if !call.Deleted {
				ids = append(ids, string(k))
			}
			if n++; n == pageSize {
				next = pastKey(k)
			}
		}
		return ids, next, nil
	}, func(ids []string) error {
		if len(ids) == 0 {
			return nil
		}
		return fn(ids)
	})
}

// ApplyCalls stores Tasks that were read by their ids, as ApplyTasks does, without moving
// the cursor.
func (s *Store) ApplyCalls(ctx context.Context, read []Call) (changed int, err error) {
	err = s.update(ctx, func(tx kv.Tx) error {
		changed = 0
		hintTasks(tx, read)
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

// CountChanged returns how many of the Tasks ApplyCalls would change.
func (s *Store) CountChanged(read []Call) (n int, err error) {
	err = s.view(func(tx kv.Tx) error {
		n = 0
		if kv.Remote(tx) {
			var ids []string
			for _, c := range read {
				ids = append(ids, c.TaskID)
			}
			hintKeys(tx, bCalls, ids)
		}
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

// MarkDeleted records that the org no longer has these Tasks, not even in its recycle bin.
func (s *Store) MarkDeleted(ctx context.Context, taskIDs []string) (changed int, err error) {
	err = s.update(ctx, func(tx kv.Tx) error {
		changed = 0
		hintKeys(tx, bCalls, taskIDs)
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
