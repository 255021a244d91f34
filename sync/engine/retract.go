package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

// Retracted counts what callpoint wrote, and whether it was taken back.
type Retracted struct {
	Touchpoints int  `json:"touchpoints"`
	Persons     int  `json:"persons"` // to which no other touchpoint belongs
	Done        bool `json:"done"`
}

// String is one line for people.
func (r Retracted) String() string {
	what := fmt.Sprintf("%d touchpoints and %d persons of callpoint", r.Touchpoints, r.Persons)
	if r.Done {
		return what + " deleted; they stay away until callpoint retract --undo"
	}
	return what + " stand in Salesforce"
}

// ownRecord is a record that callpoint created.
type ownRecord struct{ id, key string }

// Retract deletes callpoint's own records, known by the prefix of their keys, that were
// created since a time; zero means all. Without do it only counts them. What was taken
// back is not written again until Restore.
func (e *Engine) Retract(ctx context.Context, since time.Time, do bool) (r Retracted, err error) {
	err = e.alone(ctx, func() error {
		if err := e.prepare(ctx); err != nil {
			return err
		}
		touchpoints, err := e.own(ctx, e.cfg.TouchpointObject, e.cfg.ExternalID, since)
		if err != nil {
			return fmt.Errorf("find records: %w", err)
		}
		persons, err := e.ownPersons(ctx, since, touchpoints)
		if err != nil {
			return fmt.Errorf("find persons: %w", err)
		}
		r.Touchpoints, r.Persons = len(touchpoints), len(persons)
		if !do {
			return nil
		}
		if e.cfg.DryRun {
			return fmt.Errorf("CALLPOINT_DRY_RUN is set: nothing is deleted")
		}
		if err := e.takeBack(ctx, touchpoints, e.cfg.Store.Retract); err != nil {
			return err
		}
		err = e.takeBack(ctx, persons, func(ctx context.Context, keys []string) error {
			for i, key := range keys {
				keys[i] = strings.TrimPrefix(key, store.CallKey(""))
			}
			return e.cfg.Store.ForgetPersons(ctx, keys)
		})
		r.Done = err == nil
		return err
	})
	return r, err
}

// Restore undoes a Retract: the next cycle writes the records again.
func (e *Engine) Restore(ctx context.Context) (n int, err error) {
	err = e.alone(ctx, func() error {
		n, err = e.cfg.Store.Restore(ctx, e.local())
		return err
	})
	return n, err
}

func (e *Engine) own(ctx context.Context, object, key string, since time.Time) (all []ownRecord, err error) {
	err = e.queryMany(ctx, []string{ownRecords(object, key, []string{key}, since)}, false, func(r salesforce.Record) error {
		id, _ := r["Id"].(string)
		k, _ := r[key].(string)
		all = append(all, ownRecord{id, k})
		return nil
	})
	return all, err
}

// ownPersons finds the persons that callpoint created and that nothing but the records
// to be deleted belongs to.
func (e *Engine) ownPersons(ctx context.Context, since time.Time, touchpoints []ownRecord) ([]ownRecord, error) {
	persons, err := e.own(ctx, personObject, personKey, since)
	if err != nil {
		return nil, err
	}
	goes := map[string]bool{}
	for _, t := range touchpoints {
		goes[t.id] = true
	}
	const link = "bizible2__Bizible_Person__c"
	if _, ok := e.schema.Objects[e.cfg.TouchpointObject].Field(link); !ok {
		return nil, nil // nobody can tell what else belongs to them
	}
	var soqls []string
	for some := range slices.Chunk(persons, idsPerQuery) {
		var ids []string
		for _, p := range some {
			ids = append(ids, salesforce.Quote(p.id))
		}
		soqls = append(soqls, fmt.Sprintf("SELECT Id, %s FROM %s WHERE %[1]s IN (%[3]s)", link, e.cfg.TouchpointObject, strings.Join(ids, ",")))
	}
	needed := map[string]bool{}
	err = e.queryMany(ctx, soqls, false, func(r salesforce.Record) error {
		id, _ := r["Id"].(string)
		if who, _ := r[link].(string); !goes[id] {
			needed[who] = true
		}
		return nil
	})
	return slices.DeleteFunc(persons, func(p ownRecord) bool { return needed[p.id] }), err
}

// takeBack deletes records and notes it, some at a time: a stop in between leaves the
// rest for another run.
func (e *Engine) takeBack(ctx context.Context, records []ownRecord, note func(context.Context, []string) error) error {
	for some := range slices.Chunk(records, rowsPerCall) {
		ids := make([]string, len(some))
		for i, r := range some {
			ids[i] = r.id
		}
		results, err := e.cfg.Org.Delete(ctx, ids)
		if err != nil {
			return fmt.Errorf("delete: %w", err)
		}
		var keys []string
		var refused error
		for i, r := range results {
			if r.Err == nil || gone(r.Err) {
				keys = append(keys, some[i].key)
			} else if refused == nil {
				refused = fmt.Errorf("delete %s: %w", some[i].key, r.Err)
			}
		}
		record, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
		err = note(record, keys)
		cancel()
		if err != nil {
			return err
		}
		if refused != nil {
			return refused
		}
	}
	return nil
}
