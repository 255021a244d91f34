package salesforce

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	orgID15, orgID18   = "00DHs0000000001", "00DHs0000000001MAA"
	userID15, userID18 = "005Hs0000000001", "005Hs0000000001IAA"
	okQuery            = `{"totalSize":0,"done":true,"records":[]}`
)

// A server is as much of an org as a test wants: it hands out tokens and
// passes everything else on to api.
type server struct {
	*httptest.Server
	t testing.TB

	mu     sync.Mutex
	token  func(w http.ResponseWriter, form map[string]string) bool // false: go on as usual
	api    http.HandlerFunc
	forms  []map[string]string // token requests
	calls  []string            // method and path of API requests
	bodies []string
	valid  string // the token of the day
}

func newServer(t testing.TB, api http.HandlerFunc) *server {
	t.Helper()
	return startServer(t, api, nil)
}

func startServer(t testing.TB, api http.HandlerFunc, connState func(net.Conn, http.ConnState)) *server {
	t.Helper()
	s := &server{t: t, api: api}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // of aborted handlers
	s.Config.ConnState = connState
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var from io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			s.t.Errorf("compressed body: %v", err)
			return
		}
		from = z
	}
	body, err := io.ReadAll(from)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if r.URL.Path == "/services/oauth2/token" {
		if err := r.ParseForm(); err != nil {
			s.t.Errorf("token form: %v", err)
		}
		form := map[string]string{}
		for k := range r.PostForm {
			form[k] = r.PostForm.Get(k)
		}
		s.mu.Lock()
		s.forms = append(s.forms, form)
		s.valid = fmt.Sprintf("%s!canary-session-%d", orgID15, len(s.forms))
		answer := map[string]string{"access_token": s.valid, "instance_url": s.URL, "token_type": "Bearer",
			"id": "https://login.salesforce.com/id/" + orgID15 + "/" + userID15}
		token := s.token
		s.mu.Unlock()
		if token != nil && token(w, form) {
			return
		}
		json.NewEncoder(w).Encode(answer)
		return
	}
	s.mu.Lock()
	s.calls = append(s.calls, r.Method+" "+r.URL.Path)
	s.bodies = append(s.bodies, string(body))
	api := s.api
	s.mu.Unlock()
	api(w, r)
}

func (s *server) logins() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.forms) }

func (s *server) form(i int) map[string]string { s.mu.Lock(); defer s.mu.Unlock(); return s.forms[i] }

func (s *server) setToken(f func(http.ResponseWriter, map[string]string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = f
}

func (s *server) setAPI(api http.HandlerFunc) { s.mu.Lock(); defer s.mu.Unlock(); s.api = api }

func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.calls...)
}

func (s *server) body(i int) string { s.mu.Lock(); defer s.mu.Unlock(); return s.bodies[i] }

func (s *server) today() string { s.mu.Lock(); defer s.mu.Unlock(); return "Bearer " + s.valid }

// config logs into s by client credentials, without patience.
func (s *server) config() Config {
	return Config{
		Domain: s.URL, ConsumerKey: "key", ConsumerSecret: NewSecret("canary-consumer-secret"),
		RequestTimeout: 10 * time.Second, Retries: 2,
		RetryWait: time.Millisecond, RetryWaitMax: 2 * time.Millisecond, LoginRetryWait: time.Millisecond,
	}
}

func newClient(t testing.TB, config Config) *Client {
	t.Helper()
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (s *server) client(t testing.TB) *Client { t.Helper(); return newClient(t, s.config()) }

func answer(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode([]map[string]string{{"errorCode": code, "message": message}})
}

// sequence answers the nth request with the nth handler, and goes on with the last.
func sequence(handlers ...http.HandlerFunc) http.HandlerFunc {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		h := handlers[min(n, len(handlers)-1)]
		n++
		mu.Unlock()
		h(w, r)
	}
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// abort cuts the connection after what was written.
func abort(written string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if written != "" {
			io.WriteString(w, written)
			http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	}
}

// mustError is the *Error within err.
func mustError(t testing.TB, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v (%T), want an *Error", err, err)
	}
	return e
}

func mustContain(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q does not contain %q", text, p)
		}
	}
}

// A clock that tests turn.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 23, 12, 17, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

func query(c *Client) error {
	_, err := c.Query(context.Background(), "SELECT Id FROM Task", QueryOptions{})
	return err
}

func upsert(c *Client) error {
	_, err := c.Upsert(context.Background(), []Batch{batch("Lead", "k1")})
	return err
}

func batch(object string, keys ...string) Batch {
	b := Batch{Object: object, ExternalID: "Key__c"}
	for _, k := range keys {
		b.Records = append(b.Records, Row{Fields: map[string]any{"Key__c": k}})
	}
	return b
}
