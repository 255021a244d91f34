package salesforce

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	gosf "github.com/k-capehart/go-salesforce/v2"
)

// UpsertThenQuery is Upsert, followed by queries in the same API call: their answers show what
// was written. Where all of it does not fit into one call the queries are left out, and pages
// is nil.
func (c *Client) UpsertThenQuery(ctx context.Context, batches []Batch, soqls []string) (results [][]Result, pages []Page, err error) {
	parts := make([]part, len(batches))
	fits := len(batches)+len(soqls) <= maxPartsOfComposite && len(soqls) > 0
	for i, b := range batches {
		if parts[i], err = c.upsertPart(b); err != nil {
			return nil, nil, err
		}
		fits = fits && !bytes.Contains(parts[i].raw, []byte(reference))
		parts[i].results = make([]Result, len(b.Records))
		results = append(results, parts[i].results)
	}
	if !fits {
		results, err = c.Upsert(ctx, batches)
		return results, nil, err
	}
	cl := &call{client: c, op: "upsert", method: http.MethodPost, write: true}
	subs := subrequestsOf(parts)
	for i, soql := range soqls {
		subs = append(subs, subrequest{Method: http.MethodGet, URL: dataPath + queryURI("/query", soql), ReferenceID: "q" + strconv.Itoa(i)})
	}
	answers, date, err := c.composite(ctx, cl, subs, gosf.WithHeader(duplicateHeader, duplicateAllow))
	if err != nil {
		for _, p := range parts {
			p.fail(asError("upsert", err))
		}
		return results, nil, err
	}
	fillParts(parts, answers)
	asked := &call{client: c, op: "query", method: http.MethodGet}
	for _, a := range answers[len(parts):] {
		page, err := asked.subPage(a, date)
		if err != nil {
			return results, nil, nil // the records are written all the same
		}
		pages = append(pages, page)
	}
	return results, pages, nil
}

// Replace deletes records by id and then creates others, usually under the same keys, in one
// API call that does both or neither. Where err is nil each record has its own result; after
// a refusal the culprits have the reason and the others ROLLED_BACK.
func (c *Client) Replace(ctx context.Context, ids []string, b Batch) (deleted, created []Result, err error) {
	cl := &call{client: c, op: "replace", object: b.Object, externalID: b.ExternalID, method: http.MethodPost, write: true, allOrNone: true}
	if len(ids) == 0 || len(ids) > maxRows {
		return nil, nil, cl.misuse("%d ids, not 1 to %d", len(ids), maxRows)
	}
	for i, id := range ids {
		if !isID(id, "") {
			return nil, nil, cl.misuse("id %d is not a Salesforce record id", i)
		}
	}
	p, err := c.upsertPart(b)
	if err != nil {
		return nil, nil, err
	}
	if bytes.Contains(p.raw, []byte(reference)) {
		return nil, nil, cl.misuse("a record holds %q, which a composite request takes for a reference", reference)
	}
	raw := bytes.Replace(p.raw, []byte(`"allOrNone":false`), []byte(`"allOrNone":true`), 1)
	subs := []subrequest{
		{Method: http.MethodDelete, ReferenceID: "d0", URL: dataPath + "/composite/sobjects?allOrNone=true&ids=" + url.QueryEscape(strings.Join(ids, ","))},
		{Method: http.MethodPatch, ReferenceID: "c0", URL: dataPath + p.uri, Body: raw, HTTPHeaders: map[string]string{duplicateHeader: duplicateAllow}},
	}
	deleted, created = make([]Result, len(ids)), make([]Result, len(b.Records))
	answers, _, err := c.composite(ctx, cl, subs, gosf.WithHeader(duplicateHeader, duplicateAllow))
	if err != nil {
		for _, results := range [][]Result{deleted, created} {
			part{results: results}.fail(asError("replace", err))
		}
		return deleted, created, err
	}
	cl.fillHalf(answers[0], deleted)
	cl.fillHalf(answers[1], created)
	return deleted, created, nil
}

// RolledBack reports the refusal of a record for no fault of its own: another one of the same
// all-or-none request was refused.
func RolledBack(e *Error) bool {
	return e != nil && (e.Code == "ALL_OR_NONE_OPERATION_ROLLED_BACK" || e.Code == "PROCESSING_HALTED")
}

// fillHalf reads the answer of one subrequest of an all-or-none request: results of records,
// or one error for all of them.
func (cl *call) fillHalf(a subresponse, results []Result) {
	var rows []struct{ Success *bool }
	if json.Unmarshal(a.Body, &rows) == nil && len(rows) == len(results) && len(rows) > 0 && rows[0].Success != nil {
		if e := cl.fillResults(a.Body, a.HTTPStatusCode, results); e == nil {
			return
		}
	}
	e := cl.subError(a)
	if e == nil {
		e = cl.garbled(a.HTTPStatusCode, fmt.Errorf("the answer does not fit %d records", len(results)))
	}
	part{results: results}.fail(e)
}
