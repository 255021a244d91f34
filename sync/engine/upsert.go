package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

const (
	// collectionsPerCall is how many collections one composite call takes.
	collectionsPerCall = 5
	// dueAtOnce bounds how many touchpoints are held in memory.
	dueAtOnce = 10000
	// smallest is the size below which a collection is not halved any further.
	smallest = 1
	// firstRetry and lastRetry bound the pause between attempts; it doubles.
	firstRetry = 30 * time.Second
	lastRetry  = time.Hour
	// attemptsToPark is how often an error that may pass is tried before a person must look.
	attemptsToPark = 10
	// parkedRetry is when a parked touchpoint is tried again by itself.
	parkedRetry = 24 * time.Hour
)

// upsert sends what is due until nothing is.
func (e *Engine) upsert(ctx context.Context, s *Summary) error {
	if _, err := e.cfg.Store.ReleaseParked(ctx, e.now(), nil); err != nil {
		return err
	}
	for ctx.Err() == nil {
		due, err := e.cfg.Store.Due(e.now(), dueAtOnce)
		if err != nil || len(due) == 0 {
			return err
		}
		if err := e.send(ctx, due, s); err != nil {
			return fmt.Errorf("upsert: %w", err)
		}
	}
	return ctx.Err()
}

// A parcel is one collection on its way: touchpoints, or the persons that they link to.
type parcel struct {
	batch       salesforce.Batch
	touchpoints []store.Touchpoint // in the order of the batch; nil for persons
	whos        []string           // likewise, for persons
}

func (e *Engine) send(ctx context.Context, due []store.Touchpoint, s *Summary) error {
	// Rows of one parent travel together: two calls at once would fight for its lock.
	slices.SortStableFunc(due, func(a, b store.Touchpoint) int { return cmp.Compare(a.Who, b.Who) })
	gone := slices.IndexFunc(due, func(t store.Touchpoint) bool { return t.Delete })
	if gone >= 0 {
		var err error
		if due, err = e.remove(ctx, due, s); err != nil {
			return err
		}
	}
	persons, err := e.persons(ctx, due)
	if err != nil {
		return err
	}
	parcels := e.pack(due, persons)
	for len(parcels) > 0 {
		n := min(collectionsPerCall, len(parcels))
		err := e.deliver(ctx, parcels[:n], s)
		if salesforce.Classify(err) == salesforce.Split && e.halve() {
			parcels = split(parcels, e.size)
			continue
		}
		if err != nil {
			return err
		}
		parcels = parcels[n:]
	}
	return nil
}

// pack makes collections: persons first, then the touchpoints that refer to them.
func (e *Engine) pack(due []store.Touchpoint, persons map[string]store.Person) []parcel {
	var parcels []parcel
	if e.cfg.Persons == PersonsCreate {
		var missing []string
		for who, p := range persons {
			if p.RecordID == "" {
				missing = append(missing, who)
			}
		}
		slices.Sort(missing)
		for whos := range slices.Chunk(missing, e.size) {
			p := parcel{batch: salesforce.Batch{Object: personObject, ExternalID: personKey}, whos: whos}
			for _, who := range whos {
				p.batch.Records = append(p.batch.Records, personRecord(who))
			}
			parcels = append(parcels, p)
		}
	}
	for some := range slices.Chunk(due, e.size) {
		p := parcel{batch: salesforce.Batch{Object: e.cfg.TouchpointObject, ExternalID: e.cfg.ExternalID}, touchpoints: some}
		for _, t := range some {
			record := maps.Clone(t.Values)
			record[e.cfg.ExternalID] = t.Key
			if t.PersonField != "" {
				e.link(record, t, persons)
			}
			p.batch.Records = append(p.batch.Records, record)
		}
		parcels = append(parcels, p)
	}
	return parcels
}

// halve makes collections smaller where the org's triggers cannot take them.
func (e *Engine) halve() bool {
	if e.size <= smallest {
		return false
	}
	e.size = max(smallest, e.size/2)
	e.cfg.Log.Warn("the org cannot take so many records at once: sending fewer", "records", e.size)
	return true
}

// split cuts parcels down to size.
func split(parcels []parcel, size int) []parcel {
	var smaller []parcel
	for _, p := range parcels {
		for from := 0; from < len(p.batch.Records); from += size {
			to := min(from+size, len(p.batch.Records))
			part := parcel{batch: p.batch}
			part.batch.Records = p.batch.Records[from:to]
			if p.whos != nil {
				part.whos = p.whos[from:to]
			} else {
				part.touchpoints = p.touchpoints[from:to]
			}
			smaller = append(smaller, part)
		}
	}
	return smaller
}

