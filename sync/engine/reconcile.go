package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

const (
	// reconcileEvery is how often the daemon compares store and org.
	reconcileEvery = 7 * 24 * time.Hour
	// listed bounds how many differences are kept one by one.
	listed = 1000
	// manyPurged and purgedShare are when missing Tasks look like a lost permission rather
	// than like Tasks that were purged: the daemon mends nothing then.
	manyPurged  = 20
	purgedShare = 0.1
)

// Kinds of differences between store and org.
const (
	RecordGone    = "gone"        // a record that was written is not there
	RecordEdited  = "edited"      // its fields differ
	RecordStray   = "stray"       // it has our key, and the store does not know it
	PersonChanged = "person"      // somebody has a Bizible Person that goes before the one in use
	TaskPurged    = "task_purged" // the org holds the Task no more, not even in its recycle bin
)

// A Difference is one thing that differs between org and store.
type Difference struct {
	Kind   string                 `json:"kind"`
	Key    string                 `json:"key,omitempty"`
	TaskID string                 `json:"task_id,omitempty"`
	Fields map[string]FieldChange `json:"fields,omitempty"`
}

// Reconciled is the outcome of a comparison.
type Reconciled struct {
	Records        int          `json:"records"` // of callpoint, in the org
	Tasks          int          `json:"tasks"`   // asked for
	Gone           int          `json:"gone"`
	Edited         int          `json:"edited"`
	Stray          int          `json:"stray"`
	TasksPurged    int          `json:"tasks_purged"`
	TasksChanged   int          `json:"tasks_changed"`   // a poll had missed something of them
	TasksUnread    int          `json:"tasks_unread"`    // that the store lacks
	PersonsChanged int          `json:"persons_changed"` // another Bizible Person goes before the one in use
	PersonsRemoved int          `json:"persons_removed"` // of callpoint, replaced and without a record
	Fixed          bool         `json:"fixed"`
	Differences    []Difference `json:"differences"` // the first thousand

	fixing bool // what differs is to be mended
}

// Differs reports whether anything is to be mended.
func (r Reconciled) Differs() bool {
	return r.Gone+r.Edited+r.TasksPurged+r.TasksChanged+r.TasksUnread+r.PersonsChanged > 0
}

// String is one line for people.
func (r Reconciled) String() string {
	done := "nothing was changed: --fix mends"
	switch {
	case r.Fixed:
		done = "mended"
	case !r.Differs():
		done = "nothing to mend"
	}
	if r.PersonsChanged+r.PersonsRemoved > 0 {
		done = fmt.Sprintf("%d persons replaced by another, %d of callpoint deleted; %s", r.PersonsChanged, r.PersonsRemoved, done)
	}
	return fmt.Sprintf("%d records and %d Tasks compared: %d records gone, %d edited, %d unknown to the store; %d Tasks purged, %d changed unseen, %d never read; %s",
		r.Records, r.Tasks, r.Gone, r.Edited, r.Stray, r.TasksPurged, r.TasksChanged, r.TasksUnread, done)
}

func (r *Reconciled) note(d Difference) {
	if len(r.Differences) < listed {
		r.Differences = append(r.Differences, d)
	}
}

// Reconcile compares the store with the org: records gone or edited by hand, Tasks that
// were deleted for good, and Tasks that were never read. With fix it mends: what was purged counts as deleted, and what
// does not stand as it should is written again.
func (e *Engine) Reconcile(ctx context.Context, fix bool) (r Reconciled, err error) {
	err = e.alone(ctx, func() error {
		if err := e.prepare(ctx); err != nil {
			return err
		}
		r, err = e.reconcile(ctx, fix, false)
		return err
	})
	return r, err
}

func (e *Engine) reconcile(ctx context.Context, fix, careful bool) (r Reconciled, err error) {
	r.Differences, r.fixing = []Difference{}, fix
	purged, err := e.purgedTasks(ctx, fix, &r)
	if err != nil {
		return r, fmt.Errorf("compare tasks: %w", err)
	}
	if careful && r.TasksPurged > manyPurged && float64(r.TasksPurged) > purgedShare*float64(r.Tasks) {
		e.cfg.Log.Error("many Tasks are gone: was a permission lost? Nothing is mended; callpoint reconcile --fix does", "tasks", r.TasksPurged, "of", r.Tasks)
		return r, nil
	}
	if err := e.unreadTasks(ctx, fix, &r); err != nil {
		return r, fmt.Errorf("look for tasks that were never read: %w", err)
	}
	if err := e.preferPersons(ctx, fix, &r); err != nil {
		return r, fmt.Errorf("compare persons: %w", err)
	}
	gone, edited, err := e.wrongRecords(ctx, &r)
	if err != nil {
		return r, fmt.Errorf("compare records: %w", err)
	}
	if !fix {
		return r, nil
	}
	if _, err := e.cfg.Store.MarkDeleted(ctx, purged); err != nil {
		return r, err
	}
	if err := e.cfg.Store.Resend(ctx, gone, e.local(), true); err != nil {
		return r, err
	}
	if err := e.cfg.Store.Resend(ctx, edited, e.local(), false); err != nil {
		return r, err
	}
	w := e.newWriter(&Summary{})
	if err = e.resolve(ctx, w); err == nil && !e.cfg.DryRun {
		err = e.drain(ctx, w)
	}
	w.land()
	if err = errors.Join(err, w.err); err == nil && !e.cfg.DryRun {
		err = e.removePersons(ctx, &r)
	}
	r.Fixed = err == nil
	return r, err
}

