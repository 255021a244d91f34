package salesforce

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A call is one request of ours with all its attempts. It travels in the
// request's context, through go-salesforce and go-retryablehttp down to the
// single attempt, and gathers what became of it. One goroutine uses it.
type call struct {
	client     *Client
	login      *flight // the login this call belongs to; nil for API calls with a session
	op         string
	object     string
	externalID string
	method     string
	allOrNone  bool // of a composite request
	write      bool // its repetition is harmless (upsert, or by id), but its outcome matters
	counted    bool // it is an API call of the org's daily limit

	session *session // that the last attempt used
	last    *Error   // of the last attempt; nil if it succeeded
	denied  error    // AllowCall's answer
	unknown bool     // an attempt may have been carried out
	tries   int      // attempts that failed
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	cl, _ := ctx.Value(callKey{}).(*call)
	return cl
}

func (cl *call) error(message string, err error) *Error {
	return &Error{
		Op: cl.op, Object: cl.object, Method: cl.method, ExternalID: cl.externalID,
		Message: cl.scrub(message), Err: cl.scrubError(stripURL(err)),
	}
}

// failure is the error of the whole call, given what came up through the
// libraries: the caller's own end first, then what the last attempt met.
func (cl *call) failure(ctx context.Context, err error) error {
	if cl.denied != nil {
		return cl.denied
	}
	var e *Error
	switch {
	case ctx.Err() != nil:
		e = cl.error("", ctx.Err())
		if cl.last != nil && cl.last.Status != 0 {
			e.Message = "stopped after " + strings.TrimPrefix(cl.last.Error(), cl.op+": ")
		}
	case cl.last != nil:
		e = cl.last
	case errors.As(err, &e):
	default:
		e = cl.error("", err)
	}
	e.Unknown = e.Unknown || cl.unknown
	return e
}

// wireError is an element of Salesforce's error arrays: rows say statusCode
// where requests say errorCode.
type wireError struct {
	ErrorCode   string   `json:"errorCode"`
	StatusCode  string   `json:"statusCode"`
	Message     string   `json:"message"`
	Fields      []string `json:"fields"`
	OAuth       string   `json:"error"`
	Description string   `json:"error_description"`
	// Duplicate is of DUPLICATES_DETECTED; some resources misspell it.
	Duplicate *wireDuplicate `json:"duplicateResult"`
	Duplicat  *wireDuplicate `json:"duplicateResut"`
}

// wireDuplicate is the answer of a duplicate rule.
type wireDuplicate struct {
	Rule         string `json:"duplicateRule"`
	MatchResults []struct {
		MatchRecords []struct {
			Record struct{ ID string }
		}
	}
}

// String names the rule and the records that it found.
func (d *wireDuplicate) String() string {
	var ids []string
	for _, m := range d.MatchResults {
		for _, r := range m.MatchRecords {
			if isID(r.Record.ID, "") && len(ids) < 5 {
				ids = append(ids, r.Record.ID)
			}
		}
	}
	var parts []string
	if namePattern.MatchString(d.Rule) {
		parts = append(parts, "duplicate rule "+d.Rule)
	}
	if len(ids) > 0 {
		parts = append(parts, "records "+strings.Join(ids, ", "))
	}
	return strings.Join(parts, ", ")
}

func (w wireError) code() string {
	switch {
	case w.ErrorCode != "":
		return w.ErrorCode
	case w.StatusCode != "":
		return w.StatusCode
	}
	return w.OAuth
}

// safeCode keeps what is no code out of logs and metrics.
func (cl *call) safeCode(w wireError) string {
	if code := w.code(); codePattern.MatchString(code) {
		return cl.scrub(code)
	}
	return "UNREADABLE_CODE"
}

var codePattern = regexp.MustCompile(`^\w{1,64}$`)

