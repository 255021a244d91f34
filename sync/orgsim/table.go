package orgsim

import (
	"maps"
	"slices"
	"time"
)

// A row is one record. Its maps are never changed, only replaced: a query page
// or an undo may still hold the old one.
type row struct {
	id     string
	fields map[string]any
	// Until visibleAt readers see before, or nothing where it is nil.
	before    map[string]any
	visibleAt time.Time

	deletedWith string    // id of the master whose deletion deleted this record
	deletedBy   *tx       // transaction of the deletion; nil: none, or the org itself
	cleared     []cleared // lookups to this record that its deletion set to null
}

type table struct {
	obj    *Object
	rows   map[string]*row
	order  []*row // by insertion
	number int
	// index holds rows by the folded value of a field, built when a field is
	// first looked up and kept by put.
	index map[*Field]map[string][]*row
}

func newTable(obj *Object) *table {
	return &table{obj: obj, rows: map[string]*row{}, index: map[*Field]map[string][]*row{}}
}

func (t *table) nextNumber() int { t.number++; return t.number }

// find returns the rows, deleted ones too, with this value in an indexed field.
func (t *table) find(f *Field, value any) []*row {
	idx := t.index[f]
	if idx == nil {
		idx = map[string][]*row{}
		for _, r := range t.order {
			if v := r.fields[f.Name]; v != nil {
				idx[f.key(v)] = append(idx[f.key(v)], r)
			}
		}
		t.index[f] = idx
	}
	return idx[f.key(value)]
}

func (t *table) reindex(r *row, old, rec map[string]any) {
	for f, idx := range t.index {
		if v := old[f.Name]; v != nil {
			k := f.key(v)
			idx[k] = slices.DeleteFunc(idx[k], func(other *row) bool { return other == r })
		}
		if v := rec[f.Name]; v != nil {
			idx[f.key(v)] = append(idx[f.key(v)], r)
		}
	}
}

// drop removes a row for good.
func (t *table) drop(r *row) {
	t.reindex(r, r.fields, nil)
	delete(t.rows, r.id)
	t.order = slices.DeleteFunc(t.order, func(other *row) bool { return other == r })
}

// A tx is the transaction of one HTTP request: it has one CPU limit and can be rolled
// back.
type tx struct {
	cpu       time.Duration
	undo      []func()
	allOrNone bool
}

// rollback takes back everything since mark.
func (x *tx) rollback(mark int) {
	for len(x.undo) > mark {
		x.undo[len(x.undo)-1]()
		x.undo = x.undo[:len(x.undo)-1]
	}
}

// put makes rec the content of a row, visible at once.
func (o *Org) put(t *table, r *row, rec map[string]any) {
	old := *r
	isNew := t.rows[r.id] == nil
	if isNew {
		t.rows[r.id] = r
		t.order = append(t.order, r)
	}
	t.reindex(r, old.fields, rec)
	r.fields, r.before, r.visibleAt = rec, nil, time.Time{}
	if o.tx == nil {
		return
	}
	o.tx.undo = append(o.tx.undo, func() {
		if isNew {
			t.drop(r)
			return
		}
		t.reindex(r, rec, old.fields)
		*r = old
	})
}

// view is the record as a reader sees it now, or nil.
func (o *Org) view(r *row) map[string]any {
	if r.visibleAt.After(o.cfg.Now()) {
		return r.before
	}
	return r.fields
}

// value reads a field, derived ones too.
func (o *Org) value(f *Field, rec map[string]any) any {
	if f.calc != nil {
		return f.calc(o, rec)
	}
	return rec[f.Name]
}

// target follows a reference to the record that it names.
func (o *Org) target(id any) (*Object, map[string]any) {
	s, _ := id.(string)
	if len(s) < 3 {
		return nil, nil
	}
	t := o.byPrefix[s[:3]]
	if t == nil || t.rows[s] == nil {
		return nil, nil
	}
	return t.obj, o.view(t.rows[s])
}

// live returns a record that is neither deleted nor purged.
func (o *Org) live(t *table, id string) (*row, *Error) {
	r := t.rows[To18(id)]
	if r == nil {
		return nil, noSuchID()
	}
	if r.fields["IsDeleted"] == true {
		return nil, isDeleted()
	}
	return r, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
