package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

// simOrg is engine.Org over the simulated org's own HTTP handler, without a socket:
// sockets do not work on virtual time. It repeats nothing, so that the engine alone has
// to cope with what goes wrong.
type simOrg struct {
	org *orgsim.Org
	// travel takes the time that a request needs on its way, or its answer. It may be the
	// end of it: the process died.
	travel func(what string) error
	// sent hears of every request and its answer.
	sent  func(line string)
	locks simLocks

	flying sync.WaitGroup // requests under way

	mu    sync.Mutex
	token string // guarded by mu
}

func (o *simOrg) Login(ctx context.Context) (salesforce.Identity, error) {
	if o.session("", "") == "" {
		if err := o.login(ctx); err != nil {
			return salesforce.Identity{}, err
		}
	}
	return salesforce.Identity{OrgID: o.org.OrgID(), UserID: o.org.UserID()}, nil
}

func (o *simOrg) Query(ctx context.Context, soql string, q salesforce.QueryOptions) (salesforce.Page, error) {
	path, op := simData+"/query?q="+url.QueryEscape(soql), "query"
	if q.All {
		path = simData + "/queryAll?q=" + url.QueryEscape(soql)
	}
	if q.Next != "" {
		path, op = q.Next, "query_more"
	}
	answer, header, err := o.do(ctx, op, "", http.MethodGet, path, nil)
	if err != nil {
		return salesforce.Page{}, err
	}
	return simPage(answer, header)
}

func simPage(body []byte, header http.Header) (p salesforce.Page, err error) {
	var answer struct {
		TotalSize      int
		Done           bool
		NextRecordsURL string
		Records        []salesforce.Record
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return p, err
	}
	for _, r := range answer.Records {
		delete(r, "attributes")
	}
	p = salesforce.Page{Records: answer.Records, Total: answer.TotalSize, Next: answer.NextRecordsURL, Done: answer.Done}
	p.ServerTime, _ = http.ParseTime(header.Get("Date"))
	return p, nil
}

func (o *simOrg) QueryMany(ctx context.Context, soqls []string, q salesforce.QueryOptions) ([]salesforce.Page, error) {
	subs := make([]simSub, len(soqls))
	for i, soql := range soqls {
		subs[i] = simSub{Method: http.MethodGet, URL: simData + map[bool]string{true: "/queryAll", false: "/query"}[q.All] + "?q=" + url.QueryEscape(soql)}
	}
	answers, header, err := o.composite(ctx, "query_many", subs)
	if err != nil {
		return nil, err
	}
	pages := make([]salesforce.Page, len(answers))
	var errs []error
	for i, a := range answers {
		if a.HTTPStatusCode != http.StatusOK {
			e := &salesforce.Error{Op: "query_many", Method: http.MethodGet}
			simRefusal(e, a.HTTPStatusCode, a.Body)
			errs = append(errs, e)
		} else if pages[i], err = simPage(a.Body, header); err != nil {
			errs = append(errs, err)
		}
	}
	return pages, errors.Join(errs...)
}

func (o *simOrg) Upsert(ctx context.Context, batches []salesforce.Batch) ([][]salesforce.Result, error) {
	o.noRepeats(batches)
	defer o.locks.take(o.parents(batches))()
	results := make([][]salesforce.Result, len(batches))
	subs := make([]simSub, len(batches))
	for i, b := range batches {
		body, err := simCollection(b, false)
		if err != nil {
			return nil, err
		}
		subs[i] = simSub{Method: http.MethodPatch, URL: simData + "/composite/sobjects/" + b.Object + "/" + b.ExternalID, Body: body}
	}
	if len(subs) == 1 {
		answer, _, err := o.do(ctx, "upsert", batches[0].Object, http.MethodPatch, subs[0].URL, subs[0].Body)
		if err != nil {
			return nil, err
		}
		results[0], err = simRows(answer, batches[0].Object, batches[0].ExternalID)
		return results, err
	}
	answers, _, err := o.composite(ctx, "upsert", subs)
	if err != nil {
		return nil, err
	}
	for i, a := range answers {
		b := batches[i]
		if a.HTTPStatusCode == http.StatusOK {
			if results[i], err = simRows(a.Body, b.Object, b.ExternalID); err != nil {
				return nil, err
			}
			continue
		}
		e := &salesforce.Error{Op: "upsert", Object: b.Object, ExternalID: b.ExternalID, Method: http.MethodPatch}
		simRefusal(e, a.HTTPStatusCode, a.Body)
		results[i] = make([]salesforce.Result, len(b.Records))
		for j := range results[i] {
			results[i][j].Err = e
		}
	}
	return results, nil
}

func simRows(body []byte, object, key string) ([]salesforce.Result, error) {
	var rows []struct {
		ID               string
		Success, Created bool
		Errors           []struct{ StatusCode, Message string }
	}
	if err := json.Unmarshal(body, &rows); err != nil {
		return nil, err
	}
	results := make([]salesforce.Result, len(rows))
	for i, r := range rows {
		results[i] = salesforce.Result{ID: r.ID, Created: r.Created}
		if !r.Success {
			results[i].Err = &salesforce.Error{Op: "upsert", Object: object, ExternalID: key, Code: r.Errors[0].StatusCode, Message: r.Errors[0].Message}
		}
	}
	return results, nil
}

func (o *simOrg) Delete(ctx context.Context, ids []string) ([]salesforce.Result, error) {
	batch := salesforce.Batch{Object: orgsim.Touchpoint}
	for _, id := range ids {
		if r, ok := o.org.Get(orgsim.Touchpoint, id); ok {
			batch.Records = append(batch.Records, salesforce.Row{Fields: r})
		}
	}
	defer o.locks.take(o.parents([]salesforce.Batch{batch}))()
	answer, _, err := o.do(ctx, "delete", "", http.MethodDelete, simData+"/composite/sobjects?allOrNone=false&ids="+strings.Join(ids, ","), nil)
	if err != nil {
		return nil, err
	}
	results, err := simRows(answer, "", "")
	for i := range results {
		if e := results[i].Err; e != nil && e.Code == "ENTITY_IS_DELETED" {
			results[i] = salesforce.Result{ID: ids[i]}
		}
	}
	return results, err
}

func (o *simOrg) Describe(ctx context.Context, object string) (d salesforce.Object, err error) {
	answer, _, err := o.do(ctx, "describe", object, http.MethodGet, simData+"/sobjects/"+object+"/describe", nil)
	if err != nil {
		return d, err
	}
	return d, json.Unmarshal(answer, &d)
}

func (o *simOrg) Update(ctx context.Context, object string, records []map[string]any) ([]salesforce.Result, error) {
	batch := salesforce.Batch{Object: object}
	for _, r := range records {
		batch.Records = append(batch.Records, salesforce.Row{Fields: r})
	}
	defer o.locks.take(o.parents([]salesforce.Batch{batch}))()
	rows := make([]map[string]any, len(records))
	for i, r := range records {
		rows[i] = maps.Clone(r)
		rows[i]["attributes"] = map[string]string{"type": object}
	}
	answer, _, err := o.do(ctx, "update", object, http.MethodPatch, simData+"/composite/sobjects", map[string]any{"allOrNone": false, "records": rows})
	if err != nil {
		return nil, err
	}
	return simRows(answer, object, "")
}
