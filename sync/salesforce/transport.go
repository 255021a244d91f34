package salesforce

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// The way down of a request:
//
//	go-salesforce, http.DefaultClient, dispatcher
//	Client.roundTrip   renews the session on 401, makes every refusal an *Error
//	go-retryablehttp   repeats attempts
//	attempts           one attempt: budget, pinned host, token, time limit, whole body
//	http.Transport

// maxBody bounds one answer. A page of 2,000 Tasks with full descriptions
// stays below.
const maxBody = 128 << 20

var errTooLarge = errors.New("the answer is too large")

func newWire() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   8,
		MaxConnsPerHost:       16,
		ForceAttemptHTTP2:     true,
	}
}

// newTries puts go-retryablehttp above the single attempts.
func (c *Client) newTries(wait time.Duration) *retryablehttp.RoundTripper {
	return &retryablehttp.RoundTripper{Client: &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport:     attempts{c},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		Logger:       nil, // it would print every URL, queries included
		RetryMax:     c.cfg.Retries,
		RetryWaitMin: wait,
		RetryWaitMax: max(wait, c.cfg.RetryWaitMax),
		CheckRetry:   checkRetry,
		Backoff:      c.backoff,
		// What came out is in the call; here only the answer must not get lost
		// between a body and an error.
		ErrorHandler: func(resp *http.Response, err error, tries int) (*http.Response, error) {
			if err == nil {
				if cl := callOf(resp.Request.Context()); cl != nil && cl.last != nil {
					err = cl.last
				} else {
					err = fmt.Errorf("no success in %d attempts", tries)
				}
			}
			return nil, err
		},
	}}
}

// checkRetry reports whether an attempt is repeated within seconds. Reads, upserts by
// external id and changes by record id may be sent twice. A refused login is not repeated:
// that could lock the user out.
func checkRetry(ctx context.Context, _ *http.Response, _ error) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	cl := callOf(ctx)
	if cl == nil || cl.denied != nil || cl.last == nil || cl.last.TimedOut && cl.write {
		return false, nil // after a time-out the org may be working on it still
	}
	cl.tries++
	s := cl.last.Status
	switch Classify(cl.last) {
	case Retry:
		if cl.op == "login" && cl.last.Code != "" {
			return true, nil // those that OAuth names as passing
		}
		return s < 300 || slices.Contains(passing, s) || s >= 500 && s != http.StatusNotImplemented, nil
	case Split:
		return cl.tries == 1 && (s/100 == 2 || s == http.StatusInternalServerError), nil
	}
	return false, nil
}

// backoff doubles, with jitter over the upper half so that many daemons do
// not knock together, and follows Retry-After up to the same cap.
func (c *Client) backoff(base, most time.Duration, n int, resp *http.Response) time.Duration {
	wait := most
	if n < 20 {
		wait = min(base<<n, most)
	}
	if resp != nil {
		if asked, ok := retryAfter(resp.Header, c.cfg.Now()); ok {
			return min(max(asked, wait/2), most)
		}
	}
	return wait/2 + rand.N(wait/2+1)
}

// send runs a request with its repetitions. Each attempt gets the body anew from GetBody:
// go-retryablehttp would copy it, and read it to the end to do so.
func (cl *call) send(tries *retryablehttp.RoundTripper, req *http.Request) (*http.Response, error) {
	light := req.WithContext(req.Context())
	light.Body = nil
	resp, err := tries.RoundTrip(light)
	if err == nil && cl.last == nil {
		return resp, nil
	}
	return nil, cl.failure(req.Context(), err)
}

// roundTrip carries out go-salesforce's requests. It never shows the library a 401: its own
// renewal races, ignores the context and keeps an old instance. Where the session or its
// instance is not accepted it logs in once and repeats the request once.
func (c *Client) roundTrip(req *http.Request, cl *call) (*http.Response, error) {
	defer closeBody(req)
	if req.URL.Host != c.host {
		return nil, cl.error("a request to a foreign host was stopped", nil)
	}
	resp, err := cl.send(c.tries, req)
	if !cl.needsLogin(err) {
		c.trust(cl, err)
		return resp, err
	}
	if _, lerr := c.open(req.Context(), cl.session.gen); lerr != nil {
		if cl.last.Status != http.StatusUnauthorized && Classify(cl.last) == Retry {
			return resp, err // it may pass without a new login
		}
		return nil, lerr
	}
	cl.last = nil
	resp, err = cl.send(c.tries, req)
	if cl.needsLogin(err) {
		c.distrust(cl.last)
	} else {
		c.trust(cl, err)
	}
	return resp, err
}

