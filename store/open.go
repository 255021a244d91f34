package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Open opens the store at path, or creates it with everything in place.
func Open(path string, o Options) (*Store, error) {
	o = o.withDefaults()
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
	s := &Store{path: path, o: o, queue: make(chan *write, o.Queue), stop: make(chan struct{}), done: make(chan struct{})}
	var db *bolt.DB
	err := s.guard(func() (err error) {
		if db, err = openFile(path, o); err != nil {
			return err
		}
		if err = identify(db); err == nil {
			err = migrate(db, o)
		}
		return err
	})
	if err != nil {
		if db != nil {
			db.Close()
		}
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	// What a copy that was killed left behind; we hold the lock, so nobody is at work on it.
	for _, part := range []string{compacting(path), backingUp(path)} {
		_ = os.Remove(part)
	}
	s.db.Store(db)
	go s.writer()
	return s, nil
}

// openFile opens an existing file and says in plain words why it can not.
func openFile(path string, o Options) (*bolt.DB, error) {
	size, err := whole(path)
	if err != nil {
		return nil, err
	}
	options := boltOptions(o, size)
	var opened *os.File
	options.OpenFile = func(name string, flag int, perm os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag, perm)
		opened = f
		return f, err
	}
	db, err := bolt.Open(path, 0o600, options)
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%w; stop it first, or ask the running daemon (callpoint status)", ErrInUse)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return nil, fmt.Errorf("%w: it is no bbolt file (%v); restore a backup, or move it away to start anew", ErrDamaged, err)
	case err != nil:
		return nil, err
	}
	db.AllocSize = o.step(size)
	err = same(opened, path)
	if err == nil {
		err = structure(opened)
	}
	if err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// same makes sure that we locked the file that has the name: while we waited for the
// lock, its owner may have put a compacted one in its place.
func same(f *os.File, path string) error {
	locked, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(locked, named) {
		return fmt.Errorf("%w: it was compacted just now; try again", ErrInUse)
	}
	return nil
}

// whole refuses a file that bbolt would take for a new store, or fail on with a fault.
func whole(path string) (size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	size = fi.Size()
	if size < 4*int64(os.Getpagesize()) {
		return 0, fmt.Errorf("%w: it has only %d bytes; restore a backup, or remove it to start anew", ErrDamaged, size)
	}
	if end := readMeta(f).end(); size < end {
		return 0, fmt.Errorf("%w: it was cut short: %d bytes are there of %d; restore a backup", ErrDamaged, size, end)
	}
	return size, nil
}

// smallStore is up to which size a start looks at every page.
const smallStore = 64 << 20

// structure refuses a file in whose pages bbolt would go round in a circle. Of a large one it
// reads only the inner pages, some two in a hundred; Check reads the rest.
func structure(f io.ReaderAt) (err error) {
	m := readMeta(f)
	w := newWalk(f, m, func(format string, args ...any) {
		if err == nil {
			err = fmt.Errorf("%w: %s; restore a backup", ErrDamaged, fmt.Sprintf(format, args...))
		}
	})
	w.inner = m.end() > smallStore
	w.all()
	return err
}

func boltOptions(o Options, size int64) *bolt.Options {
	return &bolt.Options{
		Timeout:      o.Timeout,
		FreelistType: bolt.FreelistMapType,
		// Room to grow without remapping: a remap waits for every reader.
		InitialMmapSize: int(max(1<<30, 2*size)),
		MaxSize:         int(o.MaxSize),
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
	// Mapped no further than it reaches, so that it begins small.
	db, err := bolt.Open(tmp, 0o600, &bolt.Options{Timeout: o.Timeout, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return putIdentity(tx, identity{format, schema, o.Now().UTC()})
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
