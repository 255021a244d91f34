package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// schema is the version of the keys and payloads that this program writes.
const schema = 1

// Options are the limits of a store; zero values mean the defaults.
type Options struct {
	// Timeout is how long Open waits for another process to let go. Default 1s.
	Timeout time.Duration
	// Queue is how many writes may wait for the disk before more are refused. Default 1024.
	Queue int
	// Now is the clock for the identity record; nil is time.Now.
	Now func() time.Time
}

// A Store is one open file. Its methods may be called from many goroutines.
type Store struct {
	db   *bolt.DB
	path string

	queue chan *write
	stop  chan struct{}
	done  chan struct{}
	once  sync.Once

	mu     sync.Mutex
	failed error // the I/O error after which no write is taken
}

// identity is the record that tells a callpoint store from another program's file.
type identity struct {
	Format  string    `json:"format"`
	Schema  int       `json:"schema"`
	Created time.Time `json:"created"`
}

const format = "callpoint store"

// Open opens the store at path, or creates it with everything in place.
func Open(path string, o Options) (*Store, error) {
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	if o.Queue == 0 {
		o.Queue = 1024
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	switch fi, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		if err := create(path, o); err != nil {
			return nil, fmt.Errorf("create store %s: %w", path, err)
		}
	case err != nil:
		return nil, fmt.Errorf("open store: %w", err)
	case fi.IsDir():
		return nil, fmt.Errorf("open store %s: it is a directory; CALLPOINT_STORE names a file", path)
	}
	db, err := openFile(path, o)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, path: path, queue: make(chan *write, o.Queue), stop: make(chan struct{}), done: make(chan struct{})}
	if err := s.identify(); err != nil {
		db.Close()
		return nil, err
	}
	go s.writer()
	return s, nil
}

// openFile opens an existing file and says in plain words why it can not.
func openFile(path string, o Options) (db *bolt.DB, err error) {
	// bbolt panics on a file that was cut short.
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("open store %s: %w: %v; restore a backup (callpoint store backup makes them)", path, ErrDamaged, r)
		}
	}()
	if err := whole(path); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	db, err = bolt.Open(path, 0o600, boltOptions(o))
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("open store %s: %w; stop it first, or ask the running daemon (callpoint status)", path, ErrInUse)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return nil, fmt.Errorf("open store %s: %w: it is no bbolt file (%v); restore a backup, or move it away to start anew", path, ErrDamaged, err)
	case err != nil:
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	return db, nil
}

// whole refuses a file that bbolt would take for a new store, or fail on with a fault.
func whole(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if fi.Size() < 4*int64(os.Getpagesize()) {
		return fmt.Errorf("%w: it has only %d bytes; restore a backup, or remove it to start anew", ErrDamaged, fi.Size())
	}
	return nil
}

func boltOptions(o Options) *bolt.Options {
	return &bolt.Options{
		Timeout:      o.Timeout,
		FreelistType: bolt.FreelistMapType,
		// Room to grow without remapping: a remap waits for every reader.
		InitialMmapSize: 1 << 30,
		NoStatistics:    true,
	}
}

// create makes the file under another name first: a power cut during the very
// first initialisation would leave a file that does not open.
func create(path string, o Options) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".callpoint-new-*")
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("the folder %s does not exist", dir)
		}
		return err
	}
	tmp := f.Name()
	f.Close()
	defer os.Remove(tmp)
	db, err := bolt.Open(tmp, 0o600, boltOptions(o))
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return put(tx.Bucket(bMeta), []byte("identity"), identity{format, schema, o.Now().UTC()})
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	// Link, not rename: of two processes that start at once, one wins and none overwrites.
	if err := os.Link(tmp, path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s *Store) identify() error {
	return s.view(func(tx *bolt.Tx) error {
		meta := tx.Bucket(bMeta)
		if meta == nil {
			return fmt.Errorf("open store %s: it is another program's file; CALLPOINT_STORE must name a callpoint store", s.path)
		}
		var id identity
		if ok, err := get(meta, []byte("identity"), &id); err != nil || !ok || id.Format != format {
			return errors.Join(fmt.Errorf("open store %s: it is another program's file; CALLPOINT_STORE must name a callpoint store", s.path), err)
		}
		if id.Schema != schema {
			return fmt.Errorf("open store %s: its schema is %d, this program reads %d: install the callpoint that wrote it", s.path, id.Schema, schema)
		}
		for _, name := range buckets {
			if tx.Bucket(name) == nil {
				return fmt.Errorf("open store %s: %w: bucket %s is gone; restore a backup", s.path, ErrDamaged, name)
			}
		}
		return nil
	})
}

