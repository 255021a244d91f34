package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

const (
	// mostWriters is how many write calls are under way at once. With a look-up and a page
	// that makes five requests, which is what a Developer org bears of long ones.
	mostWriters = 3
	// callsAhead is how many calls' worth of touchpoints are held in memory.
	callsAhead = 5
)

// A writer sends what is due, as much at once as no two calls need the same parent for:
// they would fight for its lock. It holds what is learned meanwhile.
type writer struct {
	*beside
	e       *Engine
	summary *Summary

	now     time.Time       // what is due by then is sent
	window  []*waiting      // read from the store and ready to be sent
	deletes []waiting       // records whose basis went
	taken   map[string]bool // keys that are in one of them, looked up, or on their way
	busy    map[string]bool // parents of what is on its way
	aloft   []*flight       // write calls under way
	asked   []*waiting      // whose persons are looked up
	err     error           // ends the writing

	persons  map[string]store.Person      // of Leads and Contacts, as far as known
	fresh    map[string]bool              // just looked up: no point in doing it again
	refused  map[string]*salesforce.Error // persons that the org does not take
	again    map[string]bool              // touchpoints and persons that were sent again at once
	as       map[string]mode              // how to send touchpoints of which the org has said whether they exist
	turns    map[string]int               // how often it has
	parted   map[string]bool              // moves that the org does not take in one request
	renamed  []string                     // keys of touchpoints that count for another person: to be resolved again
	looked   map[string]bool              // calls and touchpoints whose person was looked for in this cycle
	most     map[string]int               // records that may share a collection with this key, or this person
	apart    map[string]int               // records that may share a request with it
	accepted map[string]bool              // objects of which a record was accepted in this cycle
	read     bool                         // the org answered a query of this cycle
	late     *salesforce.Error            // of a request that timed out
	lateness int                          // requests that timed out
	counted  bool                         // the cycle counts as one whose requests fail whole
	lookups  []string                     // fields that refer to records other than person and Contact
}

// A waiting touchpoint is to be sent.
type waiting struct {
	store.Touchpoint
	others []string // ids of records that it refers to, but for its person and Contact
}

// parent names what it travels together for: nobody else where it belongs to nobody.
func (t *waiting) parent() string { return cmp.Or(t.Who, t.Key) }

func (e *Engine) newWriter(s *Summary) *writer {
	maps.DeleteFunc(e.slow, func(_ string, until time.Time) bool { return !e.local().Before(until) })
	return &writer{beside: newBeside(), e: e, summary: s, taken: map[string]bool{}, busy: map[string]bool{},
		persons: map[string]store.Person{}, fresh: map[string]bool{}, refused: map[string]*salesforce.Error{},
		again: map[string]bool{}, as: map[string]mode{}, turns: map[string]int{}, parted: map[string]bool{}, looked: map[string]bool{},
		most: map[string]int{}, apart: map[string]int{}, accepted: map[string]bool{}, lookups: e.cfg.Settings.Fields.Lookups()}
}

// readAgain lets touchpoints be read again that were resolved anew.
func (w *writer) readAgain() {
	for _, key := range w.renamed {
		delete(w.taken, key)
	}
	w.renamed = nil
}

// keepUp sends what makes full calls by now, while the cycle goes on.
func (w *writer) keepUp(ctx context.Context) {
	w.arrived()
	if !w.e.cfg.DryRun {
		w.now = w.e.local()
		w.pump(ctx, false)
	}
}

// drain sends what is due until nothing is.
func (w *writer) drain(ctx context.Context) {
	w.now = w.e.local()
	if _, err := w.e.cfg.Store.MakeParkedDue(ctx, w.now, nil); err != nil {
		w.fail(err)
	}
	for {
		w.arrived()
		if w.pump(ctx, true); w.open == 0 {
			break
		}
		w.next()
	}
	if err := w.e.endSuspicions(ctx); err != nil {
		w.fail(err)
	}
	if fails := w.e.fails; w.counted || fails > 0 {
		if !w.counted {
			w.e.fails = 0
		}
		if err := w.e.keepCapacity(context.WithoutCancel(ctx)); err != nil {
			w.fail(err)
		}
	}
	if w.err == nil {
		w.err = cmp.Or(ctx.Err(), w.e.pausedErr())
	}
}

// land waits for what is under way: an answer that nobody takes costs another write.
func (w *writer) land() {
	for w.open > 0 {
		w.next()
	}
}

// fail ends the writing of this cycle. What is under way still lands.
func (w *writer) fail(err error) {
	if err = fmt.Errorf("upsert: %w", err); w.err == nil || w.err.Error() != err.Error() {
		w.err = errors.Join(w.err, err)
	}
}

