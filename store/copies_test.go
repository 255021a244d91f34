package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"
)

func event(visitor string, n int) mapping.Event {
	return mapping.Event{Kind: mapping.View, Visitor: visitor, At: goldenAt.Add(time.Duration(n) * time.Second), URL: "https://www.example.com/page"}
}

// Compact, Backup and Check beside writers and readers: nothing that was acknowledged is
// missing, in the store or in a copy of it.
func TestCopiesBesideWrites(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "callpoint.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	fillGolden(t, s)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	var acked [4]atomic.Int64
	for w := range acked {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				var events []mapping.Event
				for n := range 20 {
					events = append(events, event(fmt.Sprintf("writer-%d-%d", w, i%50), i*20+n))
				}
				if _, err := s.Add(ctx, events, nil); err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
				acked[w].Add(20)
				// Something that is changed and deleted, too.
				if err := s.SetState(ctx, fmt.Sprint("state-", w), i); err != nil {
					t.Error(err)
				}
				if err := s.DropState(ctx, fmt.Sprint("state-", (w+1)%4)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.Journey("writer-0-0"); err != nil {
				t.Errorf("reader: %v", err)
				return
			}
		}
	})
	want := goldenReading(t, s)
	for i := range 5 {
		if _, _, err := s.Compact(ctx); err != nil {
			t.Fatalf("compact %d: %v", i, err)
		}
		var before, after [4]int64
		for w := range acked {
			before[w] = acked[w].Load()
		}
		var copied bytes.Buffer
		if _, err := s.Backup(ctx, &copied); err != nil {
			t.Fatalf("backup %d: %v", i, err)
		}
		for w := range acked {
			after[w] = acked[w].Load() + 20 // one may be on its way to being acknowledged
		}
		problems, err := s.Check()
		if err != nil || len(problems) > 0 {
			t.Fatalf("check %d beside writes: %v %v", i, problems, err)
		}
		file := filepath.Join(t.TempDir(), "copy.db")
		if err := os.WriteFile(file, copied.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		b := openAt(t, file, Options{})
		for w := range acked {
			if n := int64(b.count(t, fmt.Sprintf("writer-%d-", w))); n < before[w] || n > after[w] || n%20 != 0 {
				t.Errorf("copy %d: %d events of writer %d, acknowledged were %d before and %d after", i, n, w, before[w], after[w])
			}
		}
	}
	close(stop)
	wg.Wait()
	for _, reopened := range []bool{false, true} {
		if reopened {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openAt(t, path, Options{})
		}
		for w := range acked {
			if n := s.count(t, fmt.Sprintf("writer-%d-", w)); int64(n) != acked[w].Load() {
				t.Errorf("reopened %v: %d events of writer %d, acknowledged %d", reopened, n, w, acked[w].Load())
			}
		}
		got := goldenReading(t, s)
		if got != want {
			t.Errorf("reopened %v: reads differently:\n%s\n%s", reopened, got, want)
		}
	}
	for _, part := range []string{path + ".compact", path + ".backup"} {
		if _, err := os.Stat(part); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left behind: %v", part, err)
		}
	}
}

// count counts the events of visitors whose id begins with prefix.
func (s *Store) count(t testing.TB, prefix string) (n int) {
	t.Helper()
	err := s.view(func(tx kv.Tx) error {
		n = 0
		for range tx.Scan(kv.Prefix(bEvents, []byte(prefix))) {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestClosedStoreRefuses(t *testing.T) {
	t.Parallel()
	s, err := Open(filepath.Join(t.TempDir(), "callpoint.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Add(t.Context(), []mapping.Event{event("a", 1)}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("add: %v", err)
	}
	if _, err := s.Journey("a"); !errors.Is(err, ErrClosed) {
		t.Errorf("journey: %v", err)
	}
	if _, _, err := s.Compact(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("compact: %v", err)
	}
	if _, err := s.Check(); !errors.Is(err, ErrClosed) {
		t.Errorf("check: %v", err)
	}
}
