package boltkv

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"

	"callpoint/store/kv"

	berrors "go.etcd.io/bbolt/errors"
)

// errFull returns the error of a write for which there is no space.
func errFull(cause error) error {
	return fmt.Errorf("%w: free disk space or raise the limit: %w", kv.ErrFull, cause)
}

// full reports whether err goes away when space returns.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, berrors.ErrMaxSizeReached)
}

// noRoom reports whether the disk is full: some of bbolt's errors do not name their cause.
func (db *DB) noRoom() bool {
	free, err := freeSpace(db.path)
	return err == nil && free < 1<<20
}

// freeSpace returns how many bytes an ordinary user can still write to the disk of path.
func freeSpace(path string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:unconvert // types differ by platform
}

// reserve returns the part of MaxSize that Ingest does not use: without it a full store
// could not even record the result of a request, or prune.
func (o Options) reserve() int64 { return max(2<<20, o.MaxSize/8) }

// growthStep returns by how many bytes the file grows at a time. Space beyond the last page
// is wasted, so the step is small for a small file and for a small limit.
func (o Options) growthStep(size int64) int {
	most := int64(16 << 20)
	if o.MaxSize > 0 {
		most = min(most, o.MaxSize/16)
	}
	return int(max(1<<20, min(most, size/16)))
}

// checkSpace returns an error if there is no space for n more ingested bytes.
func (db *DB) checkSpace(n int64) error {
	if db.o.FreeFloor > 0 {
		free, err := freeSpace(db.path)
		if err != nil {
			return fmt.Errorf("free disk space: %w", err)
		}
		if free-n < db.o.FreeFloor {
			return errFull(fmt.Errorf("%d MiB of the disk are free, CALLPOINT_STORE_FREE_FLOOR keeps %d MiB", free>>20, db.o.FreeFloor>>20))
		}
	}
	if db.o.MaxSize > 0 {
		used, err := db.used()
		if err != nil {
			return err
		}
		if limit := db.o.MaxSize - db.o.reserve(); used+n > limit {
			return errFull(fmt.Errorf("%d MiB are in use, CALLPOINT_STORE_MAX_SIZE leaves %d MiB for events", used>>20, limit>>20))
		}
	}
	return nil
}

// Writable returns nil while the DB takes writes. The error of a full disk goes away when
// space returns.
func (db *DB) Writable() error {
	if err := errors.Join(db.broken(), db.inPlace()); err != nil {
		return err
	}
	if err := db.checkSpace(1 << 20); err != nil { // an ordinary body, and some
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.full != nil && db.noRoom() {
		return db.full
	}
	return nil
}
