package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

const (
	// leftAtOnce is how many Tasks outside the filter a poll looks at. Where more changed,
	// as in a mass update, the known Tasks are asked for by their ids instead.
	leftAtOnce = 2000
	// sweepEvery is how often that is done at most.
	sweepEvery = time.Hour
)

// leftSince is from when on Tasks outside the filter were not asked for yet: only the last
// span of a poll does that.
func (e *Engine) leftSince(r *reader) time.Time {
	if since := r.seen.Add(-e.cfg.Overlap); since.Before(r.from) {
		return since
	}
	return r.from
}

// leftQuery asks for Tasks outside the filter that changed.
func (e *Engine) leftQuery(r *reader) string {
	return fmt.Sprintf("SELECT %s FROM %s WHERE (NOT (%s)) AND CreatedDate >= %s AND SystemModstamp >= %s LIMIT %d",
		e.queryFields(r.src), r.src.object(), e.filter(r.src), salesforce.DateTime(r.cursor.Start), salesforce.DateTime(e.leftSince(r)), leftAtOnce)
}

// readLeft stores those of the Tasks outside the filter that are known as calls.
func (e *Engine) readLeft(ctx context.Context, r *reader, page salesforce.Page, err error, s *Summary) error {
	if err != nil || len(page.Records) >= leftAtOnce || page.Next != "" {
		switch classOf(err) {
		case salesforce.StopCalls, salesforce.Canceled, salesforce.Retry:
			return err
		}
		return e.sweepLater(ctx, e.leftSince(r))
	}
	ids := make([]string, len(page.Records))
	for i, record := range page.Records {
		ids[i], _ = record["Id"].(string)
	}
	known, err := e.cfg.Store.FilterStored(ids)
	if err != nil || len(known) == 0 {
		return err
	}
	var calls []store.Call
	for i, record := range page.Records {
		if !slices.Contains(known, ids[i]) {
			continue
		}
		call, err := e.readRow(r.src, record)
		if err != nil {
			return err
		}
		calls = append(calls, call)
	}
	changed, err := e.cfg.Store.ApplyCalls(ctx, calls)
	s.TasksRead += len(calls)
	s.TasksChanged += changed
	return err
}

// sweepLater remembers that known Tasks must be asked for, for changes since then.
func (e *Engine) sweepLater(ctx context.Context, since time.Time) error {
	var due time.Time
	if ok, err := e.cfg.Store.State("sweep", &due); err != nil || ok && !due.IsZero() {
		return err
	}
	e.cfg.Log.Info("many Tasks changed that are no calls: known calls are looked through within the hour", "since", since)
	return e.cfg.Store.SetState(ctx, "sweep", since)
}

// sweep asks for every known Task that changed since a poll could not tell, at most once
// an hour.
func (e *Engine) sweep(ctx context.Context, s *Summary) error {
	var since, last time.Time
	if ok, err := e.cfg.Store.State("sweep", &since); err != nil || !ok || since.IsZero() {
		return err
	}
	if _, err := e.cfg.Store.State("swept", &last); err != nil || !due(e.local(), last, sweepEvery) {
		return err
	}
	began := e.local()
	err := e.cfg.Store.EachTaskID(func(ids []string) error {
		changed, _, err := e.readByID(ctx, ids, since, true)
		s.TasksChanged += changed
		return err
	})
	if err != nil {
		return fmt.Errorf("look through known tasks: %w", err)
	}
	// In this order: a crash between the two sweeps once more.
	if err := e.cfg.Store.SetState(ctx, "swept", began); err != nil {
		return err
	}
	return e.cfg.Store.SetState(ctx, "sweep", time.Time{})
}

// readByID reads Tasks by their ids, deleted and archived ones too, and counts what
// changed; with keep it is stored. It returns which of them the org does not hold any more; with since, which of them were
// not changed is not known, and none is missing.
func (e *Engine) readByID(ctx context.Context, ids []string, since time.Time, keep bool) (changed int, missing []string, err error) {
	var soqls []string
	var asked []string
	for src, ofSource := range e.bySource(ids) {
		asked = append(asked, ofSource...)
		for some := range slices.Chunk(ofSource, idsPerQuery) {
			soqls = append(soqls, e.byIDQuery(src, some, since))
		}
	}
	standing := map[string]bool{}
	var calls []store.Call
	err = e.queryMany(ctx, soqls, true, func(record salesforce.Record) error {
		id, _ := record["Id"].(string)
		call, err := e.readRow(e.sourceOf(id), record)
		calls = append(calls, call)
		standing[call.TaskID] = true
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	if keep && len(calls) > 0 {
		changed, err = e.cfg.Store.ApplyCalls(ctx, calls)
	} else {
		changed, err = e.cfg.Store.CountChanged(calls)
	}
	if err != nil {
		return 0, nil, err
	}
	if since.IsZero() {
		missing = slices.DeleteFunc(asked, func(id string) bool { return standing[id] })
	}
	return changed, missing, nil
}

func (e *Engine) byIDQuery(src *source, ids []string, since time.Time) string {
	quoted := make([]string, len(ids))
	for i, id := range ids {
		quoted[i] = salesforce.Quote(id)
	}
	soql := fmt.Sprintf("SELECT %s FROM %s WHERE Id IN (%s)", e.queryFields(src), src.object(), strings.Join(quoted, ","))
	if !since.IsZero() {
		soql += " AND SystemModstamp >= " + salesforce.DateTime(since)
	}
	return soql
}
