package engine

import (
	"context"
	"slices"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

const (
	// collectionsPerCall is how many collections one composite call takes.
	collectionsPerCall = 5
	// growAfter is how many full collections must go well before they may get larger again.
	growAfter = 20
)

// A parcel is one collection on its way: touchpoints without their content, or the Leads
// and Contacts whose persons are created.
type parcel struct {
	object      string
	touchpoints []store.Touchpoint // in the order of the batch; nil for persons
	whos        []string           // likewise, for persons
	modes       []mode             // of touchpoints
	masters     []string           // record ids of the persons that travel along; empty where they go by key
}

// name is the key of a row's touchpoint, or the Lead or Contact of its person.
func (p *parcel) name(row int) string {
	if p.whos != nil {
		return p.whos[row]
	}
	return p.touchpoints[row].Key
}

// pack makes collections of a cargo: persons first, then the touchpoints that refer to them.
func (w *writer) pack(c cargo) (parcels []parcel, batches []salesforce.Batch) {
	for whos := range slices.Chunk(c.whos, c.size) {
		b := salesforce.Batch{Object: personObject, ExternalID: personKey}
		for _, who := range whos {
			b.Records = append(b.Records, salesforce.Row{Fields: personRecord(who)})
		}
		parcels, batches = append(parcels, parcel{object: personObject, whos: whos}), append(batches, b)
	}
	for rows := range slices.Chunk(c.rows, c.size) {
		p := parcel{object: w.e.cfg.TouchpointObject}
		b := salesforce.Batch{Object: p.object, ExternalID: w.e.cfg.ExternalID}
		for _, t := range rows {
			record := map[string]any{w.e.cfg.ExternalID: t.Key}
			mode, master := w.modeOf(&t.Touchpoint), ""
			if mode == create && !w.e.mistaken("person forgotten on create") || mode == update && w.e.mistaken("person sent on update") {
				w.link(record, t.Touchpoint)
				master = w.persons[t.Who].RecordID
			}
			b.Records = append(b.Records, salesforce.Row{Fields: record, Content: t.Content})
			light := t.Touchpoint
			light.Content = nil // two calls on their way must not need twice the memory
			p.touchpoints, p.modes, p.masters = append(p.touchpoints, light), append(p.modes, mode), append(p.masters, master)
		}
		parcels, batches = append(parcels, p), append(batches, b)
	}
	return parcels, batches
}

// verify asks, in the same call, from which person records hang that the store does not know
// to exist. Where there is no room they are asked for within the hour.
func (w *writer) verify(parcels []parcel) (soqls []string, places placeFinder) {
	var all []store.Touchpoint
	for _, p := range parcels {
		for i, m := range p.modes {
			if t := p.touchpoints[i]; m == update && t.Master == "" {
				all = append(all, t)
			}
		}
	}
	places = placeFinder{}
	for some := range slices.Chunk(all, idsPerQuery) {
		soqls = append(soqls, w.e.placeQuery(some))
	}
	if len(parcels)+len(soqls) > collectionsPerCall {
		soqls = nil
	}
	return soqls, places
}

// capacity is what the org's triggers took at once, kept over restarts.
type capacity struct {
	Size  int `json:"size"`            // records of a collection
	Rows  int `json:"rows,omitempty"`  // records of a request
	Fails int `json:"fails,omitempty"` // cycles whose requests failed whole, see failsToHalve
}

func (e *Engine) keepCapacity(ctx context.Context) error {
	return e.cfg.Store.SetState(ctx, "capacity", capacity{e.size, e.rows, e.fails})
}

// shrink halves requests where Salesforce did not answer in time. Of several requests of one
// size, only the first that fails halves it.
func (e *Engine) shrink(ctx context.Context, sent int) error {
	if e.fast = 0; e.rows <= 1 || e.rows < sent {
		return nil
	}
	e.rows = max(1, min(e.rows, sent)/2)
	e.cfg.Log.Warn("Salesforce did not answer in time: request size halved", "records", e.rows)
	return e.keepCapacity(ctx)
}

// growRequests doubles requests again after enough of the present size were answered.
func (e *Engine) growRequests(ctx context.Context, sent int) error {
	if most := collectionsPerCall * e.cfg.BatchSize; e.rows < most && sent >= e.rows {
		if e.fast++; e.fast >= growAfter {
			e.rows, e.fast = min(most, 2*e.rows), 0
			e.cfg.Log.Info("Salesforce answers in time: request size doubled", "records", e.rows)
			return e.keepCapacity(ctx)
		}
	}
	return nil
}

// halve makes collections smaller where the org's triggers cannot take them. Of several
// calls that were packed alike the first to fail does.
func (e *Engine) halve(ctx context.Context, packed int) error {
	if e.size <= 1 || e.size < packed {
		return nil
	}
	e.size, e.good = e.size/2, 0
	e.cfg.Log.Warn("the org cannot take so many records at once: sending fewer", "records", e.size)
	return e.keepCapacity(ctx)
}

// grow lets collections get larger again after enough of the present size went well.
func (e *Engine) grow(ctx context.Context, rows int) error {
	if e.size >= e.cfg.BatchSize || rows < e.size {
		return nil
	}
	if e.good++; e.good < growAfter {
		return nil
	}
	e.size, e.good = min(e.cfg.BatchSize, 2*e.size), 0
	e.cfg.Log.Info("the org took every record: sending more at once", "records", e.size)
	return e.keepCapacity(ctx)
}

// crowd has calls follow each other where others lock the same records, or where the org
// has too many long requests at once. After enough quiet calls it lets one more beside.
func (e *Engine) crowd(met bool) {
	switch e.calm++; {
	case met && e.writers > 1:
		e.writers, e.calm = 1, 0
		e.cfg.Log.Info("records are locked, or the org is crowded: one write call at a time")
	case met:
		e.calm = 0
	case e.calm >= growAfter && e.writers < mostWriters:
		e.writers, e.calm = e.writers+1, 0
	}
}
