package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"

	"callpoint/sync/orgsim"

	"go.uber.org/goleak"
)

// TestNothingLeaks goes through rounds of all that a daemon meets: clients that come, go
// and break off, cycles, an org that fails, commands, a backup. After each it must hold as
// many file descriptors and goroutines as before.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	b := newVisited(t)
	var base vitals
	for n := range 4 {
		b.round(n)
		v := b.d.vitals()
		base.Files, base.Goroutines = max(base.Files, v.Files), max(base.Goroutines, v.Goroutines)
	}
	rounds := proofCycles(t, "LEAK_ROUNDS", 8)
	var v vitals
	for n := range rounds {
		b.round(n)
		waitFor(t, fmt.Sprintf("round %d to leave no more than %d file descriptors and %d goroutines", n, base.Files, base.Goroutines), func() bool {
			b.drop() // how many the daemon keeps for later is a matter of chance, for 90 s
			v = b.d.vitals()
			return v.Files <= base.Files && v.Goroutines <= base.Goroutines
		})
	}
	t.Logf("after 4 rounds: %s; after %d more: %s", base, rounds, v)
	b.d.stop()
}

// TestNothingLeaksControl does the same with a daemon that leaks one of each at every
// step of a cycle: what TestNothingLeaks looks at must show it.
func TestNothingLeaksControl(t *testing.T) {
	t.Parallel()
	b := newVisited(t, "LEAK=1")
	b.round(0)
	before := b.d.vitals()
	for n := range 3 {
		b.round(n)
	}
	if v := b.d.vitals(); v.Files < before.Files+3 || v.Goroutines < before.Goroutines+3 {
		t.Errorf("a daemon that leaks went from %s to %s: the experiment is blind", before, v)
	}
}

// A visited daemon is one at a socket, where commands find it.
type visited struct {
	*bench
	d      *running
	socket string
}

func newVisited(t *testing.T, env ...string) visited {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	b := newBenchOf(t, orgsim.Config{DailyLimit: 1_000_000}, append(env, "CALLPOINT_LISTEN=unix:"+socket)...)
	return visited{b, b.daemon(), socket}
}

// round leaves nothing open on this side.
func (b visited) round(n int) {
	b.t.Helper()
	visitor := fmt.Sprint("leak-", n)
	b.clients(visitor)
	task := b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitor})
	b.org.Fault(orgsim.Fault{Op: orgsim.OpRead, Status: http.StatusServiceUnavailable, Times: 8})
	b.org.Fault(orgsim.Fault{Op: orgsim.OpWrite, Drop: orgsim.DropAfter})
	b.d.request(http.MethodPost, "/v1/sync", nil) // it fails: what is left then is the matter
	b.org.ClearFaults()
	b.d.sync()
	for _, args := range [][]string{{"status"}, {"explain", task}, {"calls"}, {"store", "backup", filepath.Join(b.t.TempDir(), "copy")}} {
		if out, errs, code := b.run(args...); code != exitDone {
			b.t.Errorf("%v: exit %d\n%s%s", args, code, out, errs)
		}
	}
	b.d.client.CloseIdleConnections()
}

// clients are some that send what they should, and some that go away in the middle of it.
func (b visited) clients(visitor string) {
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			c, url := listenerClient("unix:" + b.socket)
			defer c.CloseIdleConnections()
			body, _ := json.Marshal(view(visitor, yesterday("12:00:00"), fmt.Sprint("https://www.example.com/", i), ""))
			resp, err := c.Post(url+"/v1/events", "application/json", bytes.NewReader(body))
			if err != nil {
				b.t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		})
	}
	for _, part := range []string{"", "POST /v1/ev", "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n[{", "no HTTP\r\n\r\n"} {
		all.Go(func() { breakOff(b.t, b.socket, part) })
	}
	all.Wait()
}

// breakOff connects, sends a part of a request, and goes away.
func breakOff(t testing.TB, socket, part string) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, part); err != nil {
		t.Error(err)
	}
}

// When the daemon has stopped, nothing of it goes on: not the engine, the monitor, the
// store's writer, the reload, the client. It runs within this process, before the tests
// that run in parallel go on.
func TestEveryGoroutineIsJoined(t *testing.T) {
	b := newBench(t)
	before := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	p := &program{environ: b.environ(), stdout: io.Discard, stderr: io.Discard}
	go func() { ended <- p.daemon(ctx) }()
	waitFor(t, "the first cycle", func() bool { return b.org.Requests().Queries > 0 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}
