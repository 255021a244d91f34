package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callpoint/mapping"
)

func event(visitor string, n int) mapping.Event {
	return mapping.Event{Kind: mapping.View, Visitor: visitor, At: goldenAt.Add(time.Duration(n) * time.Second), URL: "https://www.example.com/page"}
}

// hold keeps the writer busy until the returned function is called.
func hold(t testing.TB, s *Store) (release func()) {
	t.Helper()
	held, let := make(chan struct{}), make(chan struct{})
	go s.between(context.Background(), func() error { //nolint:errcheck // nil
		close(held)
		<-let
		return nil
	})
	<-held
	return func() { close(let) }
}

// What waits together is committed together: one transaction for many callers.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	before := s.txid(t)
	release := hold(t, s)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			if n, err := s.Add(context.Background(), []mapping.Event{event("a", i)}, nil); n != 0 || err != nil {
				t.Errorf("add %d: %d %v", i, n, err)
			}
		})
	}
	for len(s.queue) < 64 {
		runtime.Gosched() // until all of them wait
	}
	release()
	wg.Wait()
	if n := s.txid(t) - before; n != 1 {
		t.Errorf("64 writes that waited took %d transactions, want 1", n)
	}
	if j, err := s.Journey("a"); err != nil || len(j.Events) != 64 {
		t.Errorf("%d events, %v", len(j.Events), err)
	}
}

func (s *Store) txid(t testing.TB) (id int) {
	t.Helper()
	if err := s.view(func(tx *txn) error { id = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return id
}

// One that fails takes nobody else down, and leaves nothing behind.
func TestAFailureInAGroupIsItsOwn(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	release := hold(t, s)
	boom := errors.New("boom")
	results := make(chan error, 2)
	go func() {
		results <- s.update(context.Background(), func(tx *txn) error {
			return errors.Join(put(tx.Bucket(bMeta), []byte("half"), 1), boom)
		})
	}()
	added := make(chan error, 1)
	go func() { _, err := s.Add(context.Background(), []mapping.Event{event("a", 1)}, nil); added <- err }()
	for len(s.queue) < 2 {
		runtime.Gosched()
	}
	release()
	if err := <-results; !errors.Is(err, boom) {
		t.Errorf("the one that fails: %v", err)
	}
	if err := <-added; err != nil {
		t.Errorf("its neighbour: %v", err)
	}
	var half int
	if ok, err := s.State("half", &half); ok || err != nil {
		t.Errorf("the failed one left something: %v %v", ok, err)
	}
}

// The queue is bounded in number and in bytes; a single large write is taken all the same.
func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	s := openAt(t, filepath.Join(t.TempDir(), "callpoint.db"), Options{Queue: 2, QueueBytes: 4000})
	large := event("large", 1)
	large.URL = "https://www.example.com/" + strings.Repeat("x", 8000)
	if _, err := s.Add(t.Context(), []mapping.Event{large}, nil); err != nil {
		t.Fatalf("a large write alone: %v", err)
	}
	var busy *RefusedError
	release := hold(t, s)
	results := make(chan error, 2)
	add := func(e mapping.Event) { _, err := s.Add(context.Background(), []mapping.Event{e}, nil); results <- err }
	go add(event("a", 1))
	for len(s.queue) < 1 {
		runtime.Gosched()
	}
	large.Sequence = 2
	if _, err := s.Add(t.Context(), []mapping.Event{large}, nil); !errors.As(err, &busy) || busy.Status != http.StatusTooManyRequests {
		t.Errorf("too many bytes: %v, want 429", err)
	}
	go add(event("a", 2))
	for len(s.queue) < 2 {
		runtime.Gosched()
	}
	if _, err := s.Add(t.Context(), []mapping.Event{event("a", 3)}, nil); !errors.As(err, &busy) || busy.Status != http.StatusTooManyRequests {
		t.Errorf("too many writes: %v, want 429", err)
	}
	brief, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.SetState(brief, "mine", 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a write of the daemon's own is not refused, but waits as long as it may: %v", err)
	}
	go func() { results <- s.SetState(t.Context(), "mine", 2) }() // it waits for its place
	release()
	for range 3 {
		if err := <-results; err != nil {
			t.Errorf("one that waited: %v", err)
		}
	}
	if n := s.waiting.Load(); n != 0 {
		t.Errorf("%d bytes are thought to wait when nothing does", n)
	}
	if _, err := s.Add(t.Context(), []mapping.Event{large}, nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
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
	if s.touched != nil {
		t.Error("the writer still notes what it touches")
	}
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
	for _, part := range []string{compacting(path), backingUp(path)} {
		if _, err := os.Stat(part); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left behind: %v", part, err)
		}
	}
}

// count counts the events of visitors whose id begins with prefix.
func (s *Store) count(t testing.TB, prefix string) (n int) {
	t.Helper()
	err := s.view(func(tx *txn) error {
		return scan(tx.Bucket(bEvents), []byte(prefix), func(_, _ []byte) (bool, error) { n++; return true, nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A copy that was killed leaves a file behind, which the next start takes away; a second
// process that waited for the lock does not go on with a file that nobody names any more.
func TestCompactedAway(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "callpoint.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	waits, err := os.Open(path) // what a second process has open while it waits for the lock
	if err != nil {
		t.Fatal(err)
	}
	defer waits.Close()
	if err := same(waits, path); err != nil {
		t.Errorf("before: %v", err)
	}
	if _, _, err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := same(waits, path); !errors.Is(err, ErrInUse) {
		t.Errorf("after: %v, want in use", err)
	}
	if _, err := Open(path, Options{Timeout: time.Millisecond}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second open of the compacted file: %v, want in use", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(compacting(path), []byte("half a copy"), 0o600); err != nil {
		t.Fatal(err)
	}
	openAt(t, path, Options{})
	if _, err := os.Stat(compacting(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a copy is left: %v", err)
	}
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
