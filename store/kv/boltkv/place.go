package boltkv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Resolve returns the file that path names once every symbolic link is followed, so that a
// rename replaces that file and not a link to it. The file need not exist.
func Resolve(path string) (string, error) {
	for range 40 {
		resolved, err := filepath.EvalSymlinks(path)
		if !errors.Is(err, os.ErrNotExist) {
			return resolved, err
		}
		to, err := os.Readlink(path)
		if err != nil {
			return path, nil // it does not exist yet
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return "", fmt.Errorf("%s: too many symbolic links", path)
}

// inPlace returns an error unless the name of the DB still leads to the open file. Whatever
// is written to a file that was removed or replaced is gone after the next start.
func (db *DB) inPlace() error {
	db.mu.Lock() // Compact renames and notes the new file under it
	defer db.mu.Unlock()
	named, err := os.Stat(db.name)
	switch {
	case err == nil && os.SameFile(named, db.file):
		return nil
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("store file %s was removed while it is in use; save what it holds with callpoint store backup FILE, then restart callpoint", db.name)
	case err != nil:
		return fmt.Errorf("store file: %w", err)
	}
	return fmt.Errorf("store file %s was replaced by another file while it is in use; move the first one back, or restart callpoint to use the other one", db.name)
}

// Replaceable returns an error if the file cannot be replaced by a rename as Compact does it,
// with owner and mode kept and no other name that still leads to the old bytes.
func (db *DB) Replaceable() error {
	if err := db.inPlace(); err != nil {
		return err
	}
	fi, err := os.Stat(db.path)
	if err != nil {
		return err
	}
	st := fi.Sys().(*syscall.Stat_t)
	dir := filepath.Dir(db.path)
	switch {
	case isMountPoint(db.path):
		return fmt.Errorf("%s is a mount point: it cannot be replaced by a compacted file; mount its folder instead", db.path)
	case st.Nlink > 1:
		return fmt.Errorf("%s has %d hard links: the others would keep the erased bytes; remove them", db.path, st.Nlink-1)
	case os.Geteuid() != 0 && os.Geteuid() != int(st.Uid):
		return fmt.Errorf("%s belongs to the user with id %d: run the command as that user, or as root", db.path, st.Uid)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("the folder %s must be writable to replace the store in it: %w", dir, err)
	}
	return nil
}

// createExclusive is an OpenFile for bbolt that creates a file and follows no link.
func createExclusive(name string, flag int, perm os.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, perm)
}

// removeStale removes what an interrupted copy left behind, if it is a regular file. Where
// nothing has that name it does nothing.
func removeStale(name string) error {
	fi, err := os.Lstat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !fi.Mode().IsRegular():
		return fmt.Errorf("%s is in the way and is not a regular file; move it away", name)
	}
	return os.Remove(name)
}

// KeepOwner gives the file at path the owner, group and mode of like.
func KeepOwner(path string, like os.FileInfo) error {
	fi, err := os.Lstat(path)
	if err != nil {
		return err
	}
	is, want := fi.Sys().(*syscall.Stat_t), like.Sys().(*syscall.Stat_t)
	if is.Uid != want.Uid || is.Gid != want.Gid {
		if err := os.Lchown(path, int(want.Uid), int(want.Gid)); err != nil {
			return fmt.Errorf("keep the owner of the store: %w", err)
		}
	}
	return os.Chmod(path, like.Mode().Perm())
}

// ownLikeFolder gives a new file to the owner of its folder where root creates it: a command
// that is run by hand must not leave a store that the daemon cannot open.
func ownLikeFolder(path string) error {
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	st := dir.Sys().(*syscall.Stat_t)
	if st.Uid == 0 {
		return nil
	}
	return os.Lchown(path, int(st.Uid), int(st.Gid))
}
