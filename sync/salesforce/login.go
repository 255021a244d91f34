package salesforce

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	gosf "github.com/k-capehart/go-salesforce/v2"
)

// A session is the outcome of one login. It never changes.
type session struct {
	gen    int // counts logins
	sf     *gosf.Salesforce
	token  Secret
	origin *url.URL
	id     Identity
}

// A flight is a login in progress, of which a Client has one at a time. It
// gives go-salesforce's contextless login request the context of the caller
// who leads, and takes the token out of the answer: the library itself holds
// only a stand-in.
type flight struct {
	client *Client
	ctx    context.Context
	done   chan struct{} // closed when session and err are final

	call      *call
	assertion Secret
	ahead     time.Duration // of the org's clock, as the assertion was signed for
	granted   session

	session *session
	err     error
}

const standIn = "held-by-the-transport"

// current returns the session; there is one whenever an API call is under way.
func (c *Client) current() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// open returns a session younger than generation after, logging in if need
// be. Of any number of callers one logs in, the others wait for it.
func (c *Client) open(ctx context.Context, after int) (*session, error) {
	for {
		c.mu.Lock()
		if c.session != nil && c.session.gen > after {
			defer c.mu.Unlock()
			return c.session, nil
		}
		f := c.flight
		lead := f == nil
		if lead {
			if err := c.mayLogin(); err != nil {
				c.mu.Unlock()
				return nil, err
			}
			f = &flight{client: c, ctx: ctx, done: make(chan struct{})}
			c.flight = f
		}
		c.mu.Unlock()
		if lead {
			f.fly()
			return f.session, f.err
		}
		select {
		case <-ctx.Done():
			return nil, &Error{Op: "login", Err: ctx.Err()}
		case <-f.done:
		}
		// That the leader gave up is no answer for those who wait.
		if f.err != nil && Classify(f.err) != Canceled {
			return nil, f.err
		}
	}
}

// fly logs in and publishes what came of it.
func (f *flight) fly() {
	c := f.client
	sf, err := f.init()
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(f.done)
	c.flight = nil
	if err == nil && c.session != nil && f.granted.id.OrgID != c.session.id.OrgID && c.session.id.OrgID != "" && f.granted.id.OrgID != "" {
		err = &Error{Op: "login", Code: codeOrgChanged, Message: fmt.Sprintf("the org was %s and is now %s", c.session.id.OrgID, f.granted.id.OrgID)}
	}
	if err != nil {
		f.err = err
		if e, ok := errors.AsType[*Error](err); ok && e.Status != 0 && (Classify(e) == StopCalls || e.Status/100 == 4) {
			base := c.cfg.LoginPause
			if Classify(e) != StopCalls {
				base /= 15 // it is expected to pass
			}
			f.err = c.hold(e, base)
		}
		return
	}
	s := f.granted
	s.sf, s.gen = sf, 1
	if c.session != nil {
		s.gen = c.session.gen + 1
		if s.id.OrgID == "" {
			s.id.OrgID = c.session.id.OrgID
		}
	}
	c.session, f.session = &s, &s
	c.clearPause()
	c.cfg.Log.Info("logged in", "flow", string(c.cfg.flow), "instance", s.origin.Host, "org", s.id.OrgID, "login", s.gen)
}

// init runs the library's login, whose request comes back in roundTrip.
func (f *flight) init() (*gosf.Salesforce, error) {
	c := f.client
	f.call = &call{client: c, login: f, op: "login", method: http.MethodPost}
	if err := dispatch.check(); err != nil {
		return nil, f.call.error("", err)
	}
	creds := gosf.Creds{
		Domain: "https://" + c.host, ConsumerKey: c.cfg.ConsumerKey, ConsumerSecret: c.cfg.ConsumerSecret.Reveal(),
		Username: c.cfg.Username, Password: c.cfg.Password.Reveal(), SecurityToken: c.cfg.SecurityToken.Reveal(),
		ConsumerRSAPem: c.cfg.PrivateKey.Reveal(),
	}
	if n := len(creds.Password); n > 1 && creds.SecurityToken == "" {
		// The library takes a password without a token for another flow. It
		// sends both as one string, so any cut will do.
		creds.Password, creds.SecurityToken = creds.Password[:n-1], creds.Password[n-1:]
	}
	if c.cfg.flow == flowAccessToken {
		creds.AccessToken = standIn
	}
	dispatch.logins.Store(c.host, f)
	defer dispatch.logins.Delete(c.host)
	sf, err := gosf.Init(creds)
	if err != nil {
		return nil, f.call.failure(f.ctx, err)
	}
	return sf, nil
}

