package engine

import (
	"cmp"
	"context"
	"slices"
)

// A cargo is what travels in one call: persons that are to be created, and touchpoints
// whose persons stand by then.
type cargo struct {
	whos  []string
	rows  []*waiting
	size  int             // records to a collection
	full  bool            // no more goes in
	held  bool            // more would have gone in, but for what is under way
	probe map[string]bool // paused objects that it tries with one record

	dropped bool // something was put off in its place
}

func (c *cargo) empty() bool { return len(c.whos)+len(c.rows) == 0 }

// choose picks the next call from the window. Where an object is paused that is one record
// of it, by itself, or nothing.
func (w *writer) choose(ctx context.Context) (c cargo, err error) {
	c = cargo{probe: map[string]bool{}}
	if err := w.putOffPaused(ctx, &c); err != nil || len(c.probe) > 0 && len(w.aloft) > 0 {
		c.held = true
		return c, err
	}
	first := slices.IndexFunc(w.window, func(t *waiting) bool { return !w.blocked(t) })
	if first < 0 {
		c.held = len(w.window) > 0
		return c, nil
	}
	most := w.share(w.window[first])
	c.size = min(w.e.size, cmp.Or(most, w.e.size))
	alike := func(t *waiting) bool { return w.share(t) == most }
	if one := w.window[first]; c.probe[w.e.cfg.TouchpointObject] {
		alike = func(t *waiting) bool { return t == one }
	}
	w.chooseWhos(&c, alike)
	w.chooseRows(&c, alike)
	return c, nil
}

// putOffPaused takes out of the window what must wait for the end of a pause, and notes
// the objects of which one record may be tried.
func (w *writer) putOffPaused(ctx context.Context, c *cargo) error {
	for _, object := range []string{w.e.cfg.TouchpointObject, personObject} {
		needs := w.lacksPerson
		if object != personObject {
			needs = func(*waiting) bool { return true }
		}
		p := w.e.paused(object)
		if p == nil {
			continue
		}
		if w.e.now().Before(p.Until) {
			dropped, err := w.drop(ctx, p, needs)
			if c.dropped = c.dropped || dropped; err != nil {
				return err
			}
		} else if slices.ContainsFunc(w.window, needs) {
			c.probe[object] = true
		}
	}
	return nil
}

// lacksPerson reports a touchpoint whose person would have to be created.
func (w *writer) lacksPerson(t *waiting) bool {
	return t.PersonField != "" && t.Who != "" && w.e.cfg.Persons == PersonsCreate && w.persons[t.Who].RecordID == ""
}

// chooseWhos lists the Leads and Contacts whose persons are to be created.
func (w *writer) chooseWhos(c *cargo, alike func(*waiting) bool) {
	room := collectionsPerCall * c.size
	if c.probe[personObject] {
		room = 1
	}
	for _, t := range w.window {
		if len(c.whos) == room {
			break
		}
		if alike(t) && w.lacksPerson(t) && w.refused[t.Who] == nil && !w.busy[t.Who] && !slices.Contains(c.whos[max(0, len(c.whos)-1):], t.Who) {
			c.whos = append(c.whos, t.Who) // repeats follow each other in the window
		}
	}
}

// chooseRows fills the rest of the call with touchpoints.
func (w *writer) chooseRows(c *cargo, alike func(*waiting) bool) {
	room := (collectionsPerCall - (len(c.whos)+c.size-1)/c.size) * c.size
	comes := map[string]bool{}
	for _, who := range c.whos {
		comes[who] = true
	}
	for _, t := range w.window {
		switch {
		case len(c.rows) == room || !alike(t):
		case w.lacksPerson(t) && w.refused[t.Who] == nil && !comes[t.Who] && !w.busy[t.Who]: // another call's
		case w.blocked(t):
			c.held = true
		default:
			c.rows = append(c.rows, t)
		}
	}
	c.full = len(c.probe) == 0 && len(c.rows) == room
}

// blocked reports whether something under way holds a parent of the touchpoint.
func (w *writer) blocked(t *waiting) bool {
	return slices.ContainsFunc(w.parents(t), func(parent string) bool { return w.busy[parent] })
}

// parents are the records that Salesforce locks to write a touchpoint: whatever it looks
// up. Its person is known by its own id, or by the Lead or Contact that it is made for.
func (w *writer) parents(t *waiting) []string {
	all := t.others
	if t.Who != "" {
		all = append(all, t.Who)
	}
	if id := w.persons[t.Who].RecordID; id != "" {
		all = append(all, id)
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

// share is how many records may share a collection with a touchpoint: fewer where one of
// them is what a request was refused for. 0 is as many as the org takes.
func (w *writer) share(t *waiting) int {
	key, who := w.most[t.Key], w.most[t.Who]
	if key == 0 || who != 0 && who < key {
		return who
	}
	return key
}
