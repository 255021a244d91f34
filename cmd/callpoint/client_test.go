package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

// daemonCall finds the daemon on either kind of socket, shows the token, and tells a
// daemon that is not there from one that says no.
func TestDaemonCall(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		_, _ = io.Copy(w, r.Body)
	})
	mux.HandleFunc("GET /gone", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error":"visitor x: not found"}`)
	})
	dir := t.TempDir()
	for _, c := range []Config{
		{Listen: "unix:" + filepath.Join(dir, "s")},
		{Listen: "127.0.0.1:1", Store: filepath.Join(dir, "callpoint.db")},
		{Listen: "127.0.0.1:1", RuntimeDir: dir},
		{Listen: "127.0.0.1:1", Store: filepath.Join(dir, strings.Repeat("long/", 20), "callpoint.db")}, // no address holds this path
	} {
		address := c.localSocket()
		if err := os.MkdirAll(filepath.Dir(address), 0o700); err != nil {
			t.Fatal(err)
		}
		l, err := c.listenLocal(t.Context())
		if l == nil && err == nil {
			l, err = listen(t.Context(), c.Listen)
		}
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: mux}
		go srv.Serve(l) //nolint:errcheck // it ends with Close
		c.Token = salesforce.NewSecret("secret")
		p := &program{}
		var back map[string]int
		running, err := p.daemonCall(t.Context(), c, http.MethodPost, "/echo", map[string]int{"a": 7}, &back)
		if !running || err != nil || back["a"] != 7 {
			t.Errorf("%s: running %v, err %v, answer %v", address, running, err, back)
		}
		var raw strings.Builder
		if _, err := p.daemonCall(t.Context(), c, http.MethodPost, "/echo", strings.NewReader("x\ny\n"), &raw); err != nil || raw.String() != "x\ny\n" {
			t.Errorf("%s: %q %v", address, raw.String(), err)
		}
		running, err = p.daemonCall(t.Context(), c, http.MethodGet, "/gone", nil, nil)
		if !running || !errors.Is(err, store.ErrNotFound) || err.Error() != "visitor x: not found" {
			t.Errorf("%s: running %v, err %v, want not found", address, running, err)
		}
		c.Token = salesforce.NewSecret("wrong")
		running, err = p.daemonCall(t.Context(), c, http.MethodPost, "/echo", nil, nil)
		if !running || err == nil || !strings.Contains(err.Error(), "CALLPOINT_TOKEN") {
			t.Errorf("%s: running %v, err %v, want the token's name", address, running, err)
		}
		if err := srv.Close(); err != nil {
			t.Fatal(err)
		}
		running, err = p.daemonCall(context.Background(), c, http.MethodPost, "/echo", nil, nil)
		if running || err != nil {
			t.Errorf("%s, closed: running %v, err %v", address, running, err)
		}
	}
}

// A loopback port may be anybody's while the daemon does not run: nothing is sent to it.
func TestNoTokenForAPort(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer thief.Close()
	_, port, err := net.SplitHostPort(thief.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, listen := range []string{thief.Listener.Addr().String(), "localhost:" + port, "0.0.0.0:" + port, ":" + port} {
		b := newBench(t, "CALLPOINT_LISTEN="+listen, "CALLPOINT_TOKEN=a-long-random-token")
		b.inStore(func(*store.Store) {})
		for _, args := range [][]string{{"status"}, {"calls"}, {"parked"}, {"store", "check"}, {"forget", "x0123456789"}} {
			b.run(args...)
		}
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests went to a port that is not callpoint's", n)
	}
}

// The peer of a socket must be root or the socket's owner.
func TestPeerOfTheSocket(t *testing.T) {
	t.Parallel()
	file := tempFile(t, "socket", nil)
	fi, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	own := uint32(os.Geteuid())
	for uid, want := range map[uint32]bool{0: true, own: true, own + 1: false} {
		if err := trusted(file, uid, fi); (err == nil) != want {
			t.Errorf("uid %d: %v", uid, err)
		}
	}
}

// Local commands find a daemon on any port, also after the one before it was killed, and
// beside a store that is a link.
func TestLocalCommandsReachTheDaemon(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CALLPOINT_TOKEN=a-long-random-token")
	b.daemon().kill()
	d := b.daemon()
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(b.store, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{b.store, link} {
		b.env = append(b.env, "CALLPOINT_STORE="+path)
		if out, errs, code := b.run("store", "check"); code != exitDone {
			t.Errorf("%s: exit %d\n%s%s", path, code, out, errs)
		}
	}
	d.stop()
	if left, _ := filepath.Glob(b.store + ".sock"); len(left) > 0 {
		t.Error("the socket is left behind")
	}
	if _, errs, code := b.run("store", "check"); code != exitDone {
		t.Errorf("without a daemon: exit %d\n%s", code, errs)
	}
}
