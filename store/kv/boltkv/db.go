// Package boltkv keeps a kv.DB in one bbolt file. It is the only package that imports
// bbolt.
//
// One goroutine writes. Updates that wait together share one transaction (group commit).
// Pages are verified before bbolt follows them, because bbolt trusts its file.
package boltkv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"callpoint/store/kv"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Options are the limits of a DB; zero values mean the defaults.
type Options struct {
	// Buckets are the names of the buckets; a kv.Bucket is an index of this list.
	Buckets []string
	// Accept examines the contents before anything is written; an error refuses the file.
	Accept func(kv.Tx) error
	// Verify examines each row that a copy of the file takes over; nil: no row is examined.
	Verify func(b kv.Bucket, key, value []byte) error
	// Timeout is how long Open waits for the file lock. Default 1s.
	Timeout time.Duration
	// Queue is how many writes may be queued before more are refused. Default 1024.
	Queue int
	// QueueBytes is how much memory these writes may hold together. Default 64 MiB.
	QueueBytes int64
	// OnFault is called when the mapped file cannot be read any more: it was cut short, or
	// the disk fails. Locks of bbolt may stay held then, so it should end the process. nil:
	// the operation returns the error.
	OnFault func(error)
	// MaxSize is what the file may grow to, in bytes. A part of it is reserved for what is
	// not ingested. Default: no limit.
	MaxSize int64
	// FreeFloor is how many bytes of the disk stay free: below it nothing is ingested. Default 0.
	FreeFloor int64
}

func (o Options) withDefaults() Options {
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	if o.Queue == 0 {
		o.Queue = 1024
	}
	if o.QueueBytes == 0 {
		o.QueueBytes = 64 << 20
	}
	if o.Verify == nil {
		o.Verify = func(kv.Bucket, []byte, []byte) error { return nil }
	}
	return o
}

// A DB is one open file.
type DB struct {
	name string // as it was given; it may be a symbolic link
	path string // without links
	o    Options
	db   atomic.Pointer[bolt.DB] // Compact replaces it

	queue  chan *write
	queued atomic.Int64 // bytes in queue
	stop   chan struct{}
	done   chan struct{}
	once   sync.Once

	copying sync.Mutex // held by Compact, Backup and Structure
	// touched are the keys that were written since a copy of the file began: a byte for
	// the bucket, then the key; nil while no copy is made. Owned by the writer.
	touched map[string]struct{}

	mu     sync.Mutex
	file   os.FileInfo // of the open file; guarded by mu
	failed error       // the I/O error after which no write is accepted; guarded by mu
	full   error       // why the last commit found no room; nil once one succeeded; guarded by mu
}

// Name returns the path that the DB was opened by.
func (db *DB) Name() string { return db.name }

// Close finishes the writes that were accepted and closes the file.
func (db *DB) Close() error {
	db.once.Do(func() { close(db.stop) })
	<-db.done
	return db.db.Load().Close()
}

// View runs fn in a read transaction. It must be short: while it is open, no page that
// it may see can be used again.
func (db *DB) View(_ context.Context, fn func(kv.Tx) error) error {
	return db.view(func(t *tx) error { return fn(t) })
}

func (db *DB) view(fn func(*tx) error) error {
	for {
		b := db.db.Load()
		err := db.guard(func() error {
			return b.View(func(t *bolt.Tx) error { return fn(db.newTx(t)) })
		})
		if !errors.Is(err, berrors.ErrDatabaseNotOpen) {
			return err
		}
		// It was closed, or compacted into another file at this very moment.
		if db.db.Load() == b {
			return kv.ErrClosed
		}
	}
}

// guard turns the panics and faults of bbolt on a damaged file into errors.
func (db *DB) guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		err = fmt.Errorf("%w: %s: %v; restore a backup", kv.ErrDamaged, db.path, r)
		if _, fault := r.(interface{ Addr() uintptr }); fault && db.o.OnFault != nil {
			db.o.OnFault(fmt.Errorf("%w: %s cannot be read any more: it was cut short while it is in use, or its disk fails (%v)", kv.ErrDamaged, db.path, r))
		}
	}()
	return fn()
}

// Size returns the size of the file, and how much of it is in use; the rest is free pages.
func (db *DB) Size() (file, used int64, err error) {
	fi, err := os.Stat(db.path)
	if err != nil {
		return 0, 0, err
	}
	used, err = db.used()
	return fi.Size(), used, err
}

// used returns how much of the file holds data.
func (db *DB) used() (used int64, err error) {
	err = db.view(func(t *tx) error {
		stats := t.DB().Stats()
		used = t.Size() - int64(stats.FreePageN+stats.PendingPageN)*int64(t.DB().Info().PageSize)
		return nil
	})
	return used, err
}

// Migrate creates the buckets that the file lacks, and runs fn in the same transaction.
// It must be called before anything else uses the DB.
func (db *DB) Migrate(fn func(kv.Tx) error) error {
	return db.guard(func() error {
		return db.db.Load().Update(func(b *bolt.Tx) error {
			t := db.newTx(b)
			for _, name := range db.o.Buckets {
				if _, err := b.CreateBucketIfNotExists([]byte(name)); err != nil {
					return err
				}
			}
			return fn(t)
		})
	})
}

// Complete returns an error if the file lacks a bucket.
func (db *DB) Complete() error {
	return db.view(func(t *tx) error {
		for b, name := range t.names {
			if t.at(kv.Bucket(b)) == nil {
				return fmt.Errorf("%w: bucket %s is missing; restore a backup", kv.ErrDamaged, name)
			}
		}
		return nil
	})
}
