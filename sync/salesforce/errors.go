package salesforce

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Error is what every method returns when Salesforce, or the way to it, fails.
type Error struct {
	Op      string // as in CallInfo
	Object  string // the sObject concerned, where there is one
	Method  string
	Status  int    // HTTP status of the request or subrequest; 0 for a row's own error, and where no answer came
	Code    string // Salesforce's errorCode or statusCode, or the OAuth error
	Message string
	Fields  []string
	Others  []string // further errors of the same row or request, as CODE: message

	ExternalID string        // the upsert's key field, which tells two meanings of DUPLICATE_VALUE apart
	RetryAfter time.Duration // as the server asked, or until the next login; at most 4h
	Unknown    bool          // a write that may have been carried out nevertheless: send it again
	TimedOut   bool          // it was sent, and no answer came in time: the org may be working on it still
	NotBefore  time.Time     // of a login that was refused: none is tried before; zero: no pause follows
	Err        error         // the cause below HTTP
}

// WithoutPause returns the error of a refused login without the pause that follows it, for
// a program that ends with it.
func (e *Error) WithoutPause() *Error {
	c := *e
	c.NotBefore, c.RetryAfter = time.Time{}, 0
	return &c
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Object != "" {
		b.WriteString(" " + e.Object)
	}
	b.WriteString(":")
	if e.Status != 0 {
		fmt.Fprintf(&b, " HTTP %d", e.Status)
	}
	if e.Code != "" {
		b.WriteString(" " + e.Code)
	}
	if e.Message != "" {
		if e.Status != 0 || e.Code != "" {
			b.WriteString(":")
		}
		b.WriteString(" " + e.Message)
	}
	if e.Err != nil {
		if e.Message != "" {
			b.WriteString(":")
		}
		b.WriteString(" " + e.Err.Error())
	}
	if len(e.Fields) > 0 {
		b.WriteString(" (fields " + strings.Join(e.Fields, ", ") + ")")
	}
	if len(e.Others) > 0 {
		b.WriteString("; also " + strings.Join(e.Others, "; "))
	}
	if !e.NotBefore.IsZero() {
		b.WriteString("; callpoint does not log in before " + e.NotBefore.UTC().Format(time.RFC3339))
	}
	if e.Unknown {
		b.WriteString(" (it may have been carried out)")
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// stripURL takes the *url.Errors off an error: they print the URL, and a URL
// may hold a query.
func stripURL(err error) error {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	return err
}
