package collector

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"callpoint/store"
)

func TestStoreErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err        error
		status     int
		retryAfter string
	}{
		{store.ErrFull, 507, ""},
		{fmt.Errorf("add: %w", store.ErrBusy), 429, "1"},
		{store.ErrClosed, 503, "5"},
		{errors.New("disk on fire"), 503, "5"},
	} {
		s := serve(t)
		s.store.err = c.err
		for _, path := range []string{"/v1/events", browserPath()} {
			resp, text := s.request(t, "POST", path, view(), "Content-Type", "application/json")
			if resp.StatusCode != c.status || resp.Header.Get("Retry-After") != c.retryAfter {
				t.Errorf("%v at %s: %d, Retry-After %q", c.err, path, resp.StatusCode, resp.Header.Get("Retry-After"))
			}
			if strings.Contains(text, "fire") {
				t.Errorf("the cause went to the client: %s", text)
			}
		}
		if st := s.Stats(); st.Refused[refusedStore] != 2 || st.Events != 0 || !st.LastReceived.IsZero() {
			t.Errorf("stats %+v", st)
		}
	}
}

func TestBodyLimits(t *testing.T) {
	t.Parallel()
	small := func(c *Config) { c.MaxBody = 2000 }
	exact := view() + strings.Repeat(" ", 2000-len(view()))
	for _, c := range []struct {
		name, encoding, body string
		want                 int
	}{
		{"as large as allowed", "", exact, 200},
		{"one byte more", "", exact + " ", 413},
		{"as large as allowed, gzip", "gzip", gzipped(exact), 200},
		{"one byte more inflated, gzip", "gzip", gzipped(exact + " "), 413},
		{"one byte more inflated, zstd", "zstd", zstded(exact + " "), 413},
		{"bomb", "gzip", gzipped(strings.Repeat("\n", 200<<20)), 413},
	} {
		s := serve(t, small)
		status, a := s.post(t, "/v1/events", c.body, "Content-Encoding", c.encoding)
		if status != c.want || s.store.count() != a.Accepted || (status == 200) != (a.Accepted == 1) {
			t.Errorf("%s: %d %+v", c.name, status, a)
		}
	}
}

// Only so many large bodies may be in memory; small ones pass them.
func TestLargeBodiesTakeTurns(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *Config) { c.MaxLarge = 1; c.MaxRequests = 2 })
	large := view() + strings.Repeat("\n", largeBody)
	c := s.Collector
	c.large <- struct{}{} // a large body is being read
	resp, _ := s.request(t, "POST", "/v1/events", large, "Content-Type", "application/json")
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("second large body: %d", resp.StatusCode)
	}
	if status, _ := s.post(t, "/v1/events", view()); status != 200 {
		t.Errorf("small body: %d", status)
	}
	<-c.large
	if status, _ := s.post(t, "/v1/events", large); status != 200 {
		t.Errorf("large body afterwards: %d", status)
	}
	if len(c.large) != 0 {
		t.Error("the slot was not given back")
	}
}

func TestRequestsBeyondTheLimitAreTurnedAway(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *Config) { c.MaxRequests = 1 })
	s.store.hold, s.store.inside = make(chan struct{}), make(chan struct{}, 1)
	done := make(chan int)
	go func() {
		resp, err := http.Post(s.srv.URL+"/v1/events", "application/json", strings.NewReader(view()))
		if err != nil {
			done <- 0
			return
		}
		resp.Body.Close()
		done <- resp.StatusCode
	}()
	<-s.store.inside
	if status, _ := s.post(t, "/v1/events", view()); status != http.StatusTooManyRequests {
		t.Errorf("while one is stored: %d", status)
	}
	close(s.store.hold)
	if status := <-done; status != 200 {
		t.Errorf("the first: %d", status)
	}
}

// Values of records stay out of the log, whatever goes wrong.
func TestLogHoldsNoValues(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := serve(t, func(c *Config) {
		c.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.Token = "canary-token"
	})
	bearer := []string{"Authorization", "Bearer canary-token"}
	body := view("url", `"https://x/?a=canary"`, "bizible_id", `"canary"`, "ip", `"203.0.113.7"`)
	for _, err := range []error{nil, store.ErrFull, errors.New("disk on fire")} {
		s.store.err = err
		s.post(t, "/v1/events", body+"\n"+`{"canary":`, bearer...)
		s.request(t, "GET", browserPath("_biz_u", "canary"), "", "X-Forwarded-For", "203.0.113.7")
		s.request(t, "GET", browserPath("_biz_t", "canary"), "")
		s.post(t, "/v1/events", body, append(bearer, "Content-Encoding", "gzip")...)
	}
	if !strings.Contains(log.String(), "disk on fire") {
		t.Error("the store's error is not in the log")
	}
	for _, bad := range []string{"canary", "203.0.113", "127.0.0.1"} {
		if strings.Contains(log.String(), bad) {
			t.Errorf("the log holds %s:\n%s", bad, log.String())
		}
	}
}
