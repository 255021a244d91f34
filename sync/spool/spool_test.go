package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"callpoint/mapping"

	"github.com/google/go-cmp/cmp"
)

var errGone = errors.New("connection refused")

// sink is a destination that can be away.
type sink struct {
	mu     sync.Mutex
	err    error
	refuse string // visitor whose batches are refused for good
	got    []string
}

func (s *sink) Add(_ context.Context, events []mapping.Event, visits []mapping.Visit) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	for _, e := range events {
		if s.refuse != "" && e.Visitor == s.refuse {
			return 0, errors.New("refused")
		}
	}
	for _, e := range events {
		s.got = append(s.got, e.Visitor)
	}
	for _, v := range visits {
		s.got = append(s.got, v.Visitor)
	}
	return 0, nil
}

func (s *sink) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *sink) have() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func open(t *testing.T, dir string, to *sink, change ...func(*Config)) *Spool {
	t.Helper()
	cfg := Config{Dir: dir, Max: 1 << 20, Sink: to, Away: func(err error) bool { return errors.Is(err, errGone) }}
	for _, c := range change {
		c(&cfg)
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// running runs a spool's delivery until the returned function is called.
func running(s *Spool) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	return func() { cancel(); <-done }
}

func view(visitor string) []mapping.Event {
	return []mapping.Event{{Kind: mapping.View, Visitor: visitor, At: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), URL: "https://www.example.com/"}}
}

func add(t *testing.T, s *Spool, visitors ...string) {
	t.Helper()
	for _, v := range visitors {
		if _, err := s.Add(t.Context(), view(v), nil); err != nil {
			t.Fatalf("Add(%s): %v", v, err)
		}
	}
}

func closed(t *testing.T, s *Spool) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestPassesOnWhileTheSinkIsThere(t *testing.T) {
	dir, to := t.TempDir(), &sink{}
	s := open(t, dir, to)
	add(t, s, "a", "b")
	closed(t, s)
	if diff := cmp.Diff([]string{"a", "b"}, to.have()); diff != "" {
		t.Error(diff)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*"+suffix)); len(names) > 0 {
		t.Errorf("segments were written: %v", names)
	}
}

// An outage of two minutes: everything is acknowledged, kept, and delivered in order.
func TestOutage(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		to := &sink{err: errGone}
		s := open(t, dir, to, func(c *Config) { c.Segment = 200 })
		stop := running(s)
		var want []string
		for i := range 20 {
			v := fmt.Sprintf("visitor-%02d", i)
			add(t, s, v)
			want = append(want, v)
			time.Sleep(6 * time.Second) // of virtual time
		}
		if st := s.Stats(); st.Bytes == 0 || st.AwaySince.IsZero() || st.Oldest.IsZero() {
			t.Errorf("stats during the outage: %+v", st)
		}
		to.set(nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff(want, to.have()); diff != "" {
			t.Error(diff)
		}
		if st := s.Stats(); st.Bytes != 0 || !st.AwaySince.IsZero() || !st.Oldest.IsZero() {
			t.Errorf("stats afterwards: %+v", st)
		}
		add(t, s, "later")
		if got := to.have(); got[len(got)-1] != "later" {
			t.Errorf("an event after the outage was not passed on at once: %v", got)
		}
		stop()
		closed(t, s)
	})
	if names, _ := filepath.Glob(filepath.Join(dir, "*"+suffix)); len(names) > 0 {
		t.Errorf("segments are left: %v", names)
	}
}

