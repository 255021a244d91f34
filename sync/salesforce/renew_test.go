package salesforce

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// firstSession reports a request with the token of the first login.
func firstSession(r *http.Request) bool {
	return r.Header.Get("Authorization") == "Bearer "+orgID15+"!canary-session-1"
}

// Whatever an answer says of a session or its instance, one login mends it, and a read goes
// on like a write.
func TestEveryRefusedSessionIsRenewed(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]http.HandlerFunc{
		"INVALID_SESSION_ID": func(w http.ResponseWriter, _ *http.Request) { expired(w) },
		"INVALID_AUTH_HEADER": func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
		},
		"INVALID_JWT_FORMAT": func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 401, "INVALID_JWT_FORMAT", "The token is expired")
		},
		"401 empty": status(401),
		"401 HTML":  answerStatus(401, "<html>sign in</html>"),
		"403 of the session": func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 403, "INVALID_SESSION_ID", "Session expired or invalid")
		},
		"301": status(301, "Location", "https://other.example/services"),
		"302": status(302, "Location", "https://other.example/services"),
		"307": status(307, "Location", "https://other.example/services"),
		"308": status(308, "Location", "https://other.example/services"),
		"420": answerStatus(420, "<html>setting things up</html>"),
		"421": status(421),
		"URL_NOT_RESET": func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 500, "UNKNOWN_EXCEPTION", "Destination URL not reset. The URL returned from login must be set")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case firstSession(r):
					refused(w, r)
				case r.Method == http.MethodGet:
					io.WriteString(w, okQuery)
				default:
					io.WriteString(w, okUpsert)
				}
			})
			c := s.client(t)
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					if err := query(c); err != nil {
						t.Error(err)
					}
				})
				wg.Go(func() {
					if err := upsert(c); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if s.logins() != 2 {
				t.Errorf("%d logins, want 2", s.logins())
			}
		})
	}
}

// A new session that is refused, too, is the end of it: the pauses between logins double.
func TestRenewalIsNoLoop(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]http.HandlerFunc{
		"401 empty": status(401), "302": status(302, "Location", "https://other.example"),
		"INVALID_AUTH_HEADER": func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
		},
	} {
		s := newServer(t, refused)
		clock := newClock()
		config := s.config()
		config.Now = clock.Now
		c := newClient(t, config)
		for range 120 { // a poll a minute
			if err := query(c); Classify(err) != StopCalls {
				t.Fatalf("%s: %v", name, err)
			}
			clock.advance(time.Minute)
		}
		if n := s.logins(); n < 4 || n > 12 {
			t.Errorf("%s: %d logins in two hours", name, n)
		}
	}
}

// An org that moved is found again where the new login says that it is.
func TestMovedInstance(t *testing.T) {
	t.Parallel()
	logins := 0
	hosts := map[string]http.HandlerFunc{
		"login.salesforce.com": func(w http.ResponseWriter, _ *http.Request) {
			logins++
			instance := "https://na1.salesforce.com"
			if logins > 1 {
				instance = "https://na2.salesforce.com"
			}
			json.NewEncoder(w).Encode(map[string]string{"access_token": "t", "instance_url": instance,
				"id": "https://login.salesforce.com/id/" + orgID15 + "/" + userID15})
		},
		"na1.salesforce.com": status(301, "Location", "https://na2.salesforce.com"),
		"na2.salesforce.com": answer(okQuery),
	}
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { hosts[r.Host](w, r) }))
	t.Cleanup(srv.Close)
	c := newClient(t, Config{Domain: "https://login.salesforce.com", ConsumerKey: "key", ConsumerSecret: NewSecret("secret"),
		Username: "u@example.com", Password: NewSecret("password"), SecurityToken: NewSecret("token")})
	c.wire.TLSClientConfig.InsecureSkipVerify = true
	c.wire.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
	}
	id, err := c.Login(t.Context())
	if err != nil || id.InstanceURL != "https://na1.salesforce.com" {
		t.Fatalf("%+v, %v", id, err)
	}
	if err := query(c); err != nil || logins != 2 {
		t.Errorf("%v after %d logins", err, logins)
	}
	if got := c.current().origin.Host; got != "na2.salesforce.com" {
		t.Errorf("the instance is %s", got)
	}
}

