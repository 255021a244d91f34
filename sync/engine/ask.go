package engine

import (
	"context"
	"errors"
	"slices"

	"callpoint/sync/salesforce"
)

// A question is one query of a batch. Where about names an object, callpoint can do without
// the answer: the user may lack access to it.
type question struct {
	soql  string
	about string
	row   func(salesforce.Record) error
}

// askMany runs queries, five to an API call, and hands over every row of all their pages. A
// question about an object that the user may not read is left out for a day.
func (e *Engine) askMany(ctx context.Context, all []question) error {
	all = slices.DeleteFunc(slices.Clone(all), func(q question) bool { return q.about != "" && e.blind(q.about) })
	for some := range slices.Chunk(all, collectionsPerCall) {
		soqls := make([]string, len(some))
		for i, q := range some {
			soqls[i] = q.soql
		}
		pages, err := e.cfg.Org.QueryMany(ctx, soqls, salesforce.QueryOptions{})
		if err != nil {
			if err := e.turnBlind(some, pages, err); err != nil {
				return err
			}
		}
		for i, page := range pages {
			if err := e.eachRow(ctx, page, some[i].row); err != nil {
				return err
			}
		}
	}
	return nil
}

// turnBlind notes the objects of optional questions that were refused. It returns err where
// anything else went wrong.
func (e *Engine) turnBlind(asked []question, pages []salesforce.Page, err error) error {
	many := []error{err}
	if joined := (interface{ Unwrap() []error })(nil); errors.As(err, &joined) {
		many = joined.Unwrap()
	}
	if slices.ContainsFunc(many, func(err error) bool { return classOf(err) != salesforce.StopClass }) || len(pages) != len(asked) {
		return err
	}
	for i, page := range pages {
		if failed := !page.Done && page.Next == ""; failed && asked[i].about == "" {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, page := range pages {
		if !page.Done && page.Next == "" && e.hidden[asked[i].about].IsZero() {
			e.hidden[asked[i].about] = e.cfg.Now()
			e.cfg.Log.Info("the user may not read an object, or a field of it: callpoint does without; callpoint check names it",
				"object", asked[i].about, "err", err)
		}
	}
	return nil
}

// blind reports whether the user may not read an object that callpoint can do without.
func (e *Engine) blind(object string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	since, ok := e.hidden[object]
	if ok && e.cfg.Now().Sub(since) >= schemaAge {
		delete(e.hidden, object)
		ok = false
	}
	return ok
}

// queryMany is askMany for queries whose rows are treated alike and that must not fail.
func (e *Engine) queryMany(ctx context.Context, soqls []string, all bool, fn func(salesforce.Record) error) error {
	for some := range slices.Chunk(soqls, collectionsPerCall) {
		pages, err := e.cfg.Org.QueryMany(ctx, some, salesforce.QueryOptions{All: all})
		if err != nil {
			return err
		}
		for _, page := range pages {
			if err := e.eachRow(ctx, page, fn); err != nil {
				return err
			}
		}
	}
	return nil
}

// eachRow hands over every row of a page and of those that follow it.
func (e *Engine) eachRow(ctx context.Context, page salesforce.Page, fn func(salesforce.Record) error) error {
	for asked := (trail{}); ; {
		for _, r := range page.Records {
			if err := fn(r); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		var err error
		if page, err = asked.page(ctx, e.cfg.Org, page.Next); err != nil {
			return err
		}
	}
}