// Path is the file's name.
func (s *Store) Path() string { return s.path }

// Close finishes the writes that were taken and closes the file.
func (s *Store) Close() error {
	s.once.Do(func() { close(s.stop) })
	<-s.done
	return s.db.Close()
}

// Backup writes a consistent copy of the store while it is in use.
func (s *Store) Backup(w io.Writer) (n int64, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		n, err = tx.WriteTo(w)
		return err
	})
	return n, err
}

// Writable reports nil while the store takes writes.
func (s *Store) Writable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func (s *Store) view(fn func(*bolt.Tx) error) error {
	err := s.db.View(fn)
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// A write is one transaction that waits for the writer.
type write struct {
	fn   func(*bolt.Tx) error
	done chan error
}

// update runs fn in a transaction that it may share with others that wait at the
// same time (group commit), and returns after fsync. fn may run twice: it sets its
// results, it does not add to them.
func (s *Store) update(ctx context.Context, fn func(*bolt.Tx) error) error {
	w := &write{fn, make(chan error, 1)}
	select {
	case <-s.stop:
		return &RefusedError{http.StatusServiceUnavailable, ErrClosed}
	default:
	}
	select {
	case s.queue <- w:
	case <-ctx.Done():
		return ctx.Err()
	default:
		return errBusy
	}
	// Once queued, the outcome is awaited: giving up here would leave it unknown.
	select {
	case err := <-w.done:
		return err
	case <-s.done:
		select {
		case err := <-w.done:
			return err
		default:
			return &RefusedError{http.StatusServiceUnavailable, ErrClosed}
		}
	}
}

// maxGroup bounds one commit, so that its latency stays even.
const maxGroup = 256

func (s *Store) writer() {
	defer close(s.done)
	for {
		select {
		case w := <-s.queue:
			s.commit(s.gather(w))
		case <-s.stop:
			for {
				select {
				case w := <-s.queue:
					s.commit(s.gather(w))
				default:
					return
				}
			}
		}
	}
}

// gather takes what waits already; it never waits for more.
func (s *Store) gather(first *write) []*write {
	group := []*write{first}
	for len(group) < maxGroup {
		select {
		case w := <-s.queue:
			group = append(group, w)
		default:
			return group
		}
	}
	return group
}

func (s *Store) commit(group []*write) {
	err := s.transact(func(tx *bolt.Tx) error {
		for _, w := range group {
			if err := w.fn(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil || len(group) == 1 {
		for _, w := range group {
			w.done <- err
		}
		return
	}
	// One of them failed and took the others down: each gets a transaction of its own.
	for _, w := range group {
		w.done <- s.transact(w.fn)
	}
}

// transact commits fn, and remembers an I/O error for good.
func (s *Store) transact(fn func(*bolt.Tx) error) error {
	if err := s.Writable(); err != nil {
		return refused(err)
	}
	tx, err := s.db.Begin(true)
	if err != nil {
		return refused(err)
	}
	if err := fn(tx); err != nil {
		return refused(errors.Join(err, tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		if !full(err) {
			s.mu.Lock()
			s.failed = fmt.Errorf("commit: %w; restart callpoint once the disk is well", err)
			s.mu.Unlock()
		}
		return refused(err)
	}
	return nil
}

func put(b *bolt.Bucket, key []byte, v any) error {
	env, err := seal(key, v)
	if err != nil {
		return err
	}
	return b.Put(key, env)
}

func get(b *bolt.Bucket, key []byte, v any) (bool, error) {
	env := b.Get(key)
	if env == nil {
		return false, nil
	}
	return true, open(key, env, v)
}