// pauses keeps the pause of a login as a store does.
type pauses struct {
	mu   sync.Mutex
	kept LoginPause
}

func (p *pauses) LoadLoginPause() (LoginPause, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kept, nil
}

func (p *pauses) SaveLoginPause(l LoginPause) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = l
	return nil
}

// A program that cron starts every minute does not log in every minute.
func TestLoginPauseSurvivesTheProcess(t *testing.T) {
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
	clock, kept := newClock(), &pauses{}
	start := func(secret string) *Client {
		config := s.config()
		config.Now, config.Pauses = clock.Now, kept
		if secret != "" {
			config.ConsumerSecret = NewSecret(secret)
		}
		return newClient(t, config)
	}
	for range 60 {
		err := query(start(""))
		if e := mustError(t, err); e.Code != "invalid_grant" || Classify(e) != StopCalls || e.RetryAfter <= 0 {
			t.Fatalf("got %+v", e)
		}
		clock.advance(time.Minute)
	}
	if n := s.logins(); n != 3 { // at once, after 15 and after 45 minutes
		t.Errorf("%d logins within an hour, want 3", n)
	}
	if strings.Contains(kept.kept.For, "canary") || kept.kept.For == "" {
		t.Errorf("kept %+v", kept.kept)
	}
	// Other credentials are tried at once. A success ends the pause.
	refused = false
	if err := query(start("another")); err != nil {
		t.Error(err)
	}
	clock.advance(2 * time.Hour)
	if err := query(start("")); err != nil || kept.kept != (LoginPause{}) {
		t.Errorf("%v; kept %+v", err, kept.kept)
	}
	// Somebody who mended the org need not wait.
	refused = true
	c := start("")
	if err := query(c); err == nil {
		t.Fatal("the login was not refused")
	}
	refused = false
	c.ResumeLogin()
	if err := query(c); err != nil {
		t.Errorf("after ResumeLogin: %v", err)
	}
}

// No OAuth error that callpoint does not know is repeated at once.
func TestUnknownLoginErrorIsNotHammered(t *testing.T) {
	t.Parallel()
	s := newServer(t, answer(okQuery))
	s.token = func(w http.ResponseWriter, _ map[string]string) bool {
		w.WriteHeader(400)
		io.WriteString(w, `{"error":"oauth_of_tomorrow","error_description":"not today"}`)
		return true
	}
	c := s.client(t)
	for range 5 {
		err := query(c)
		if Classify(err) != StopCalls {
			t.Fatalf("%v is %v", err, Classify(err))
		}
		mustContain(t, Cure(err), "does not know", "HTTP 400 oauth_of_tomorrow: not today")
	}
	if s.logins() != 1 {
		t.Errorf("%d logins, want 1", s.logins())
	}
}

// A JWT that was refused for this machine's clock is signed once more, for the org's time.
func TestJWTByTheOrgsClock(t *testing.T) {
	t.Parallel()
	for _, mends := range []bool{true, false} {
		clock := newClock() // the server's Date is the real time, days ahead
		s := newServer(t, answer(okQuery))
		var exps []float64
		s.token = func(w http.ResponseWriter, form map[string]string) bool {
			claims := jwt.MapClaims{}
			if _, _, err := jwt.NewParser().ParseUnverified(form["assertion"], claims); err != nil {
				t.Error(err)
			}
			exps = append(exps, claims["exp"].(float64))
			if mends && len(exps) > 1 {
				return false
			}
			w.WriteHeader(400)
			io.WriteString(w, `{"error":"invalid_grant","error_description":"invalid assertion"}`)
			return true
		}
		config := s.config()
		config.ConsumerSecret, config.Username, config.PrivateKey, config.Now = Secret{}, "u@example.com", NewSecret(testPEM()), clock.Now
		err := query(newClient(t, config))
		if len(exps) != 2 || time.Until(time.Unix(int64(exps[1]), 0)).Abs() > 4*time.Minute {
			t.Errorf("assertions that end at %v; now is %d", exps, time.Now().Unix())
		}
		if mends != (err == nil) {
			t.Errorf("got %v", err)
		}
		if !mends {
			mustContain(t, err.Error(), "clock is off Salesforce's by")
			mustContain(t, Cure(err), "set the clock")
		}
	}
}

