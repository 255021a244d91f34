package salesforce

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

const okUpsert = `[{"id":"00QHs0000000001MAA","success":true,"errors":[],"created":true}]`

// Whatever a server does to a request: read and write, what the error says,
// how often it is tried, and whether a write may have been carried out.
func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	html := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=UTF-8")
			w.WriteHeader(code)
			io.WriteString(w, "<html><title>We are down for maintenance</title></html>")
		}
	}
	json := func(status int, code, message string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { refuse(w, status, code, message) }
	}
	for name, tt := range map[string]struct {
		answer  http.HandlerFunc
		status  int
		code    string
		text    string
		class   Class
		tries   int
		unknown bool
		split   int // tries of a write whose class is Split instead; 0: it is as a read
	}{
		"503 HTML":            {html(503), 503, "", "not Salesforce's JSON but text/html, 55 bytes", Retry, 3, true, 0},
		"503 JSON":            {json(503, "SERVER_UNAVAILABLE", "busy"), 503, "SERVER_UNAVAILABLE", "busy", Retry, 3, true, 0},
		"500":                 {json(500, "UNKNOWN_EXCEPTION", "An unexpected error"), 500, "UNKNOWN_EXCEPTION", "unexpected", Retry, 3, true, 2},
		"502 empty":           {status(502), 502, "", "an empty answer", Retry, 3, true, 0},
		"408":                 {status(408), 408, "", "an empty answer", Retry, 3, true, 0},
		"200 HTML":            {html(200), 200, "", "not Salesforce's JSON", Retry, 3, true, 2},
		"200 empty":           {status(200), 200, "", "an empty answer", Retry, 3, true, 2},
		"200 broken JSON":     {answer(`{"totalSize":1,`), 200, "", "does not parse", Retry, 1, true, 1},
		"cut before":          {abort(""), 0, "", "EOF", Retry, 3, true, 0},
		"cut within":          {abort(`{"totalSize":1,`), 0, "", "broke off after 15 bytes", Retry, 3, true, 0},
		"429":                 {status(429), 429, "", "an empty answer", Retry, 3, false, 0},
		"406":                 {status(406), 406, "", "an empty answer", Retry, 3, false, 0},
		"420":                 {html(420), 420, "", "not Salesforce's JSON", Retry, 6, false, 0}, // a login between
		"403 HTML":            {html(403), 403, "", "not Salesforce's JSON", Retry, 1, false, 1},
		"300":                 {answerStatus(300, `["/services/data/v62.0/sobjects/Lead/1"]`), 300, "", "several records", Park, 1, false, 0},
		"302":                 {status(302, "Location", "https://evil.example/?canary=1"), 302, "REDIRECT", "a redirect to evil.example, which", StopCalls, 2, false, 0},
		"307 to loopback":     {status(307, "Location", "http://127.0.0.1:1/x"), 307, "REDIRECT", "a redirect to 127.0.0.1:1, which", StopCalls, 2, false, 0},
		"404":                 {json(404, "NOT_FOUND", "The requested resource does not exist"), 404, "NOT_FOUND", "does not exist", StopClass, 1, false, 0},
		"414":                 {status(414), 414, "", "an empty answer", Bug, 1, false, 0},
		"431":                 {status(431), 431, "", "an empty answer", Bug, 1, false, 0},
		"400":                 {json(400, "MALFORMED_QUERY", "unexpected token: 'FORM'"), 400, "MALFORMED_QUERY", "unexpected token", Bug, 1, false, 0},
		"403 daily limit":     {json(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), 403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests", StopCalls, 1, false, 0},
		"too long, no answer": {stall, 0, "", "no answer within 50ms", NarrowQuery, 1, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, write := range []bool{false, true} {
				s := newServer(t, tt.answer)
				config := s.config()
				if tt.status == 0 {
					config.RequestTimeout = 50 * time.Millisecond
				}
				c := newClient(t, config)
				class, tries := tt.class, tt.tries
				var err error
				if write {
					if tt.split > 0 {
						class, tries = Split, tt.split
					}
					err = upsert(c)
				} else {
					err = query(c)
				}
				e := mustError(t, err)
				if e.Status != tt.status || e.Code != tt.code || Classify(err) != class || e.Unknown != (write && tt.unknown) {
					t.Errorf("write %t: got status %d, code %q, class %v, unknown %t in %v", write, e.Status, e.Code, Classify(err), e.Unknown, err)
				}
				mustContain(t, err.Error(), tt.text)
				// net/http repeats a read by itself where a connection that was
				// in use before breaks without an answer.
				n := len(s.requests())
				if again := name == "cut before" && !write && n == tries+1; n != tries && !again {
					t.Errorf("write %t: %d tries, want %d", write, n, tries)
				}
				if strings.Contains(err.Error(), "SELECT") || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), ".invalid") {
					t.Errorf("the error shows a URL: %v", err)
				}
				if Cure(err) == "" {
					t.Errorf("no cure for %v", err)
				}
			}
		})
	}
}

