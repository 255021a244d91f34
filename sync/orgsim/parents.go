package orgsim

import (
	"fmt"
	"slices"
	"strings"
)

// A parentRef is a foreign key given as an external id.
type parentRef struct {
	ref   *Field
	given map[string]any
}

// resolveParents looks up foreign keys before any row is saved: a parent in the
// same request is not seen.
func (o *Org) resolveParents(rows []*pending) {
	for _, p := range rows {
		for _, parent := range p.parents {
			if p.err != nil {
				break
			}
			var id string
			if id, p.err = o.resolveParent(parent); p.err == nil {
				p.rec[parent.ref.Name] = id
			}
		}
	}
}

func (o *Org) resolveParent(parent parentRef) (id string, err *Error) {
	ref, target := parent.ref, parent.ref.ReferenceTo[0]
	attrs, _ := parent.given["attributes"].(map[string]any)
	typ, _ := attrs["type"].(string)
	if typ != "" {
		target = typ
	}
	t := o.visibleTable(target)
	if typ == "" && ref.polymorphic() || t == nil || !slices.Contains(ref.ReferenceTo, t.obj.Name) {
		return "", reject("INVALID_FIELD", "The external foreign key reference does not reference a valid entity: "+ref.RelationshipName)
	}
	var names []string
	for _, name := range sortedKeys(parent.given) {
		if name != "attributes" {
			names = append(names, name)
		}
	}
	if len(names) != 1 {
		return "", reject("INVALID_FIELD", "More than 1 field present in the external foreign key reference in entity: "+t.obj.Name)
	}
	f := t.obj.visible(names[0])
	if f == nil || !f.ExternalID && f.Name != "Id" {
		return "", reject("INVALID_FIELD", fmt.Sprintf("Field name provided, %s does not match an External ID, Salesforce Id, or indexed field for %s", names[0], t.obj.Name))
	}
	value, err := decode(f, parent.given[names[0]])
	if err != nil {
		return "", reject("INVALID_FIELD", err.Message)
	}
	found := o.findKey(t, f, value)
	switch len(found) {
	case 1:
		return found[0].id, nil
	case 0:
		return "", reject("INVALID_FIELD", fmt.Sprintf("Foreign key external ID: %v not found for field %s in entity %s", parent.given[names[0]], f.Name, t.obj.Name))
	}
	err = ambiguous(f, found)
	err.choices = nil // it is not the record itself that is ambiguous
	return "", err
}

// findKey returns the visible rows with a key that are not deleted.
func (o *Org) findKey(t *table, f *Field, value any) []*row {
	if value == nil {
		return nil
	}
	var found []*row
	if f.Name == "Id" {
		id, _ := parseID(fmt.Sprint(value))
		if r := t.rows[id]; r != nil {
			found = append(found, r)
		}
	} else {
		found = t.find(f, value)
	}
	var seen []*row
	for _, r := range found {
		if rec := o.view(r); rec != nil && rec["IsDeleted"] != true {
			seen = append(seen, r)
		}
	}
	return seen
}

func ambiguous(f *Field, found []*row) *Error {
	ids := make([]string, len(found))
	for i, r := range found {
		ids[i] = r.id
	}
	slices.Sort(ids)
	e := reject("DUPLICATE_EXTERNAL_ID", fmt.Sprintf("%s: more than one record found for external id field: [%s]", f.Label, strings.Join(ids, ", ")), f.Name)
	e.choices = ids
	return e
}
