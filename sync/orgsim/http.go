package orgsim

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	maxURI   = 16384 // of the URI, and of URI and headers together
	maxBody  = 50 << 20
	jsonType = "application/json;charset=UTF-8"
)

// A call is one operation: an HTTP request, or a subrequest of a composite.
type call struct {
	method  string
	path    string // as sent, still escaped
	query   url.Values
	header  http.Header
	body    []byte
	base    string   // scheme and host as the client sees them
	version string   // "62.0"
	rest    []string // the path below /services/data/vNN.0
	sub     bool     // of a composite
	rows    []*fault // row faults that hit this call
}

// An answer is a response before it is written.
type answer struct {
	status      int
	header      http.Header
	body        []byte
	contentType string
}

func jsonAnswer(status int, v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("orgsim: answer does not marshal: %v", err))
	}
	return answer{status: status, body: body, contentType: jsonType}
}

// errorAnswer is the array that REST errors come in.
func errorAnswer(e *Error) answer {
	item := object{{"message", e.Message}, {"errorCode", e.Code}}
	if e.Fields != nil {
		item = append(item, member{"fields", e.Fields})
	}
	return jsonAnswer(e.Status, []object{item})
}

func notFound() *Error { return refuse(404, "NOT_FOUND", "The requested resource does not exist") }

func notAllowed(method, allowed string) *Error {
	return refuse(405, "METHOD_NOT_ALLOWED", fmt.Sprintf("HTTP Method '%s' not allowed. Allowed are %s", method, allowed))
}

// ServeHTTP answers one request. The lock is held while the request is worked
// on, never while a fault delays it or an answer is written.
func (o *Org) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a, tooLong := edge(r); tooLong {
		o.write(w, a)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			o.write(w, answer{status: 413, contentType: "text/html", body: []byte("<html><body>413 Request Entity Too Large</body></html>")})
		}
		return // else the client is gone
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	c := &call{method: r.Method, path: r.URL.EscapedPath(), header: r.Header, body: body, base: scheme + "://" + r.Host}
	// As a Salesforce edge does, a broken escape spoils its pair only.
	c.query, _ = url.ParseQuery(r.URL.RawQuery)
	if strings.HasPrefix(c.path, "/sim/") {
		o.write(w, o.admin(c))
		return
	}

	o.mu.Lock()
	o.stats.Requests++
	o.stats.BodyBytes += len(c.body)
	refused := o.inflate(c)
	o.stats.BodyInflated += len(c.body)
	if refused != nil {
		o.mu.Unlock()
		o.answer(w, *refused)
		return
	}
	req := requestOf(c)
	hit := o.match(c, req)
	o.mu.Unlock()

	var canned *answer
	if hit != nil {
		if !sleep(r, hit.Delay) || hit.Drop == DropBefore {
			panic(http.ErrAbortHandler)
		}
		canned = hit.answer()
	}
	var a answer
	if canned == nil || hit.Applied {
		a = o.work(c, req, hit)
	}
	if canned != nil {
		a = *canned
	}
	if hit != nil {
		if !sleep(r, hit.DelayAfter) || hit.Drop == DropAfter {
			panic(http.ErrAbortHandler)
		}
		a.setHeaders(hit.Header)
		if hit.Truncate {
			o.truncate(w, a)
		}
	}
	o.log.Debug("request", "op", req.Op, "method", c.method, "path", c.path, "status", a.status)
	o.answer(w, a)
}

func (o *Org) answer(w http.ResponseWriter, a answer) {
	o.mu.Lock()
	o.stats.AnswerBytes += len(a.body)
	o.mu.Unlock()
	o.write(w, a)
}

// inflate replaces a compressed body by its content, or refuses the request.
func (o *Org) inflate(c *call) *answer {
	encoding := strings.ToLower(strings.TrimSpace(c.header.Get("Content-Encoding")))
	if encoding == "" || encoding == "identity" {
		return nil
	}
	if encoding != "gzip" || o.refuseGzip {
		o.stats.GzipRefused++
		a := errorAnswer(refuse(415, "UNSUPPORTED_MEDIA_TYPE", "Content-Encoding specified in HTTP request is not supported: "+encoding))
		return &a
	}
	zr, err := gzip.NewReader(bytes.NewReader(c.body))
	if err == nil {
		c.body, err = io.ReadAll(io.LimitReader(zr, maxBody+1))
	}
	switch {
	case err != nil:
		a := errorAnswer(refuse(400, "JSON_PARSER_ERROR", "The body is not gzip: "+err.Error()))
		return &a
	case len(c.body) > maxBody:
		return &answer{status: 413, contentType: "text/html", body: []byte("<html><body>413 Request Entity Too Large</body></html>")}
	}
	o.stats.GzipBodies++
	return nil
}

// edge refuses requests that are too long, before the org sees them.
func edge(r *http.Request) (answer, bool) {
	size := len(r.RequestURI)
	html := func(status int, text string) answer {
		return answer{status: status, contentType: "text/html", body: []byte("<html><head><title>" + text + "</title></head><body>" + text + "</body></html>")}
	}
	if size > maxURI {
		return html(414, "414 Request-URI Too Long"), true
	}
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v) + 4
		}
	}
	return html(431, "431 Request Header Fields Too Large"), size > maxURI
}

