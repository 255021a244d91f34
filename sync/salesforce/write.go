package salesforce

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	gosf "github.com/k-capehart/go-salesforce/v2"
)

// A duplicate rule whose action is to alert refuses a record unless the request states that
// alerts are to be ignored. A rule that blocks still does.
const (
	duplicateHeader = "Sforce-Duplicate-Rule-Header"
	duplicateAllow  = "allowSave=true"
)

// maxRows is how many records one collection takes.
const maxRows = 200

// Batch is one collection: up to 200 records of one object, each with its
// own value of the key field. A relationship (Parent__r) with the parent's
// external id is a nested map; the parent must have gone in an earlier batch.
type Batch struct {
	Object     string
	ExternalID string // key field
	Records    []Row
}

// Row is one record to be written.
type Row struct {
	Fields map[string]any
	// Content is a JSON object of further fields, none of them among Fields: it is sent as it
	// is. Nil for none.
	Content json.RawMessage
}

// Result is what became of one record.
type Result struct {
	ID      string
	Created bool
	Err     *Error // nil: it is in Salesforce
}

// Upsert creates or updates records by external id, in the order of the
// batches. Up to five batches travel as one API call. A record that fails
// does not keep the others back.
//
// The results stand in the order of the records, whatever happens. If a
// subrequest fails, each of its records has that error. If a request fails as a
// whole that is also the error, and the requests after it are not sent.
func (c *Client) Upsert(ctx context.Context, batches []Batch) ([][]Result, error) {
	parts := make([]part, len(batches))
	results := make([][]Result, len(batches))
	for i, b := range batches {
		var err error
		if parts[i], err = c.upsertPart(b); err != nil {
			return nil, err
		}
		results[i] = make([]Result, len(b.Records))
		parts[i].results = results[i]
	}
	var failed error
	for _, request := range plan(parts) {
		if failed == nil {
			if failed = c.sendParts(ctx, request); failed == nil {
				continue
			}
			for _, p := range request {
				p.fail(asError("upsert", failed))
			}
			continue
		}
		for _, p := range request {
			e := *asError("upsert", failed)
			e.Unknown = false
			e.Message = "not sent, because a request before it failed: " + e.Message
			p.fail(&e)
		}
	}
	return results, failed
}

// A part is a batch on its way.
type part struct {
	call    *call
	uri     string
	raw     json.RawMessage // the collection
	results []Result        // to be filled
}

func (p part) fail(e *Error) {
	for i := range p.results {
		p.results[i] = Result{Err: e}
	}
}

func (c *Client) upsertPart(b Batch) (part, error) {
	cl := &call{client: c, op: "upsert", object: b.Object, externalID: b.ExternalID, method: http.MethodPatch, write: true}
	if !namePattern.MatchString(b.Object) || !namePattern.MatchString(b.ExternalID) {
		return part{}, cl.misuse("no names of an object and a field: %q, %q", b.Object, b.ExternalID)
	}
	for i, r := range b.Records {
		if key, ok := r.Fields[b.ExternalID]; !ok || key == nil || key == "" {
			return part{}, cl.misuse("record %d has no %s", i, b.ExternalID)
		}
	}
	raw, err := cl.collection(b.Records)
	return part{call: cl, uri: "/composite/sobjects/" + b.Object + "/" + b.ExternalID, raw: raw}, err
}

// collection encodes records for the collections resources.
func (cl *call) collection(rows []Row) (json.RawMessage, error) {
	if len(rows) == 0 || len(rows) > maxRows {
		return nil, cl.misuse("%d records, not 1 to %d", len(rows), maxRows)
	}
	size := 64
	for _, r := range rows {
		size += len(r.Content) + 256 // the rest is a key or two
	}
	b := append(make([]byte, 0, size), `{"allOrNone":false,"records":[`...)
	for i, r := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendRow(b, cl.object, r); err != nil {
			return nil, cl.misuse("record %d: %v", i, err)
		}
	}
	return append(b, "]}"...), nil
}

// appendRow encodes one record. The caller's map stays as it is.
func appendRow(b []byte, object string, r Row) ([]byte, error) {
	fields := maps.Clone(r.Fields)
	fields["attributes"] = map[string]string{"type": object}
	raw, err := encode(fields)
	if err != nil {
		return nil, err
	}
	b = append(b, raw...)
	switch content, ok := bytes.CutPrefix(r.Content, []byte("{")); {
	case r.Content == nil || string(content) == "}":
		return b, nil
	case !ok:
		return nil, fmt.Errorf("its content is no object: %.40q", r.Content)
	default:
		return append(append(b[:len(b)-1], ','), content...), nil
	}
}

// plan shares parts out over requests, keeping their order. A part that holds
// what a composite call would take for a reference travels by itself: there
// it harms nobody, and costs no more calls than taking the records out.
func plan(parts []part) [][]part {
	var requests [][]part
	var open []part
	flush := func() {
		if len(open) > 0 {
			requests = append(requests, open)
			open = nil
		}
	}
	for _, p := range parts {
		if bytes.Contains(p.raw, []byte(reference)) {
			flush()
			requests = append(requests, []part{p})
			continue
		}
		if open = append(open, p); len(open) == maxPartsOfComposite {
			flush()
		}
	}
	flush()
	return requests
}

