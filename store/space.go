package store

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"syscall"

	berrors "go.etcd.io/bbolt/errors"
)

// errFull says that a write found no room.
func errFull(cause error) error {
	return &RefusedError{http.StatusInsufficientStorage, fmt.Errorf("store is full: free disk space or raise the limit: %w", cause)}
}

// full reports whether err goes away when space returns.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, berrors.ErrMaxSizeReached)
}

// noRoom tells a full disk by itself: some of bbolt's errors do not say what caused them.
func (s *Store) noRoom() bool {
	free, err := freeSpace(s.path)
	return err == nil && free < 1<<20
}

// freeSpace is what an ordinary user may still fill of the disk that holds path.
func freeSpace(path string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:unconvert // types differ by platform
}

// reserve is the part of MaxSize that is not for events: without it a full store could
// not even record what became of a touchpoint, or prune.
func (o Options) reserve() int64 { return max(2<<20, o.MaxSize/8) }

// step is by how much the file grows at a time: what lies beyond the last page is lost, so
// it is little of a small file, and leaves something of a small limit.
func (o Options) step(size int64) int {
	most := int64(16 << 20)
	if o.MaxSize > 0 {
		most = min(most, o.MaxSize/16)
	}
	return int(max(1<<20, min(most, size/16)))
}

// room refuses events where there is none for n more bytes.
func (s *Store) room(n int64) error {
	if s.o.FreeFloor > 0 {
		free, err := freeSpace(s.path)
		if err != nil {
			return fmt.Errorf("free disk space: %w", err)
		}
		if free-n < s.o.FreeFloor {
			return errFull(fmt.Errorf("%d MiB of the disk are free, CALLPOINT_STORE_FREE_FLOOR keeps %d MiB", free>>20, s.o.FreeFloor>>20))
		}
	}
	if s.o.MaxSize > 0 {
		used, err := s.used()
		if err != nil {
			return err
		}
		if limit := s.o.MaxSize - s.o.reserve(); used+n > limit {
			return errFull(fmt.Errorf("%d MiB are in use, CALLPOINT_STORE_MAX_SIZE leaves %d MiB for events", used>>20, limit>>20))
		}
	}
	return nil
}

// Writable reports nil while the store takes writes. What it says of a full disk goes
// away when space returns.
func (s *Store) Writable() error {
	if err := s.broken(); err != nil {
		return err
	}
	if err := s.room(1 << 20); err != nil { // an ordinary body, and some
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full != nil && s.noRoom() {
		return s.full
	}
	return nil
}
