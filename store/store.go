package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Options are the limits of a store; zero values mean the defaults.
type Options struct {
	// Timeout is how long Open waits for another process to let go. Default 1s.
	Timeout time.Duration
	// Queue is how many writes may wait for the disk before more are refused. Default 1024.
	Queue int
	// QueueBytes is how much these writes may hold together. Default 64 MiB.
	QueueBytes int64
	// MaxSize is what the file may grow to, in bytes. A part of it is kept for what is
	// not collected: cursor, answers, pruning. Default: no limit.
	MaxSize int64
	// FreeFloor is how much of the disk stays free: below it no event is taken. Default 0.
	FreeFloor int64
	// Now is the clock for the identity record; nil is time.Now.
	Now func() time.Time
	// OnStep hears what Open is about to do where that may take long; nil: nobody does.
	OnStep func(what string)
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
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OnStep == nil {
		o.OnStep = func(string) {}
	}
	return o
}

// A Store is one open file. Its methods may be called from many goroutines.
type Store struct {
	path string
	o    Options
	db   atomic.Pointer[bolt.DB] // Compact puts another in its place

	queue   chan *write
	waiting atomic.Int64 // bytes in queue
	stop    chan struct{}
	done    chan struct{}
	once    sync.Once

	copying sync.Mutex // held by Compact and Backup
	// touched are the keys that were written since a copy of the file began, bucket 00
	// key; nil while none is made. Owned by the writer.
	touched map[string]struct{}

	mu     sync.Mutex
	failed error // the I/O error after which no write is taken; guarded by mu
	full   error // why the last commit found no room; nil once one succeeded; guarded by mu

	counts counts
}

// counts are of events and visits that Add left out, since the store was opened.
type counts struct{ forgotten, pruned atomic.Uint64 }

// LeftOut says how many events and visits Add did not take since the store was opened:
// those of forgotten visitors, and those older than what retention has dropped already.
func (s *Store) LeftOut() (forgotten, pruned uint64) {
	return s.counts.forgotten.Load(), s.counts.pruned.Load()
}

// Path is the file's name.
func (s *Store) Path() string { return s.path }

// Close finishes the writes that were taken and closes the file.
func (s *Store) Close() error {
	s.once.Do(func() { close(s.stop) })
	<-s.done
	return s.db.Load().Close()
}

// view runs fn in a read transaction, which must be short: while it is open, no page
// that it may see is used again.
func (s *Store) view(fn func(*txn) error) error {
	for {
		db := s.db.Load()
		err := s.guard(func() error {
			return db.View(func(tx *bolt.Tx) error { return fn(&txn{Tx: tx}) })
		})
		if !errors.Is(err, berrors.ErrDatabaseNotOpen) {
			return err
		}
		// Closed, or compacted into another file at this very moment.
		if s.db.Load() == db {
			return ErrClosed
		}
	}
}

// guard turns the panics and faults with which bbolt meets a damaged file into errors.
func (s *Store) guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %s: %v; restore a backup", ErrDamaged, s.path, r)
		}
	}()
	return fn()
}

// Size tells how large the file is, and how much of it is in use; the rest is free pages.
func (s *Store) Size() (file, used int64, err error) {
	fi, err := os.Stat(s.path)
	if err != nil {
		return 0, 0, err
	}
	used, err = s.used()
	return fi.Size(), used, err
}

// used is what of the file holds data.
func (s *Store) used() (used int64, err error) {
	err = s.view(func(tx *txn) error {
		stats := tx.DB().Stats()
		used = tx.Size() - int64(stats.FreePageN+stats.PendingPageN)*int64(tx.DB().Info().PageSize)
		return nil
	})
	return used, err
}

// update runs fn in a transaction that it may share with others that wait at the
// same time (group commit), and returns after fsync. fn may run twice: it sets its
// results, it does not add to them.
func (s *Store) update(ctx context.Context, fn func(*txn) error) error {
	return s.enqueue(ctx, &write{fn: fn})
}