// A process that ends during the outage: the next one delivers what the first acknowledged,
// and ignores what a crash left incomplete.
func TestRestart(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string){
		"as it was":       func(*testing.T, string) {},
		"incomplete head": func(t *testing.T, path string) { appendTo(t, path, []byte(magic)) },
		"incomplete payload": func(t *testing.T, path string) {
			b, _ := encode(time.Now(), view("x"), nil)
			appendTo(t, path, b[:len(b)-1])
		},
		"zeros behind the end": func(t *testing.T, path string) { appendTo(t, path, make([]byte, 4096)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, to := t.TempDir(), &sink{err: errGone}
			s := open(t, dir, to)
			add(t, s, "a", "b")
			if _, err := s.Add(t.Context(), nil, []mapping.Visit{{SessionID: "s", Visitor: "c"}}); err != nil {
				t.Fatal(err)
			}
			closed(t, s)
			damage(t, oneSegment(t, dir))
			deliverAll(t, dir, to)
			if diff := cmp.Diff([]string{"a", "b", "c"}, to.have()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// deliverAll opens the spool anew, with its sink back, and waits until it is empty.
func deliverAll(t *testing.T, dir string, to *sink) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		to.set(nil)
		s := open(t, dir, to)
		stop := running(s)
		time.Sleep(time.Minute)
		synctest.Wait()
		if st := s.Stats(); st.Bytes != 0 {
			t.Errorf("after a minute: %+v", st)
		}
		stop()
		closed(t, s)
	})
}

func oneSegment(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil || len(names) != 1 {
		t.Fatalf("segments: %v, %v", names, err)
	}
	return names[0]
}

func appendTo(t *testing.T, path string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// A flipped byte costs the batch that holds it, and nothing is removed without a copy.
func TestDamageCostsOneBatch(t *testing.T) {
	dir, to := t.TempDir(), &sink{err: errGone}
	s := open(t, dir, to)
	add(t, s, "a", "b", "c")
	closed(t, s)
	path := oneSegment(t, dir)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1 // within the second of three batches of one size
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	deliverAll(t, dir, to)
	if diff := cmp.Diff([]string{"a", "c"}, to.have()); diff != "" {
		t.Error(diff)
	}
	copies, _ := filepath.Glob(filepath.Join(dir, asidePattern))
	if len(copies) != 1 {
		t.Fatalf("copies: %v", copies)
	}
	if kept, _ := os.ReadFile(copies[0]); !slices.Equal(kept, data) {
		t.Error("the copy differs from the damaged segment")
	}
	s = open(t, dir, to)
	defer closed(t, s)
	if st := s.Stats(); st.Aside != 1 {
		t.Errorf("files aside after a restart: %d, want 1", st.Aside)
	}
}

// A batch that the destination refuses for good does not stop the others.
func TestRefusedBatchGoesAside(t *testing.T) {
	dir, to := t.TempDir(), &sink{err: errGone, refuse: "b"}
	s := open(t, dir, to)
	add(t, s, "a", "b", "c")
	closed(t, s)
	deliverAll(t, dir, to)
	if diff := cmp.Diff([]string{"a", "c"}, to.have()); diff != "" {
		t.Error(diff)
	}
	copies, _ := filepath.Glob(filepath.Join(dir, asidePattern))
	if len(copies) != 1 {
		t.Fatalf("copies: %v", copies)
	}
	data, _ := os.ReadFile(copies[0])
	for b := range batches(data) {
		if diff := cmp.Diff(view("b"), b.Events); diff != "" {
			t.Error(diff)
		}
	}
}

func TestFull(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		to := &sink{err: errGone}
		one, err := encode(time.Now(), view("a"), nil)
		if err != nil {
			t.Fatal(err)
		}
		s := open(t, dir, to, func(c *Config) { c.Max = int64(2*len(one) + 40) })
		stop := running(s)
		add(t, s, "a", "b")
		if err := s.Writable(); err != nil {
			t.Errorf("Writable with room: %v", err)
		}
		if _, err := s.Add(t.Context(), view("c"), nil); !errors.Is(err, ErrFull) {
			t.Errorf("Add beyond the limit: %v, want ErrFull", err)
		}
		if err := s.Writable(); !errors.Is(err, ErrFull) {
			t.Errorf("Writable when full: %v, want ErrFull", err)
		}
		to.set(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := s.Writable(); err != nil {
			t.Errorf("Writable after the delivery: %v", err)
		}
		add(t, s, "d")
		if diff := cmp.Diff([]string{"a", "b", "d"}, to.have()); diff != "" {
			t.Error(diff)
		}
		stop()
		closed(t, s)
	})
}

// A destination that was away while the spool took nothing is tried again.
func TestAwayAndFullRecovers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		to := &sink{err: errGone}
		s := open(t, dir, to, func(c *Config) { c.Max = 1 })
		stop := running(s)
		if _, err := s.Add(t.Context(), view("a"), nil); !errors.Is(err, ErrFull) {
			t.Errorf("Add: %v, want ErrFull", err)
		}
		to.set(nil)
		time.Sleep(time.Minute)
		add(t, s, "b")
		stop()
		closed(t, s)
	})
}

func TestOtherErrorsAreTheCallers(t *testing.T) {
	dir, to := t.TempDir(), &sink{err: errors.New("too large")}
	s := open(t, dir, to)
	defer closed(t, s)
	if _, err := s.Add(t.Context(), view("a"), nil); err == nil || err.Error() != "too large" {
		t.Errorf("Add: %v, want the sink's error", err)
	}
	if st := s.Stats(); st.Bytes != 0 || st.Away != nil {
		t.Errorf("stats: %+v", st)
	}
}

func TestOneProcessPerDirectory(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, &sink{})
	defer closed(t, s)
	if second, err := Open(Config{Dir: dir, Sink: &sink{}}); err == nil {
		second.Close()
		t.Error("a second Open of one directory succeeded")
	}
}

func TestFilesAreOurs(t *testing.T) {
	dir, to := t.TempDir(), &sink{err: errGone}
	s := open(t, dir, to)
	add(t, s, "a")
	closed(t, s)
	info, err := os.Stat(oneSegment(t, dir))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "00000009.spool")); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(Config{Dir: dir, Sink: to}); !errors.Is(err, syscall.ELOOP) {
		if err == nil {
			s.Close()
		}
		t.Errorf("Open with a link in the place of a segment: %v, want ELOOP", err)
	}
}

// Many callers, an outage in the middle: each acknowledged event arrives at least once.
func TestConcurrentCallers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		to := &sink{}
		s := open(t, dir, to, func(c *Config) { c.Segment = 1000 })
		stop := running(s)
		var callers sync.WaitGroup
		for c := range 8 {
			callers.Go(func() {
				for i := range 40 {
					if i == 10 && c == 0 {
						to.set(errGone)
					}
					if i == 30 && c == 0 {
						to.set(nil)
					}
					if _, err := s.Add(t.Context(), view(fmt.Sprintf("%d-%d", c, i)), nil); err != nil {
						t.Errorf("Add: %v", err)
					}
					time.Sleep(time.Second)
				}
			})
		}
		callers.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		have := map[string]bool{}
		for _, v := range to.have() {
			have[v] = true
		}
		for c := range 8 {
			for i := range 40 {
				if v := fmt.Sprintf("%d-%d", c, i); !have[v] {
					t.Errorf("%s was acknowledged and never arrived", v)
				}
			}
		}
		stop()
		closed(t, s)
	})
}
