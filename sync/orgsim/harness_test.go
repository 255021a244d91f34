package orgsim_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"callpoint/sync/orgsim"
)

const (
	data  = "/services/data/v62.0"
	tp    = orgsim.Attribution // an object with the touchpoint's fields, but no master
	extID = "bizible2__UniqueId__c"

	touchpoint  = orgsim.Touchpoint
	personField = "bizible2__Bizible_Person__c"
)

var start = time.Date(2026, 11, 23, 17, 0, 0, 0, time.UTC)

// A clock is set by the test alone.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// A world is an org, a server in front of it and a client that is logged in.
type world struct {
	*testing.T
	org   *orgsim.Org
	srv   *httptest.Server
	clock *clock
	token string
}

func newWorld(t *testing.T, cfg orgsim.Config) *world {
	t.Helper()
	w := &world{T: t, clock: &clock{t: start}}
	cfg.Now = w.clock.now
	w.org = orgsim.New(cfg)
	w.srv = httptest.NewServer(w.org)
	t.Cleanup(w.srv.Close)
	w.token = w.org.AccessToken()
	return w
}

// An answer is a response read to its end.
type answer struct {
	status int
	header http.Header
	text   string
	err    error // of the connection
}

func (w *world) send(method, target, body string, header ...string) answer {
	w.Helper()
	req, err := http.NewRequest(method, w.srv.URL+target, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b), err}
}

// link gives tp a lookup to a person, as the touchpoint has a master.
func (w *world) link() *world {
	w.org.Schema(tp).AddField(orgsim.Field{Name: personField, Type: "reference", ReferenceTo: []string{orgsim.Person}})
	return w
}

func (w *world) sendJSON(method, target string, body any) answer {
	w.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		w.Fatal(err)
	}
	return w.send(method, target, string(b))
}

// into decodes an answer of the wanted status.
func (w *world) into(a answer, status int, v any) {
	w.Helper()
	if a.err != nil || a.status != status {
		w.Fatalf("status %d, want %d: %s (err %v)", a.status, status, a.text, a.err)
	}
	reflect.ValueOf(v).Elem().SetZero() // nothing may be left of an earlier answer
	if err := json.NewDecoder(bytes.NewReader([]byte(a.text))).Decode(v); err != nil {
		w.Fatalf("%v in %s", err, a.text)
	}
}

type apiError struct {
	Message   string
	ErrorCode string
	Fields    []string
}

// refused checks that an answer is one error, and its message.
func (w *world) refused(a answer, status int, code, message string) {
	w.Helper()
	var errs []apiError
	w.into(a, status, &errs)
	if len(errs) != 1 || errs[0].ErrorCode != code || !strings.Contains(errs[0].Message, message) {
		w.Errorf("got %+v, want %s with %q", errs, code, message)
	}
}

type page struct {
	TotalSize      int
	Done           bool
	NextRecordsURL string `json:"nextRecordsUrl"`
	Records        []map[string]any
}

func queryURL(soql string) string { return data + "/query?q=" + url.QueryEscape(soql) }

func (w *world) query(soql string) page {
	w.Helper()
	var p page
	w.into(w.send("GET", queryURL(soql), ""), 200, &p)
	return p
}

type result struct {
	ID      string
	Success bool
	Created *bool
	Errors  []struct {
		StatusCode, Message string
		Fields              []string
	}
}

// code is "ok", "created" or the row's error code.
func (r result) code() string {
	switch {
	case len(r.Errors) > 0:
		return r.Errors[0].StatusCode
	case r.Created != nil && *r.Created:
		return "created"
	}
	return "ok"
}

type m = map[string]any

// rows builds a collections body; each row gets its attributes.
func rows(object string, records ...m) m {
	for _, r := range records {
		r["attributes"] = m{"type": object}
	}
	return m{"records": records}
}

func (w *world) upsert(object string, records ...m) []result {
	w.Helper()
	var out []result
	w.into(w.sendJSON("PATCH", data+"/composite/sobjects/"+object+"/"+extID, rows(object, records...)), 200, &out)
	if len(out) != len(records) {
		w.Fatalf("%d results for %d rows", len(out), len(records))
	}
	return out
}

func (w *world) insert(object string, fields m) string {
	w.Helper()
	id, err := w.org.Insert(object, fields)
	if err != nil {
		w.Fatal(err)
	}
	return id
}

func codes(rs []result) string {
	var out []string
	for _, r := range rs {
		out = append(out, r.code())
	}
	return strings.Join(out, " ")
}
