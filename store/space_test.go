package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"callpoint/mapping"
)

// fill adds events until one is refused, and says how many were taken.
func fill(t testing.TB, s *Store, limit int) (taken int, err error) {
	t.Helper()
	for i := range limit {
		var events []mapping.Event
		for n := range 100 {
			e := event(fmt.Sprintf("visitor-%d", i), n)
			e.URL += strings.Repeat("x", 1000)
			events = append(events, e)
		}
		if _, err := s.Add(context.Background(), events, nil); err != nil {
			return taken, err
		}
		taken += len(events)
	}
	return taken, nil
}

func wantFull(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, ErrFull) {
		t.Fatalf("%v, want full", err)
	}
}

// dropAll is a stand-in for the rules: everything before a time goes.
func dropAll(t testing.TB, s *Store) {
	t.Helper()
	_, err := s.Prune(context.Background(), goldenAt.AddDate(1, 0, 0), cutAll)
	if err != nil {
		t.Fatal(err)
	}
}

// A full store keeps what it took, still records what is no event, says what the matter
// is, and goes on by itself when there is room again.
func TestMaxSize(t *testing.T) {
	t.Parallel()
	const limit = 32 << 20
	path := filepath.Join(t.TempDir(), "callpoint.db")
	s := openAt(t, path, Options{MaxSize: limit})
	taken, err := fill(t, s, 1000)
	wantFull(t, err)
	fi, serr := os.Stat(path)
	if serr != nil || fi.Size() > limit || fi.Size() < limit/2 {
		t.Errorf("the file has %d bytes of %d, %v", fi.Size(), limit, serr)
	}
	if err := s.Writable(); err == nil || !strings.Contains(err.Error(), "CALLPOINT_STORE_MAX_SIZE") {
		t.Errorf("Writable says %v", err)
	}
	if n := s.count(t, "visitor-"); n != taken {
		t.Errorf("%d events are there, %d were taken", n, taken)
	}
	fillAround(t, s)
	dropAll(t, s)
	if err := s.Writable(); err != nil {
		t.Errorf("after pruning: %v", err)
	}
	if n, err := fill(t, s, 5); n != 500 || err != nil {
		t.Errorf("after pruning: %d taken, %v", n, err)
	}
}

// fillAround writes what a full store must still take.
func fillAround(t testing.TB, s *Store) {
	t.Helper()
	for i := range 50 {
		call := Call{Call: mapping.Call{TaskID: fmt.Sprintf("00THs0000%06dMAA", i), At: goldenAt, Fields: map[string]any{"Subject": strings.Repeat("x", 500)}}, Hash: "1"}
		if _, err := s.ApplyTasks(context.Background(), []Call{call}, Cursor{Since: goldenAt}); err != nil {
			t.Fatalf("a full store refuses a Task: %v", err)
		}
	}
}

// On a disk that is full nothing is half kept, and nothing must be restarted.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("mounting a small disk takes root; TestMaxSize and TestFreeFloor run everywhere")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	path := filepath.Join(dir, "callpoint.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	taken, err := fill(t, s, 1000)
	wantFull(t, err)
	if err := s.Writable(); err == nil {
		t.Error("Writable says nothing of a full disk")
	}
	sound(t, s)
	if n := s.count(t, "visitor-"); n != taken {
		t.Errorf("%d events are there, %d were taken", n, taken)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	if err := s.Writable(); err != nil {
		t.Errorf("with room again: %v", err)
	}
	more, err := fill(t, s, taken/100+5)
	if err != nil {
		t.Errorf("with room again: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sound(t, s)
	if n := s.count(t, "visitor-"); n != more {
		t.Errorf("reopened: %d events, want %d", n, more)
	}
}

// Below the floor no event is taken; a copy that would reach it is not begun.
func TestFreeFloor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "callpoint.db")
	var st syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &st); err != nil {
		t.Fatal(err)
	}
	free := int64(st.Bavail) * int64(st.Bsize) //nolint:unconvert // types differ by platform
	s := openAt(t, path, Options{FreeFloor: free * 2})
	_, err := fill(t, s, 1)
	wantFull(t, err)
	if err := s.Writable(); err == nil || !strings.Contains(err.Error(), "CALLPOINT_STORE_FREE_FLOOR") {
		t.Errorf("Writable says %v", err)
	}
	fillAround(t, s)
	_, _, err = s.Compact(context.Background())
	wantFull(t, err)
	low := openAt(t, filepath.Join(t.TempDir(), "callpoint.db"), Options{FreeFloor: 1 << 20})
	if n, err := fill(t, low, 1); n != 100 || err != nil {
		t.Errorf("above the floor: %d, %v", n, err)
	}
}

// Pruning and compaction give the space back, and the store knows when it pays.
func TestCompactionGivesSpaceBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "callpoint.db")
	s := openAt(t, path, Options{})
	fillGolden(t, s)
	if _, err := fill(t, s, 300); err != nil {
		t.Fatal(err)
	}
	if pays, err := s.CompactionPays(); pays || err != nil {
		t.Errorf("full of data: pays %v, %v", pays, err)
	}
	did, err := s.Prune(t.Context(), goldenAt.AddDate(1, 0, 0), cutAll)
	if err != nil || did.Rows != 30000 || did.Visitors != 300 || did.Open != 2 {
		t.Errorf("pruned %+v, %v; want all but the two visitors with open calls", did, err)
	}
	if pays, err := s.CompactionPays(); !pays || err != nil {
		t.Errorf("pruned: pays %v, %v", pays, err)
	}
	want := goldenReading(t, s)
	before, after, err := s.Compact(t.Context())
	if err != nil || before < 30<<20 || after > before/2 {
		t.Errorf("%d bytes before, %d after, %v", before, after, err)
	}
	if pays, err := s.CompactionPays(); pays || err != nil {
		t.Errorf("compacted: pays %v, %v", pays, err)
	}
	if got := goldenReading(t, s); got != want {
		t.Errorf("reads differently:\n%s\n%s", got, want)
	}
}

func cutAll(j *mapping.Journey, before time.Time) {
	if before.After(j.PrunedBefore) {
		j.PrunedBefore = before
	}
}
