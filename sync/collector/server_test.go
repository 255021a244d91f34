package collector

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// dropByDrop opens a connection to a server with the daemon's limits, sends part of a
// request and nothing more, and returns when the server closed it.
func dropByDrop(t *testing.T, part string) (after time.Duration, answer string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		cfg := Config{Store: store}
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		c.Routes(mux)
		srv := NewServer(Guard(cfg, mux), nil)
		l := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
		go srv.Serve(l)
		client, server := net.Pipe()
		l.accept <- server
		began := time.Now()
		fmt.Fprint(client, part)
		text, _ := io.ReadAll(client) // the way in which it ends does not matter
		after, answer = time.Since(began), string(text)
		client.Close()
		srv.Close()
		synctest.Wait()
		if len(c.slots) != 0 || store.count() != 0 {
			t.Errorf("%d slots held, %d events stored", len(c.slots), store.count())
		}
	})
	return after, answer
}

// A client that sends its headers or its body drop by drop is cut off, and holds no slot.
func TestServerCutsSlowClients(t *testing.T) {
	t.Parallel()
	head := "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	for name, c := range map[string]struct {
		part   string
		within time.Duration
		answer string
	}{
		"nothing":           {"", 5 * time.Second, ""},
		"half a header":     {head + "X-Slow: ", 5 * time.Second, ""},
		"half a body":       {head + "Content-Length: 1000\r\n\r\n" + view()[:30], 2 * time.Minute, "HTTP/1.1 408 "},
		"half a chunk":      {head + "Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + view()[:30], 2 * time.Minute, "HTTP/1.1 408 "},
		"half a compressed": {head + "Content-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n" + gzipped(view())[:30], 2 * time.Minute, "HTTP/1.1 408 "},
		"nothing after one": {"GET /callpoint.js HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: *\r\n\r\n", 2 * time.Minute, "HTTP/1.1 304 "},
	} {
		t.Run(name, func(t *testing.T) {
			after, answer := dropByDrop(t, c.part)
			if after > c.within || !strings.HasPrefix(answer, c.answer) {
				t.Errorf("closed after %v with %q, want %v and %q", after, answer, c.within, c.answer)
			}
		})
	}
}

// pipes is a listener whose connections are made by hand.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	taken  atomic.Int64
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		p.taken.Add(1)
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
		clients := make(chan net.Conn, 2*maxConnections)
		go func() {
			for {
				client, server := net.Pipe()
				select {
				case l.accept <- server:
					clients <- client
				case <-l.closed:
					return
				}
			}
		}()
		srv := NewServer(http.NotFoundHandler(), nil)
		go srv.Serve(l)
		synctest.Wait()
		if n := l.taken.Load(); n != maxConnections {
			t.Errorf("%d connections at a time", n)
		}
		(<-clients).Close()
		synctest.Wait()
		if n := l.taken.Load(); n != maxConnections+1 {
			t.Errorf("%d connections taken after one was closed", n)
		}
		srv.Close()
	})
}

// Neither the peer's address nor what a handler panicked with reaches the log.
func TestPanicsAreLoggedWithoutValues(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	of := map[string]any{
		"/error": errors.New("canary"), "/text": "canary", "/abort": http.ErrAbortHandler,
	}
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if v := of[r.URL.Path]; v != nil {
			panic(v)
		}
		_ = []int{}[len(r.URL.RawQuery)]
	}), slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))).Server
	srv.Start()
	for _, path := range []string{"/error", "/text", "/abort", "/index?canary"} {
		if resp, err := http.Get(srv.URL + path); err == nil {
			resp.Body.Close()
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	srv.Close()
	text := log.String()
	if n := strings.Count(text, "ended in a panic"); n != 3 || !strings.Contains(text, "index out of range [6]") || !strings.Contains(text, "server_test.go") {
		t.Errorf("%d panics are in the log:\n%s", n, text)
	}
	for _, bad := range []string{"canary", "127.0.0.1"} {
		if strings.Contains(text, bad) {
			t.Errorf("the log holds %s:\n%s", bad, text)
		}
	}
}
