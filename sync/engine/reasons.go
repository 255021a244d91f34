package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/salesforce"
)

const taskObject = "Task"

// wantReasons notes what the Tasks of journeys are to say. It comes before the answers
// are stored: after a crash in between, the journeys are resolved again.
func (e *Engine) wantReasons(ctx context.Context, resolved []store.Resolved) error {
	if e.reasonField == "" {
		return nil
	}
	want := map[string]string{}
	for _, r := range resolved {
		for i, c := range r.Result.Calls {
			if !ofTask(&r.Journey.Calls[i]) {
				continue
			}
			switch {
			case r.Journey.Calls[i].Forgotten, c.Reason == mapping.TaskDeleted:
				want[c.TaskID] = "" // what was to be written is no longer
			case c.Reason == mapping.Held, c.Reason == mapping.BeforeCollection:
				// Held is no answer yet, and a first run must not edit every old Task.
			default:
				want[c.TaskID] = string(c.Reason)
			}
		}
	}
	return e.cfg.Store.WantReasons(ctx, e.local(), e.reasonField, want)
}

// writeReasons writes what Tasks are to say. The update moves their stamps, and the next
// poll reads them again; their hash is the same, so nothing follows from it.
func (e *Engine) writeReasons(ctx context.Context, s *Summary) error {
	now := e.local()
	if e.reasonField == "" || now.Before(e.reasonsAfter) {
		return nil
	}
	for ctx.Err() == nil {
		due, err := e.cfg.Store.DueReasons(now, e.size)
		if err != nil || len(due) == 0 {
			return err
		}
		taken, err := e.tellTasks(ctx, due)
		s.ReasonsWritten += taken
		if err != nil {
			return err
		}
		if taken == 0 && len(due) == e.size {
			// No use in asking for each collection. retryAll tries again what is cured.
			e.reasonsAfter = now.Add(lastRetry)
			return nil
		}
	}
	return ctx.Err()
}

// tellTasks sends one collection and records what became of it. A collection too large
// for the org's triggers goes again in halves.
func (e *Engine) tellTasks(ctx context.Context, due []store.Reason) (taken int, err error) {
	records := make([]map[string]any, len(due))
	for i, r := range due {
		records[i] = map[string]any{"Id": r.TaskID, r.Field: r.Want}
	}
	e.step("reasons-read")
	results, err := e.cfg.Org.Update(ctx, taskObject, records)
	e.step("reasons-answered")
	switch classOf(err) {
	case salesforce.Retry, salesforce.StopCalls, salesforce.Canceled:
		return 0, err // they stay due: writing them twice does no harm
	}
	if len(results) != len(due) {
		return 0, errors.Join(errors.New("reasons: the org's answer does not fit"), err)
	}
	var settled, again []store.Reason
	for i, result := range results {
		switch {
		case result.Err == nil:
			due[i].Written, due[i].WrittenAt = due[i].Want, e.local()
			due[i].Attempts, due[i].Next, due[i].Code, due[i].Message = 0, time.Time{}, "", ""
			taken++
			e.reasonRefused = ""
		case len(due) > 1 && classOf(result.Err) == salesforce.Split:
			again = append(again, due[i])
			continue
		default:
			e.refuseReason(&due[i], result.Err)
		}
		settled = append(settled, due[i])
	}
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	if err := e.cfg.Store.FinishReasons(record, settled); err != nil {
		return taken, err
	}
	for half := range slices.Chunk(again, max(1, (len(due)+1)/2)) {
		n, err := e.tellTasks(ctx, half)
		if taken += n; err != nil {
			return taken, err
		}
	}
	return taken, nil
}

// refuseReason has a reason wait. It is a courtesy: nothing else waits for it, and the
// same refusal is logged once.
func (e *Engine) refuseReason(r *store.Reason, err *salesforce.Error) {
	wait := parkedRetry
	class := classOf(err)
	if class == salesforce.Retry {
		wait = e.backoff(r.Attempts)
	}
	if class == salesforce.StopClass {
		e.forgetSchema()
	}
	r.Attempts, r.Next, r.Code, r.Message = r.Attempts+1, e.local().Add(wait), err.Code, err.Message
	if err.Code != e.reasonRefused {
		e.cfg.Log.Warn("Salesforce refuses the reason on a Task: it is tried again, and callpoint explain has its words",
			"task", r.TaskID, "code", err.Code, "fields", err.Fields, "cure", salesforce.Cure(err), "next_try", r.Next)
		e.reasonRefused = err.Code
	}
}

// retryReasons makes the reasons due that were refused.
func (e *Engine) retryReasons(ctx context.Context) error {
	e.reasonsAfter = time.Time{}
	return e.cfg.Store.MakeReasonsDue(ctx, e.local())
}
