package collector

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// serveTCP runs a Collector behind a Server, as the daemon does.
func serveTCP(t *testing.T, cfg Config) (c *Collector, srv Server, address string) {
	t.Helper()
	cfg.Store, cfg.Now = newMemory(), func() time.Time { return noon }
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	c.Routes(mux)
	srv = NewServer(mux, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l) //nolint:errcheck // it ends with Close
	t.Cleanup(func() { srv.Close() })
	return c, srv, l.Addr().String()
}

// halfBody sends the beginning of a body and leaves the rest out.
func halfBody(t *testing.T, address, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	kind := "text/plain"
	if strings.HasPrefix(path, "/v1/") {
		kind = "application/json"
	}
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: 60000\r\n\r\n{", path, kind); err != nil {
		t.Fatal(err)
	}
	return conn
}

func readStatus(t *testing.T, conn net.Conn) int {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// One address holds a few slots for bodies of browsers; its other bodies are refused at
// once, and every slot is given back.
func TestUnfinishedBodiesOfOneAddress(t *testing.T) {
	t.Parallel()
	c, _, address := serveTCP(t, Config{MaxEach: 3})
	for range 3 {
		halfBody(t, address, "/m/ipv")
	}
	for c.memory.used.Load() < 3*maxBrowserBody { // until all three are being read
		time.Sleep(time.Millisecond)
	}
	for range 20 {
		if status := readStatus(t, halfBody(t, address, "/m/ipv")); status != http.StatusTooManyRequests {
			t.Fatalf("a body too many: %d", status)
		}
	}
	if used := c.memory.used.Load(); used != 3*maxBrowserBody {
		t.Errorf("%d bytes are charged", used)
	}
	// A request without a body, and another address, need no slot of this one.
	resp, err := http.Get("http://" + address + browserPath())
	if err != nil || resp.StatusCode != http.StatusNoContent {
		t.Fatalf("GET: %v %v", resp, err)
	}
	resp.Body.Close()
}

// When the server stops, bodies that do not arrive are cut: the stop does not wait for
// clients, and reports no error of its own.
func TestStopCutsSlowBodies(t *testing.T) {
	t.Parallel()
	c, srv, address := serveTCP(t, Config{})
	slow := []net.Conn{halfBody(t, address, "/m/ipv"), halfBody(t, address, "/v1/events")}
	for len(srv.bodies.list()) < len(slow) {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	srv.Stop(ctx)
	if ctx.Err() != nil {
		t.Error("the stop waited for a slow client until its deadline")
	}
	for _, conn := range slow {
		if status := readStatus(t, conn); status != http.StatusRequestTimeout {
			t.Errorf("a slow body: %d", status)
		}
	}
	if c.memory.used.Load() != 0 {
		t.Error("memory is still charged")
	}
}

// All bodies together hold no more than the budget, which is given back.
func TestMemoryBudget(t *testing.T) {
	t.Parallel()
	line := view() + "\n"
	one := int64(len(line) + recordMemory)
	s := serve(t, func(c *Config) { c.MaxMemory = 10 * one })
	for _, n := range []struct{ lines, want int }{{9, 200}, {11, 429}, {9, 200}} {
		if status, _ := s.post(t, "/v1/events", strings.Repeat(line, n.lines)); status != n.want {
			t.Errorf("%d lines: %d, want %d", n.lines, status, n.want)
		}
		if used := s.memory.used.Load(); used != 0 {
			t.Fatalf("%d bytes are still charged", used)
		}
	}
	// A decoder with a large window is charged for it.
	if status, _ := s.post(t, "/v1/events", zstded(line), "Content-Encoding", "zstd"); status != 429 {
		t.Errorf("zstd beyond the budget: %d", status)
	}
}

// An address stores no more than its share of a day; the next day it may again.
func TestDailyShare(t *testing.T) {
	t.Parallel()
	c := newClientLimits(1, 2, 1000)
	a, b := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("203.0.113.8")
	for i, step := range []struct {
		who  string
		n    int64
		at   time.Duration
		want bool
	}{
		{"a", 600, 0, true}, {"a", 600, 0, false}, {"a", 400, time.Hour, true}, {"a", 1, time.Hour, false},
		{"b", 1000, time.Hour, true}, {"a", 600, 24 * time.Hour, true},
	} {
		who := a
		if step.who == "b" {
			who = b
		}
		if got := c.spend(who, noon.Add(step.at), step.n); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	s := serve(t, func(c *Config) { c.DailyBytes = 300 })
	var last *http.Response
	for i := range 3 {
		last, _ = s.request(t, "GET", browserPath("_biz_n", fmt.Sprint(i)), "")
	}
	if last.StatusCode != http.StatusTooManyRequests || last.Header.Get("Retry-After") == "1" {
		t.Errorf("beyond the share: %d, Retry-After %q", last.StatusCode, last.Header.Get("Retry-After"))
	}
}
