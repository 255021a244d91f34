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

// A parcel is one collection on its way: touchpoints, or the persons that they link to.
type parcel struct {
	batch       salesforce.Batch
	touchpoints []store.Touchpoint // in the order of the batch; nil for persons
	whos        []string           // likewise, for persons
}

// pack makes collections: persons first, then the touchpoints that refer to them.
func (e *Engine) pack(due []store.Touchpoint, x *shipment) []parcel {
	var parcels []parcel
	if e.cfg.Persons == PersonsCreate {
		for whos := range slices.Chunk(e.missing(due, x), e.size) {
			p := parcel{batch: salesforce.Batch{Object: personObject, ExternalID: personKey}, whos: whos}
			for _, who := range whos {
				p.batch.Records = append(p.batch.Records, salesforce.Row{Fields: personRecord(who)})
			}
			parcels = append(parcels, p)
		}
	}
	for some := range slices.Chunk(due, e.size) {
		parcels = append(parcels, e.parcel(some, x))
	}
	return parcels
}

func (e *Engine) parcel(some []store.Touchpoint, x *shipment) parcel {
	p := parcel{batch: salesforce.Batch{Object: e.cfg.TouchpointObject, ExternalID: e.cfg.ExternalID}, touchpoints: some}
	for _, t := range some {
		record := map[string]any{e.cfg.ExternalID: t.Key}
		if t.PersonField != "" {
			e.link(record, t, x)
		}
		p.batch.Records = append(p.batch.Records, salesforce.Row{Fields: record, Content: t.Content})
	}
	return p
}

// missing lists the Leads and Contacts whose person is to be created.
func (e *Engine) missing(due []store.Touchpoint, x *shipment) []string {
	var whos []string
	for _, t := range due {
		if t.PersonField != "" && t.Who != "" && x.persons[t.Who].RecordID == "" && x.refused[t.Who] == nil {
			whos = append(whos, t.Who)
		}
	}
	slices.Sort(whos)
	return slices.Compact(whos)
}

// capacity is how many records the org's triggers took at once, kept over restarts.
type capacity struct {
	Size int `json:"size"`
}

// halve makes collections smaller where the org's triggers cannot take them.
func (e *Engine) halve(ctx context.Context) error {
	if e.size <= 1 {
		return nil
	}
	e.size, e.good = e.size/2, 0
	e.cfg.Log.Warn("the org cannot take so many records at once: sending fewer", "records", e.size)
	return e.cfg.Store.SetState(ctx, "capacity", capacity{e.size})
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
	return e.cfg.Store.SetState(ctx, "capacity", capacity{e.size})
}
