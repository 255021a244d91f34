package boltkv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// Compact writes the DB into a new file without free pages and continues with that one.
// Writes go on meanwhile; they wait only for the last few rows, the fsync and the rename.
// It returns the file's size before and after.
func (db *DB) Compact(ctx context.Context) (before, after int64, err error) {
	db.copying.Lock()
	defer db.copying.Unlock()
	if err := db.Replaceable(); err != nil {
		return 0, 0, fmt.Errorf("compact: %w", err)
	}
	if before, _, err = db.Size(); err != nil {
		return 0, 0, err
	}
	var old *bolt.DB
	err = db.copyTo(ctx, compacting(db.path), func(dst *bolt.DB) error {
		dst.NoSync = false
		if err := db.replaceBy(compacting(db.path)); err != nil {
			return errors.Join(err, dst.Close(), os.Remove(compacting(db.path)))
		}
		old = db.db.Swap(dst)
		if err := syncDir(filepath.Dir(db.path)); err != nil {
			// After a power cut the old file could be back, without what is written from now on.
			err = fmt.Errorf("store does not take writes: compact: %w; restart callpoint once the disk is well", err)
			db.fail(err)
			return err
		}
		return nil
	})
	if old != nil {
		// This waits for the readers of the old file; then its blocks are free.
		err = errors.Join(err, old.Close())
	}
	if err != nil {
		return before, before, fmt.Errorf("compact %s: %w", db.path, err)
	}
	after, _, err = db.Size()
	return before, after, err
}

// replaceBy renames a file over the open one, whose owner and mode it takes over. Its caller
// runs between two transactions.
func (db *DB) replaceBy(name string) error {
	if err := db.inPlace(); err != nil {
		return err // a file that somebody put there must not be overwritten
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	old, err := os.Stat(db.path)
	if err != nil {
		return err
	}
	if err := KeepOwner(name, old); err != nil {
		return err
	}
	fi, err := os.Lstat(name)
	if err != nil {
		return err
	}
	if err := os.Rename(name, db.path); err != nil {
		return err
	}
	db.file = fi
	return nil
}

// Compaction pays when much of the file, and not just little of a small one, is free.
const (
	paysShare = 0.3
	paysBytes = 16 << 20
)

// CompactionPays reports whether Compact would give back much space.
func (db *DB) CompactionPays() (bool, error) {
	file, used, err := db.Size()
	if err != nil {
		return false, err
	}
	// The file grows in steps: space beyond the last page is not counted.
	var end int64
	err = db.view(func(t *tx) error { end = t.Size(); return nil })
	free := min(file, end) - used
	return free > paysBytes && float64(free) > paysShare*float64(end), err
}

// Backup writes a consistent copy of the file to w while the DB is in use. The copy is made
// beside the file first, so that a slow w delays nobody.
func (db *DB) Backup(ctx context.Context, w io.Writer) (n int64, err error) {
	db.copying.Lock()
	defer db.copying.Unlock()
	name := backingUp(db.path)
	var copied *bolt.DB
	err = db.copyTo(ctx, name, func(dst *bolt.DB) error {
		copied = dst
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("back up %s: %w", db.path, err)
	}
	err = copied.View(func(t *bolt.Tx) error {
		n, err = t.WriteTo(w)
		return err
	})
	return n, errors.Join(err, copied.Close(), os.Remove(name))
}

// Structure verifies every page of the file. It returns one sentence for each thing that is
// wrong. Writes go on meanwhile; compaction and backup wait.
func (db *DB) Structure(ctx context.Context) (problems []string, err error) {
	db.copying.Lock() // the file keeps its name
	defer db.copying.Unlock()
	if err := db.between(ctx, db.inPlace); err != nil {
		return nil, err
	}
	f, err := os.Open(db.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return db.structure(ctx, f)
}

func (db *DB) structure(ctx context.Context, f io.ReaderAt) (problems []string, err error) {
	var b *bolt.Tx
	var m meta
	// Between two transactions, because the meta page of this one is overwritten soon. The
	// read transaction keeps its pages from being used again.
	err = db.between(ctx, func() error {
		b, err = db.db.Load().Begin(false)
		m = readMeta(f)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer b.Rollback() //nolint:errcheck // a read transaction
	newWalk(f, m, func(format string, args ...any) {
		if len(problems) < maxProblems {
			problems = append(problems, fmt.Sprintf("structure: "+format, args...))
		}
	}).all()
	return problems, nil
}

// maxProblems bounds the list that Structure returns.
const maxProblems = 100
