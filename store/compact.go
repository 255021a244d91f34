package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Compact writes the store into a new file without its free pages and goes on with that
// one. Writes go on meanwhile; they wait only for the last few rows, the fsync and the
// rename. It returns the file's size before and after.
func (s *Store) Compact(ctx context.Context) (before, after int64, err error) {
	s.copying.Lock()
	defer s.copying.Unlock()
	mark, _, err := s.eraseStrays(ctx)
	if err != nil {
		return 0, 0, err
	}
	return s.compact(ctx, mark)
}

// compact takes the bytes of visitors erased up to mark out of the file, too. The caller
// holds s.copying.
func (s *Store) compact(ctx context.Context, mark time.Time) (before, after int64, err error) {
	if before, _, err = s.Size(); err != nil {
		return 0, 0, err
	}
	var old *bolt.DB
	err = s.copyTo(ctx, compacting(s.path), func(dst *bolt.DB) error {
		dst.NoSync = false
		if err := os.Rename(compacting(s.path), s.path); err != nil {
			return errors.Join(err, dst.Close(), os.Remove(compacting(s.path)))
		}
		old = s.db.Swap(dst)
		if err := syncDir(filepath.Dir(s.path)); err != nil {
			// After a power cut the old file could be back, without what is written from now on.
			s.mu.Lock()
			s.failed = fmt.Errorf("compact: %w; restart callpoint once the disk is well", err)
			s.mu.Unlock()
			return err
		}
		return nil
	})
	if old != nil {
		// This waits for the readers that still look at it; then its blocks are free.
		err = errors.Join(err, old.Close())
	}
	if err != nil {
		return before, before, fmt.Errorf("compact %s: %w", s.path, err)
	}
	if err := s.erasureDone(ctx, mark); err != nil {
		return before, before, err
	}
	after, _, err = s.Size()
	return before, after, err
}

// Compaction pays when much of the file, and not just little of a small one, is free.
const (
	paysShare = 0.3
	paysBytes = 16 << 20
)

// CompactionPays reports whether Compact would give back much space, or has yet to take
// erased data out of the file.
func (s *Store) CompactionPays() (bool, error) {
	if pending, err := s.ErasurePending(); err != nil || pending {
		return true, err
	}
	file, used, err := s.Size()
	if err != nil {
		return false, err
	}
	// Growth comes in steps: what lies beyond the last page is no loss.
	var end int64
	err = s.view(func(tx *txn) error { end = tx.Size(); return nil })
	free := min(file, end) - used
	return free > paysBytes && float64(free) > paysShare*float64(end), err
}

// Backup writes a consistent copy of the store to w while it is in use. The copy is made
// beside the store first, so that a slow w holds up nobody.
func (s *Store) Backup(ctx context.Context, w io.Writer) (n int64, err error) {
	s.copying.Lock()
	defer s.copying.Unlock()
	name := backingUp(s.path)
	var copied *bolt.DB
	err = s.copyTo(ctx, name, func(dst *bolt.DB) error {
		copied = dst
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("back up %s: %w", s.path, err)
	}
	err = copied.View(func(tx *bolt.Tx) error {
		n, err = tx.WriteTo(w)
		return err
	})
	return n, errors.Join(err, copied.Close(), os.Remove(name))
}

// A BackupNote remembers where a copy of the store went, and when.
type BackupNote struct {
	Path string    `json:"path"`
	At   time.Time `json:"at"`
}

// NoteBackup remembers a backup; one of the same path takes the place of the earlier.
func (s *Store) NoteBackup(ctx context.Context, note BackupNote) error {
	return s.update(ctx, func(tx *txn) error {
		var all, kept []BackupNote
		meta := tx.Bucket(bMeta)
		if _, err := get(meta, []byte("backups"), &all); err != nil {
			return err
		}
		for _, b := range all {
			if b.Path != note.Path {
				kept = append(kept, b)
			}
		}
		return put(meta, []byte("backups"), append(kept, note))
	})
}

// Backups lists the backups that were made of this store, oldest first.
func (s *Store) Backups() (all []BackupNote, err error) {
	_, err = s.State("backups", &all)
	return all, err
}