// Pages that lead nowhere end as a fault of the answer.
func TestPagesThatLeadNowhere(t *testing.T) {
	t.Parallel()
	const next = "/services/data/v62.0/query/0r8xx00000000001-2000"
	for name, body := range map[string]string{
		"no rows": `{"totalSize":1,"done":false,"nextRecordsUrl":"` + next + `","records":[]}`,
		"itself":  `{"totalSize":1,"done":false,"nextRecordsUrl":"` + next + `","records":[{"Id":"00THs0000000001MAA"}]}`,
	} {
		s := newServer(t, answer(body))
		_, err := s.client(t).Query(context.Background(), "", QueryOptions{Next: next})
		if e := mustError(t, err); e.Code != codeBadPage || Classify(e) != RestartQuery || len(s.requests()) != 1 {
			t.Errorf("%s: %v, %v", name, err, Classify(err))
		}
	}
}

// Rules that only alert let the record pass, in every way of writing; what a rule that
// blocks found is named.
func TestDuplicateRules(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var headers []string
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		headers = append(headers, r.Header.Get("Sforce-Duplicate-Rule-Header"))
		mu.Unlock()
		io.WriteString(w, `[{"success":false,"errors":[{"duplicateResult":{"allowSave":false,"duplicateRule":"Persons_Once","duplicateRuleEntityType":"Lead",`+
			`"matchResults":[{"matchRecords":[{"record":{"attributes":{"type":"Lead"},"Id":"00QHs0000000001MAA"}}]}]},"statusCode":"DUPLICATES_DETECTED","message":"Use one of these records?","fields":[]}]}]`)
	})
	c := s.client(t)
	results, err := c.Upsert(context.Background(), []Batch{batch("Lead", "k1")})
	if err != nil {
		t.Fatal(err)
	}
	e := results[0][0].Err
	if e == nil || e.Code != "DUPLICATES_DETECTED" || Classify(e) != Park {
		t.Fatalf("got %+v", e)
	}
	mustContain(t, e.Message, "Persons_Once", "00QHs0000000001MAA")
	if _, err := c.Update(context.Background(), "Lead", []map[string]any{{"Id": "00QHs0000000001MAA"}}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(headers, []string{"allowSave=true", "allowSave=true"}) {
		t.Errorf("headers %q", headers)
	}
	s.setAPI(answer(`{"compositeResponse":[{"body":[{"id":"1","success":true}],"httpStatusCode":200,"referenceId":"c0"},{"body":[{"id":"1","success":true}],"httpStatusCode":200,"referenceId":"c1"}]}`))
	if _, err := c.Upsert(context.Background(), []Batch{batch("Lead", "k1"), batch("Task", "k2")}); err != nil {
		t.Fatal(err)
	}
	if body := s.body(2); strings.Count(body, `"httpHeaders":{"Sforce-Duplicate-Rule-Header":"allowSave=true"}`) != 2 {
		t.Errorf("composite %s", body)
	}
}

// Support asks for an ErrorId, which looks like phone numbers.
func TestErrorIDStays(t *testing.T) {
	t.Parallel()
	const said = "An unexpected error occurred. Please include this ErrorId if you contact support: 1094715137-59410 (-1743413412)"
	if got := impersonal(said + ", call 425-555-0100"); got != said+", call [value]" {
		t.Error(got)
	}
}
