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

// resolveBatch is how many visitors, or persons, share one transaction.
const resolveBatch = 200

// resolve matches the calls of every visitor in whom something changed, or whose hold ended, and
// then works out the positions of the persons who called.
func (e *Engine) resolve(ctx context.Context, w *writer) error {
	if err := e.cfg.Store.MarkBeforeCollection(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		dirty, err := e.cfg.Store.NextDirty(ctx, e.now(), resolveBatch)
		if err != nil {
			return err
		}
		if len(dirty) == 0 {
			break
		}
		earliest, err := e.cfg.Store.Earliest()
		if err != nil {
			return err
		}
		resolved := make([]store.Resolved, len(dirty))
		for i, j := range dirty {
			resolved[i] = store.Resolved{Journey: j, Result: e.cfg.Settings.Match(e.journey(j, earliest))}
		}
		if err := e.wantReasons(ctx, resolved); err != nil {
			return err
		}
		e.step("resolved")
		if err := e.cfg.Store.Commit(ctx, e.local(), resolved); err != nil {
			return fmt.Errorf("resolve: %w", err)
		}
		e.step("resolution-stored")
		count(resolved, w.summary)
		// A batch that is not full was all there was; what came since is for the next cycle.
		if len(dirty) < resolveBatch {
			break
		}
	}
	err := e.placePeople(ctx, w)
	w.readAgain()
	return err
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
		PrunedBefore: j.PrunedBefore, PrunedSessions: j.PrunedSessions, PrunedSteps: j.PrunedSteps, PrunedLast: j.PrunedLast,
	}
	for _, c := range j.Calls {
		call := c.Call
		if t, ok := j.Touchpoints[store.CallKey(c.TaskID)]; ok {
			call.Written, call.Shows = t.MayStand(), t.Start
		}
		m.Calls = append(m.Calls, call)
	}
	return m
}

// Look reads a journey and answers for it as the next cycle would. Its sessions have the positions
// that they have for the person who called in them, else for the one who called first. It writes
// nothing.
func (e *Engine) Look(key string) (store.Journey, mapping.Resolved, error) {
	j, err := e.cfg.Store.Journey(key)
	if err != nil {
		return j, mapping.Resolved{}, err
	}
	earliest, err := e.cfg.Store.Earliest()
	if err != nil {
		return j, mapping.Resolved{}, err
	}
	people, err := e.callersOf(j)
	if err != nil {
		return j, mapping.Resolved{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.cfg.Settings.Resolve(e.journey(j, earliest))
	for i := range people {
		e.position(j, &r, &people[i], i == 0)
	}
	return j, r, nil
}

// callersOf reads the journeys of the persons who called from a visitor's browser, the first caller first.
func (e *Engine) callersOf(j store.Journey) (people []store.PersonJourney, err error) {
	calls := slices.Clone(j.Calls)
	slices.SortFunc(calls, func(a, b store.Call) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.TaskID, b.TaskID)) })
	known := map[string]bool{"": true}
	for _, c := range calls {
		if known[c.Person] || len(people) == mapping.MaxVisitors {
			continue
		}
		known[c.Person] = true
		p, _, err := e.cfg.Store.Person(c.Person)
		if err != nil {
			return nil, err
		}
		people = append(people, p)
	}
	return people, nil
}

// position gives a visitor's sessions their positions in the journey of a person, with what is
// known of the visitor now: those that the person's calls are credited with, and of the first
// caller all others.
func (e *Engine) position(j store.Journey, r *mapping.Resolved, p *store.PersonJourney, first bool) {
	if !p.Followed {
		return
	}
	p.Visitors = slices.DeleteFunc(p.Visitors, func(v mapping.VisitorSteps) bool { return v.Visitor == j.Visitor })
	p.Visitors = append(p.Visitors, mapping.VisitorSteps{Visitor: j.Visitor, Steps: r.Steps, PrunedBefore: j.PrunedBefore})
	p.Facts = slices.DeleteFunc(p.Facts, func(f mapping.Fact) bool { return f.Visitor == j.Visitor && f.TaskID != "" && !f.Kept })
	own := map[string]bool{"": first}
	for i, c := range j.Calls {
		if f := r.Facts[i]; c.Person == p.Person && f != nil && !f.Kept {
			p.Facts = append(p.Facts, *f)
			own[c.TaskID] = true
		}
	}
	placed := e.cfg.Settings.Place(p.PersonJourney)
	for i := range r.Sessions {
		if x := &r.Sessions[i]; own[x.TaskID] {
			x.Position = placed.Session(j.Visitor, x.ID).String()
		}
	}
}
