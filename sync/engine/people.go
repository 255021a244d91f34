package engine

import (
	"context"
	"fmt"

	"callpoint/mapping"
	"callpoint/store"
)

// placePeople works out the positions of every person of whom something changed, and stores
// the touchpoints that follow.
func (e *Engine) placePeople(ctx context.Context, w *writer) error {
	for ctx.Err() == nil {
		people, err := e.cfg.Store.NextPeople(resolveBatch)
		if err != nil || len(people) == 0 {
			return err
		}
		placed, err := e.place(people)
		if err != nil {
			return err
		}
		e.step("placed")
		unchanged, err := e.cfg.Store.CommitPeople(ctx, e.local(), placed)
		if err != nil {
			return fmt.Errorf("positions: %w", err)
		}
		e.step("placement-stored")
		w.summary.TouchpointsUnchanged += unchanged
		w.summary.ValuesCut += valuesCut(placed)
		w.keepUp(ctx)
	}
	return ctx.Err()
}

// valuesCut counts the values of records that were too long for their fields.
func valuesCut(placed []store.Placed) (n int) {
	for i := range placed {
		for _, list := range placed[i].Touchpoints {
			for k := range list {
				n += list[k].Cut
			}
		}
	}
	return n
}

// place makes the records of some persons: those of visitors in whom something changed, and
// those whose position did.
func (e *Engine) place(people []store.PersonJourney) ([]store.Placed, error) {
	positions := make([]mapping.Placed, len(people))
	var tasks, web []string
	for i := range people {
		p := &people[i]
		positions[i] = e.cfg.Settings.Place(p.PersonJourney)
		for k := range p.Facts {
			if f := &p.Facts[k]; f.TaskID != "" && f.Writes && (p.IsMarked(f) || positions[i].Positions[k] != f.Position) {
				tasks = append(tasks, f.TaskID)
			}
		}
		for _, x := range positions[i].Web {
			if x.Step.Session == nil {
				web = append(web, x.Key)
			}
		}
	}
	calls, err := e.cfg.Store.CallsOf(tasks)
	if err != nil {
		return nil, err
	}
	standing, err := e.cfg.Store.Touchpoints(web)
	if err != nil {
		return nil, err
	}
	all := make([]store.Placed, len(people))
	for i := range people {
		all[i] = store.Placed{Journey: people[i], Touchpoints: map[string][]mapping.Touchpoint{}}
		e.placeCalls(&all[i], &positions[i], calls)
		e.placeWeb(&all[i], &positions[i], standing)
	}
	return all, nil
}

// placeCalls makes the records of a person's calls.
func (e *Engine) placeCalls(p *store.Placed, placed *mapping.Placed, calls map[string]store.Call) {
	for i := range p.Journey.Facts {
		f, where := p.Journey.Facts[i], placed.Positions[i]
		if f.TaskID == "" || f.Kept {
			continue
		}
		changed := f.Position != where
		if c, ok := calls[f.TaskID]; ok && f.Writes && (changed || p.Journey.IsMarked(&f)) {
			journey := store.JourneyKey(f.Visitor, f.TaskID)
			p.Touchpoints[journey] = append(p.Touchpoints[journey], e.cfg.Settings.CallTouchpoint(&c.Call, &c.Resolution, where))
		}
		if changed {
			f.Position = where
			p.Facts = append(p.Facts, f)
		}
	}
}

// placeWeb makes the journey records of a person, and lists those that should not exist.
func (e *Engine) placeWeb(p *store.Placed, placed *mapping.Placed, standing map[string]store.Touchpoint) {
	known := map[string]*mapping.Fact{}
	for i := range p.Journey.Facts {
		if f := &p.Journey.Facts[i]; f.TaskID == "" && !f.Kept && e.cfg.Settings.Journey {
			known[f.Key] = f
		}
	}
	for _, x := range placed.Web {
		f := known[x.Key]
		delete(known, x.Key)
		session := x.Step.Session
		if session == nil { // retention dropped it: its record shows it
			if session = standing[x.Key].Session; session == nil {
				continue
			}
		}
		fresh := mapping.Fact{Key: x.Key, Visitor: x.Visitor, Session: &x.Step, Writes: true, Position: x.Position}
		if f != nil && f.Position == x.Position && !p.Journey.IsMarked(f) {
			continue
		}
		p.Touchpoints[x.Visitor] = append(p.Touchpoints[x.Visitor], e.cfg.Settings.WebTouchpoint(p.Journey.Person, *session, x.Position))
		p.Facts = append(p.Facts, fresh)
	}
	for _, f := range known {
		p.Delete = append(p.Delete, *f)
	}
}

// A PersonLook is the journey of a person, with the sessions of all visitors in it.
type PersonLook struct {
	store.PersonJourney
	BizibleIDs []string // of somebody who is not followed the first of them
	Placed     mapping.Placed
	Sessions   map[string][]mapping.Session // by visitor, as the rules have them
}

// Person reads the journey of a Lead or Contact and works out its positions as the next cycle
// would. It writes nothing. Of somebody who is not followed it gives the ids alone.
func (e *Engine) Person(who string) (p PersonLook, err error) {
	if p.PersonJourney, p.BizibleIDs, err = e.cfg.Store.Person(who); err != nil || !p.Followed {
		return p, err
	}
	p.Sessions = map[string][]mapping.Session{}
	for _, id := range p.BizibleIDs {
		j, err := e.cfg.Store.Journey(id)
		if err != nil {
			return p, err
		}
		earliest, err := e.cfg.Store.Earliest()
		if err != nil {
			return p, err
		}
		e.mu.Lock()
		p.Sessions[id] = e.cfg.Settings.Match(e.journey(j, earliest)).Sessions
		e.mu.Unlock()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p.Placed = e.cfg.Settings.Place(p.PersonJourney.PersonJourney)
	return p, nil
}
