package orgsim

import (
	"fmt"
	"strings"
	"sync"
)

// A column is a field of the queried object, or of a record that it refers to.
type column struct {
	hops  []*Field // the references to follow
	field *Field
}

// A binder ties the names of a query to the schema as the API user sees it.
type binder struct {
	o   *Org
	lx  *lexer
	obj *Object
	// all is queryAll: deleted and archived records are seen.
	all bool
}

// nameObject is the pseudo-object through which polymorphic relationships are
// read.
func nameObject(mu *sync.Mutex) *Object {
	obj := newObject(mu, "Name", "", str("Name", 255), str("Type", 40), str("Username", 80))
	for _, f := range person() {
		if f.Name != "Name" {
			obj.add(f)
		}
	}
	obj.add(Field{Name: "Id", Type: "id"})
	return obj
}

func unsupportedType(name string) *Error {
	return refuse(400, "INVALID_TYPE", "sObject type '"+name+"' is not supported. If you are attempting to use a custom object, "+
		"be sure to append the '__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names.")
}

// visibleTable finds an object that the API user may see.
func (o *Org) visibleTable(name string) *table {
	t := o.tables[fold(name)]
	if t == nil || t.obj.Hidden {
		return nil
	}
	for _, parent := range t.obj.follows {
		if o.visibleTable(parent) == nil {
			return nil
		}
	}
	return t
}

func (b *binder) column(p fieldPath) (column, *Error) {
	var col column
	obj := b.obj
	parts := strings.Split(p.text, ".")
	if len(parts) > 1 && strings.EqualFold(parts[0], obj.Name) && obj.relation(parts[0]) == nil {
		parts = parts[1:]
	}
	for _, name := range parts[:len(parts)-1] {
		ref := obj.relation(name)
		if ref == nil || len(col.hops) == 5 || !ref.polymorphic() && b.o.visibleTable(ref.ReferenceTo[0]) == nil {
			return col, b.lx.failAt(p.pos, "INVALID_FIELD", fmt.Sprintf("Didn't understand relationship '%s' in field path. "+
				"If you are attempting to use a custom relationship, be sure to append the '__r' after the custom relationship name. "+
				"Please reference your WSDL or the describe call for the appropriate names.", name))
		}
		col.hops = append(col.hops, ref)
		if obj = b.o.nameObj; !ref.polymorphic() {
			obj = b.o.tables[fold(ref.ReferenceTo[0])].obj
		}
	}
	name := parts[len(parts)-1]
	if col.field = obj.visible(name); col.field == nil {
		return col, b.lx.failAt(p.pos, "INVALID_FIELD", fmt.Sprintf("No such column '%s' on entity '%s'. "+
			"If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. "+
			"Please reference your WSDL or the describe call for the appropriate names.", name, obj.Name))
	}
	return col, nil
}

// usable is a column that a WHERE, ORDER BY or GROUP BY may use.
func (b *binder) usable(p fieldPath, use string) (column, *Error) {
	col, err := b.column(p)
	if err == nil && col.field.NotFilterable {
		err = b.lx.failAt(p.pos, "INVALID_FIELD", fmt.Sprintf("field '%s' can not be %s in a query call", col.field.Name, use))
	}
	return col, err
}

// get reads a column of a record; it is null where a reference leads nowhere.
func (b *binder) get(col column, rec map[string]any) any {
	f := col.field
	for _, ref := range col.hops {
		obj, target := b.follow(ref, rec)
		if target == nil {
			return nil
		}
		if ref.polymorphic() { // the last hop: Name has no relationships
			if f.Name == "Type" {
				return obj.Name
			}
			if f = obj.Field(f.Name); f == nil {
				return nil
			}
		}
		rec = target
	}
	return b.o.value(f, rec)
}

func (b *binder) follow(ref *Field, rec map[string]any) (*Object, map[string]any) {
	obj, target := b.o.target(b.o.value(ref, rec))
	if target == nil || target["IsDeleted"] == true && !b.all {
		return nil, nil
	}
	return obj, target
}
