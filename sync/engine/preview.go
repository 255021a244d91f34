package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

// What a dry run would do with a record.
const (
	WouldCreate = "create"
	WouldChange = "change"
	WouldDelete = "delete"
	WouldLeave  = "leave" // it stands as it should
	WouldTell   = "tell"  // a Task gets the reason of its call
)

// previewAtOnce is how many records are compared at a time: one call looks them up.
const previewAtOnce = collectionsPerCall * idsPerQuery

// A PreviewRecord is what would become of one record.
type PreviewRecord struct {
	Action string                 `json:"action"`
	Key    string                 `json:"key,omitempty"` // of a touchpoint
	TaskID string                 `json:"task_id,omitempty"`
	Fields map[string]FieldChange `json:"fields,omitempty"`
}

// A Preview is what the next cycle would write. Salesforce was only read.
type Preview struct {
	Create  int             `json:"create"`
	Change  int             `json:"change"`
	Delete  int             `json:"delete"`
	Leave   int             `json:"leave"`
	Persons int             `json:"persons"` // to be created
	Reasons int             `json:"reasons"` // to be written on Tasks
	Records []PreviewRecord `json:"records"`
}

// Preview compares what is due, field by field, with what Salesforce holds now.
func (e *Engine) Preview(ctx context.Context) (p Preview, err error) {
	p.Records = []PreviewRecord{}
	err = e.alone(ctx, func() error {
		if err := e.prepare(ctx); err != nil {
			return err
		}
		due, err := e.cfg.Store.Due(e.local(), 1<<30)
		if err != nil {
			return err
		}
		for some := range slices.Chunk(due, previewAtOnce) {
			if err := e.preview(ctx, some, &p); err != nil {
				return fmt.Errorf("dry run: %w", err)
			}
		}
		return e.previewReasons(&p)
	})
	return p, err
}

// previewReasons lists the Tasks whose reason would be written. Their present reason is what callpoint
// wrote last: they are not read again.
func (e *Engine) previewReasons(p *Preview) error {
	if e.reasonField == "" {
		return nil
	}
	due, err := e.cfg.Store.DueReasons(e.local(), 1<<30)
	for _, r := range due {
		change := FieldChange{To: r.Want}
		if r.Written != "" {
			change.From = r.Written
		}
		p.Records = append(p.Records, PreviewRecord{Action: WouldTell, TaskID: r.TaskID, Fields: map[string]FieldChange{taskObject + "." + r.Field: change}})
	}
	p.Reasons = len(due)
	return err
}

func (e *Engine) preview(ctx context.Context, due []store.Touchpoint, p *Preview) error {
	persons, missing, err := e.previewPersons(ctx, due)
	if err != nil {
		return err
	}
	p.Persons += missing
	var soqls []string
	for some := range slices.Chunk(due, idsPerQuery) {
		var keys []string
		for _, t := range some {
			keys = append(keys, salesforce.Quote(t.Key))
		}
		soqls = append(soqls, fmt.Sprintf("SELECT Id, %s FROM %s WHERE %s IN (%s)",
			strings.Join(e.recordFields(), ", "), e.cfg.TouchpointObject, e.cfg.ExternalID, strings.Join(keys, ",")))
	}
	standing := map[string]salesforce.Record{}
	err = e.queryMany(ctx, soqls, false, func(r salesforce.Record) error {
		key, _ := r[e.cfg.ExternalID].(string)
		standing[key] = r
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range due {
		r := PreviewRecord{Action: WouldCreate, Key: t.Key, TaskID: t.TaskID}
		record, stands := standing[t.Key]
		switch {
		case t.Delete && !stands:
			continue
		case t.Delete:
			r.Action = WouldDelete
			p.Delete++
		case e.cfg.Persons == PersonsReuse && t.PersonField != "" && persons[t.Who].RecordID == "":
			continue // it waits for its person
		case stands:
			r.Action = WouldChange
			if r.Fields = changes(t, record, persons); len(r.Fields) == 0 {
				r.Action = WouldLeave
				p.Leave++
			} else {
				p.Change++
			}
		default:
			p.Create++
			r.Fields = map[string]FieldChange{}
			for field, v := range t.Values() {
				if v != nil {
					r.Fields[field] = FieldChange{nil, v}
				}
			}
			if t.PersonField != "" && t.Who != "" {
				r.Fields[t.PersonField] = FieldChange{nil, "person of " + t.Who}
			}
		}
		p.Records = append(p.Records, r)
	}
	return nil
}

// previewPersons finds the persons of touchpoints without changing any, and how many
// would be created.
func (e *Engine) previewPersons(ctx context.Context, due []store.Touchpoint) (map[string]store.Person, int, error) {
	var whos []string
	for _, t := range due {
		if t.PersonField != "" && t.Who != "" && !t.Delete {
			whos = append(whos, t.Who)
		}
	}
	slices.Sort(whos)
	whos = slices.Compact(whos)
	persons, err := e.cfg.Store.Persons(whos)
	if err != nil {
		return nil, 0, err
	}
	unknown := slices.DeleteFunc(whos, func(who string) bool { return persons[who].RecordID != "" })
	found, err := e.lookUpPersons(ctx, unknown, nil)
	if err != nil {
		return nil, 0, err
	}
	missing := 0
	for _, who := range unknown {
		persons[who] = store.Person{Who: who, RecordID: found.persons[who]}
		if found.persons[who] == "" && e.cfg.Persons == PersonsCreate {
			missing++
		}
	}
	return persons, missing, nil
}

// tellDryRun logs how much waits, where that changed.
func (e *Engine) tellDryRun() error {
	b, err := e.cfg.Store.Backlog()
	if err == nil && b.Due != e.waiting {
		e.waiting = b.Due
		e.cfg.Log.Info("dry run: touchpoints wait, nothing is written; --sync-once shows each", "waiting", b.Due)
	}
	return err
}
