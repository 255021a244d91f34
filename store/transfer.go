package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"

	"callpoint/store/kv"
	"callpoint/store/kv/boltkv"
	"callpoint/store/kv/pgkv"
)

// A Copied counts what Copy took over.
type Copied struct {
	Rows    int            `json:"rows"`
	Bytes   int64          `json:"bytes"`   // of keys and values
	Buckets map[string]int `json:"buckets"` // rows by bucket
}

// copyRows and copyBytes bound one transaction of Copy.
const (
	copyRows  = 10_000
	copyBytes = 4 << 20
)

// Copy copies a store into an empty one of the same or another engine, in several
// transactions, and compares the number of rows and a checksum of every bucket. The source
// must not be in use; the identity record is copied last, so that no program opens half a
// copy. onStep is called with the name of each bucket.
func Copy(ctx context.Context, from, to string, o Options, onStep func(string)) (sum Copied, err error) {
	if from == to {
		return sum, errors.New("the two stores are the same")
	}
	source := o
	if IsURL(from) {
		source.MaxSize, source.FreeFloor = 0, 0
	} else if _, err := os.Stat(from); err != nil {
		return sum, fmt.Errorf("copy: %w", err) // Open would create it
	}
	src, err := Open(from, source)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	if src.shared != nil {
		// Nobody leads from here to the end, and every arrival is marked.
		if err := src.drain(ctx); err != nil {
			return sum, err
		}
	}
	dst, err := emptyTarget(ctx, to, o)
	if err != nil {
		return sum, fmt.Errorf("copy to %s: %w", Redacted(to), err)
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	sum.Buckets = map[string]int{}
	for b, name := range buckets {
		onStep(name)
		n, size, err := copyBucket(ctx, src, dst, kv.Bucket(b))
		if err != nil {
			return sum, fmt.Errorf("copy %s: %w", name, err)
		}
		sum.Rows, sum.Bytes, sum.Buckets[name] = sum.Rows+n, sum.Bytes+size, n
	}
	id := identity{format, schema, o.withDefaults().Now().UTC()}
	if err := dst.finish(func(tx kv.Tx) error { return putIdentity(tx, id) }); err != nil {
		return sum, fmt.Errorf("copy to %s: %w", Redacted(to), err)
	}
	return sum, nil
}

// A target is an empty store that nobody can open before it is finished.
type target struct {
	kv.DB
	update func(fn func(kv.Tx) error) error
	finish func(fn func(kv.Tx) error) error
	long   func(fn func(kv.Tx) error) error // a read transaction that may take long
}

func emptyTarget(ctx context.Context, to string, o Options) (*target, error) {
	if IsURL(to) {
		po := sharedOptions(o.withDefaults())
		po.Init, po.Accept, po.MayBeAway, po.Unfinished = nil, nil, false, true
		db, err := pgkv.Open(ctx, to, po)
		if err != nil {
			return nil, err
		}
		update := func(fn func(kv.Tx) error) error { return db.UpdateAlone(ctx, fn) }
		return &target{DB: db, update: update, finish: func(fn func(kv.Tx) error) error { return db.Finish(ctx, fn) },
			long: func(fn func(kv.Tx) error) error { return db.View(ctx, fn) }}, nil
	}
	if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(errors.New("the file exists; name a new one, or move it away"), err)
	}
	bo := boltkv.Options{Buckets: buckets, Verify: verifyRow, MaxSize: o.MaxSize, FreeFloor: o.FreeFloor}
	if err := boltkv.Create(to, bo, func(kv.Tx) error { return nil }); err != nil {
		return nil, err
	}
	db, err := boltkv.Open(to, bo)
	if err != nil {
		return nil, err
	}
	update := func(fn func(kv.Tx) error) error { return db.Update(ctx, fn) }
	return &target{DB: db, update: update, finish: update, long: func(fn func(kv.Tx) error) error { return db.View(ctx, fn) }}, nil
}

// row is a copied row.
type row struct{ key, value []byte }

// copyBucket copies a bucket, and then compares both sides.
func copyBucket(ctx context.Context, src *Store, dst *target, b kv.Bucket) (n int, size int64, err error) {
	var want sums
	err = eachPage(src.view, func(tx kv.Tx, from []byte) (page []row, next []byte, err error) {
		bytesRead := 0
		for k, v := range tx.Scan(kv.Range{Bucket: b, From: from, Limit: copyRows}) {
			page = append(page, row{bytes.Clone(k), bytes.Clone(v)})
			if bytesRead += len(k) + len(v); bytesRead > copyBytes || len(page) == copyRows {
				return page, pastKey(k), nil
			}
		}
		return page, nil, nil
	}, func(page []row) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, r := range page {
			if err := verifyRow(b, r.key, r.value); err != nil {
				return err
			}
		}
		err := dst.update(func(tx kv.Tx) error {
			for _, r := range page {
				if b == bMeta && string(r.key) == "identity" {
					continue // last of all
				}
				if err := tx.Put(b, r.key, r.value); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, r := range page {
			if b != bMeta || string(r.key) != "identity" {
				want.add(r.key, r.value)
			}
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	var got sums
	err = eachPage(dst.long, func(tx kv.Tx, from []byte) (page []row, next []byte, err error) {
		for k, v := range tx.Scan(kv.Range{Bucket: b, From: from, Limit: copyRows}) {
			if page = append(page, row{bytes.Clone(k), bytes.Clone(v)}); len(page) == copyRows {
				next = pastKey(k)
			}
		}
		return page, next, nil
	}, func(page []row) error {
		for _, r := range page {
			got.add(r.key, r.value)
		}
		return nil
	})
	if err == nil && got != want {
		err = fmt.Errorf("the copy has %d rows with checksum %08x, the store %d with %08x; make the copy again", got.rows, got.crc, want.rows, want.crc)
	}
	return want.rows, want.bytes, err
}

// sums identify the contents of a bucket.
type sums struct {
	rows  int
	bytes int64
	crc   uint32
}

func (s *sums) add(key, value []byte) {
	s.rows++
	s.bytes += int64(len(key) + len(value))
	s.crc = crc32.Update(crc32.Update(s.crc, castagnoli, key), castagnoli, value)
}
