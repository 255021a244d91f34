package salesforce

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func testPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(testKey())}))
}

func TestLoginFlows(t *testing.T) {
	t.Parallel()
	identity := func(s *server) Identity { return Identity{orgID18, userID18, s.URL} }
	for name, tt := range map[string]struct {
		set  func(*Config)
		form map[string]string
	}{
		"client credentials": {func(*Config) {}, map[string]string{
			"grant_type": "client_credentials", "client_id": "key", "client_secret": "canary-consumer-secret"}},
		"password": {func(c *Config) {
			c.Username, c.Password, c.SecurityToken = "u@example.com", NewSecret("p&ss"), NewSecret("tok")
		}, map[string]string{"grant_type": "password", "client_id": "key", "client_secret": "canary-consumer-secret",
			"username": "u@example.com", "password": "p&sstok"}},
		"password without a security token": {func(c *Config) {
			c.Username, c.Password = "u@example.com", NewSecret("p&ss")
		}, map[string]string{"grant_type": "password", "client_id": "key", "client_secret": "canary-consumer-secret",
			"username": "u@example.com", "password": "p&ss"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, answer(okQuery))
			config := s.config()
			tt.set(&config)
			c := newClient(t, config)
			for range 2 { // the second comes from memory
				id, err := c.Login(context.Background())
				if err != nil || id != identity(s) {
					t.Fatalf("Login = %+v, %v, want %+v", id, err, identity(s))
				}
			}
			if s.logins() != 1 || !reflect.DeepEqual(s.form(0), tt.form) {
				t.Errorf("%d logins with %v, want 1 with %v", s.logins(), s.form(0), tt.form)
			}
			if len(s.requests()) != 0 {
				t.Errorf("a login made API calls: %v", s.requests())
			}
		})
	}
}

func TestLoginJWT(t *testing.T) {
	t.Parallel()
	for name, aud := range map[string]string{"": "https://login.salesforce.com", "https://test.salesforce.com": "https://test.salesforce.com"} {
		s := newServer(t, answer(okQuery))
		config := s.config()
		config.ConsumerSecret, config.Username, config.PrivateKey, config.Audience = Secret{}, "u@example.com", NewSecret(testPEM()), name
		if _, err := newClient(t, config).Login(context.Background()); err != nil {
			t.Fatal(err)
		}
		form := s.form(0)
		if form["grant_type"] != "urn:ietf:params:oauth:grant-type:jwt-bearer" || len(form) != 2 {
			t.Errorf("form %v", form)
		}
		// The parser checks signature, audience, and that exp is a number in the future.
		claims := jwt.MapClaims{}
		_, err := jwt.ParseWithClaims(form["assertion"], claims, func(*jwt.Token) (any, error) { return &testKey().PublicKey, nil },
			jwt.WithAudience(aud), jwt.WithIssuer("key"), jwt.WithSubject("u@example.com"), jwt.WithExpirationRequired(), jwt.WithValidMethods([]string{"RS256"}))
		if err != nil {
			t.Errorf("assertion: %v", err)
		}
		if exp, _ := claims.GetExpirationTime(); time.Until(exp.Time) > 4*time.Minute {
			t.Errorf("the assertion lives until %v", exp)
		}
	}
}

// The library would test an access token with /limits, which needs View Setup.
func TestLoginAccessToken(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer canary-access-token" {
			refuse(w, 401, "INVALID_SESSION_ID", "Session expired or invalid")
			return
		}
		io.WriteString(w, `{"totalSize":1,"done":true,"records":[{"attributes":{},"Id":"`+orgID15+`"}]}`)
	})
	var infos []CallInfo
	config := s.config()
	config.ConsumerKey, config.ConsumerSecret, config.AccessToken = "", Secret{}, NewSecret("canary-access-token")
	config.OnCall = func(i CallInfo) { infos = append(infos, i) }
	id, err := newClient(t, config).Login(context.Background())
	if want := (Identity{OrgID: orgID18, InstanceURL: s.URL}); err != nil || id != want {
		t.Fatalf("Login = %+v, %v, want %+v", id, err, want)
	}
	if len(infos) != 1 || infos[0].Op != "organization" || !infos[0].Counted || s.logins() != 0 {
		t.Errorf("%d logins, calls %+v, want one counted call organization", s.logins(), infos)
	}

	// An expired one cannot be renewed, and says so.
	config.AccessToken = NewSecret("canary-expired-token")
	_, err = newClient(t, config).Login(context.Background())
	if e := mustError(t, err); e.Status != 401 || Classify(e) != StopCalls {
		t.Errorf("got %v, %v", e, Classify(e))
	}
}

