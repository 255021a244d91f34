package store

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"
	"callpoint/store/kv/pgkv/pgtest"
)

// A lossy is a proxy between the store and PostgreSQL. Armed, it cuts the connection of the
// next request: before the server gets it, or after the server has answered.
type lossy struct {
	addr  string
	armed atomic.Int32 // cutBefore, cutAfter; 0: it passes everything on
	cuts  atomic.Int32
}

const (
	cutBefore = 1
	cutAfter  = 2
)

func newLossy(t testing.TB, target string) *lossy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &lossy{addr: l.Addr().String()}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			go p.pass(in, out)
		}
	}()
	return p
}

func (p *lossy) pass(in, out net.Conn) {
	defer in.Close()
	defer out.Close()
	var drop atomic.Bool // what the server answers
	answered := make(chan struct{}, 1)
	go func() {
		defer in.Close()
		b := make([]byte, 64<<10)
		for {
			n, err := out.Read(b)
			if drop.Load() && n > 0 {
				select {
				case answered <- struct{}{}:
				default:
				}
				return
			}
			if n > 0 {
				if _, err := in.Write(b[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	b := make([]byte, 64<<10)
	for {
		n, err := in.Read(b)
		if n > 0 {
			switch p.armed.Swap(0) {
			case cutBefore:
				p.cuts.Add(1)
				return
			case cutAfter:
				p.cuts.Add(1)
				drop.Store(true)
				_, _ = out.Write(b[:n])
				<-answered
				return
			}
			if _, err := out.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// An arming engine arms the proxy when a transaction is about to commit.
type arming struct {
	engine
	proxy *lossy
	mode  int32
}

func (a *arming) Update(ctx context.Context, fn func(kv.Tx) error) error {
	once := false
	return a.engine.Update(ctx, func(tx kv.Tx) error {
		err := fn(tx)
		if !once {
			once = true
			a.proxy.armed.Store(a.mode)
		}
		return err
	})
}

// A commit whose connection breaks, before or after the server made it, is made again and
// comes to the same.
func TestLostAnswersOfCommits(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	for name, mode := range map[string]int32{"before": cutBefore, "after": cutAfter} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := newLossy(t, server.Addr())
			s := openAt(t, pgtest.URL(proxy.addr, server.Schema(t)), Options{Instance: Instance{Lease: time.Hour}})
			ctx := t.Context()
			if err := s.SetState(ctx, "x", 1); err != nil { // the lease is taken
				t.Fatal(err)
			}
			proxy.armed.Store(mode)
			if _, err := s.Add(ctx, []mapping.Event{event("visitor-0000", 1)}, nil); err != nil {
				t.Errorf("Add: %v", err)
			}
			plain := s.db
			s.db = &arming{plain, proxy, mode}
			if _, err := s.ApplyTasks(ctx, []Call{sharedCall(0, "1")}, Cursor{Since: goldenAt}); err != nil {
				t.Errorf("ApplyTasks: %v", err)
			}
			if n := resolveAll(t, s, 10); n != 1 {
				t.Fatalf("%d journeys are dirty", n)
			}
			due, err := s.Due(goldenAt, 10)
			if err != nil || len(due) != 1 {
				t.Fatalf("%d due, %v", len(due), err)
			}
			if changed, err := s.Begin(ctx, due); err != nil || len(changed) > 0 {
				t.Errorf("Begin: %q, %v", changed, err)
			}
			err = s.Finish(ctx, goldenAt, []Outcome{{Key: due[0].Key, Hash: due[0].Hash, State: Retrying, Next: goldenAt, Attempt: due[0].Attempts + 1}})
			if err != nil {
				t.Errorf("Finish: %v", err)
			}
			s.db = plain
			proxy.armed.Store(0)
			j, err := s.Journey("visitor-0000")
			if err != nil || len(j.Events) != 1 || len(j.Calls) != 1 {
				t.Fatalf("%d events, %d calls, %v", len(j.Events), len(j.Calls), err)
			}
			if tp := j.Touchpoints[due[0].Key]; tp.State != Retrying || tp.Attempts != 1 {
				t.Errorf("after one attempt: %s, attempts %d", tp.State, tp.Attempts)
			}
			if n := proxy.cuts.Load(); n < 6 {
				t.Errorf("%d connections were cut: the test tests little", n)
			}
		})
	}
}
