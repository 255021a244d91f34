package engine

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"callpoint/store"
)

// A cargo is what travels in one call: persons that are to be created, and touchpoints
// whose persons stand by then.
type cargo struct {
	whos  []string
	rows  []*waiting
	size  int                          // records to a collection
	room  int                          // records to the request
	full  bool                         // no more goes in
	held  bool                         // more would have gone in, but for what is under way
	probe map[string]bool              // suspect or paused objects that it tries with few records
	pick  map[string]map[*waiting]bool // those records

	dropped bool // something was put off in its place
}

func (c *cargo) empty() bool { return len(c.whos)+len(c.rows) == 0 }

// choose picks the next call from the window. Where an object is paused that is one record
// of it, by itself, or nothing.
func (w *writer) choose(ctx context.Context) (c cargo, err error) {
	c = cargo{probe: map[string]bool{}, pick: map[string]map[*waiting]bool{}}
	if err := w.putOffPaused(ctx, &c); err != nil || len(c.probe) > 0 && len(w.aloft) > 0 {
		c.held = true
		return c, err
	}
	if err := w.settleRefused(ctx); err != nil {
		return c, err
	}
	first := slices.IndexFunc(w.window, func(t *waiting) bool { return !w.blocked(t) && !w.moves(t) })
	if first < 0 {
		c.held = slices.ContainsFunc(w.window, func(t *waiting) bool { return !w.moves(t) })
		return c, nil
	}
	picked := c.pick[w.e.cfg.TouchpointObject]
	if len(picked) == 0 {
		picked = c.pick[personObject]
	}
	if len(picked) > 0 {
		first = slices.IndexFunc(w.window, func(t *waiting) bool { return picked[t] && !w.blocked(t) })
		if first < 0 {
			c.held = true
			return c, nil
		}
	}
	one := w.window[first]
	most := w.share(one)
	c.size = min(w.e.size, cmp.Or(most.collection, w.e.size))
	c.room = min(w.e.rows, cmp.Or(most.request, w.e.rows), collectionsPerCall*c.size)
	c.size = min(c.size, c.room)
	alike := func(t *waiting) bool { return w.share(t) == most }
	if picked := c.pick[w.e.cfg.TouchpointObject]; len(picked) > 0 {
		alike = func(t *waiting) bool { return picked[t] && w.share(t) == most }
	}
	w.chooseWhos(&c, alike)
	w.chooseRows(&c, alike)
	return c, nil
}

// putOffPaused takes the records that must wait for the end of a pause out of the window, and
// notes the objects of which a few may be tried.
func (w *writer) putOffPaused(ctx context.Context, c *cargo) error {
	for _, object := range []string{personObject, w.e.cfg.TouchpointObject} {
		needs := w.lacksPerson
		if object != personObject {
			needs = func(*waiting) bool { return true }
		}
		p := w.e.closure(object)
		if p == nil {
			continue
		}
		due := !w.e.local().Before(p.Until)
		// A record that shares nothing with the refused ones shows most. None of the others
		// may prolong a pause while one waits.
		fresh, any := w.picks(object, p, needs)
		switch {
		case len(fresh) > 0 && (due || !p.Proven):
			c.probe[object], c.pick[object] = true, fresh
		case p.Quiet: // the others may be sent as they are
		case due && any != nil:
			c.probe[object], c.pick[object] = true, map[*waiting]bool{any: true}
		default:
			dropped, err := w.drop(ctx, p, needs)
			if c.dropped = c.dropped || dropped; err != nil {
				return err
			}
		}
	}
	if tried := c.pick[w.e.cfg.TouchpointObject]; len(tried) > 0 {
		// Persons are tried along with their touchpoints, or later.
		maps.DeleteFunc(c.pick[personObject], func(t *waiting, _ bool) bool { return !tried[t] })
		if len(c.pick[personObject]) == 0 {
			delete(c.probe, personObject)
		}
	}
	return nil
}

// picks chooses the records that show whether an object takes any: fresh ones share nothing
// with those that were refused. any is one of those that need the object.
func (w *writer) picks(object string, p *closure, needs func(*waiting) bool) (fresh map[*waiting]bool, any *waiting) {
	n := probeSizes[min(p.Probes, len(probeSizes)-1)]
	if p.Proven {
		n = probeSizes[1]
	}
	n = max(1, min(n, w.e.rows/2, collectionsPerCall*w.e.size/2)) // their persons may travel along
	var all []*waiting
	for _, t := range w.window {
		if !needs(t) || w.blocked(t) || w.moves(t) {
			continue
		}
		if any == nil {
			any = t
		}
		if w.e.unrelated(object, t.Touchpoint) {
			all = append(all, t)
		}
	}
	// Spread over the window: neighbours may be refused for what they share.
	n = min(n, len(all))
	fresh = make(map[*waiting]bool, n)
	for i := range n {
		fresh[all[(2*i+1)*len(all)/(2*n)]] = true
	}
	return fresh, any
}

