package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"callpoint/store/kv"
	"callpoint/store/kv/boltkv"
	"callpoint/store/kv/pgkv"
)

// Options are the limits of a store; zero values mean the defaults.
type Options struct {
	// Timeout is how long Open waits for the file lock. Default 1s.
	Timeout time.Duration
	// Queue is how many writes may be queued before more are refused. Default 1024.
	Queue int
	// QueueBytes is how much memory these writes may hold together. Default 64 MiB.
	QueueBytes int64
	// MaxSize is what the file may grow to, in bytes. A part of it is reserved for what is
	// not collected: cursor, results of requests, pruning. Default: no limit.
	MaxSize int64
	// FreeFloor is how many bytes of the disk stay free: below it no event is accepted. Default 0.
	FreeFloor int64
	// Password is that of a database, Connections the bound of its pool (default 10).
	Password    string
	Connections int
	// Instance describes this process to others that share the store.
	Instance Instance
	// Now is the clock of the identity record; nil is time.Now.
	Now func() time.Time
	// OnFault is called when the mapped file cannot be read any more, with locks held that
	// nobody releases: it should end the process. nil: operations return the error.
	OnFault func(error)
	// OnStep is called before steps of Open that may take long; nil: it is not.
	OnStep func(what string)
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OnStep == nil {
		o.OnStep = func(string) {}
	}
	return o
}

// A Store is an open store. Its methods may be called from many goroutines.
type Store struct {
	db     engine
	shared *pgkv.DB // db where several instances share the store; else nil
	o      Options
	tidy   sync.Mutex // held by Forget and Compact

	earliest atomic.Pointer[time.Time] // a committed value of meta "earliest", which never grows
	salt     atomic.Pointer[[]byte]    // of tombstones, once it was read
	counts   counts

	arrived   atomic.Pointer[time.Time]
	leads     atomic.Pointer[leading]
	undrained bool // planted by a test: arrivals are not drained
}

// An engine is a kv.DB with what differs between engines.
type engine interface {
	kv.DB
	// Ingest is Update for rows from outside, with the limits of the store.
	Ingest(ctx context.Context, load kv.Load, fn func(kv.Tx) error) error
}

// counts are of events and visits that Add left out, since the store was opened.
type counts struct{ forgotten, pruned atomic.Uint64 }

// Open opens the store in a file, or in PostgreSQL where the name is a URL, or creates it.
func Open(path string, o Options) (*Store, error) {
	o = o.withDefaults()
	if IsURL(path) {
		return openShared(path, o)
	}
	bo := boltkv.Options{Buckets: buckets, Accept: identify, Verify: verifyRow, Timeout: o.Timeout,
		Queue: o.Queue, QueueBytes: o.QueueBytes, MaxSize: o.MaxSize, FreeFloor: o.FreeFloor, OnFault: o.OnFault}
	switch fi, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		err := boltkv.Create(path, bo, func(tx kv.Tx) error { return found(tx, o.Now()) })
		if err != nil {
			return nil, fmt.Errorf("create store %s: %w", path, err)
		}
	case err != nil:
		return nil, fmt.Errorf("open store: %w", err)
	case fi.IsDir():
		return nil, fmt.Errorf("open store %s: it is a directory; CALLPOINT_STORE names a file", path)
	}
	db, err := boltkv.Open(path, bo)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	view := func(fn func(kv.Tx) error) error { return db.View(context.Background(), fn) }
	if err := migrate(view, db.Migrate, o.OnStep); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, errors.Join(err, db.Close()))
	}
	if err := db.Complete(); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, errors.Join(err, db.Close()))
	}
	return &Store{db: db, o: o}, nil
}

// LeftOut returns how many events and visits Add did not take since the store was opened:
// those of forgotten visitors, and those older than what retention has dropped.
func (s *Store) LeftOut() (forgotten, pruned uint64) {
	return s.counts.forgotten.Load(), s.counts.pruned.Load()
}

// Path returns the name of the store.
func (s *Store) Path() string { return s.db.Name() }

// Close finishes the writes that were accepted and closes the store.
func (s *Store) Close() error { return s.db.Close() }

// Size returns how large the store is, and how much of it is in use, in bytes.
func (s *Store) Size() (file, used int64, err error) { return s.db.Size() }

// Writable returns nil while the store takes writes. The error of a full disk goes away
// when space returns.
func (s *Store) Writable() error { return s.db.Writable() }

// view runs fn in a read transaction, which must be short.
func (s *Store) view(fn func(kv.Tx) error) error { return s.db.View(context.Background(), fn) }

// update runs fn in a transaction that it may share with other writes, and returns when it
// is durable. fn may run twice: it sets its results, it does not add to them.
func (s *Store) update(ctx context.Context, fn func(kv.Tx) error) error {
	return s.db.Update(ctx, fn)
}

// get reads a value into v; false means that there is none.
func get(tx kv.Tx, b kv.Bucket, key []byte, v any) (bool, error) {
	env := tx.Get(b, key)
	if env == nil {
		return false, nil
	}
	return true, open(key, env, v)
}

// put writes a value in its envelope.
func put(tx kv.Tx, b kv.Bucket, key []byte, v any) error {
	env, err := seal(key, v)
	if err != nil {
		return err
	}
	return tx.Put(b, key, env)
}

// values reads every value of a range.
func values[T any](tx kv.Tx, r kv.Range) (all []T, err error) {
	for k, v := range tx.Scan(r) {
		var t T
		if err := open(k, v, &t); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// eachPage walks a bucket in one transaction after another. read reads a page that starts
// at from and returns where the next one starts, nil at the end; fn gets the page outside
// the transaction. errStop of fn ends the walk without an error.
func eachPage[T any](in func(func(kv.Tx) error) error, read func(tx kv.Tx, from []byte) (page T, next []byte, err error), fn func(T) error) error {
	for from := []byte{}; from != nil; {
		var page T
		var next []byte
		err := in(func(tx kv.Tx) (err error) {
			page, next, err = read(tx, from)
			return err
		})
		if err == nil && fn != nil {
			err = fn(page)
		}
		if err == errStop {
			return nil
		}
		if err != nil {
			return err
		}
		from = next
	}
	return nil
}

var errStop = errors.New("the walk is to end")