func TestAccessTokenExpires(t *testing.T) {
	t.Parallel()
	s := newServer(t, sequence(
		answer(`{"done":true,"records":[{"Id":"`+orgID15+`"}]}`),
		func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 401, "INVALID_SESSION_ID", "Session expired or invalid")
		}))
	config := s.config()
	config.ConsumerKey, config.ConsumerSecret, config.AccessToken = "", Secret{}, NewSecret("canary-access-token")
	err := query(newClient(t, config))
	if e := mustError(t, err); Classify(e) != StopCalls {
		t.Errorf("%v is %v", e, Classify(e))
	}
	mustContain(t, err.Error(), "the access token has expired")
	mustContain(t, Cure(err), "SALESFORCE_ACCESS_TOKEN")
}

func TestLoginRefusedIsNotHammered(t *testing.T) {
	t.Parallel()
	refused := true
	s := newServer(t, answer(okQuery))
	s.token = func(w http.ResponseWriter, _ map[string]string) bool {
		if refused {
			w.WriteHeader(400)
			io.WriteString(w, `{"error":"invalid_grant","error_description":"authentication failure"}`)
		}
		return refused
	}
	clock := newClock()
	config := s.config()
	config.Now = clock.Now
	c := newClient(t, config)
	for i, pause := range []time.Duration{15, 30, 60, 120, 240, 240} {
		pause *= time.Minute
		for range 3 {
			err := query(c)
			e := mustError(t, err)
			if e.Op != "login" || e.Status != 400 || e.Code != "invalid_grant" || Classify(err) != StopCalls || e.RetryAfter != pause {
				t.Fatalf("refusal %d: got %+v, %v", i, e, Classify(err))
			}
			mustContain(t, err.Error(), "authentication failure", clock.Now().Add(pause).Format(time.RFC3339))
		}
		if s.logins() != i+1 {
			t.Fatalf("%d token requests, want %d", s.logins(), i+1)
		}
		clock.advance(pause - time.Second)
		if err := query(c); mustError(t, err).RetryAfter != time.Second || s.logins() != i+1 {
			t.Fatalf("a second before its time: %v, %d token requests", err, s.logins())
		}
		clock.advance(time.Second)
	}
	refused = false
	if err := query(c); err != nil {
		t.Errorf("after the pause: %v", err)
	}
	// A success forgives: the next refusal counts as the first.
	refused = true
	s.setAPI(func(w http.ResponseWriter, _ *http.Request) { expired(w) })
	if e := mustError(t, query(c)); e.Code != "invalid_grant" || e.RetryAfter != 15*time.Minute {
		t.Errorf("refused after a success: %+v", e)
	}
}

func TestLoginTransient(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]func(w http.ResponseWriter, _ map[string]string) bool{
		"503": func(w http.ResponseWriter, _ map[string]string) bool { w.WriteHeader(503); return true },
		"unknown_error": func(w http.ResponseWriter, _ map[string]string) bool {
			w.WriteHeader(400)
			io.WriteString(w, `{"error":"unknown_error","error_description":"retry your request"}`)
			return true
		},
		"cut":     func(http.ResponseWriter, map[string]string) bool { panic(http.ErrAbortHandler) },
		"no JSON": func(w http.ResponseWriter, _ map[string]string) bool { io.WriteString(w, "<html>"); return true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, answer(okQuery))
			n := 0
			s.token = func(w http.ResponseWriter, form map[string]string) bool {
				if n++; n == 1 {
					return first(w, form)
				}
				return false
			}
			if err := query(s.client(t)); err != nil || s.logins() != 2 {
				t.Errorf("%v after %d logins, want success after 2", err, s.logins())
			}
			s.setToken(first) // now for longer than it is tried
			c := s.client(t)
			err := query(c)
			if e := mustError(t, err); e.Op != "login" || Classify(e) != Retry {
				t.Errorf("got %v, %v", err, Classify(err))
			}
			if s.logins() != 5 {
				t.Errorf("%d logins, want 3 more", s.logins())
			}
			s.setToken(nil)
			if name == "unknown_error" { // a refusal that is expected to pass
				if e := mustError(t, query(c)); e.RetryAfter > time.Minute || s.logins() != 5 {
					t.Errorf("got %+v after %d logins, want a short pause", e, s.logins())
				}
			} else if err := query(c); err != nil {
				t.Errorf("no pause follows what passes: %v", err)
			}
		})
	}
}

