package boltkv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"callpoint/store/kv"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// Lock takes bbolt's lock of a file without reading it, so that a damaged one can be
// replaced. It does not wait.
func Lock(path string) (unlock func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w; stop it first", path, kv.ErrInUse)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// Replace puts the file part in the place of the one at path, which keeps its bytes under
// the name aside and gives owner and mode. The caller holds the lock of path. aside is
// returned empty where nothing was at path.
func Replace(path, part, aside string) (string, error) {
	if isMountPoint(path) {
		return "", fmt.Errorf("%s is a mount point: it cannot be replaced; mount its folder instead", path)
	}
	old, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		aside = ""
		err = ownLikeFolder(part)
	case err == nil && !old.Mode().IsRegular():
		err = fmt.Errorf("%s is not a regular file", path)
	case err == nil:
		err = KeepOwner(part, old)
	}
	if err != nil {
		return "", err
	}
	if aside != "" {
		// Link, then rename: a power cut in between leaves the old store where it was. Not
		// every file system has hard links.
		if err := os.Link(path, aside); err != nil {
			if err := os.Rename(path, aside); err != nil {
				return "", fmt.Errorf("keep the old store: %w", err)
			}
		}
	}
	if err := os.Rename(part, path); err != nil {
		return "", err
	}
	return aside, syncDir(filepath.Dir(path))
}

// Peek runs fn in a read transaction of the file at path, which no process may write to.
func Peek(path string, names []string, fn func(kv.Tx) error) error {
	if _, err := whole(path); err != nil {
		return err
	}
	db := &DB{name: path, path: path, o: Options{Buckets: names}.withDefaults()}
	return db.guard(func() error {
		b, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: db.o.Timeout})
		if errors.Is(err, berrors.ErrTimeout) {
			return fmt.Errorf("%s: %w; stop it first", path, kv.ErrInUse)
		}
		if err != nil {
			return err
		}
		return errors.Join(b.View(func(t *bolt.Tx) error { return fn(db.newTx(t)) }), b.Close())
	})
}
