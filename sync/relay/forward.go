// Package relay forwards what a collector received to the main callpoint. A relay has no
// store and no Salesforce login, so it can run in a DMZ or beside the site.
package relay

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"callpoint/mapping"
)

// ForwardConfig configures a Forwarder. URL is required.
type ForwardConfig struct {
	URL    *url.URL          // of the main callpoint
	Token  string            // its CALLPOINT_TOKEN; empty: none is sent
	Client http.RoundTripper // nil: http.DefaultTransport's settings
	Now    func() time.Time  // nil: time.Now
	Log    *slog.Logger      // nil: nothing is logged
}

// Forwarder sends batches to the main callpoint. It is a spool's sink.
type Forwarder struct {
	cfg    ForwardConfig
	client *http.Client

	mu       sync.Mutex
	rejected uint64        // records that the main callpoint rejected; guarded by mu
	accepted uint64        // records it accepted, repeats included; guarded by mu
	offset   time.Duration // the main callpoint's clock minus ours; guarded by mu
	compared bool          // offset was measured; guarded by mu
}

// An AwayError means that the main callpoint did not accept a batch for now: it is not
// reachable, overloaded, full, or configured so that it refuses this relay.
type AwayError struct {
	Status int    // of its answer; 0: there was none
	Text   string // what happened, and what to do
}

func (e *AwayError) Error() string { return e.Text }

// IsAway reports whether err is an AwayError.
func IsAway(err error) bool { return errors.As(err, new(*AwayError)) }

// forwardWithin bounds one request. A browser's beacon waits for it, unless the relay
// already keeps events in its spool.
const forwardWithin = 10 * time.Second

// NewForwarder returns a Forwarder.
func NewForwarder(cfg ForwardConfig) *Forwarder {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Client == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 64
		t.ResponseHeaderTimeout = forwardWithin
		cfg.Client = t
	}
	return &Forwarder{cfg: cfg, client: &http.Client{
		Transport: cfg.Client,
		// A redirect would send the token and the visitors' data to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Add sends events and sessions and returns after the main callpoint has stored them.
// Records that it rejects are logged and counted; they are not an error.
func (f *Forwarder) Add(ctx context.Context, events []mapping.Event, visits []mapping.Visit) (repeated int, err error) {
	ctx, cancel := context.WithTimeout(ctx, forwardWithin)
	defer cancel()
	if len(events) > 0 {
		if repeated, err = send(ctx, f, "/v1/events", events); err != nil {
			return 0, err
		}
	}
	if len(visits) > 0 {
		n, err := send(ctx, f, "/v1/sessions", visits)
		if err != nil {
			return 0, err
		}
		repeated += n
	}
	return repeated, nil
}

// answer is the part of the main callpoint's answer that a relay needs.
type answer struct {
	Accepted int `json:"accepted"`
	Repeated int `json:"repeated"`
	Rejected []struct {
		Error string `json:"error"`
	} `json:"rejected"`
	RejectedTotal int    `json:"rejected_total"`
	Error         string `json:"error"`
}

// maxBody bounds the NDJSON of one request: the main callpoint reads few larger bodies at a
// time.
const maxBody = 1 << 20

// send posts records as NDJSON, in as many requests as their size needs.
func send[T any](ctx context.Context, f *Forwarder, path string, records []T) (repeated int, err error) {
	var lines bytes.Buffer
	e := json.NewEncoder(&lines)
	e.SetEscapeHTML(false)
	n := 0 // records in lines
	for i := range records {
		if err := e.Encode(&records[i]); err != nil {
			return 0, err
		}
		if n++; lines.Len() < maxBody-maxRecord && i < len(records)-1 {
			continue
		}
		r, err := f.post(ctx, path, lines.Bytes(), n)
		if err != nil {
			return 0, err
		}
		repeated, n = repeated+r, 0
		lines.Reset()
	}
	return repeated, nil
}

// maxRecord is the size of the largest record that a collector accepts.
const maxRecord = 256 << 10

// post sends n records as one request.
func (f *Forwarder) post(ctx context.Context, path string, lines []byte, n int) (repeated int, err error) {
	body, err := compress(lines)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.cfg.URL.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Content-Encoding", "gzip")
	if f.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+f.cfg.Token)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return 0, &AwayError{0, fmt.Sprintf("%s is not reachable: %v", f.cfg.URL.Host, err)}
	}
	defer resp.Body.Close()
	f.compareClock(resp.Header.Get("Date"))
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, &AwayError{resp.StatusCode, fmt.Sprintf("the answer of %s broke off: %v", f.cfg.URL.Host, err)}
	}
	var a answer
	decodeErr := json.Unmarshal(text, &a)
	// 400 with rejected lines means that every record is invalid: sending them again is useless.
	if decodeErr == nil && (resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusBadRequest && a.RejectedTotal > 0) {
		f.count(n, a)
		return a.Repeated, nil
	}
	return 0, f.refusal(resp.StatusCode, a.Error)
}

func compress(b []byte) ([]byte, error) {
	var to bytes.Buffer
	z, err := gzip.NewWriterLevel(&to, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	_, err = z.Write(b)
	err = errors.Join(err, z.Close())
	return to.Bytes(), err
}

func (f *Forwarder) count(sent int, a answer) {
	f.mu.Lock()
	f.rejected += uint64(a.RejectedTotal)
	f.accepted += uint64(max(0, sent-a.RejectedTotal))
	f.mu.Unlock()
	if a.RejectedTotal > 0 && len(a.Rejected) > 0 {
		f.cfg.Log.Warn("the main callpoint rejected records", "records", a.RejectedTotal, "first", a.Rejected[0].Error)
	}
}

// refusal returns the error of an answer that accepted nothing.
func (f *Forwarder) refusal(status int, text string) error {
	host := f.cfg.URL.Host
	cure := ""
	switch {
	case status == http.StatusRequestEntityTooLarge:
		return fmt.Errorf("%s refuses a batch as too large", host)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		cure = "; set CALLPOINT_FORWARD_TOKEN to the CALLPOINT_TOKEN of the main callpoint"
	case status == http.StatusMisdirectedRequest:
		cure = "; add the host name of CALLPOINT_FORWARD to CALLPOINT_HOSTS of the main callpoint"
	case status/100 == 3, status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusOK:
		cure = "; is CALLPOINT_FORWARD the address of a callpoint?"
	}
	if text = strings.TrimSpace(text); text != "" {
		text = ": " + text
	}
	return &AwayError{status, fmt.Sprintf("%s answers %d%s%s", host, status, text, cure)}
}

// compareClock records how far the main callpoint's clock is from ours.
func (f *Forwarder) compareClock(date string) {
	at, err := http.ParseTime(date)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.offset, f.compared = at.Sub(f.cfg.Now()), true
}

// ClockOffset returns the main callpoint's clock minus ours; known is false before the first
// answer.
func (f *Forwarder) ClockOffset() (offset time.Duration, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.offset, f.compared
}

// Counts returns how many records the main callpoint accepted and rejected since the start.
func (f *Forwarder) Counts() (accepted, rejected uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.accepted, f.rejected
}

// Close closes idle connections.
func (f *Forwarder) Close() { f.client.CloseIdleConnections() }