func TestLoginErrorsAreExplained(t *testing.T) {
	t.Parallel()
	for description, cure := range map[string]string{
		"user hasn't approved this consumer":        "permitted users",
		"audience is invalid":                       "audience",
		"no client credentials user enabled":        "Run As",
		"request not supported on this domain":      "My Domain",
		"login rate exceeded":                       "too often",
		"ip restricted":                             "address",
		"inactive user":                             "inactive",
		"expired access/refresh token":              "credentials",
		"something that nobody has heard of so far": "credentials",
	} {
		s := newServer(t, answer(okQuery))
		s.token = func(w http.ResponseWriter, _ map[string]string) bool {
			w.WriteHeader(400)
			json.NewEncoder(w).Encode(map[string]string{"error": "invalid_grant", "error_description": description})
			return true
		}
		_, err := s.client(t).Login(context.Background())
		if err == nil || Classify(err) != StopCalls {
			t.Fatalf("%s: %v is %v", description, err, Classify(err))
		}
		mustContain(t, err.Error(), "invalid_grant", description)
		mustContain(t, Cure(err), cure)
	}
}

func TestLoginCanceled(t *testing.T) {
	t.Parallel()
	s := newServer(t, answer(okQuery))
	arrived, gone := make(chan struct{}), make(chan struct{})
	s.token = func(w http.ResponseWriter, _ map[string]string) bool {
		close(arrived)
		<-gone
		return true
	}
	config := s.config()
	config.RequestTimeout = time.Hour
	c := newClient(t, config)
	ctx, cancel := context.WithCancel(context.Background())
	leader := make(chan error)
	go func() {
		_, err := c.Login(ctx)
		leader <- err
	}()
	<-arrived
	// One who waits gives up by its own context, without the leader.
	short, stop := context.WithCancel(context.Background())
	stop()
	if _, err := c.Login(short); !errors.Is(err, context.Canceled) || Classify(err) != Canceled {
		t.Errorf("the follower got %v", err)
	}
	// Another one stays, and takes over when the leader gives up.
	follower := make(chan error)
	go func() { follower <- query(c) }()
	cancel()
	if err := <-leader; !errors.Is(err, context.Canceled) || Classify(err) != Canceled {
		t.Errorf("the leader got %v", err)
	}
	s.setToken(nil)
	close(gone)
	if err := <-follower; err != nil {
		t.Errorf("the follower got %v", err)
	}
}

// A refreshed sandbox has another id: nothing may be written there.
func TestOrgMustNotChange(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	s.api = func(w http.ResponseWriter, r *http.Request) {
		refuse(w, 401, "INVALID_SESSION_ID", "Session expired or invalid")
	}
	n := 0
	s.token = func(w http.ResponseWriter, _ map[string]string) bool {
		if n++; n == 1 {
			return false
		}
		json.NewEncoder(w).Encode(map[string]string{"access_token": "t", "instance_url": s.URL,
			"id": "https://test.salesforce.com/id/00DHs0000000002/" + userID15})
		return true
	}
	err := query(s.client(t))
	if e := mustError(t, err); e.Code != codeOrgChanged || Classify(e) != StopCalls || len(s.requests()) != 1 {
		t.Errorf("got %v, %v", err, s.requests())
	}
}

// Some token answers have no id: the org is asked.
func TestOrgIDByQuery(t *testing.T) {
	t.Parallel()
	s := newServer(t, answer(`{"done":true,"records":[{"Id":"`+orgID18+`"}]}`))
	s.token = func(w http.ResponseWriter, _ map[string]string) bool {
		json.NewEncoder(w).Encode(map[string]string{"access_token": "t", "instance_url": s.URL})
		return true
	}
	c := s.client(t)
	for range 2 {
		if id, err := c.Login(context.Background()); err != nil || id.OrgID != orgID18 {
			t.Fatalf("got %+v, %v", id, err)
		}
	}
	if len(s.requests()) != 1 || s.logins() != 1 {
		t.Errorf("calls %v, %d logins", s.requests(), s.logins())
	}
}
