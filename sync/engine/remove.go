package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

// rowsPerCall is how many records one call deletes, or changes by their ids.
const rowsPerCall = 200

// remove deletes the records whose basis went, by their ids.
func (e *Engine) remove(ctx context.Context, gone []store.Touchpoint) error {
	if err := e.findRecords(ctx, gone); err != nil {
		return fmt.Errorf("find records to delete: %w", err)
	}
	var outcomes []store.Outcome
	standing := gone[:0:0]
	for _, t := range gone {
		if t.RecordID == "" {
			outcomes = append(outcomes, store.Outcome{Key: t.Key, Hash: t.Hash, Gone: true})
			continue
		}
		standing = append(standing, t)
	}
	if err := e.cfg.Store.Finish(ctx, e.local(), outcomes); err != nil {
		return err
	}
	for some := range slices.Chunk(standing, rowsPerCall) {
		if err := e.removeSome(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) removeSome(ctx context.Context, some []store.Touchpoint) error {
	ids := make([]string, len(some))
	for i, t := range some {
		ids[i] = t.RecordID
	}
	results, err := e.cfg.Org.Delete(ctx, ids)
	if err != nil && classOf(err) != salesforce.StopClass {
		return fmt.Errorf("delete: %w", err)
	}
	outcomes := make([]store.Outcome, len(some))
	for i, r := range results {
		if r.Err == nil || gone(r.Err) {
			outcomes[i] = store.Outcome{Key: some[i].Key, Hash: some[i].Hash, Gone: true}
		} else {
			outcomes[i] = e.outcome(some[i], r.Err, classOf(r.Err))
		}
	}
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	if err := e.cfg.Store.Finish(record, e.local(), outcomes); err != nil {
		return err
	}
	return nil
}

// gone reports the refusal to delete what is not there any more.
func gone(err *salesforce.Error) bool {
	return err.Code == "ENTITY_IS_DELETED" || err.Code == "INVALID_CROSS_REFERENCE_KEY"
}

// findRecords looks up by their keys which records stand, and under which ids: one may
// have been sent without an answer, or deleted and made anew.
func (e *Engine) findRecords(ctx context.Context, all []store.Touchpoint) error {
	byKey := map[string]*store.Touchpoint{}
	var soqls []string
	for some := range slices.Chunk(all, idsPerQuery) {
		var keys []string
		for i := range some {
			some[i].RecordID = ""
			byKey[strings.ToLower(some[i].Key)] = &some[i]
			keys = append(keys, salesforce.Quote(some[i].Key))
		}
		soqls = append(soqls, fmt.Sprintf("SELECT Id, %[1]s FROM %[2]s WHERE %[1]s IN (%[3]s)",
			e.cfg.ExternalID, e.cfg.TouchpointObject, strings.Join(keys, ",")))
	}
	return e.queryMany(ctx, soqls, false, func(r salesforce.Record) error {
		key, _ := r[e.cfg.ExternalID].(string)
		if t := byKey[strings.ToLower(key)]; t != nil {
			t.RecordID, _ = r["Id"].(string)
		}
		return nil
	})
}
