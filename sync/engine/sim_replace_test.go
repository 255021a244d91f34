package engine_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

// simCollection is the body of an upsert.
func simCollection(b salesforce.Batch, allOrNone bool) (map[string]any, error) {
	rows := make([]map[string]any, len(b.Records))
	for j, r := range b.Records {
		rows[j] = maps.Clone(r.Fields)
		if r.Content != nil {
			if err := json.Unmarshal(r.Content, &rows[j]); err != nil {
				return nil, err
			}
		}
		rows[j]["attributes"] = map[string]string{"type": b.Object}
	}
	return map[string]any{"allOrNone": allOrNone, "records": rows}, nil
}

func simFailed(results []salesforce.Result, e *salesforce.Error) []salesforce.Result {
	for i := range results {
		results[i].Err = e
	}
	return results
}

// UpsertThenQuery is one composite request.
func (o *simOrg) UpsertThenQuery(ctx context.Context, batches []salesforce.Batch, soqls []string) ([][]salesforce.Result, []salesforce.Page, error) {
	defer o.locks.take(o.parents(batches))()
	var subs []simSub
	for _, b := range batches {
		body, err := simCollection(b, false)
		if err != nil {
			return nil, nil, err
		}
		subs = append(subs, simSub{Method: http.MethodPatch, URL: simData + "/composite/sobjects/" + b.Object + "/" + b.ExternalID, Body: body})
	}
	for _, soql := range soqls {
		subs = append(subs, simSub{Method: http.MethodGet, URL: simData + "/query?q=" + url.QueryEscape(soql)})
	}
	answers, header, err := o.composite(ctx, "upsert", subs)
	if err != nil {
		return nil, nil, err
	}
	results := make([][]salesforce.Result, len(batches))
	for i, b := range batches {
		if answers[i].HTTPStatusCode == http.StatusOK {
			if results[i], err = simRows(answers[i].Body, b.Object, b.ExternalID); err != nil {
				return nil, nil, err
			}
			continue
		}
		e := &salesforce.Error{Op: "upsert", Object: b.Object, ExternalID: b.ExternalID, Method: http.MethodPatch}
		simRefusal(e, answers[i].HTTPStatusCode, answers[i].Body)
		results[i] = simFailed(make([]salesforce.Result, len(b.Records)), e)
	}
	var pages []salesforce.Page
	for _, a := range answers[len(batches):] {
		page, err := simPage(a.Body, header)
		if err != nil || a.HTTPStatusCode != http.StatusOK {
			return results, nil, nil
		}
		pages = append(pages, page)
	}
	return results, pages, nil
}

// Replace is one composite request that does all or nothing.
func (o *simOrg) Replace(ctx context.Context, ids []string, b salesforce.Batch) (deleted, created []salesforce.Result, err error) {
	locked := salesforce.Batch{Object: orgsim.Touchpoint}
	for _, id := range ids {
		if r, ok := o.org.Get(orgsim.Touchpoint, id); ok {
			locked.Records = append(locked.Records, salesforce.Row{Fields: r})
		}
	}
	defer o.locks.take(o.parents([]salesforce.Batch{locked, b}))()
	body, err := simCollection(b, true)
	if err != nil {
		return nil, nil, err
	}
	subs := []simSub{
		{Method: http.MethodDelete, ReferenceID: "d", URL: simData + "/composite/sobjects?allOrNone=true&ids=" + strings.Join(ids, ",")},
		{Method: http.MethodPatch, ReferenceID: "c", URL: simData + "/composite/sobjects/" + b.Object + "/" + b.ExternalID, Body: body},
	}
	raw, _, err := o.do(ctx, "replace", b.Object, http.MethodPost, simData+"/composite", map[string]any{"allOrNone": true, "compositeRequest": subs})
	if err != nil {
		return nil, nil, err
	}
	var answer struct{ CompositeResponse []simSubAnswer }
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, nil, err
	}
	half := func(a simSubAnswer, n int) []salesforce.Result {
		if strings.Contains(string(a.Body), `"success"`) {
			if results, err := simRows(a.Body, b.Object, b.ExternalID); err == nil && len(results) == n {
				return results
			}
		}
		e := &salesforce.Error{Op: "replace", Object: b.Object, ExternalID: b.ExternalID}
		simRefusal(e, a.HTTPStatusCode, a.Body)
		return simFailed(make([]salesforce.Result, n), e)
	}
	return half(answer.CompositeResponse[0], len(ids)), half(answer.CompositeResponse[1], len(b.Records)), nil
}
