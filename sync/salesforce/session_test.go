package salesforce

import (
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

func expired(w http.ResponseWriter) {
	refuse(w, 401, "INVALID_SESSION_ID", "Session expired or invalid")
}

func TestSessionIsRenewedOnce(t *testing.T) {
	t.Parallel()
	const parallel = 10
	var s *server
	var old sync.WaitGroup // until all of them have been refused
	s = newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer "+orgID15+"!canary-session-1" {
			old.Done()
			old.Wait()
			expired(w)
			return
		}
		if r.Header.Get("Authorization") != s.today() {
			t.Errorf("Authorization %q", r.Header.Get("Authorization"))
		}
		// The body goes out again, whole.
		if body, _ := io.ReadAll(r.Body); string(body) != `{"allOrNone":false,"records":[{"Key__c":"k1","attributes":{"type":"Lead"}}]}` {
			t.Errorf("body %q", body)
		}
		io.WriteString(w, `[{"id":"00QHs0000000001MAA","success":true,"errors":[],"created":true}]`)
	})
	c := s.client(t)
	if _, err := c.Login(context.Background()); err != nil {
		t.Fatal(err)
	}
	old.Add(parallel)
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			if err := upsert(c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if s.logins() != 2 || len(s.requests()) != 2*parallel {
		t.Errorf("%d logins and %d calls, want 2 and %d", s.logins(), len(s.requests()), 2*parallel)
	}
}

func TestSessionNotCurable(t *testing.T) {
	t.Parallel()
	for _, message := range []string{"This session is not valid for use with the REST API", "Connected app is not attached to Agent"} {
		s := newServer(t, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 401, "INVALID_SESSION_ID", message) })
		err := query(s.client(t))
		if e := mustError(t, err); e.Status != 401 || e.Message != message || Classify(e) != StopCalls {
			t.Errorf("got %v, %v", err, Classify(err))
		}
		if s.logins() != 1 || len(s.requests()) != 1 {
			t.Errorf("%d logins, calls %v", s.logins(), s.requests())
		}
	}
}

// An org that refuses even new sessions must not see a login per call.
func TestNewSessionRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request) { expired(w) })
	clock := newClock()
	config := s.config()
	config.Now = clock.Now
	c := newClient(t, config)
	for i := range 4 {
		err := query(c)
		if e := mustError(t, err); e.Status != 401 || Classify(e) != StopCalls {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if s.logins() != 2 {
		t.Errorf("%d logins in a row, want 2", s.logins())
	}
	clock.advance(config.LoginPause + time.Minute)
	if err := query(c); err == nil || s.logins() != 3 {
		t.Errorf("after the pause: %v, %d logins, want one more", err, s.logins())
	}
}

func TestRenewalRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request) { expired(w) })
	n := 0
	s.token = func(w http.ResponseWriter, _ map[string]string) bool {
		if n++; n == 1 {
			return false
		}
		w.WriteHeader(400)
		io.WriteString(w, `{"error":"invalid_grant","error_description":"inactive user"}`)
		return true
	}
	c := s.client(t)
	for range 3 {
		err := query(c)
		e := mustError(t, err)
		if e.Op != "login" || e.Code != "invalid_grant" || e.RetryAfter <= 14*time.Minute {
			t.Fatalf("got %+v", e)
		}
	}
	if s.logins() != 2 {
		t.Errorf("%d logins, want 2", s.logins())
	}
}

func TestRenewalCanceled(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request) { expired(w) })
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan struct{})
	t.Cleanup(func() { close(gone) })
	n := 0
	s.token = func(http.ResponseWriter, map[string]string) bool {
		if n++; n == 1 {
			return false
		}
		cancel()
		<-gone
		return true
	}
	config := s.config()
	config.RequestTimeout = time.Hour
	_, err := newClient(t, config).Query(ctx, "SELECT Id FROM Task", QueryOptions{})
	if Classify(err) != Canceled {
		t.Errorf("got %v, %v", err, Classify(err))
	}
}
