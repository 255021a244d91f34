package collector

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"callpoint/mapping"
)

// noon is the clock of every test.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// memory is a Store that keeps everything, and fails on demand.
type memory struct {
	mu     sync.Mutex
	events map[eventKey]mapping.Event
	visits map[visitKey]mapping.Visit
	calls  int
	handed int // records given to Add
	err    error
	hold   chan struct{} // if set, Add waits until it is closed
	inside chan struct{} // if set, Add signals that it waits
}

func newMemory() *memory {
	return &memory{events: map[eventKey]mapping.Event{}, visits: map[visitKey]mapping.Visit{}}
}

func (m *memory) Add(ctx context.Context, events []mapping.Event, visits []mapping.Visit) (int, error) {
	if m.inside != nil {
		m.inside <- struct{}{}
	}
	if m.hold != nil {
		<-m.hold
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	m.handed += len(events) + len(visits)
	if m.err != nil {
		return 0, m.err
	}
	repeated := 0
	for _, e := range events {
		key := eventKey{e.Kind, e.Visitor, e.At.UnixMilli(), e.Sequence, e.URL}
		if _, ok := m.events[key]; ok {
			repeated++
		}
		m.events[key] = e
	}
	for _, v := range visits {
		key := visitKey{v.Visitor, v.SessionID}
		if was, ok := m.visits[key]; ok && was == v {
			repeated++
		}
		m.visits[key] = v
	}
	return repeated, nil
}

// one returns the only event.
func (m *memory) one(t testing.TB) mapping.Event {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.events) != 1 {
		t.Fatalf("%d events stored, want 1: %v", len(m.events), m.events)
	}
	for _, e := range m.events {
		return e
	}
	panic("unreachable")
}

func (m *memory) visit(t testing.TB) mapping.Visit {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.visits) != 1 {
		t.Fatalf("%d sessions stored, want 1: %v", len(m.visits), m.visits)
	}
	for _, v := range m.visits {
		return v
	}
	panic("unreachable")
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.events) + len(m.visits)
}

// site is a collector behind its guard on a real port.
type site struct {
	*Collector
	store *memory
	srv   *httptest.Server
}

func serve(t testing.TB, change ...func(*Config)) *site {
	t.Helper()
	store := newMemory()
	cfg := Config{Store: store, Now: func() time.Time { return noon }}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	c.Routes(mux)
	for _, path := range []string{"/healthz", "/readyz", "/livez", "/v1/parked"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "reached") })
	}
	mux.HandleFunc("POST /v1/sync", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "reached") })
	srv := httptest.NewServer(Guard(cfg, mux))
	t.Cleanup(srv.Close)
	return &site{c, store, srv}
}

// request sends a request; headers alternate names and values. Host is one of them.
func (s *site) request(t testing.TB, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, s.srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// post sends NDJSON or JSON to /v1 and decodes the answer.
func (s *site) post(t testing.TB, path, body string, headers ...string) (int, answer) {
	t.Helper()
	resp, text := s.request(t, "POST", path, body, append([]string{"Content-Type", "application/json"}, headers...)...)
	var a answer
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatalf("%d, answer is no JSON: %q", resp.StatusCode, text)
	}
	return resp.StatusCode, a
}

// view is a valid event as JSON; pairs replace or add values, which are raw JSON.
func view(pairs ...string) string {
	values := map[string]json.RawMessage{
		"type":       json.RawMessage(`"view"`),
		"bizible_id": json.RawMessage(`"dde5687119cc4928fbf94393ed9f5c35"`),
		"at":         json.RawMessage(`"2026-11-23T11:50:00Z"`),
		"url":        json.RawMessage(`"https://www.example.com/"`),
	}
	return with(values, pairs)
}

func sessionLine(pairs ...string) string {
	values := map[string]json.RawMessage{
		"session_id":   json.RawMessage(`"s1"`),
		"bizible_id":   json.RawMessage(`"dde5687119cc4928fbf94393ed9f5c35"`),
		"started_at":   json.RawMessage(`"2026-11-23T11:00:00Z"`),
		"ended_at":     json.RawMessage(`"2026-11-23T11:10:00Z"`),
		"landing_page": json.RawMessage(`"https://www.example.com/"`),
		"page_views":   json.RawMessage(`3`),
	}
	return with(values, pairs)
}

func with(values map[string]json.RawMessage, pairs []string) string {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			delete(values, pairs[i])
			continue
		}
		values[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	b, err := json.Marshal(values)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func gzipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, s)
	z.Close()
	return b.String()
}

func zstded(s string) string {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return string(z.EncodeAll([]byte(s), nil))
}

func prefixes(s ...string) (p []netip.Prefix) {
	for _, s := range s {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}
