package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
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
	socket := filepath.Join(t.TempDir(), "s")
	for _, address := range []string{"127.0.0.1:0", "unix:" + socket} {
		l, err := listen(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: mux}
		go srv.Serve(l) //nolint:errcheck // it ends with Close
		if tcp, ok := l.Addr().(*net.TCPAddr); ok {
			address = tcp.String()
		}
		p := &program{}
		c := Config{Listen: address, Token: salesforce.NewSecret("secret")}
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