// sendParts makes one API call of one part or several, and fills their results.
func (c *Client) sendParts(ctx context.Context, parts []part) error {
	if len(parts) == 1 {
		p := parts[0]
		resp, err := c.do(ctx, p.call, p.uri, p.raw, gosf.WithHeader(duplicateHeader, duplicateAllow))
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := json.NewDecoder(resp.Body).Decode(&raw); err != nil {
			return p.call.garbled(resp.StatusCode, fmt.Errorf("the answer does not parse: %w", err))
		}
		if e := p.call.fillResults(raw, resp.StatusCode, p.results); e != nil {
			return e
		}
		return nil
	}
	cl := &call{client: c, op: "upsert", method: http.MethodPost, write: true}
	answers, _, err := c.composite(ctx, cl, subrequestsOf(parts), gosf.WithHeader(duplicateHeader, duplicateAllow))
	if err != nil {
		return err
	}
	fillParts(parts, answers)
	return nil
}

func subrequestsOf(parts []part) []subrequest {
	subs := make([]subrequest, len(parts))
	for i, p := range parts {
		subs[i] = subrequest{Method: p.call.method, URL: dataPath + p.uri, ReferenceID: "c" + strconv.Itoa(i), Body: p.raw,
			HTTPHeaders: map[string]string{duplicateHeader: duplicateAllow}}
	}
	return subs
}

// fillParts fills the results of parts from the answers of a composite request.
func fillParts(parts []part, answers []subresponse) {
	for i, p := range parts {
		e := p.call.subError(answers[i])
		if e == nil {
			e = p.call.fillResults(answers[i].Body, answers[i].HTTPStatusCode, p.results)
		}
		if e != nil {
			p.fail(e)
		}
	}
}

type wireResult struct {
	ID      string
	Success bool
	Created bool
	Errors  []wireError
}

// fillResults reads the rows of a collection's answer. An answer that does
// not fit its request leaves the outcome unknown.
func (cl *call) fillResults(raw json.RawMessage, status int, results []Result) *Error {
	var rows []wireResult
	if err := json.Unmarshal(raw, &rows); err != nil {
		return cl.garbled(status, fmt.Errorf("the answer does not parse: %w", err))
	}
	if len(rows) != len(results) {
		return cl.garbled(status, fmt.Errorf("%d answers to %d records", len(rows), len(results)))
	}
	for i, r := range rows {
		results[i] = Result{ID: r.ID, Created: r.Created}
		if !r.Success {
			results[i].Err = cl.error("", nil)
			if len(r.Errors) == 0 {
				results[i].Err.Message = "refused without a reason"
			}
			cl.fill(results[i].Err, r.Errors)
		}
	}
	return nil
}

// Create creates up to 200 records of one object. Unlike everything else here it
// may write twice where an answer is lost: it is for records that the caller finds
// again by a mark of their own.
func (c *Client) Create(ctx context.Context, object string, records []map[string]any) ([]Result, error) {
	cl := &call{client: c, op: "create", object: object, method: http.MethodPost, write: true}
	if !namePattern.MatchString(object) {
		return nil, cl.misuse("invalid object name: %q", object)
	}
	rows := make([]Row, len(records))
	for i, r := range records {
		rows[i].Fields = r
	}
	raw, err := cl.collection(rows)
	if err != nil {
		return nil, err
	}
	return c.one(ctx, part{call: cl, uri: "/composite/sobjects", raw: raw, results: make([]Result, len(records))})
}

// Update changes up to 200 records of one object by their "Id".
func (c *Client) Update(ctx context.Context, object string, records []map[string]any) ([]Result, error) {
	cl := &call{client: c, op: "update", object: object, method: http.MethodPatch, write: true}
	if !namePattern.MatchString(object) {
		return nil, cl.misuse("no name of an object: %q", object)
	}
	rows := make([]Row, len(records))
	for i, r := range records {
		if id, _ := r["Id"].(string); !isID(id, "") {
			return nil, cl.misuse("record %d has no Id", i)
		}
		rows[i].Fields = r
	}
	raw, err := cl.collection(rows)
	if err != nil {
		return nil, err
	}
	return c.one(ctx, part{call: cl, uri: "/composite/sobjects", raw: raw, results: make([]Result, len(records))})
}

// Delete puts up to 200 records into the recycle bin. One that is there
// already counts as deleted.
func (c *Client) Delete(ctx context.Context, ids []string) ([]Result, error) {
	cl := &call{client: c, op: "delete", method: http.MethodDelete, write: true}
	if len(ids) == 0 || len(ids) > maxRows {
		return nil, cl.misuse("%d ids, not 1 to %d", len(ids), maxRows)
	}
	for i, id := range ids {
		if !isID(id, "") {
			return nil, cl.misuse("id %d is none", i)
		}
	}
	uri := "/composite/sobjects?allOrNone=false&ids=" + url.QueryEscape(strings.Join(ids, ","))
	results, err := c.one(ctx, part{call: cl, uri: uri, results: make([]Result, len(ids))})
	for i := range results {
		if e := results[i].Err; e != nil && e.Code == "ENTITY_IS_DELETED" {
			results[i] = Result{ID: ids[i]}
		}
	}
	return results, err
}

// one sends a part by itself; its records share the error of the request.
func (c *Client) one(ctx context.Context, p part) ([]Result, error) {
	err := c.sendParts(ctx, []part{p})
	if err != nil {
		p.fail(asError(p.call.op, err))
	}
	return p.results, err
}

func asError(op string, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Op: op, Message: "not sent", Err: err}
}