// purgedTasks asks for every known Task by its id. What changed meanwhile is taken in
// with fix.
func (e *Engine) purgedTasks(ctx context.Context, fix bool, r *Reconciled) (purged []string, err error) {
	err = e.cfg.Store.EachTaskID(func(ids []string) error {
		changed, missing, err := e.readByID(ctx, ids, time.Time{}, fix)
		if err != nil {
			return err
		}
		r.Tasks += len(ids)
		r.TasksChanged += changed
		r.TasksPurged += len(missing)
		for _, id := range missing {
			r.note(Difference{Kind: TaskPurged, TaskID: id})
		}
		purged = append(purged, missing...)
		e.moveOn()
		return nil
	})
	return purged, err
}

// wrongRecords compares every record with our keys, and what the store holds for written.
func (e *Engine) wrongRecords(ctx context.Context, r *Reconciled) (gone, edited []string, err error) {
	standing := map[string]bool{}
	soql := ownRecords(e.cfg.TouchpointObject, e.cfg.ExternalID, e.recordFields(), time.Time{})
	page, err := e.cfg.Org.Query(ctx, soql, salesforce.QueryOptions{})
	for asked := (trail{}); err == nil; page, err = asked.page(ctx, e.cfg.Org, page.Next) {
		var wrong []string
		if wrong, err = e.comparePage(ctx, page.Records, standing, r); err != nil {
			break
		}
		edited = append(edited, wrong...)
		e.moveOn()
		if page.Next == "" {
			break
		}
	}
	if err != nil {
		return nil, nil, err
	}
	err = e.cfg.Store.EachTouchpoint(func(t store.Touchpoint) error {
		if comparable(t) && !standing[t.Key] {
			r.Gone++
			r.note(Difference{Kind: RecordGone, Key: t.Key, TaskID: t.TaskID})
			gone = append(gone, t.Key)
		}
		return nil
	})
	return gone, edited, err
}

// comparable reports whether the store has the content that the record should hold. It has
// not for a touchpoint that is in flight, retracted, or whose visitor was erased.
func comparable(t store.Touchpoint) bool {
	return (t.State == store.Written || t.State == store.Unchanged) && t.Hash != "" && !t.Frozen && !t.Retracted && !t.Delete
}

func (e *Engine) comparePage(ctx context.Context, records []salesforce.Record, standing map[string]bool, r *Reconciled) (edited []string, err error) {
	keys := make([]string, len(records))
	for i, record := range records {
		keys[i], _ = record[e.cfg.ExternalID].(string)
		standing[keys[i]] = true
	}
	known, err := e.cfg.Store.Touchpoints(keys)
	if err != nil {
		return nil, err
	}
	var whos []string
	for _, t := range known {
		whos = append(whos, t.Who)
	}
	persons, err := e.cfg.Store.Persons(whos)
	if err == nil && e.cfg.Persons == PersonsReuse {
		err = e.latePersons(ctx, whos, persons)
	}
	if err != nil {
		return nil, err
	}
	var places []store.Place
	r.Records += len(records)
	for i, record := range records {
		t, ok := known[keys[i]]
		if !ok {
			r.Stray++
			r.note(Difference{Kind: RecordStray, Key: keys[i]})
			continue
		}
		if !comparable(t) {
			continue
		}
		places = append(places, e.placeOf(t, record, persons))
		if fields := changes(t, record, persons); len(fields) > 0 {
			r.Edited++
			r.note(Difference{Kind: RecordEdited, Key: t.Key, TaskID: t.TaskID, Fields: fields})
			edited = append(edited, t.Key)
		}
	}
	if !r.fixing {
		return edited, nil
	}
	return edited, e.cfg.Store.PutPlaces(ctx, e.local(), slices.DeleteFunc(places, func(p store.Place) bool { return p.RecordID == "" }))
}

// placeOf returns where a record was found.
func (e *Engine) placeOf(t store.Touchpoint, record salesforce.Record, persons map[string]store.Person) (p store.Place) {
	if t.PersonField == "" {
		return p
	}
	p.Key = t.Key
	p.RecordID, _ = record["Id"].(string)
	p.Master, _ = record[t.PersonField].(string)
	id := persons[t.Who].RecordID
	p.Wrong = id != "" && p.Master != id
	return p
}

// reconcileWeekly does in the daemon what reconcile --fix does by hand. A new store has a
// week before it.
func (e *Engine) reconcileWeekly(ctx context.Context) error {
	return e.alone(ctx, func() error {
		var last time.Time
		if ok, err := e.cfg.Store.State("reconciled", &last); err != nil {
			return err
		} else if !ok {
			return e.cfg.Store.SetState(ctx, "reconciled", e.local())
		}
		if !due(e.local(), last, reconcileEvery) {
			return nil
		}
		r, err := e.reconcile(ctx, true, true)
		if err != nil {
			return fmt.Errorf("weekly comparison with the org: %w", err)
		}
		if r.Differs() {
			e.cfg.Log.Warn("store and org differed", "records_gone", r.Gone, "edited", r.Edited, "tasks_purged", r.TasksPurged,
				"tasks_changed", r.TasksChanged, "tasks_unread", r.TasksUnread, "mended", r.Fixed)
		}
		return e.cfg.Store.SetState(ctx, "reconciled", e.local())
	})
}
