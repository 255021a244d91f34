// Package salesforce is the client of one org's REST API: it logs in, reads
// by query, writes by upsert, and classifies every failure by what to do about it.
//
// go-salesforce makes the requests, go-retryablehttp repeats those that may
// pass; the transport between and below them owns the session, the pinned
// host, the time limits and the errors. Every failure is an [Error], which
// [Classify] sorts and [Cure] explains. All methods may be used by many
// goroutines, and all obey their context.
//
// Nothing here is harmed by being sent twice, except for Create.
package salesforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-retryablehttp"
	gosf "github.com/k-capehart/go-salesforce/v2"
)

const (
	dataPath          = "/services/data/v62.0" // as go-salesforce has it
	codeSession       = "INVALID_SESSION_ID"
	organizationQuery = "SELECT Id FROM Organization LIMIT 1"
)

// Identity is who we are, and where.
type Identity struct {
	OrgID       string // 18 characters
	UserID      string // 18 characters; "" where a bare access token does not tell
	InstanceURL string
}

// Client talks to one org as one user.
type Client struct {
	cfg        settings
	host       string // private name of this client in go-salesforce's URLs
	wire       *http.Transport
	tries      *retryablehttp.RoundTripper
	loginTries *retryablehttp.RoundTripper
	meter      meter
	// uncompressed is set once a compressed request was refused.
	uncompressed atomic.Bool

	mu      sync.Mutex // guards what follows
	session *session
	flight  *flight
	pause   pause
}

var clients atomic.Int64

// New checks the configuration. It does not touch the network.
func New(config Config) (*Client, error) {
	s, err := config.validate()
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: s, host: "client-" + strconv.FormatInt(clients.Add(1), 10) + hostSuffix, wire: newWire()}
	c.tries = c.newTries(c.cfg.RetryWait)
	c.loginTries = c.newTries(c.cfg.LoginRetryWait)
	return c, dispatch.check()
}

// Close gives up idle connections. The Client stays usable.
func (c *Client) Close() { c.wire.CloseIdleConnections() }

// Login makes sure that there is a session, and returns whose it is.
func (c *Client) Login(ctx context.Context) (Identity, error) {
	s, err := c.open(ctx, 0)
	if err != nil {
		return Identity{}, err
	}
	if s.id.OrgID != "" {
		return s.id, nil
	}
	cl := &call{op: "organization", object: "Organization", method: http.MethodGet}
	resp, err := c.do(ctx, cl, queryURI("/query", organizationQuery), nil)
	if err != nil {
		return Identity{}, err
	}
	org, err := organizationID(resp.Body)
	if err != nil {
		return Identity{}, cl.error(err.Error(), nil)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known := *c.session
	known.id.OrgID = org
	c.session = &known
	return known.id, nil
}

func organizationID(body io.Reader) (string, error) {
	var answer struct {
		Records []struct{ ID string }
	}
	if err := json.NewDecoder(body).Decode(&answer); err != nil || len(answer.Records) != 1 || !isID(answer.Records[0].ID, "00D") {
		return "", errors.New("the org does not tell its id")
	}
	return ID18(answer.Records[0].ID), nil
}

// do makes one API call through go-salesforce. The body of the answer is in
// memory: it needs no closing.
func (c *Client) do(ctx context.Context, cl *call, uri string, body []byte, options ...gosf.RequestOption) (*http.Response, error) {
	cl.client, cl.counted = c, true
	s, err := c.open(ctx, 0)
	if err != nil {
		return nil, err
	}
	ctx = context.WithValue(ctx, callKey{}, cl)
	options = append(options, func(r *http.Request) { *r = *r.WithContext(ctx) })
	resp, err := s.sf.DoRequest(cl.method, uri, body, options...)
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && e.Op == "login" {
			return nil, e // the session could not be renewed
		}
		return nil, cl.failure(ctx, err)
	}
	return resp, nil
}

// fetch is do, and decodes the answer.
func (c *Client) fetch(ctx context.Context, cl *call, uri string, body []byte, answer any, options ...gosf.RequestOption) (*http.Response, error) {
	resp, err := c.do(ctx, cl, uri, body, options...)
	if err != nil {
		return nil, err
	}
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return nil, cl.garbled(resp.StatusCode, fmt.Errorf("the answer does not parse: %w", err))
	}
	return resp, nil
}

// garbled is the error for an answer that came whole but makes no sense.
func (cl *call) garbled(status int, err error) *Error {
	e := cl.error("", err)
	e.Status, e.Unknown = status, cl.write
	return e
}

// misuse is the error for a call that breaks a rule of this package.
func (cl *call) misuse(format string, args ...any) *Error {
	return &Error{Op: cl.op, Object: cl.object, Method: cl.method, Code: codeCaller, Message: fmt.Sprintf(format, args...)}
}

// needsLogin reports whether a new login may mend a failed API call: the session is not
// accepted, whatever the answer names as the reason, or the org is no longer at the instance
// that the last login named. Two messages are about the connected app, and stay.
func (cl *call) needsLogin(err error) bool {
	e := cl.last
	if err == nil || e == nil || cl.denied != nil || cl.login != nil || cl.session == nil {
		return false
	}
	switch {
	case incurableSession.match(e):
		return false
	case e.Status == http.StatusUnauthorized, e.Code == codeSession:
		return true
	case cl.client.cfg.flow == flowAccessToken:
		return false
	case e.Code == codeRedirect, movedInstance.match(e):
		return true
	}
	var dns *net.DNSError
	return errors.As(e.Err, &dns) && dns.IsNotFound && cl.session.origin.Host != cl.client.cfg.domain.Host
}

// movedInstance is an answer of a host that does not serve the org any more.
var movedInstance = pattern{"moved instance", func(e *Error) bool {
	return e.Status == 420 || e.Status == http.StatusMisdirectedRequest || e.Code == "URL_NOT_RESET" ||
		strings.Contains(strings.ToLower(e.Message), "destination url not reset")
}}

var incurableSession = contains("incurable session", "not valid for use with the rest api", "not attached to agent")

// secrets lists what must not show in a text from outside.
func (c *Client) secrets() []Secret {
	list := []Secret{
		NewSecret(c.cfg.Password.Reveal() + c.cfg.SecurityToken.Reveal()), // as one string before its parts
		c.cfg.ConsumerSecret, c.cfg.Password, c.cfg.SecurityToken, c.cfg.AccessToken, c.cfg.PrivateKey,
	}
	if s := c.current(); s != nil {
		list = append(list, s.token)
	}
	return list
}

var (
	idPattern   = regexp.MustCompile(`^[0-9A-Za-z]{15}([0-9A-Za-z]{3})?$`)
	namePattern = regexp.MustCompile(`^[A-Za-z]\w*$`)
)

// isID reports whether id has the form of a record id, of the object with that key prefix.
func isID(id, prefix string) bool {
	return idPattern.MatchString(id) && len(id) >= len(prefix) && id[:len(prefix)] == prefix
}
