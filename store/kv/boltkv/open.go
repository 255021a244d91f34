package boltkv

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"callpoint/store/kv"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Open opens an existing file.
func Open(path string, o Options) (*DB, error) {
	o = o.withDefaults()
	name := path
	path, err := Resolve(path)
	if err != nil {
		return nil, err
	}
	db := &DB{name: name, path: path, o: o, queue: make(chan *write, o.Queue), stop: make(chan struct{}), done: make(chan struct{})}
	var b *bolt.DB
	err = db.guard(func() (err error) {
		if b, db.file, err = openFile(path, o); err != nil || o.Accept == nil {
			return err
		}
		return b.View(func(t *bolt.Tx) error { return o.Accept(db.newTx(t)) })
	})
	if err != nil {
		if b != nil {
			b.Close()
		}
		return nil, err
	}
	// Remove what a copy that was killed left behind. This process holds the file lock, so
	// no other one is making a copy.
	for _, part := range []string{compacting(path), backingUp(path)} {
		_ = removeStale(part)
	}
	removeFirstNames(path, db.file)
	db.db.Store(b)
	go db.writer()
	return db, nil
}

// openFile opens an existing file, and explains in plain words why it cannot.
func openFile(path string, o Options) (*bolt.DB, os.FileInfo, error) {
	size, err := whole(path)
	if err != nil {
		return nil, nil, err
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
		return nil, nil, fmt.Errorf("%w; stop it first, or ask the running daemon (callpoint status)", kv.ErrInUse)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return nil, nil, fmt.Errorf("%w: it is not a bbolt file (%v); restore a backup, or move it away to start anew", kv.ErrDamaged, err)
	case err != nil:
		return nil, nil, err
	}
	db.AllocSize = o.growthStep(size)
	fi, err := same(opened, path)
	if err == nil {
		err = structure(opened)
	}
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	return db, fi, nil
}

// same returns what the locked file is, and an error unless the locked file f still has the name path: while Open
// waited for the lock, its owner may have replaced it by a compacted one.
func same(f *os.File, path string) (os.FileInfo, error) {
	locked, err := f.Stat()
	if err != nil {
		return nil, err
	}
	named, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !os.SameFile(locked, named) {
		return nil, fmt.Errorf("%w: it was compacted just now; try again", kv.ErrInUse)
	}
	return locked, nil
}

// firstName is the pattern of the names under which Create makes files.
const firstName = ".callpoint-new-*"

// removeFirstNames removes the name under which a file was made, where Create was killed
// before it could.
func removeFirstNames(path string, file os.FileInfo) {
	names, _ := filepath.Glob(filepath.Join(filepath.Dir(path), firstName)) // a constant pattern
	for _, name := range names {
		if fi, err := os.Lstat(name); err == nil && os.SameFile(fi, file) {
			_ = os.Remove(name)
		}
	}
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
		return 0, fmt.Errorf("%w: it has only %d bytes; restore a backup, or remove it to start anew", kv.ErrDamaged, size)
	}
	if end := readMeta(f).end(); size < end {
		return 0, fmt.Errorf("%w: it was cut short: %d bytes are there of %d; restore a backup", kv.ErrDamaged, size, end)
	}
	return size, nil
}

// smallStore is the size up to which Open verifies every page.
const smallStore = 64 << 20

// structure refuses a file whose pages would send bbolt in a circle. Of a large file it
// reads the inner pages alone, about two in a hundred; Structure reads the rest.
func structure(f io.ReaderAt) (err error) {
	m := readMeta(f)
	w := newWalk(f, m, func(format string, args ...any) {
		if err == nil {
			err = fmt.Errorf("%w: %s; restore a backup", kv.ErrDamaged, fmt.Sprintf(format, args...))
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

// Create writes a new file with every bucket and what init puts into them. The file is
// made under another name first: a power cut during the very first initialisation would
// leave a file that does not open. It is no error if another process created the file
// meanwhile; that one stays.
func Create(path string, o Options, init func(kv.Tx) error) error {
	path, err := Resolve(path)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, firstName)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("the folder %s does not exist", dir)
		}
		return err
	}
	tmp := f.Name()
	f.Close()
	defer os.Remove(tmp)
	// Mapped no further than the file reaches, so that it begins small.
	b, err := bolt.Open(tmp, 0o600, &bolt.Options{Timeout: o.withDefaults().Timeout, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return err
	}
	db := &DB{name: path, path: path, o: o}
	db.db.Store(b)
	if err := errors.Join(db.Migrate(init), b.Close(), ownLikeFolder(tmp)); err != nil {
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
