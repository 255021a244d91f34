package boltkv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"callpoint/store/kv"

	bolt "go.etcd.io/bbolt"
)

// A copy of the file, for Compact and Backup, is made while the writer goes on, and without
// a long read transaction, which would keep every page that is freed meanwhile from being
// used again:
//
//  1. Between two transactions the writer begins to record the keys that it writes.
//  2. Bucket after bucket is copied in read transactions of a few MiB. Each sees another
//     state; rows that change after they were copied are among the recorded keys.
//  3. The recorded keys are copied again, repeatedly while there are many of them.
//  4. Between two transactions the last few are copied: now both files are equal.

// copyChunk bounds one read transaction of a copy in bytes, copyTail the keys that are
// copied while the writer waits.
const (
	copyChunk = 4 << 20
	copyTail  = 1000
)

func compacting(path string) string { return path + ".compact" }
func backingUp(path string) string  { return path + ".backup" }

// copyTo makes a copy under a name beside the file, and calls finish with it while no write
// is in progress. The caller holds db.copying.
func (db *DB) copyTo(ctx context.Context, name string, finish func(dst *bolt.DB) error) (err error) {
	if err := removeStale(name); err != nil {
		return err
	}
	used, err := db.used()
	if err != nil {
		return err
	}
	if free, err := freeSpace(name); err != nil || free < used+used/4+db.o.FreeFloor {
		return errors.Join(errFull(fmt.Errorf("a copy needs %d MiB, %d MiB of the disk are free", (used+used/4+db.o.FreeFloor)>>20, free>>20)), err)
	}
	o := boltOptions(db.o, used)
	o.NoSync = true // it is synced before it is used
	o.OpenFile = createExclusive
	dst, err := bolt.Open(name, 0o600, o)
	if err != nil {
		return err
	}
	dst.AllocSize = db.o.growthStep(used)
	kept := false
	defer func() {
		if !kept {
			err = errors.Join(err, dst.Close(), os.Remove(name))
		}
	}()
	if err := db.between(ctx, func() error { db.touched = map[string]struct{}{}; return nil }); err != nil {
		return err
	}
	// The writer stops recording, whatever happens; a closed DB records nothing.
	defer func() {
		_ = db.between(context.WithoutCancel(ctx), func() error { db.touched = nil; return nil })
	}()
	for b := range db.o.Buckets {
		if err := db.copyBucket(ctx, dst, kv.Bucket(b)); err != nil {
			return err
		}
	}
	if err := db.catchUp(ctx, dst); err != nil {
		return err
	}
	err = db.between(ctx, func() error {
		if err := db.copyKeys(dst, db.touched); err != nil {
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
func (db *DB) copyBucket(ctx context.Context, dst *bolt.DB, b kv.Bucket) error {
	name := []byte(db.o.Buckets[b])
	err := dst.Update(func(t *bolt.Tx) error {
		_, err := t.CreateBucket(name)
		return err
	})
	if err != nil {
		return err
	}
	for from := []byte{}; from != nil; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := db.guard(func() error {
			return dst.Update(func(to *bolt.Tx) error {
				bucket := to.Bucket(name)
				bucket.FillPercent = 0.9 // keys come in order, and some will come in between later
				return db.view(func(t *tx) (err error) {
					from, err = db.copyRange(bucket, t, b, from)
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

// copyRange copies from a key on. It returns the key at which to continue, nil at the end.
func (db *DB) copyRange(to *bolt.Bucket, t *tx, b kv.Bucket, from []byte) (next []byte, err error) {
	n := 0
	for k, v := range t.Scan(kv.Range{Bucket: b, From: from}) {
		if n > copyChunk {
			return bytes.Clone(k), nil
		}
		if err := db.copyRow(to, b, k, v); err != nil {
			return nil, err
		}
		n += len(k) + len(v)
	}
	return nil, nil
}

// copyRow copies a row. One that is damaged must not end up in the only good copy.
func (db *DB) copyRow(to *bolt.Bucket, b kv.Bucket, k, v []byte) error {
	if err := db.o.Verify(b, k, v); err != nil {
		return err
	}
	// Put keeps the slices until the commit, and the page under them may be unmapped before.
	return to.Put(k, bytes.Clone(v))
}

// catchUp copies what was written meanwhile, until so little is left that the writer can
// wait for it.
func (db *DB) catchUp(ctx context.Context, dst *bolt.DB) error {
	for range 100 {
		var keys map[string]struct{} // ours from then on
		err := db.between(ctx, func() error {
			if len(db.touched) > copyTail {
				keys, db.touched = db.touched, map[string]struct{}{}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if keys == nil {
			return dst.Sync()
		}
		if err := db.copyKeys(dst, keys); err != nil {
			return err
		}
		if err := dst.Sync(); err != nil {
			return err
		}
	}
	return kv.ErrBusy
}

// copyKeys copies the present values of these keys, or removes the keys.
func (db *DB) copyKeys(dst *bolt.DB, keys map[string]struct{}) error {
	if len(keys) == 0 {
		return nil
	}
	return dst.Update(func(b *bolt.Tx) error {
		to := db.newTx(b)
		return db.view(func(t *tx) error {
			for key := range keys {
				bucket, k := kv.Bucket(key[0]), []byte(key[1:])
				v := t.Get(bucket, k)
				if v == nil {
					if err := to.Delete(bucket, k); err != nil {
						return err
					}
					continue
				}
				if err := db.copyRow(to.at(bucket), bucket, k, v); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