// sleep waits unless the client goes away first.
func sleep(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func (o *Org) write(w http.ResponseWriter, a answer) {
	o.writeHead(w, a)
	w.Write(a.body)
}

// truncate announces the whole body, sends half and cuts the connection.
func (o *Org) truncate(w http.ResponseWriter, a answer) {
	o.writeHead(w, a)
	w.Write(a.body[:len(a.body)/2])
	http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func (o *Org) writeHead(w http.ResponseWriter, a answer) {
	h := w.Header()
	for k, v := range a.header {
		h[k] = v
	}
	h.Set("Date", o.cfg.Now().UTC().Format(http.TimeFormat))
	if a.status != http.StatusNoContent {
		h.Set("Content-Type", a.contentType)
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
}

func (a *answer) setHeaders(more map[string]string) {
	if len(more) > 0 && a.header == nil {
		a.header = http.Header{}
	}
	for k, v := range more {
		a.header.Set(k, v)
	}
}

var dataPath = regexp.MustCompile(`^/services/data/v(\d\d)\.0(/.*)?$`)

// resource splits a path below /services/data/vNN.0 and then unescapes its
// parts: an external id may hold a slash.
func resource(path string) (version string, rest []string, ok bool) {
	m := dataPath.FindStringSubmatch(path)
	if m == nil || m[1] < "31" || m[1] > "66" {
		return "", nil, false
	}
	for part := range strings.SplitSeq(strings.Trim(m[2], "/"), "/") {
		if plain, err := url.PathUnescape(part); err == nil {
			part = plain
		}
		rest = append(rest, part)
	}
	return m[1] + ".0", rest, true
}

// work handles a request under the lock.
func (o *Org) work(c *call, req Request, hit *fault) answer {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tx = &tx{}
	defer func() { o.tx = nil }()
	if hit != nil && hit.Expire {
		clear(o.sessions)
	}
	switch strings.TrimSuffix(c.path, "/") {
	case "/services/oauth2/token":
		return o.token(c)
	case "/services/oauth2/userinfo":
		return o.userinfo(c)
	case "/services/data":
		return o.versions(c)
	}
	if !o.authorized(c.header.Get("Authorization")) {
		o.stats.Unauthorized++
		return errorAnswer(refuse(401, "INVALID_SESSION_ID", "Session expired or invalid"))
	}
	used := o.used()
	if used >= o.cfg.DailyLimit {
		o.stats.OverLimit++
		return o.limitInfo(errorAnswer(refuse(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")))
	}
	o.calls = append(o.calls, o.cfg.Now())
	o.stats.APICalls++
	return o.limitInfo(o.dispatch(c, req))
}

// used counts the API calls of the last 24 hours.
func (o *Org) used() int {
	oldest := o.cfg.Now().Add(-24 * time.Hour)
	for len(o.calls) > 0 && !o.calls[0].After(oldest) {
		o.calls = o.calls[1:]
	}
	return len(o.calls)
}

func (o *Org) limitInfo(a answer) answer {
	a.setHeaders(map[string]string{"Sforce-Limit-Info": fmt.Sprintf("api-usage=%d/%d", o.used(), o.cfg.DailyLimit)})
	return a
}

// UseCalls counts n API calls of other integrations against the daily limit.
func (o *Org) UseCalls(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for range n {
		o.calls = append(o.calls, o.cfg.Now())
	}
}

// dispatch runs a call below /services/data/vNN.0, and counts it by kind.
func (o *Org) dispatch(c *call, req Request) answer {
	var ok bool
	if c.version, c.rest, ok = resource(c.path); !ok {
		return errorAnswer(notFound())
	}
	o.stats.count(req)
	a, err := o.route(c)
	switch {
	case err == nil:
		return a
	case err.choices != nil:
		urls := make([]string, len(err.choices))
		for i, id := range err.choices {
			urls[i] = fmt.Sprintf("/services/data/v%s/sobjects/%s/%s", c.version, c.rest[1], id)
		}
		return jsonAnswer(http.StatusMultipleChoices, urls)
	case err.Status == 0: // a row error where the request is that row
		err.Status = 400
	}
	return errorAnswer(err)
}

func (o *Org) route(c *call) (answer, *Error) {
	n := len(c.rest)
	at := func(i int) string {
		if i < n {
			return c.rest[i]
		}
		return ""
	}
	switch at(0) {
	case "":
		return o.resources(c)
	case "limits":
		return o.limits(c)
	case "query", "queryAll":
		if n <= 2 {
			return o.queryEndpoint(c, at(0) == "queryAll", at(1))
		}
	case "sobjects":
		return o.sobjects(c)
	case "composite":
		switch {
		case n == 1:
			return o.composite(c)
		case at(1) == "sobjects" && (n == 2 || n == 4):
			return o.collections(c, at(2), at(3))
		}
	}
	return answer{}, notFound()
}

// readJSON decodes a request body into v, strictly.
func (c *call) readJSON(v any) *Error {
	kind, _, _ := strings.Cut(c.header.Get("Content-Type"), ";")
	if kind = strings.TrimSpace(strings.ToLower(kind)); kind != "application/json" && !c.sub {
		return refuse(415, "UNSUPPORTED_MEDIA_TYPE", "Content-Type header specified in HTTP request is not supported: "+kind)
	}
	if len(bytes.TrimSpace(c.body)) == 0 {
		return refuse(400, "JSON_PARSER_ERROR", "The HTTP entity body is required, but this request has no entity body.")
	}
	dec := json.NewDecoder(bytes.NewReader(c.body))
	dec.UseNumber()
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		if _, err = dec.Token(); err == io.EOF {
			return nil
		}
		err = errors.New("unexpected data after the end of the object")
	}
	return refuse(400, "JSON_PARSER_ERROR", fmt.Sprintf("%v at [line:1, column:%d]", err, dec.InputOffset()+1))
}
