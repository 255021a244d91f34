package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

// dueAtOnce bounds how many touchpoints are held in memory.
const dueAtOnce = 5000

// upsert sends what is due until nothing is.
func (e *Engine) upsert(ctx context.Context, s *Summary) error {
	now := e.now()
	if _, err := e.cfg.Store.ReleaseParked(ctx, now, nil); err != nil {
		return err
	}
	for ctx.Err() == nil {
		due, err := e.cfg.Store.Due(now, dueAtOnce)
		if err != nil {
			return err
		}
		if len(due) == 0 {
			return e.pausedErr()
		}
		if err := e.send(ctx, due, s); err != nil {
			return fmt.Errorf("upsert: %w", err)
		}
	}
	return ctx.Err()
}

// A shipment is what is learned while some touchpoints are sent.
type shipment struct {
	persons map[string]store.Person      // of Leads and Contacts, as far as known
	fresh   map[string]bool              // looked up for this shipment: no point in doing it again
	refused map[string]*salesforce.Error // persons that the org does not take
	again   map[string]bool              // touchpoints that were sent again at once
	summary *Summary
}

func (e *Engine) send(ctx context.Context, due []store.Touchpoint, s *Summary) error {
	due, err := e.remove(ctx, due)
	if err != nil {
		return err
	}
	// Rows of one parent travel together: two calls at once would fight for its lock.
	slices.SortStableFunc(due, func(a, b store.Touchpoint) int { return cmp.Compare(a.Who, b.Who) })
	x := &shipment{persons: map[string]store.Person{}, fresh: map[string]bool{},
		refused: map[string]*salesforce.Error{}, again: map[string]bool{}, summary: s}
	// Every round settles at least one touchpoint, or brings one nearer to its end.
	for len(due) > 0 {
		if due, err = e.round(ctx, due, x); err != nil {
			return err
		}
	}
	return nil
}

// round sends touchpoints as far as no pause is in the way, and gives back those that
// must be sent in another round.
func (e *Engine) round(ctx context.Context, due []store.Touchpoint, x *shipment) (rest []store.Touchpoint, err error) {
	if p := e.paused(e.cfg.TouchpointObject); p != nil {
		if e.now().Before(p.Until) {
			return nil, e.putOff(ctx, due, p)
		}
		due, rest = due[:1], due[1:]
	}
	if err := e.knowPersons(ctx, due, x); err != nil {
		return nil, err
	}
	if p := e.paused(personObject); p != nil {
		var blocked []store.Touchpoint
		if due, blocked = e.withoutPerson(due, x); len(blocked) > 0 {
			if e.now().Before(p.Until) {
				if err := e.putOff(ctx, blocked, p); err != nil {
					return nil, err
				}
			} else {
				due, rest = append(due, blocked[0]), append(rest, blocked[1:]...)
			}
		}
	}
	again, err := e.ship(ctx, due, x)
	for _, object := range []string{e.cfg.TouchpointObject, personObject} {
		err = errors.Join(err, e.undecidedPause(ctx, object))
	}
	return append(again, rest...), err
}

// withoutPerson sorts out the touchpoints whose person would have to be created.
func (e *Engine) withoutPerson(due []store.Touchpoint, x *shipment) (ready, blocked []store.Touchpoint) {
	for _, t := range due {
		if t.PersonField != "" && t.Who != "" && e.cfg.Persons == PersonsCreate && x.persons[t.Who].RecordID == "" {
			blocked = append(blocked, t)
		} else {
			ready = append(ready, t)
		}
	}
	return ready, blocked
}

// ship packs touchpoints into collections and sends them, five to a call. It gives back
// those that must be sent in another round.
func (e *Engine) ship(ctx context.Context, due []store.Touchpoint, x *shipment) (again []store.Touchpoint, err error) {
	parcels := e.pack(due, x)
	for len(parcels) > 0 {
		n, size, pauses := min(collectionsPerCall, len(parcels)), e.size, len(e.pauses)
		r, err := e.deliver(ctx, parcels[:n], x)
		if err != nil {
			return nil, err
		}
		again = append(again, r.again...)
		parcels = append(r.smaller, parcels[n:]...)
		if e.size < size || len(e.pauses) > pauses {
			// What is left is packed anew, or waits.
			for _, p := range parcels {
				again = append(again, p.touchpoints...)
			}
			return again, nil
		}
	}
	return again, nil
}