func answerStatus(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

// stall answers nothing until the client has gone.
func stall(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// What passes is repeated with the same body, and the caller sees none of it.
func TestRetrySucceeds(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]http.HandlerFunc{
		"503": status(503, "Retry-After", "3600"), "cut": abort(`[{"id":`), "dropped": abort(""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, sequence(bad, bad, answer(okUpsert)))
			if err := upsert(s.client(t)); err != nil {
				t.Fatal(err)
			}
			if n := len(s.requests()); n != 3 || s.body(0) != s.body(2) || s.body(0) == "" {
				t.Errorf("%d tries, first body %q, last %q", n, s.body(0), s.body(n-1))
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := newClock().Now()
	for value, want := range map[string]time.Duration{
		"": -1, "soon": -1, "0": 0, "-5": 0, "7": 7 * time.Second, "86400": time.Hour, "99999999999999999": time.Hour,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		now.Add(-time.Hour).Format(http.TimeFormat):       0,
		now.Add(48 * time.Hour).Format(http.TimeFormat):   time.Hour,
	} {
		got, ok := retryAfter(http.Header{"Retry-After": {value}}, now)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("Retry-After %q: %v, want %v", value, got, want)
		}
	}
	c := newClient(t, Config{Domain: "https://acme.my.salesforce.com", AccessToken: NewSecret("x")})
	for n := range 70 { // no overflow, no wait beyond the cap, asked or not
		for _, header := range []http.Header{{}, {"Retry-After": {"3600"}}} {
			wait := c.backoff(time.Second, 30*time.Second, n, &http.Response{Header: header})
			if least := min(time.Second<<min(n, 6), 30*time.Second) / 2; wait < least || wait > 30*time.Second {
				t.Fatalf("attempt %d, %v: wait %v", n, header, wait)
			}
		}
	}
	if wait := c.backoff(time.Second, 30*time.Second, 0, &http.Response{Header: http.Header{"Retry-After": {"7"}}}); wait != 7*time.Second {
		t.Errorf("asked for 7s, waits %v", wait)
	}
	// What was asked for comes with the error, for whoever plans the next cycle.
	s := newServer(t, status(503, "Retry-After", "120"))
	if e := mustError(t, query(s.client(t))); e.RetryAfter != 2*time.Minute {
		t.Errorf("RetryAfter %v", e.RetryAfter)
	}
}

func TestCanceledDuringBackoff(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	config := s.config()
	config.RetryWait, config.RetryWaitMax = time.Hour, time.Hour
	config.OnCall = func(i CallInfo) {
		if i.Status == 503 {
			cancel()
		}
	}
	_, err := newClient(t, config).Upsert(ctx, []Batch{batch("Lead", "k1")})
	e := mustError(t, err)
	if !errors.Is(err, context.Canceled) || Classify(err) != Canceled || !e.Unknown {
		t.Errorf("got %v", err)
	}
	mustContain(t, err.Error(), "HTTP 503")
}

func TestDeadlineOfTheCaller(t *testing.T) {
	t.Parallel()
	s := newServer(t, stall)
	c := s.client(t)
	if _, err := c.Login(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := c.Query(ctx, "SELECT Id FROM Task", QueryOptions{})
	if !errors.Is(err, context.DeadlineExceeded) || Classify(err) != Canceled || len(s.requests()) != 1 {
		t.Errorf("got %v after %v", err, s.requests())
	}
	// The time limit of an attempt is not the caller's deadline.
	config := s.config()
	config.RequestTimeout, config.Retries = 20*time.Millisecond, -1
	if err := query(newClient(t, config)); errors.Is(err, context.DeadlineExceeded) || Classify(err) != NarrowQuery {
		t.Errorf("got %v, %v", err, Classify(err))
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	s := newServer(t, answer(okUpsert))
	var infos []CallInfo
	config := s.config()
	config.OnCall = func(i CallInfo) { infos = append(infos, i) }
	c := newClient(t, config)
	if err := upsert(c); err != nil {
		t.Fatal(err)
	}
	infos = nil
	c.Close() // else the request might go out on a connection that is already dead
	s.Close()
	err = upsert(c)
	if e := mustError(t, err); Classify(e) != Retry || e.Unknown {
		t.Errorf("got %v, %v: nothing can have been sent", err, Classify(err))
	}
	for _, i := range infos {
		if i.Counted {
			t.Errorf("%+v was never sent", i)
		}
	}
	config.Domain = "http://" + l.Addr().String()
	if err := query(newClient(t, config)); Classify(err) != Retry || mustError(t, err).Op != "login" {
		t.Errorf("got %v", err)
	}
}

func TestUntrustedCertificate(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	defer s.Close()
	config := (&server{Server: s}).config()
	tries := 0
	config.OnCall = func(CallInfo) { tries++ }
	err := query(newClient(t, config))
	if Classify(err) != StopCalls || tries != 1 {
		t.Errorf("%v is %v after %d tries", err, Classify(err), tries)
	}
	mustContain(t, Cure(err), "certificate")
}

func TestAnswerTooLarge(t *testing.T) {
	t.Parallel()
	// It never ends: unless the client hangs up, the server cannot close.
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"totalSize":0,"done":true,"records":[],"padding":"`)
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 4096)); err != nil {
				return
			}
		}
	})
	c := s.client(t)
	c.cfg.maxBody = 1000
	if err := query(c); Classify(err) != NarrowQuery || len(s.requests()) != 1 {
		t.Errorf("got %v, %v", err, Classify(err))
	}
	if err := upsert(c); Classify(err) != Split || !mustError(t, err).Unknown {
		t.Errorf("got %v, %v", err, Classify(err))
	}
}

