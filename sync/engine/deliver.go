package engine

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

// recordWithin bounds how long an answer may take to be recorded after a stop.
const recordWithin = 10 * time.Second

// mostLate is how many requests of a cycle may time out before its writing ends: the others
// would wait as long.
const mostLate = 2

// A flight is one write call under way.
type flight struct {
	parcels []parcel
	parents []string        // that nothing else may need meanwhile
	size    int             // of its collections
	probe   map[string]bool // paused objects that it tries
	places  placeFinder     // where records were found that the store did not know
}

// send starts one call. The intent is on disk before it, the outcome after it.
func (w *writer) send(ctx context.Context, c cargo) {
	rows := make([]store.Touchpoint, len(c.rows))
	leaves := map[*waiting]bool{}
	for i, t := range c.rows {
		rows[i], leaves[t] = t.Touchpoint, true
	}
	w.window = slices.DeleteFunc(w.window, func(t *waiting) bool { return leaves[t] })
	changed, err := w.e.cfg.Store.Begin(ctx, rows)
	if err != nil {
		w.fail(err)
		return
	}
	f := &flight{size: c.size, probe: c.probe, parents: slices.Clone(c.whos)}
	c.rows = slices.DeleteFunc(c.rows, func(t *waiting) bool {
		gone := slices.Contains(changed, t.Key) // it is read anew, if it is due still
		if gone {
			delete(w.taken, t.Key)
		} else {
			f.parents = append(f.parents, w.parents(t)...)
		}
		return gone
	})
	if c.empty() {
		return
	}
	maps.DeleteFunc(f.probe, func(object string, _ bool) bool {
		return len(c.whos) == 0 && object == personObject || len(c.rows) == 0 && object != personObject
	})
	var batches []salesforce.Batch
	f.parcels, batches = w.pack(c)
	for _, parent := range f.parents {
		w.busy[parent] = true
	}
	w.aloft = append(w.aloft, f)
	w.e.step("intent-stored")
	soqls, places := w.verify(f.parcels)
	w.start(func() func() {
		var pages []salesforce.Page
		results, err := [][]salesforce.Result(nil), error(nil)
		if len(soqls) > 0 {
			results, pages, err = w.e.cfg.Org.UpsertThenQuery(ctx, batches, soqls)
		} else {
			results, err = w.e.cfg.Org.Upsert(ctx, batches)
		}
		return func() {
			f.places = w.placesIn(pages, places, f.parcels)
			w.landed(ctx, f, results, err)
		}
	})
}

// placesIn reads where records were found. A page that goes on is left to a later look-up.
func (w *writer) placesIn(pages []salesforce.Page, found placeFinder, parcels []parcel) placeFinder {
	for _, page := range pages {
		for _, r := range page.Records {
			_ = found.note(w.e, parcels[len(parcels)-1].touchpoints[0].PersonField)(r)
		}
	}
	return found
}

// landed records what became of each row of a call.
func (w *writer) landed(ctx context.Context, f *flight, results [][]salesforce.Result, err error) {
	w.e.step("answered")
	w.aloft = slices.DeleteFunc(w.aloft, func(other *flight) bool { return other == f })
	for _, parent := range f.parents {
		delete(w.busy, parent)
	}
	if results == nil && err != nil {
		results = f.allFailed(err)
	}
	// The answer is recorded even during a shutdown: losing it costs another write.
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	r := &receipt{e: w.e, w: w, f: f, failed: err != nil}
	if rerr := r.take(record, results); rerr != nil {
		w.fail(errors.Join(err, rerr))
		return
	}
	w.e.step("outcome-stored")
	for _, p := range f.parcels {
		for _, t := range p.touchpoints {
			delete(w.taken, t.Key) // what is due still is read anew
		}
	}
	if len(r.dead) > 0 {
		w.join(nil)
	}
	for object := range f.probe {
		if err := w.e.inconclusive(record, object); err != nil {
			w.fail(err)
		}
	}
	if r.stopped != nil {
		w.fail(r.stopped)
	}
	switch classOf(err) { // what else a request is refused for, its rows have
	case salesforce.Retry:
		w.countFailure(err)
		if e, ok := errors.AsType[*salesforce.Error](err); !ok || !w.passesNot(f, e) {
			w.fail(err)
		}
	case salesforce.StopCalls, salesforce.Canceled:
		w.fail(err)
	case salesforce.Split:
		if w.late != nil {
			if w.lateness++; w.lateness >= mostLate {
				w.fail(err)
			}
		}
	}
}

// passesNot reports whether an error that passes as a rule is taken for one of the records
// of its request: it has come in several cycles while the org answered queries, or the record
// is known for it.
func (w *writer) passesNot(f *flight, err *salesforce.Error) bool {
	if !w.read || !countsAsFailure(err) {
		return false
	}
	if w.e.fails >= failsToHalve {
		return true
	}
	n := 0
	for i := range f.parcels {
		for row := range len(f.parcels[i].whos) + len(f.parcels[i].touchpoints) {
			if n++; n > 1 || !w.e.suspects[f.parcels[i].name(row)] {
				return false
			}
		}
	}
	return n == 1
}

// countFailure counts the cycle as one in which requests failed whole.
func (w *writer) countFailure(err error) {
	if e, ok := errors.AsType[*salesforce.Error](err); ok && w.read && !w.counted && countsAsFailure(e) {
		w.counted = true
		w.e.fails++
	}
}

// countsAsFailure reports an error that one record can be the reason of.
func countsAsFailure(e *salesforce.Error) bool {
	return classOf(e) == salesforce.Retry && (e.Unknown || e.Status >= 500 || e.Status/100 == 2)
}

// allFailed is what became of each record of a request that never was one.
func (f *flight) allFailed(err error) [][]salesforce.Result {
	e, ok := errors.AsType[*salesforce.Error](err)
	if !ok {
		e = &salesforce.Error{Op: "upsert", Err: err}
	}
	all := make([][]salesforce.Result, len(f.parcels))
	for i, p := range f.parcels {
		all[i] = slices.Repeat([]salesforce.Result{{Err: e}}, len(p.whos)+len(p.touchpoints))
	}
	return all
}
