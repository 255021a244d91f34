package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"callpoint/store/kv"
)

// ErrElsewhere is the error of maintenance that the engine of the store leaves to others.
var ErrElsewhere = errors.New("this is for a store in a file")

// A file is an engine that keeps the store in one file.
type file interface {
	Replaceable() error
	Compact(ctx context.Context) (before, after int64, err error)
	CompactionPays() (bool, error)
	Backup(ctx context.Context, w io.Writer) (n int64, err error)
}

// Compact completes erasures, writes the store into a new file without free pages and
// continues with that one. Writes go on meanwhile; they wait only for the last few rows, the
// fsync and the rename. It returns the file's size before and after.
func (s *Store) Compact(ctx context.Context) (before, after int64, err error) {
	if _, ok := s.db.(file); !ok {
		return 0, 0, fmt.Errorf("compact %s: %w; PostgreSQL uses the space of deleted rows again by itself", s.Path(), ErrElsewhere)
	}
	s.tidy.Lock()
	defer s.tidy.Unlock()
	before, after, _, err = s.compact(ctx)
	return before, after, err
}

// compact returns also how many touchpoints it erased. The caller holds s.tidy.
func (s *Store) compact(ctx context.Context) (before, after int64, strays int, err error) {
	erasedAt, strays, err := s.eraseStrays(ctx)
	if err != nil {
		return 0, 0, strays, err
	}
	f, ok := s.db.(file)
	if !ok { // the bytes of a deleted row are the database's to overwrite
		return 0, 0, strays, s.erasureDone(ctx, erasedAt)
	}
	if before, after, err = f.Compact(ctx); err != nil {
		return before, before, strays, err
	}
	return before, after, strays, s.erasureDone(ctx, erasedAt)
}

// CompactionPays reports whether Compact would give back much space, or has yet to remove
// erased data from the file.
func (s *Store) CompactionPays() (bool, error) {
	f, ok := s.db.(file)
	if !ok {
		return false, nil
	}
	if pending, err := s.ErasurePending(); err != nil || pending {
		return true, err
	}
	return f.CompactionPays()
}

// Backup writes a consistent copy of the store to w while it is in use.
func (s *Store) Backup(ctx context.Context, w io.Writer) (n int64, err error) {
	f, ok := s.db.(file)
	if !ok {
		return 0, fmt.Errorf("back up %s: %w; back up a database with pg_dump, or by the snapshots of its provider", s.Path(), ErrElsewhere)
	}
	return f.Backup(ctx, w)
}

// A BackupNote is where a copy of the store was written, and when.
type BackupNote struct {
	Path string    `json:"path"`
	At   time.Time `json:"at"`
}

// NoteBackup records a backup; it replaces an earlier one of the same path.
func (s *Store) NoteBackup(ctx context.Context, note BackupNote) error {
	return s.update(ctx, func(tx kv.Tx) error {
		var all, kept []BackupNote
		if _, err := get(tx, bMeta, []byte("backups"), &all); err != nil {
			return err
		}
		for _, b := range all {
			if b.Path != note.Path {
				kept = append(kept, b)
			}
		}
		return put(tx, bMeta, []byte("backups"), append(kept, note))
	})
}

// Backups returns the backups that were made of this store, oldest first.
func (s *Store) Backups() (all []BackupNote, err error) {
	_, err = s.State("backups", &all)
	return all, err
}
