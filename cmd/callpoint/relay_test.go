package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callpoint/sync/relay"
)

// relayOf starts a relay that forwards to url.
func (b *bench) relayOf(url string, env ...string) *running {
	b.t.Helper()
	c := b.command(context.Background(), "relay")
	c.Env = append([]string{
		"CALLPOINT_UNDER_TEST=1", "CALLPOINT_LISTEN=127.0.0.1:0", "CALLPOINT_LOG_FORMAT=json",
		"CALLPOINT_FORWARD=" + url, "CALLPOINT_SPOOL=" + filepath.Join(filepath.Dir(b.store), "spool"),
	}, env...)
	return b.start(c)
}

// health returns the answer of the relay's /healthz.
func (d *running) relayHealth() relay.Health {
	d.b.t.Helper()
	_, text := d.request(http.MethodGet, "/healthz", nil)
	var h relay.Health
	if err := json.Unmarshal(text, &h); err != nil {
		d.b.t.Fatalf("GET /healthz: %v in %s", err, text)
	}
	return h
}

// absent holds an address whose connections break off, until release: another test's
// server must not get the port meanwhile.
func absent(t *testing.T, on string) (address string, release func()) {
	t.Helper()
	l, err := net.Listen("tcp", on)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close() })
	return l.Addr().String(), func() { l.Close() }
}

// The main callpoint is killed and started again while page views arrive at the relay, and
// the relay is killed as well: every acknowledged view is in the store, and the call matches.
func TestRelayOutage(t *testing.T) {
	t.Parallel()
	address, release := absent(t, "127.0.0.1:0")
	b := newBench(t, "CALLPOINT_LISTEN="+address, "CALLPOINT_TOKEN=secret")
	release()
	at := yesterday("12:00:00")
	task := b.task(at.Add(30*time.Minute), map[string]any{"bizible2__BizibleId__c": "visitor-a"})
	main := b.daemon()
	r := b.relayOf("http://"+address, "CALLPOINT_FORWARD_TOKEN=secret")

	views := 0
	send := func(r *running) {
		r.send(view("visitor-a", at.Add(time.Duration(views)*time.Minute), fmt.Sprintf("https://www.example.com/%d?utm_source=x", views), ""))
		views++
	}
	send(r)
	if h := r.relayHealth(); h.Status != relay.OK {
		t.Errorf("health with the main callpoint up: %+v", h)
	}
	main.kill()
	_, release = absent(t, address)
	for range 5 {
		send(r)
	}
	if h := r.relayHealth(); h.Status != relay.Degraded || !strings.Contains(h.Headline, "does not accept events") {
		t.Errorf("health with the main callpoint down: %+v", h)
	}
	if status, text := r.request(http.MethodGet, "/readyz", nil); status != http.StatusOK {
		t.Errorf("/readyz while the spool has room: %d %s", status, text)
	}
	if _, text := r.request(http.MethodGet, "/metrics", nil); !strings.Contains(string(text), "\ncallpoint_spool_bytes ") || strings.Contains(string(text), "\ncallpoint_spool_bytes 0\n") {
		t.Errorf("callpoint_spool_bytes is missing or 0 in\n%s", text)
	}
	r.kill()
	r = b.relayOf("http://"+address, "CALLPOINT_FORWARD_TOKEN=secret")
	send(r)
	release()
	main = b.daemon()
	waitFor(t, "an empty spool", func() bool {
		for _, c := range r.relayHealth().Checks {
			if c.Name == "spool" {
				return c.Status == relay.OK
			}
		}
		return false
	})
	send(r)
	r.stop()

	var v struct{ Events int }
	req, err := http.NewRequest(http.MethodGet, main.url+"/v1/visitors/visitor-a", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer secret")
	resp, err := main.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil || v.Events != views {
		t.Errorf("%d events of %d acknowledged are in the store (%v)", v.Events, views, err)
	}
	main.stop()
	b.syncOnce()
	b.expect(task, map[string]any{"Touchpoint_Source": "x"})
}

// A relay whose spool is full answers 507 and is not ready; after the outage it is.
func TestRelaySpoolFull(t *testing.T) {
	t.Parallel()
	address, release := absent(t, "127.0.0.1:0")
	b := newBench(t, "CALLPOINT_LISTEN="+address)
	r := b.relayOf("http://"+address, "CALLPOINT_SPOOL_MAX=64KiB")
	at := yesterday("12:00:00")
	long := "https://www.example.com/?q=" + strings.Repeat("x", 10<<10)
	accepted, status := 0, 0
	for i := range 20 {
		if status, _ = r.request(http.MethodPost, "/v1/events", view("visitor-a", at.Add(time.Duration(i)*time.Minute), long, "")); status != http.StatusOK {
			break
		}
		accepted++
	}
	if status != http.StatusInsufficientStorage || accepted == 0 {
		t.Errorf("after %d accepted: %d, want 507", accepted, status)
	}
	if status, _ := r.request(http.MethodGet, "/readyz", nil); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz with a full spool: %d, want 503", status)
	}
	if h := r.relayHealth(); h.Status != relay.Failing {
		t.Errorf("health with a full spool: %+v", h)
	}
	release()
	main := b.daemon()
	waitFor(t, "readiness", func() bool { status, _ := r.request(http.MethodGet, "/readyz", nil); return status == http.StatusOK })
	waitFor(t, "delivery", func() bool {
		var v struct{ Events int }
		status, text := main.request(http.MethodGet, "/v1/visitors/visitor-a", nil)
		return status == http.StatusOK && json.Unmarshal(text, &v) == nil && v.Events == accepted
	})
	r.stop()
	main.stop()
}

func TestRelayConfiguration(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for forward, want := range map[string]string{
		"":                                "CALLPOINT_FORWARD: required by relay",
		"http://callpoint.example":        "use https, or a loopback address",
		"callpoint.example":               "is not an address such as",
		"https://user:pw@main.example":    "the token goes into CALLPOINT_FORWARD_TOKEN",
		"https://main.example/?token=abc": "the token goes into CALLPOINT_FORWARD_TOKEN",
	} {
		c := b.command(t.Context(), "relay")
		c.Env = []string{"CALLPOINT_UNDER_TEST=1", "CALLPOINT_FORWARD=" + forward, "CALLPOINT_SPOOL=" + t.TempDir()}
		out, err := c.CombinedOutput()
		if code := c.ProcessState.ExitCode(); code != exitConfig || !strings.Contains(string(out), want) {
			t.Errorf("CALLPOINT_FORWARD=%q: exit %d, %v, %s; want %q", forward, code, err, out, want)
		}
		if strings.Contains(string(out), "pw") || strings.Contains(string(out), "abc") {
			t.Errorf("CALLPOINT_FORWARD=%q: the output shows the secret: %s", forward, out)
		}
	}
}

// The document's configuration of a relay is complete, secrets apart.
func TestRelayExample(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "relay.env")
	if err := os.WriteFile(file, []byte(exampleText(t, "docs/collector.md: CALLPOINT_FORWARD=")), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(nil, file)
	if err != nil {
		t.Fatal(err)
	}
	if u, err := c.forwardURL(); err != nil || u.Host != "callpoint.internal.example" || c.ForwardToken.IsZero() || c.Token.IsZero() {
		t.Errorf("%v, %v, tokens missing: %v %v", u, err, c.ForwardToken.IsZero(), c.Token.IsZero())
	}
}
