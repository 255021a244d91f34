package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"callpoint/mapping"
	"callpoint/store"
)

// resolveBatch is how many journeys share one transaction.
const resolveBatch = 200

// resolve answers for every journey in which something changed, or a hold ended.
func (e *Engine) resolve(ctx context.Context, w *writer) error {
	if err := e.cfg.Store.MarkBeforeCollection(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		dirty, err := e.cfg.Store.NextDirty(ctx, e.now(), resolveBatch)
		if err != nil || len(dirty) == 0 {
			return err
		}
		earliest, err := e.cfg.Store.Earliest()
		if err != nil {
			return err
		}
		resolved := make([]store.Resolved, len(dirty))
		for i, j := range dirty {
			resolved[i] = store.Resolved{Journey: j, Result: e.cfg.Settings.Resolve(e.journey(j, earliest))}
		}
		if err := e.wantReasons(ctx, resolved); err != nil {
			return err
		}
		e.step("resolved")
		unchanged, err := e.cfg.Store.Commit(ctx, e.now(), resolved)
		if err != nil {
			return fmt.Errorf("resolve: %w", err)
		}
		e.step("resolution-stored")
		w.summary.TouchpointsUnchanged += unchanged
		count(resolved, w.summary)
		w.keepUp(ctx)
		// A batch that is not full was all there was; what came since is for the next cycle.
		if len(dirty) < resolveBatch {
			return nil
		}
	}
	return ctx.Err()
}

func count(resolved []store.Resolved, s *Summary) {
	for _, r := range resolved {
		for _, c := range r.Result.Calls {
			s.Calls++
			switch c.Reason {
			case mapping.Matched, mapping.MatchedClockSkew:
				s.Matched++
			case mapping.Held:
				s.Held++
			}
		}
	}
}

// journey hands a stored journey to the rules.
func (e *Engine) journey(j store.Journey, earliest time.Time) mapping.Journey {
	m := mapping.Journey{
		Visitor: j.Visitor, Events: j.Events, Visits: j.Visits, Now: e.now(), Earliest: earliest,
		PrunedBefore: j.PrunedBefore, PrunedSessions: j.PrunedSessions, PrunedForm: j.PrunedForm, PrunedLast: j.PrunedLast,
	}
	for _, c := range j.Calls {
		call := c.Call
		if t, ok := j.Touchpoints[store.CallKey(c.TaskID)]; ok {
			call.Written = t.MayStand()
		}
		m.Calls = append(m.Calls, call)
	}
	for _, t := range j.Touchpoints {
		if t.Session != nil && t.MayStand() {
			m.Standing = append(m.Standing, mapping.Standing{Key: t.Key, Who: t.Who, Session: *t.Session})
		}
	}
	slices.SortFunc(m.Standing, func(a, b mapping.Standing) int { return cmp.Compare(a.Key, b.Key) })
	return m
}

// Look reads a journey and answers for it as the next cycle would. It writes nothing.
func (e *Engine) Look(key string) (store.Journey, mapping.Result, error) {
	j, err := e.cfg.Store.Journey(key)
	if err != nil {
		return j, mapping.Result{}, err
	}
	earliest, err := e.cfg.Store.Earliest()
	if err != nil {
		return j, mapping.Result{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return j, e.cfg.Settings.Resolve(e.journey(j, earliest)), nil
}