// http.DefaultClient serves others as before, also with our hosts' names.
func TestOthersPassThrough(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(answer("hello"))
	defer other.Close()
	s := newServer(t, answer(okQuery))
	c := s.client(t)
	if err := query(c); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(other.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "hello" {
		t.Errorf("got %q", body)
	}
	if _, err := http.Get("https://" + c.host + "/services/data/v62.0/limits"); err == nil {
		t.Error("a request without a login reached the org")
	}
	// A context with a call in it opens no way to another host.
	req, _ := http.NewRequestWithContext(context.WithValue(context.Background(), callKey{}, &call{client: c, op: "query"}), "GET", other.URL, nil)
	if _, err := http.DefaultClient.Do(req); err == nil {
		t.Error("a call went to a foreign host")
	}
}

// All connections of bad answers are used again or closed.
func TestConnectionsAreNotLeaked(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	opened, closed := 0, 0
	allClosed := make(chan struct{})
	closing := false
	s := startServer(t, sequence(status(503), answer("<html>"), status(302, "Location", "/x"), answerStatus(300, "[]"),
		status(429), answer(okQuery)), func(_ net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		switch state {
		case http.StateNew:
			opened++
		case http.StateClosed:
			closed++
		}
		if closing && opened == closed {
			closing = false
			close(allClosed)
		}
	})
	c := s.client(t)
	for range 40 {
		query(c)
	}
	mu.Lock()
	if opened > 4 { // the retrying client gives its connections up after a failure
		t.Errorf("%d connections for %d calls", opened, len(s.requests()))
	}
	if closing = opened > closed; !closing {
		close(allClosed)
	}
	mu.Unlock()
	c.Close()
	select {
	case <-allClosed:
	case <-time.After(10 * time.Second):
		t.Error("connections stay open after Close")
	}
}

// Parse errors and others carry the URL, and with it the query.
func TestErrorsWithoutURL(t *testing.T) {
	t.Parallel()
	cl := &call{client: newServer(t, nil).client(t), op: "query"}
	inner := &url.Error{Op: "Get", URL: "https://x.example/?q=SELECT+secret", Err: io.ErrUnexpectedEOF}
	err := cl.failure(context.Background(), &url.Error{Op: "Get", URL: inner.URL, Err: inner})
	if err.Error() != "query: unexpected EOF" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}
