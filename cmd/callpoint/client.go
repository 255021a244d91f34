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

// daemonCall asks the daemon that listens at CALLPOINT_LISTEN. body (nil: none) goes as
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
		return true, failed(fmt.Errorf("ask the daemon at %s: %w", c.Listen, plainURLError(err)))
	}
	defer resp.Body.Close()
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
		return true, failed(fmt.Errorf("answer of the daemon at %s: %w", c.Listen, err))
	}
	return true, nil
}

// daemonClient dials CALLPOINT_LISTEN and nothing else: no proxy, no redirect.
func daemonClient(c Config) (*http.Client, string) {
	network, address := "tcp", c.Listen
	host := c.Listen
	if path, unix := strings.CutPrefix(c.Listen, "unix:"); unix {
		network, address, host = "unix", path, "localhost"
	} else if h, port, err := net.SplitHostPort(c.Listen); err == nil {
		// An unspecified address is for listening; on this machine it means loopback.
		if ip := net.ParseIP(h); h == "" || ip != nil && ip.IsUnspecified() {
			host = net.JoinHostPort("localhost", port)
			address = host
		}
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, "http://" + host
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

// nobodyListens tells a daemon that does not run from one that does not answer. A daemon
// on a port of the system's choice (:0) cannot be found either.
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

// refusalOf says in plain words what the daemon answered.
func refusalOf(c Config, resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var answer struct{ Error string }
	text := strings.TrimSpace(string(b))
	if json.Unmarshal(b, &answer) == nil && answer.Error != "" {
		text = answer.Error
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return fmt.Errorf("the daemon at %s refuses the token: set CALLPOINT_TOKEN (or CALLPOINT_TOKEN_FILE) as the daemon has it", c.Listen)
	case http.StatusNotFound:
		return notFoundError(text)
	}
	return fmt.Errorf("the daemon at %s answers %s: %s", c.Listen, resp.Status, text)
}

// notFoundError is what the daemon says of a thing that does not exist.
type notFoundError string

func (e notFoundError) Error() string        { return string(e) }
func (e notFoundError) Is(target error) bool { return target == store.ErrNotFound }
