package orgsim

import (
	"maps"
	"slices"
)

// master returns the object's master-detail field, or nil.
func (obj *Object) master() *Field {
	for _, f := range obj.fields {
		if f.MasterDetail {
			return f
		}
	}
	return nil
}

// checkMaster refuses a write to a detail by a user who cannot read its master.
func (o *Org) checkMaster(obj *Object, by actor) *Error {
	f := obj.master()
	if f == nil || by != api || o.visibleTable(f.ReferenceTo[0]) != nil {
		return nil
	}
	return reject("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "insufficient access rights on cross-reference id", f.Name)
}

// dropEqualMaster takes a master-detail field out of an update that repeats
// its value, in an org where that passes.
func (o *Org) dropEqualMaster(r *row, obj *Object, in map[string]any) {
	if f := obj.master(); f != nil && o.equalMasterPasses && in[f.Name] != nil && in[f.Name] == r.fields[f.Name] {
		delete(in, f.Name)
	}
}

// EqualMasterPasses sets whether an update passes that carries the value which
// a master-detail field already has. By default it is refused like any other.
func (o *Org) EqualMasterPasses(passes bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.equalMasterPasses = passes
}

// KeysFreedLate sets whether the unique keys of a deleted record stay taken
// until the end of the transaction that deleted it. Then a composite request
// cannot delete a record and create it anew under the same key.
func (o *Org) KeysFreedLate(late bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keysFreedLate = late
}

// A cleared is a lookup that a deletion set to null.
type cleared struct {
	t     *table
	r     *row
	field *Field
}

// delete is a soft delete. Details are deleted with the record; custom lookups
// to it are cleared, as their default delete constraint does.
func (o *Org) delete(t *table, r *row) { o.deleteWith(t, r, "") }

func (o *Org) deleteWith(t *table, r *row, master string) {
	rec := maps.Clone(r.fields)
	rec["IsDeleted"], rec["SystemModstamp"], rec["LastModifiedDate"] = true, o.now(), o.now()
	o.put(t, r, rec)
	r.deletedWith, r.deletedBy = master, o.tx
	for _, name := range sortedKeys(o.tables) {
		other := o.tables[name]
		for _, f := range other.obj.fields {
			if f.Type != "reference" || !slices.Contains(f.ReferenceTo, t.obj.Name) {
				continue
			}
			switch {
			case f.Cascade:
				for _, detail := range slices.Clone(other.find(f, r.id)) {
					if detail.fields["IsDeleted"] != true {
						o.deleteWith(other, detail, r.id)
					}
				}
			case f.custom():
				o.clearLookup(other, f, r)
			}
		}
	}
}

func (o *Org) clearLookup(t *table, f *Field, target *row) {
	for _, r := range slices.Clone(t.find(f, target.id)) {
		o.setLookup(t, r, f, nil)
		target.cleared = append(target.cleared, cleared{t, r, f})
	}
}

func (o *Org) setLookup(t *table, r *row, f *Field, id any) {
	rec := maps.Clone(r.fields)
	if id == nil {
		delete(rec, f.Name)
	} else {
		rec[f.Name] = id
	}
	rec["SystemModstamp"] = o.now()
	o.put(t, r, rec)
}

// Undelete brings a record back from the recycle bin, with the details that
// were deleted with it and the lookups that still are empty.
func (o *Org) Undelete(object, id string) error {
	return o.inside(object, func(t *table) *Error {
		r := t.rows[To18(id)]
		if r == nil {
			return noSuchID()
		}
		if r.fields["IsDeleted"] != true {
			return reject("UNDELETE_FAILED", "Entity is not in the recycle bin")
		}
		if r.deletedWith != "" {
			return reject("UNDELETE_FAILED", "The master record is deleted; undelete it instead")
		}
		return o.undelete(t, r)
	})
}

func (o *Org) undelete(t *table, r *row) *Error {
	rec := maps.Clone(r.fields)
	rec["IsDeleted"], rec["SystemModstamp"], rec["LastModifiedDate"] = false, o.now(), o.now()
	if err := o.unique(t, r, rec); err != nil {
		return err
	}
	lookups := r.cleared
	o.put(t, r, rec)
	r.deletedWith, r.deletedBy, r.cleared = "", nil, nil
	for _, c := range lookups {
		if c.r.fields[c.field.Name] == nil && c.t.rows[c.r.id] != nil {
			o.setLookup(c.t, c.r, c.field, r.id)
		}
	}
	for _, name := range sortedKeys(o.tables) {
		other := o.tables[name]
		for _, f := range other.obj.fields {
			if !f.Cascade || !slices.Contains(f.ReferenceTo, t.obj.Name) {
				continue
			}
			for _, detail := range slices.Clone(other.find(f, r.id)) {
				if detail.deletedWith == r.id {
					if err := o.undelete(other, detail); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

func (o *Org) purge(t *table, r *row) {
	t.drop(r)
	for _, other := range o.tables {
		for _, detail := range slices.Clone(other.order) {
			if detail.deletedWith == r.id {
				o.purge(other, detail)
			}
		}
	}
}
