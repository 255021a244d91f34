package main

import (
	"compress/gzip"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"callpoint/sync/orgsim"
)

// A longer start than TimeoutStartSec allows goes on, and says so until it is ready.
func TestStartIsExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		s := &supervisor{send: func(state string) { said = append(said, state) }}
		s.starting()
		time.Sleep(2*startExtension + time.Second)
		s.ready()
		time.Sleep(startExtension)
		want := slices.Repeat([]string{"EXTEND_TIMEOUT_USEC=60000000"}, 7)
		if want = append(want, "READY=1"); !slices.Equal(said, want) {
			t.Errorf("systemd heard %q, want %q", said, want)
		}
	})
}

func TestStatusIsSaidOnChange(t *testing.T) {
	var said []string
	s := &supervisor{send: func(state string) { said = append(said, state) }}
	for _, line := range []string{"one", "one", "two\nREADY=1", "two READY=1", strings.Repeat("ä", 500)} {
		s.status(line)
	}
	if len(said) != 3 || said[0] != "STATUS=one" || said[1] != "STATUS=two READY=1" || utf8.RuneCountInString(said[2]) != len("STATUS=")+statusLength {
		t.Errorf("systemd heard %q", said)
	}
}

// The status follows each cycle, and what is said between them.
func TestStatusFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		var line atomic.Value
		line.Store("first")
		cycled := make(chan struct{}, 1)
		s := &supervisor{send: func(state string) { said = append(said, state) }}
		ctx, cancel := context.WithCancel(t.Context())
		go s.follow(ctx, func() string { return line.Load().(string) }, cycled)
		synctest.Wait()
		line.Store("after a cycle")
		cycled <- struct{}{}
		synctest.Wait()
		line.Store("between cycles")
		time.Sleep(2 * statusEvery)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if want := []string{"STATUS=first", "STATUS=after a cycle", "STATUS=between cycles"}; !slices.Equal(said, want) {
			t.Errorf("systemd heard %q, want %q", said, want)
		}
	})
}

// listener is systemd's end of the notification socket.
func listener(t *testing.T) (address string, heard func(what string) string) {
	t.Helper()
	address = filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return address, func(what string) string {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		var before []string
		for b := make([]byte, 4096); ; {
			n, err := conn.Read(b)
			if err != nil {
				t.Fatalf("systemd waits for %q: %v; it heard %q", what, err, before)
			}
			if strings.HasPrefix(string(b[:n]), what) {
				return string(b[:n])
			}
			before = append(before, string(b[:n]))
		}
	}
}

// oldStore puts a store of schema 1 in place.
func oldStore(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "store", "testdata", "golden-1.db.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What systemctl status shows of the real program: a migration, cycles, an outage, the end.
func TestSystemdHearsHowItStands(t *testing.T) {
	t.Parallel()
	address, heard := listener(t)
	b := newBench(t, "NOTIFY_SOCKET="+address)
	oldStore(t, b.store)
	d := b.daemon()
	for _, what := range []string{
		"EXTEND_TIMEOUT_USEC=60000000", "STATUS=opening the store", "STATUS=migrating the store: schema 2 of ",
		"READY=1", "STATUS=Calls are being credited: 2 of 3 calls in the last 30 days were matched to a web session; ",
	} {
		heard(what)
	}
	b.task(time.Now().Add(-time.Hour), map[string]any{"bizible2__BizibleId__c": "nobody"})
	d.sync()
	heard("STATUS=Calls are being credited: 2 of 4 calls in the last 30 days were matched to a web session; ")
	b.org.Fault(orgsim.Fault{Op: orgsim.OpQuery, Status: 503, Times: -1})
	d.request("POST", "/v1/sync", nil)
	heard("STATUS=Calls are being credited, but something needs your attention: poll age. poll_age: the last cycle failed: ")
	d.stop()
	heard("STOPPING=1")
}
