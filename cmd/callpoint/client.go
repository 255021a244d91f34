package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"callpoint/store"
)

// daemonCall asks the running daemon. body (nil: none) goes as
// JSON, unless it is an io.Reader, which goes as NDJSON; the answer is decoded into into
// (nil: dropped), or copied if that is an io.Writer. running is false, without an error,
// where nothing listens: then the store is free to be opened.
func (p *program) daemonCall(ctx context.Context, c Config, method, path string, body, into any) (running bool, err error) {
	client, base := daemonClient(c)
	defer client.CloseIdleConnections()
	content, kind, err := requestBody(body)
	if err != nil {
		return false, failed(err)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, content)
	if err != nil {
		return false, failed(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if !c.Token.IsZero() {
		req.Header.Set("Authorization", "Bearer "+c.Token.Reveal())
	}
	resp, err := client.Do(req)
	if nobodyListens(err) {
		return false, nil
	}
	if err != nil {
		return true, failed(fmt.Errorf("ask the daemon at %s: %w", c.daemonAddress(), plainURLError(err)))
	}
	defer func() { resp.Body.Close() }()
	if resp.StatusCode == http.StatusConflict {
		if resp, err = p.followLeader(ctx, c, method, path, body, resp); err != nil {
			return true, failed(err)
		}
	}
	p.useZone(resp.Header.Get(zoneHeader))
	if resp.StatusCode/100 != 2 {
		return true, failed(refusalOf(c, resp))
	}
	switch to := into.(type) {
	case nil:
		return true, nil
	case io.Writer:
		_, err = io.Copy(to, resp.Body)
	default:
		err = json.NewDecoder(resp.Body).Decode(to)
	}
	if err != nil {
		return true, failed(fmt.Errorf("answer of the daemon at %s: %w", c.daemonAddress(), err))
	}
	return true, nil
}

// followLeader sends a request that a standby refused to the leader, once.
func (p *program) followLeader(ctx context.Context, c Config, method, path string, body any, refused *http.Response) (*http.Response, error) {
	b, err := io.ReadAll(io.LimitReader(refused.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	var answer struct{ Error, Leader string }
	if json.Unmarshal(b, &answer) != nil || answer.Leader == "" {
		refused.Body = io.NopCloser(bytes.NewReader(b))
		return refused, nil
	}
	base, err := leaderOf(answer.Leader)
	if err != nil {
		return nil, fmt.Errorf("%s (%s): %w", answer.Error, answer.Leader, err)
	}
	content, kind, err := requestBody(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, content)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if !c.Token.IsZero() {
		req.Header.Set("Authorization", "Bearer "+c.Token.Reveal())
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s; ask the leader at %s: %w", answer.Error, base, plainURLError(err))
	}
	return resp, nil
}

// daemonClient returns a client of the daemon, which dials its Unix socket or, where
// CALLPOINT_LISTEN names another machine, that address: no proxy, no redirect.
func daemonClient(c Config) (*http.Client, string) {
	dial, host := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := net.Conn(nil), error(syscall.ENOENT)
		for _, path := range c.localSockets() {
			if conn, err = dialLocal(ctx, path); err == nil || !nobodyListens(err) {
				break
			}
		}
		return conn, err
	}, "localhost"
	if c.remoteHost() {
		dialer := &net.Dialer{Timeout: 5 * time.Second}
		host = c.Listen
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", c.Listen)
		}
	}
	return &http.Client{
		Transport:     &http.Transport{DialContext: dial},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, "http://" + host
}

// pathEscape escapes an id for one segment of a path, dots too: a segment of dots alone
// would be taken out of it.
func pathEscape(id string) string {
	escaped := url.PathEscape(id)
	if strings.Trim(id, ".") == "" {
		escaped = strings.ReplaceAll(escaped, ".", "%2E")
	}
	return escaped
}

// daemonAddress returns where commands look for the daemon first.
func (c *Config) daemonAddress() string {
	if c.remoteHost() {
		return c.Listen
	}
	return c.localSocket()
}

func requestBody(body any) (r io.Reader, kind string, err error) {
	switch b := body.(type) {
	case nil:
		return nil, "", nil
	case io.Reader:
		return b, "application/x-ndjson", nil
	}
	j, err := json.Marshal(body)
	return bytes.NewReader(j), "application/json", err
}

// nobodyListens reports whether an error means that no daemon runs, rather than that one
// does not answer.
func nobodyListens(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// plainURLError drops the method and the URL, which may hold an id.
func plainURLError(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// refusalOf turns an error response of the daemon into an error for people.
func refusalOf(c Config, resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var answer struct{ Error string }
	text := strings.TrimSpace(string(b))
	if json.Unmarshal(b, &answer) == nil && answer.Error != "" {
		text = answer.Error
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return fmt.Errorf("the daemon at %s refuses the token: set CALLPOINT_TOKEN (or CALLPOINT_TOKEN_FILE) as the daemon has it", c.daemonAddress())
	case http.StatusNotFound:
		return notFoundError(text)
	}
	return fmt.Errorf("the daemon at %s answers %s: %s", c.daemonAddress(), resp.Status, text)
}

// notFoundError is the daemon's error for a thing that does not exist.
type notFoundError string

func (e notFoundError) Error() string        { return string(e) }
func (e notFoundError) Is(target error) bool { return target == store.ErrNotFound }