// attempts is the bottom: it carries out a single attempt.
type attempts struct{ *Client }

type timeoutError struct{ after time.Duration }

func (t timeoutError) Error() string { return fmt.Sprintf("no answer within %s", t.after) }
func (t timeoutError) Timeout() bool { return true }

func (a attempts) RoundTrip(req *http.Request) (*http.Response, error) {
	c, cl := a.Client, callOf(req.Context())
	if cl.counted {
		if err := c.cfg.AllowCall(cl.op); err != nil {
			cl.denied = err
			return nil, err
		}
	}
	var sent atomic.Bool
	limit := c.cfg.RequestTimeout
	if cl.op == "login" {
		limit = min(limit, c.cfg.LoginTimeout)
	}
	ctx, cancel := context.WithTimeout(req.Context(), limit)
	defer cancel()
	out := req.Clone(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}))
	cl.address(out)
	if req.GetBody != nil {
		var err error
		if out.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}

	compressed, err := c.compress(out, cl)
	if err != nil {
		return nil, err
	}

	begin := c.cfg.Now()
	resp, body, err := c.exchange(out)
	took := c.cfg.Now().Sub(begin)
	if err == nil {
		c.meter.note(resp.Header, begin, begin.Add(took))
		cl.last = cl.judge(resp, body)
	} else {
		timedOut := ctx.Err() != nil && req.Context().Err() == nil
		if timedOut {
			err = timeoutError{limit}
		}
		cl.last = cl.error("", err)
		cl.last.Unknown = cl.write && sent.Load()
		cl.last.TimedOut = timedOut && sent.Load()
		if err == errTooLarge {
			cl.last.Code, cl.last.Status = codeTooLarge, resp.StatusCode
		}
	}

	info := CallInfo{Op: cl.op, Duration: took, Counted: cl.counted && sent.Load(), Usage: c.Usage()}
	if resp != nil {
		if info.Status = resp.StatusCode; info.Status < 400 {
			info.Date = serverTime(resp)
		}
	}
	if cl.last != nil {
		info.Code = cl.last.Code
		cl.unknown = cl.unknown || cl.last.Unknown
	}
	c.cfg.OnCall(info)
	if err != nil {
		return nil, cl.last
	}
	if compressed && refusedCompressed(cl.last) {
		// The org, or a proxy on the way, takes no compressed bodies: none is sent any more.
		c.uncompressed.Store(true)
		c.cfg.Log.Info("Salesforce refuses compressed requests: they are sent uncompressed", "status", cl.last.Status, "code", cl.last.Code)
		return a.RoundTrip(req)
	}
	return resp, nil
}

// exchange sends one request and reads the whole answer, so that whatever
// breaks off does so here. A response with an error is one that broke off.
func (c *Client) exchange(out *http.Request) (*http.Response, []byte, error) {
	resp, err := c.wire.RoundTrip(out)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.cfg.maxBody+1))
	if err != nil {
		return resp, nil, fmt.Errorf("the answer broke off after %d bytes: %w", len(body), err)
	}
	if int64(len(body)) > c.cfg.maxBody {
		return resp, nil, errTooLarge
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, body, nil
}

// judge returns nil for a 2xx that holds JSON. A maintenance page can be HTML with status 200.
func (cl *call) judge(resp *http.Response, body []byte) *Error {
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return cl.refusal(resp.StatusCode, resp.Header, body)
	}
	if start := bytes.TrimLeft(body, " \t\r\n"); len(start) > 0 && (start[0] == '{' || start[0] == '[') {
		return nil
	}
	e := cl.error(describeBody(resp.Header, body), nil)
	e.Status = resp.StatusCode
	e.Unknown = cl.write
	return e
}

// address sets the host of the session's instance and its access token.
func (cl *call) address(out *http.Request) {
	c := cl.client
	origin, token := c.cfg.domain, c.cfg.AccessToken
	if cl.login == nil {
		cl.session = c.current()
		origin, token = cl.session.origin, cl.session.token
	}
	out.URL.Scheme, out.URL.Host, out.Host = origin.Scheme, origin.Host, ""
	out.Header.Set("User-Agent", c.cfg.UserAgent)
	out.Header.Del("Authorization")
	if !token.IsZero() {
		out.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
}