// settleRefused records the refusal of touchpoints whose person was refused: nothing of them
// can be written.
func (w *writer) settleRefused(ctx context.Context) error {
	var outcomes []store.Outcome
	w.window = slices.DeleteFunc(w.window, func(t *waiting) bool {
		cause := w.refused[t.Who]
		if cause == nil || !w.lacksPerson(t) {
			return false
		}
		outcomes = append(outcomes, w.e.outcome(t.Touchpoint, personError(cause), classOf(cause)))
		delete(w.taken, t.Key)
		return true
	})
	if len(outcomes) == 0 {
		return nil
	}
	return w.e.cfg.Store.Finish(ctx, w.e.local(), outcomes)
}

// lacksPerson reports a touchpoint whose person would have to be created.
func (w *writer) lacksPerson(t *waiting) bool {
	return t.PersonField != "" && t.Who != "" && w.e.cfg.Persons == PersonsCreate && w.persons[t.Who].RecordID == ""
}

// chooseWhos lists the Leads and Contacts whose persons are to be created.
func (w *writer) chooseWhos(c *cargo, alike func(*waiting) bool) {
	room, picked := c.room, map[string]bool{}
	for t := range c.pick[personObject] {
		picked[t.Who] = true
	}
	for _, t := range w.window {
		if len(c.whos) == room {
			break
		}
		if len(picked) > 0 && !picked[t.Who] {
			continue
		}
		if alike(t) && w.lacksPerson(t) && w.refused[t.Who] == nil && !w.busy[t.Who] && !slices.Contains(c.whos[max(0, len(c.whos)-1):], t.Who) {
			c.whos = append(c.whos, t.Who) // repeats follow each other in the window
		}
	}
}

// chooseRows fills the rest of the call with touchpoints.
func (w *writer) chooseRows(c *cargo, alike func(*waiting) bool) {
	room := min(c.room-len(c.whos), (collectionsPerCall-(len(c.whos)+c.size-1)/c.size)*c.size)
	comes := map[string]bool{}
	for _, who := range c.whos {
		comes[who] = true
	}
	for _, t := range w.window {
		switch {
		case len(c.rows) == room || !alike(t) || w.moves(t):
		case w.lacksPerson(t) && w.modeOf(&t.Touchpoint) != create: // it waits until the person is there
			c.held = true
		case w.lacksPerson(t) && w.refused[t.Who] == nil && !comes[t.Who] && !w.busy[t.Who]: // another call's
		case w.blocked(t):
			c.held = true
		default:
			c.rows = append(c.rows, t)
		}
	}
	c.full = len(c.probe) == 0 && len(c.rows) == room
}

// blocked reports whether something under way holds a parent of the touchpoint, or a
// request that timed out may still do so.
func (w *writer) blocked(t *waiting) bool {
	if len(w.e.slow) > 0 && slices.ContainsFunc(w.parents(t), func(parent string) bool { return w.now.Before(w.e.slow[parent]) }) {
		return true
	}
	return slices.ContainsFunc(w.parents(t), func(parent string) bool { return w.busy[parent] })
}

// parents are the records that Salesforce locks to write a touchpoint: whatever it looks
// up. Its person is known by its own id, or by the Lead or Contact that it is made for.
func (w *writer) parents(t *waiting) []string {
	all := t.others
	if t.Who != "" {
		all = append(all, t.Who)
	}
	id := w.persons[t.Who].RecordID
	if id != "" {
		all = append(all, id)
	}
	if t.Master != "" && t.Master != id {
		all = append(all, t.Master)
	}
	return all
}

// lookUpOthers learns the parents that a map of the user's own adds.
func (t *waiting) lookUpOthers(fields []string) {
	if len(fields) == 0 {
		return // nothing need be decoded
	}
	values := t.Values()
	for _, field := range fields {
		if id, _ := values[field].(string); id != "" {
			t.others = append(t.others, id)
		}
	}
	t.others = slices.Clip(t.others)
}

// A limit is how many records may share a collection and a request with one; 0 is no limit.
type limit struct{ collection, request int }

// share is the limit of a touchpoint: its own or its person's, where one of them is what a
// request may have failed for.
func (w *writer) share(t *waiting) limit {
	l := limit{tighter(w.most[t.Key], w.most[t.Who]), tighter(w.apart[t.Key], w.apart[t.Who])}
	if len(w.e.suspects) > 0 && (w.e.suspects[t.Key] || w.e.suspects[t.Who]) {
		l.request = 1
	}
	return l
}

func tighter(a, b int) int {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// limit sets how many records may share a collection or request with a record.
func (w *writer) limit(limits map[string]int, name string, most int) {
	limits[name] = max(1, most)
}