// pump starts as many calls as it can: full ones, and with rest what is left, too.
func (w *writer) pump(ctx context.Context, rest bool) {
	for w.err == nil && ctx.Err() == nil {
		if err := w.refill(ctx, rest); err != nil {
			w.fail(err)
			return
		}
		if len(w.aloft) >= w.e.writers {
			return
		}
		c, err := w.choose(ctx)
		if err != nil {
			w.fail(err)
			return
		}
		// What is under way may leave room for more in one call.
		if c.empty() || !c.full && (!rest || len(w.asked) > 0 || c.held && len(w.aloft) > 0) {
			switch {
			case rest && w.open == 0 && len(w.deletes) > 0:
				w.removeAll(ctx)
			case rest && w.open == 0 && slices.ContainsFunc(w.window, w.movable):
				w.moveSome(ctx)
			case !c.dropped:
				return
			}
			continue
		}
		w.send(ctx, c)
	}
}

// refill takes what is due from the store, once half of what can be held was sent: with
// rest whatever there is, else no less than another half, which is looked up in one call.
func (w *writer) refill(ctx context.Context, rest bool) error {
	half := callsAhead * collectionsPerCall * w.e.cfg.BatchSize / 2
	if len(w.asked) > 0 || len(w.window) > half {
		return nil
	}
	keys, err := w.e.cfg.Store.DueKeys(w.now, half, func(key string) bool { return w.taken[key] })
	if err != nil || len(keys) == 0 || len(keys) < half && !rest {
		return err
	}
	stored, err := w.e.cfg.Store.Touchpoints(keys)
	if err != nil {
		return err
	}
	var due []*waiting
	for _, key := range keys {
		t := waiting{Touchpoint: stored[key]}
		w.taken[key] = true
		if t.Delete {
			t.Content = nil
			w.deletes = append(w.deletes, t)
		} else {
			t.lookUpOthers(w.lookups)
			due = append(due, &t)
		}
	}
	w.forgetSettled(due)
	return w.resolvePersons(ctx, due)
}

// join puts touchpoints into the window. Those of one parent stand together, where the first
// of them does, so that they travel together; else neighbours stay neighbours, as they lie
// in the store. One whose person turned out wrong meanwhile is left for a new look-up.
func (w *writer) join(due []*waiting) {
	w.window = slices.DeleteFunc(append(w.window, due...), func(t *waiting) bool {
		_, known := w.persons[t.Who]
		if known || t.PersonField == "" || t.Who == "" {
			return false
		}
		delete(w.taken, t.Key)
		return true
	})
	first := map[string]int{}
	for i, t := range w.window {
		if _, ok := first[t.parent()]; !ok {
			first[t.parent()] = i
		}
	}
	slices.SortStableFunc(w.window, func(a, b *waiting) int { return cmp.Compare(first[a.parent()], first[b.parent()]) })
}

// drop takes touchpoints out of the window: they are put off.
func (w *writer) drop(ctx context.Context, p *closure, which func(*waiting) bool) (dropped bool, err error) {
	var out []store.Touchpoint
	w.window = slices.DeleteFunc(w.window, func(t *waiting) bool {
		if which(t) {
			out = append(out, t.Touchpoint)
			delete(w.taken, t.Key)
			return true
		}
		return false
	})
	if len(out) == 0 {
		return false, nil
	}
	return true, w.e.putOff(ctx, out, p, false)
}

// forgetSettled keeps what was learned of persons from growing with the backlog.
func (w *writer) forgetSettled(due []*waiting) {
	needed := map[string]bool{}
	for _, t := range slices.Concat(w.window, due) {
		needed[t.Who] = true
	}
	for _, f := range w.aloft {
		for _, p := range f.parcels {
			for _, t := range p.touchpoints {
				needed[t.Who] = true
			}
			for _, who := range p.whos {
				needed[who] = true
			}
		}
	}
	settled := func(who string) bool { return !needed[who] }
	maps.DeleteFunc(w.persons, func(who string, _ store.Person) bool { return settled(who) })
	maps.DeleteFunc(w.refused, func(who string, _ *salesforce.Error) bool { return settled(who) })
	maps.DeleteFunc(w.fresh, func(who string, _ bool) bool { return settled(who) })
}

// removeAll deletes the records whose basis went, but for those that are wanted again since
// they were read. Nothing else is under way meanwhile.
func (w *writer) removeAll(ctx context.Context) {
	gone := make([]store.Touchpoint, len(w.deletes))
	for i, t := range w.deletes {
		gone[i] = t.Touchpoint
		delete(w.taken, t.Key)
	}
	w.deletes = nil
	changed, err := w.e.cfg.Store.Begin(ctx, gone)
	if err == nil {
		gone = slices.DeleteFunc(gone, func(t store.Touchpoint) bool { return slices.Contains(changed, t.Key) })
		err = w.e.remove(ctx, gone)
	}
	if err != nil {
		w.fail(err)
	}
}