// fill takes over the first error and lists the others behind it.
func (cl *call) fill(e *Error, errs []wireError) {
	for i, w := range errs {
		message := strings.TrimSpace(w.Message)
		if message == "" {
			message = w.Description
		}
		if d := cmp.Or(w.Duplicate, w.Duplicat); d != nil && d.String() != "" {
			message = strings.TrimSpace(message + " (" + d.String() + ")")
		}
		message = shorten(impersonal(cl.scrub(message))) // in this order: half a secret is not found
		if i == 0 {
			e.Code, e.Message = cl.safeCode(w), message
			for _, f := range w.Fields[:min(len(w.Fields), 20)] {
				e.Fields = append(e.Fields, shorten(cl.scrub(f)))
			}
			continue
		}
		if len(e.Others) < 5 {
			e.Others = append(e.Others, cl.safeCode(w)+": "+message)
		}
	}
}

// parseErrors reads an error body: an array from REST, an object from OAuth.
func parseErrors(body []byte) []wireError {
	var many []wireError
	if json.Unmarshal(body, &many) != nil {
		many = make([]wireError, 1)
		if json.Unmarshal(body, &many[0]) != nil {
			return nil
		}
	}
	if len(many) == 0 || many[0].code() == "" {
		return nil
	}
	return many
}

// refusal makes an answer other than 2xx an Error.
func (cl *call) refusal(status int, header http.Header, body []byte) *Error {
	e := cl.error("", nil)
	e.Status = status
	e.RetryAfter, _ = retryAfter(header, cl.client.cfg.Now())
	errs := parseErrors(body)
	switch {
	case status > 300 && status < 400:
		e.Code, e.Message = codeRedirect, "a redirect, which callpoint does not follow"
		if to, err := url.Parse(header.Get("Location")); err == nil && to.Host != "" {
			e.Message = "a redirect to " + shorten(cl.scrub(to.Host)) + ", which callpoint does not follow"
		}
	case len(errs) > 0:
		cl.fill(e, errs)
	case status == http.StatusMultipleChoices:
		e.Message = "several records carry this external id"
	default:
		e.Message = describeBody(header, body)
	}
	e.Unknown = cl.write && (status >= 500 || status == http.StatusRequestTimeout)
	return e
}

// describeBody returns the kind of an answer that cannot be read. Its text
// stays out: it is nobody's error message, and may echo anything.
func describeBody(header http.Header, body []byte) string {
	if len(body) == 0 {
		return "an empty answer"
	}
	kind, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	if kind == "" {
		kind = http.DetectContentType(body)
	}
	return fmt.Sprintf("not Salesforce's JSON but %s, %d bytes", shorten(kind), len(body))
}

func shorten(s string) string {
	const most = 1000
	if len(s) <= most {
		return s
	}
	cut := most
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// maxRetryAfter caps what a server may ask of us.
const maxRetryAfter = time.Hour

// retryAfter reads the header in both of its forms.
func retryAfter(header http.Header, now time.Time) (time.Duration, bool) {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return 0, false
	}
	var wait time.Duration
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		wait = time.Duration(min(max(seconds, 0), int64(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	} else {
		return 0, false
	}
	return min(max(wait, 0), maxRetryAfter), true
}

// scrub takes our secrets out of a text that came from outside: a server or
// a proxy may echo what it was sent.
func (cl *call) scrub(s string) string {
	if s == "" {
		return s
	}
	secrets := cl.client.secrets()
	if f := cl.login; f != nil {
		secrets = append(secrets, f.assertion, f.granted.token)
	}
	for _, secret := range secrets {
		value := secret.Reveal()
		if len(value) < 4 { // too short to tell from any other text
			continue
		}
		s = strings.ReplaceAll(s, value, redacted)
		s = strings.ReplaceAll(s, url.QueryEscape(value), redacted)
	}
	return s
}

func (cl *call) scrubError(err error) error {
	if err == nil {
		return nil
	}
	if text := err.Error(); cl.scrub(text) != text {
		return errors.New(cl.scrub(text))
	}
	return err
}