// roundTrip answers the library's login request with the answer of the org.
func (f *flight) roundTrip(req *http.Request) (*http.Response, error) {
	defer closeBody(req)
	if f.client.cfg.flow == flowAccessToken {
		return f.probe(req)
	}
	form, err := f.form(req)
	if err != nil {
		return nil, f.call.error("", err)
	}
	const path, kind = "/services/oauth2/token", "application/x-www-form-urlencoded"
	resp, err := f.send(http.MethodPost, path, kind, form.Encode())
	if err != nil && f.clockRefused() {
		// Once more, by the time of the refusal.
		f.ahead, _ = f.client.meter.lastDate()
		if err := f.assert(form); err != nil {
			return nil, f.call.error("", err)
		}
		off := f.ahead
		f.call.last = nil
		if resp, err = f.send(http.MethodPost, path, kind, form.Encode()); err != nil && f.call.last != nil && f.call.last.Status == http.StatusBadRequest {
			f.call.last.Message += clockOff(off)
		}
	}
	if err != nil {
		return nil, err
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		InstanceURL string `json:"instance_url"`
		TokenType   string `json:"token_type"`
		ID          string `json:"id"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.AccessToken == "" {
		return nil, f.fail(resp, codeNoToken, "the token endpoint's answer holds no access_token")
	}
	if answer.TokenType != "" && !strings.EqualFold(answer.TokenType, "Bearer") {
		return nil, f.fail(resp, codeNoToken, "the token endpoint's answer holds a token of another type than Bearer")
	}
	f.granted.token = NewSecret(answer.AccessToken)
	if f.granted.origin, err = pinInstance(f.client.cfg.domain, answer.InstanceURL); err != nil {
		return nil, f.fail(resp, codeUntrusted, err.Error())
	}
	org, user := parseIdentityURL(answer.ID)
	f.granted.id = Identity{OrgID: org, UserID: user, InstanceURL: f.granted.origin.String()}
	return f.answer(req), nil
}

func (f *flight) fail(resp *http.Response, code, message string) error {
	e := f.call.error(message, nil)
	e.Status, e.Code = resp.StatusCode, code
	f.call.last = e
	return e
}

// form is the library's token form, with our own assertion: the library
// guesses the audience wrong for scratch orgs and many sandboxes.
func (f *flight) form(req *http.Request) (url.Values, error) {
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil || f.client.cfg.flow != flowJWT {
		return form, err
	}
	f.ahead, _ = f.client.ServerClock() // the org counts by its own clock
	return form, f.assert(form)
}

// assert signs an assertion and puts it into the form.
func (f *flight) assert(form url.Values) (err error) {
	if f.assertion, err = f.client.assertion(f.ahead); err == nil {
		form.Set("assertion", f.assertion.Reveal())
	}
	return err
}

// clockTolerance is how far the clock of an assertion may be off without being the reason of
// its refusal. Salesforce accepts one that expires within about three minutes.
const clockTolerance = 30 * time.Second

// clockRefused reports whether an assertion was refused that was signed for another time than
// Salesforce's.
func (f *flight) clockRefused() bool {
	e := f.call.last
	if e == nil || f.client.cfg.flow != flowJWT || e.Code != "invalid_grant" && e.Code != "invalid_client" && e.Code != "invalid_assertion" {
		return false
	}
	ahead, known := f.client.meter.lastDate()
	if !known || (ahead-f.ahead).Abs() <= clockTolerance {
		return false
	}
	return true
}

// clockOff is the error of an assertion that was refused although it was signed for Salesforce's
// time: the clock may still be the reason.
func clockOff(ahead time.Duration) string {
	return fmt.Sprintf("; this machine's clock is off Salesforce's by %s", ahead.Abs().Round(time.Second))
}

// assertion signs a JWT for the org's clock, which is ahead of ours.
func (c *Client) assertion(ahead time.Duration) (Secret, error) {
	to := c.cfg.Audience
	if to == "" {
		to = audience(c.cfg.domain)
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": c.cfg.ConsumerKey, "sub": c.cfg.Username, "aud": to,
		"exp": c.cfg.Now().Add(ahead).Add(3 * time.Minute).Unix(),
	}).SignedString(c.cfg.key)
	return NewSecret(signed), err
}

// probe replaces the library's test of an access token, a call of
// /limits, which not every user may make: one that also names the org.
func (f *flight) probe(req *http.Request) (*http.Response, error) {
	f.call.op, f.call.method, f.call.counted = "organization", http.MethodGet, true
	resp, err := f.send(http.MethodGet, dataPath+"/query?q="+url.QueryEscape(organizationQuery), "", "")
	if err != nil {
		return nil, err
	}
	org, err := organizationID(resp.Body)
	if err != nil {
		return nil, f.fail(resp, "", err.Error())
	}
	domain := f.client.cfg.domain
	f.granted = session{token: f.client.cfg.AccessToken, origin: domain, id: Identity{OrgID: org, InstanceURL: domain.String()}}
	return f.answer(req), nil
}

func (f *flight) send(method, path, contentType, body string) (*http.Response, error) {
	ctx := context.WithValue(f.ctx, callKey{}, f.call)
	req, err := http.NewRequestWithContext(ctx, method, "https://"+f.client.host+path, strings.NewReader(body))
	if err != nil {
		return nil, f.call.error("", err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Accept", "application/json")
	return f.call.send(f.client.loginTries, req)
}

// answer is what the library gets to see of a successful login.
func (f *flight) answer(req *http.Request) *http.Response {
	body, _ := json.Marshal(map[string]string{"access_token": standIn, "instance_url": "https://" + f.client.host})
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// parseIdentityURL reads https://login.salesforce.com/id/00D…/005…
func parseIdentityURL(raw string) (org, user string) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", ""
	}
	parts := strings.Split(u.Path, "/")
	if n := len(parts); n >= 3 && isID(parts[n-2], "00D") && isID(parts[n-1], "005") {
		return ID18(parts[n-2]), ID18(parts[n-1])
	}
	return "", ""
}
