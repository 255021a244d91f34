package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

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
