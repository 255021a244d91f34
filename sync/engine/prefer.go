package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"callpoint/store"
)

// preferPersons compares the persons that are remembered with those of the org. Where Marketo
// Measure made one for somebody who had only ours, its records move there with fix.
func (e *Engine) preferPersons(ctx context.Context, fix bool, r *Reconciled) error {
	changed := map[string]store.Person{}
	dead := map[string]bool{}
	err := e.cfg.Store.EachPerson(func(known []store.Person) error {
		known = slices.DeleteFunc(known, func(p store.Person) bool { return p.RecordID == "" })
		whos := make([]string, len(known))
		for i, p := range known {
			whos[i] = p.Who
		}
		found, err := e.lookUpPersons(ctx, whos, nil)
		if err != nil {
			return err
		}
		for _, p := range known {
			switch id := found.persons[p.Who]; id {
			case p.RecordID:
			case "":
				dead[p.RecordID] = true
			default:
				changed[p.Who] = found.person(p.Who)
				r.note(Difference{Kind: PersonChanged, Key: p.Who, Fields: map[string]FieldChange{personObject: {p.RecordID, id}}})
			}
		}
		e.progress.move(e.cfg.Now())
		return nil
	})
	r.PersonsChanged = len(changed)
	if err != nil || !fix {
		return err
	}
	if len(dead) > 0 {
		if _, err := e.cfg.Store.LosePersons(ctx, e.local(), dead); err != nil {
			return err
		}
	}
	return e.cfg.Store.ChangePersons(ctx, e.local(), changed)
}

// removePersons deletes the persons that callpoint made, that another one has replaced, and
// from which nothing hangs any more.
func (e *Engine) removePersons(ctx context.Context, r *Reconciled) error {
	kept, replaced := map[string]bool{}, map[string]string{}
	err := e.cfg.Store.EachPerson(func(known []store.Person) error {
		for _, p := range known {
			kept[p.RecordID], replaced[store.CallKey(p.Who)] = true, p.RecordID
		}
		return nil
	})
	if err != nil {
		return err
	}
	free, err := e.ownPersons(ctx, time.Time{}, nil)
	if err != nil {
		return fmt.Errorf("find persons: %w", err)
	}
	free = slices.DeleteFunc(free, func(p ownRecord) bool { return kept[p.id] || replaced[p.key] == "" })
	return e.takeBack(ctx, free, func(_ context.Context, keys []string) error {
		r.PersonsRemoved += len(keys)
		if len(keys) > 0 {
			e.cfg.Log.Info("Bizible Persons of callpoint were deleted: others took their place", "keys", strings.Join(keys, " "))
		}
		return nil
	})
}