// deliver sends up to five parcels in one call and records what became of each row.
func (e *Engine) deliver(ctx context.Context, parcels []parcel, s *Summary) error {
	var batches []salesforce.Batch
	var all []store.Touchpoint
	for _, p := range parcels {
		batches = append(batches, p.batch)
		all = append(all, p.touchpoints...)
	}
	if err := e.cfg.Store.Begin(ctx, all); err != nil {
		return err
	}
	e.step("intent-stored")
	results, err := e.cfg.Org.Upsert(ctx, batches)
	e.step("answered")
	// The answer is recorded even if we are told to stop: losing it costs another write.
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err != nil {
		return errors.Join(err, e.postpone(record, all, err))
	}
	var outcomes []store.Outcome
	var persons []store.Person
	for i, p := range parcels {
		for j, r := range results[i] {
			if p.whos != nil {
				if r.Err == nil {
					persons = append(persons, store.Person{Who: p.whos[j], RecordID: r.ID})
				}
				continue
			}
			outcomes = append(outcomes, e.outcome(p.touchpoints[j], r))
			if r.Err == nil {
				s.TouchpointsWritten++
			}
		}
	}
	if err := e.cfg.Store.PutPersons(record, persons); err != nil {
		return err
	}
	err = e.cfg.Store.Finish(record, e.now(), outcomes)
	e.step("outcome-stored")
	return err
}

// outcome says what to do about one row's answer.
func (e *Engine) outcome(t store.Touchpoint, r salesforce.Result) store.Outcome {
	o := store.Outcome{Key: t.Key, Hash: t.Hash, RecordID: r.ID}
	if r.Err == nil {
		o.State = store.Written
		return o
	}
	o.Code, o.Message = r.Err.Code, r.Err.Message
	switch salesforce.Classify(r.Err) {
	case salesforce.Retry, salesforce.WaitParent, salesforce.Split:
		if t.Attempts+1 < attemptsToPark {
			o.State, o.Next = store.Retrying, e.now().Add(e.pause(t.Attempts))
			return o
		}
	case salesforce.StopClass:
		e.forget()
	}
	o.State, o.Next = store.Parked, e.now().Add(parkedRetry)
	return o
}

// pause doubles with every attempt, within bounds, and is spread by a fifth either way.
func (e *Engine) pause(attempts int) time.Duration {
	d := min(lastRetry, firstRetry<<min(attempts, 12))
	return time.Duration(float64(d) * (0.8 + 0.4*e.cfg.Rand.Float64()))
}

// postpone keeps touchpoints due after a call that failed as a whole. What stops every
// call, such as a refused login, leaves them due at once: it is no fault of theirs.
func (e *Engine) postpone(ctx context.Context, all []store.Touchpoint, cause error) error {
	switch salesforce.Classify(cause) {
	case salesforce.StopCalls, salesforce.Canceled, salesforce.Split:
		return nil
	case salesforce.StopClass:
		e.forget()
	}
	var sf *salesforce.Error
	o := store.Outcome{State: store.Retrying}
	if errors.As(cause, &sf) {
		o.Code, o.Message = sf.Code, sf.Message
	}
	outcomes := make([]store.Outcome, len(all))
	for i, t := range all {
		outcomes[i] = o
		outcomes[i].Key, outcomes[i].Hash = t.Key, t.Hash
		outcomes[i].Next = e.now().Add(e.pause(t.Attempts))
	}
	return e.cfg.Store.Finish(ctx, e.now(), outcomes)
}

// remove deletes the records whose basis went, by their ids, and gives back the rest.
func (e *Engine) remove(ctx context.Context, due []store.Touchpoint, s *Summary) ([]store.Touchpoint, error) {
	var gone, rest []store.Touchpoint
	for _, t := range due {
		if t.Delete {
			gone = append(gone, t)
		} else {
			rest = append(rest, t)
		}
	}
	if err := e.findRecords(ctx, gone); err != nil {
		return nil, err
	}
	var outcomes []store.Outcome
	standing := gone[:0]
	for _, t := range gone {
		if t.RecordID == "" {
			outcomes = append(outcomes, store.Outcome{Key: t.Key, Hash: t.Hash, Gone: true})
			continue
		}
		standing = append(standing, t)
	}
	for some := range slices.Chunk(standing, 200) {
		ids := make([]string, len(some))
		for i, t := range some {
			ids[i] = t.RecordID
		}
		results, err := e.cfg.Org.Delete(ctx, ids)
		if err != nil {
			return nil, err
		}
		for i, r := range results {
			if r.Err == nil || r.Err.Code == "ENTITY_IS_DELETED" {
				outcomes = append(outcomes, store.Outcome{Key: some[i].Key, Hash: some[i].Hash, Gone: true})
				continue
			}
			outcomes = append(outcomes, e.outcome(some[i], r))
		}
	}
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return rest, e.cfg.Store.Finish(record, e.now(), outcomes)
}

// findRecords looks up the ids of records that were sent without an answer.
func (e *Engine) findRecords(ctx context.Context, all []store.Touchpoint) error {
	byKey := map[string]*store.Touchpoint{}
	var keys []string
	for i := range all {
		if all[i].RecordID == "" {
			byKey[all[i].Key] = &all[i]
			keys = append(keys, salesforce.Quote(all[i].Key))
		}
	}
	for some := range slices.Chunk(keys, 200) {
		soql := fmt.Sprintf("SELECT Id, %[1]s FROM %[2]s WHERE %[1]s IN (%[3]s)", e.cfg.ExternalID, e.cfg.TouchpointObject, strings.Join(some, ","))
		page, err := e.cfg.Org.Query(ctx, soql, salesforce.QueryOptions{})
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			key, _ := r[e.cfg.ExternalID].(string)
			if t := byKey[key]; t != nil {
				t.RecordID, _ = r["Id"].(string)
			}
		}
	}
	return nil
}
