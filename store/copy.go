package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A copy of the file, for Compact and Backup, is made beside the writer and without a
// long read transaction, which would keep every page that is freed meanwhile from being
// used again:
//
//  1. From a point between two transactions on, the writer notes the keys that it touches.
//  2. Bucket after bucket is copied in read transactions of a few MiB. Each sees another
//     state; what changes behind the copy's back is among the keys noted.
//  3. The keys noted are copied again, as often as there are many of them.
//  4. Between two transactions the last few are copied: now both files say the same.

// copyChunk bounds one read transaction of a copy, copyTail what is copied while the
// writer waits.
const (
	copyChunk = 4 << 20
	copyTail  = 1000
)

func compacting(path string) string { return path + ".compact" }
func backingUp(path string) string  { return path + ".backup" }

// copyTo makes a copy under a name beside the store and calls finish with it while no
// write is under way. The caller holds s.copying.
func (s *Store) copyTo(ctx context.Context, name string, finish func(dst *bolt.DB) error) (err error) {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	used, err := s.used()
	if err != nil {
		return err
	}
	if free, err := freeSpace(name); err != nil || free < used+used/4+s.o.FreeFloor {
		return errors.Join(errFull(fmt.Errorf("a copy needs %d MiB, %d MiB of the disk are free", (used+used/4+s.o.FreeFloor)>>20, free>>20)), err)
	}
	o := boltOptions(s.o, used)
	o.NoSync = true // it is synced before it counts
	dst, err := bolt.Open(name, 0o600, o)
	if err != nil {
		return err
	}
	dst.AllocSize = s.o.step(used)
	kept := false
	defer func() {
		if !kept {
			err = errors.Join(err, dst.Close(), os.Remove(name))
		}
	}()
	if err := s.between(ctx, func() error { s.touched = map[string]struct{}{}; return nil }); err != nil {
		return err
	}
	// The writer forgets what it noted, whatever happens; a closed store notes nothing.
	defer func() {
		_ = s.between(context.WithoutCancel(ctx), func() error { s.touched = nil; return nil })
	}()
	for _, b := range buckets {
		if err := s.copyBucket(ctx, dst, b); err != nil {
			return err
		}
	}
	if err := s.catchUp(ctx, dst); err != nil {
		return err
	}
	err = s.between(ctx, func() error {
		if err := s.copyKeys(dst, s.touched); err != nil {
			return err
		}
		if err := s.copySequences(dst); err != nil {
			return err
		}
		if err := dst.Sync(); err != nil {
			return err
		}
		kept, err = true, finish(dst)
		return err
	})
	return err
}

// copyBucket copies one bucket in the order of its keys.
func (s *Store) copyBucket(ctx context.Context, dst *bolt.DB, name []byte) error {
	err := dst.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket(name)
		return err
	})
	if err != nil {
		return err
	}
	for from := []byte{}; from != nil; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.guard(func() error {
			return dst.Update(func(to *bolt.Tx) error {
				b := to.Bucket(name)
				b.FillPercent = 0.9 // keys come in order, and some will come in between later
				return s.view(func(tx *txn) (err error) {
					from, err = copyRange(b, tx.Bucket(name), from)
					return err
				})
			})
		})
		if err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	return nil
}

// copyRange copies from a key on; next is where to go on, nil at the end.
func copyRange(to *bolt.Bucket, b *bucket, from []byte) (next []byte, err error) {
	n := 0
	c := b.Cursor()
	for k, v := c.Seek(from); k != nil; k, v = c.Next() {
		if n > copyChunk {
			return bytes.Clone(k), nil
		}
		if err := copyRow(to, b.name, k, v); err != nil {
			return nil, err
		}
		n += len(k) + len(v)
	}
	return nil, nil
}

// copyRow takes a row over; one that is damaged must not end up in the only good copy.
func copyRow(to *bolt.Bucket, name, k, v []byte) error {
	if sealed(name) {
		if _, err := verify(k, v); err != nil {
			return err
		}
	}
	// Put keeps the slices until the commit, and the page under them may go before.
	return to.Put(k, bytes.Clone(v))
}

// catchUp copies what was written meanwhile, until so little is left that the writer may
// wait for it.
func (s *Store) catchUp(ctx context.Context, dst *bolt.DB) error {
	for range 100 {
		var keys map[string]struct{} // ours from then on
		err := s.between(ctx, func() error {
			if len(s.touched) > copyTail {
				keys, s.touched = s.touched, map[string]struct{}{}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if keys == nil {
			return dst.Sync()
		}
		if err := s.copyKeys(dst, keys); err != nil {
			return err
		}
		if err := dst.Sync(); err != nil {
			return err
		}
	}
	return errBusy
}

// copyKeys makes dst say of these keys what the store says.
func (s *Store) copyKeys(dst *bolt.DB, keys map[string]struct{}) error {
	if len(keys) == 0 {
		return nil
	}
	return dst.Update(func(to *bolt.Tx) error {
		return s.view(func(tx *txn) error {
			for key := range keys {
				name, k := afterSep([]byte(key))
				v := tx.Bucket(name).Get(k)
				if v == nil {
					if err := to.Bucket(name).Delete(k); err != nil {
						return err
					}
					continue
				}
				if err := copyRow(to.Bucket(name), name, k, v); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func (s *Store) copySequences(dst *bolt.DB) error {
	return dst.Update(func(to *bolt.Tx) error {
		return s.view(func(tx *txn) error {
			for _, name := range buckets {
				if err := to.Bucket(name).SetSequence(tx.Bucket(name).Sequence()); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// Compact writes the store into a new file without its free pages and goes on with that
// one. Writes go on meanwhile; they wait only for the last few rows, the fsync and the
// rename. It returns the file's size before and after.
func (s *Store) Compact(ctx context.Context) (before, after int64, err error) {
	s.copying.Lock()
	defer s.copying.Unlock()
	erased, err := s.erased()
	if err != nil {
		return 0, 0, err
	}
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
	if err := s.erasureDone(ctx, erased); err != nil {
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
	if erased, err := s.erased(); err != nil || !erased.IsZero() {
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
