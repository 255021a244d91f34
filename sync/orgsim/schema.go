package orgsim

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// A Field is one column, with the names that a describe gives its properties.
// AddField sets the properties that follow from the name and the type.
type Field struct {
	Name, Label string
	// Type is one of id, string, textarea, picklist, combobox, phone, email,
	// url, boolean, int, double, percent, currency, date, datetime, reference.
	Type             string
	Length           int // in UTF-16 units; 0: the type has none
	Precision, Scale int // of numbers

	ReadOnly    bool // neither createable nor updateable, by anyone
	NoUpdate    bool // createable only, as Task.TaskSubtype
	Required    bool // not nillable, and no default
	NotNillable bool // not nillable, but defaulted on create
	Default     any
	// Restricted picklists refuse a value that is not in Values.
	Restricted bool
	Values     []string

	ExternalID, Unique, CaseSensitive bool
	AutoNumber                        bool
	// NotFilterable fields can be neither filtered, sorted nor grouped.
	NotFilterable bool

	ReferenceTo       []string
	RelationshipName  string
	ChildRelationship string // name of the reverse direction, at the parent
	// MasterDetail fields are required on create and refused ever after; they
	// have no field-level security.
	MasterDetail bool
	// Cascade deletes the record with the one that it refers to.
	Cascade bool

	// Hidden is field-level security without read access: for the API the
	// field does not exist. Locked is field-level security without edit access.
	Hidden, Locked bool

	Formula bool // computed from other fields of the org's data model
	calc    func(o *Org, record map[string]any) any
}

func (f *Field) createable() bool { return !f.ReadOnly && !f.Locked && f.calc == nil }
func (f *Field) updateable() bool { return f.createable() && !f.NoUpdate && !f.MasterDetail }
func (f *Field) required() bool   { return f.Required || f.MasterDetail }
func (f *Field) number() bool {
	return f.Type == "int" || f.Type == "double" || f.Type == "percent" || f.Type == "currency"
}
func (f *Field) polymorphic() bool { return len(f.ReferenceTo) > 1 }
func (f *Field) custom() bool      { return strings.HasSuffix(f.Name, "__c") }

// key is the form in which values of the field are compared for equality.
func (f *Field) key(value any) string {
	s := fmt.Sprint(value)
	if f.CaseSensitive || f.Type == "id" || f.Type == "reference" {
		return s
	}
	return fold(s)
}

func fold(s string) string { return strings.ToLower(s) }

// A Rule is a validation rule of the org's administrator.
type Rule struct {
	Field   string // where the message is shown; may be empty
	Message string
	// Fails reports whether the record must not be saved.
	Fails func(record map[string]any) bool
}

// An Object is one sObject: its description and the access to it. Change it
// through its methods, or directly before the org serves its first request.
type Object struct {
	Name, Label, KeyPrefix string

	Hidden                       bool     // no read access: for the API it does not exist
	follows                      []string // objects whose access this one's depends on; it has none of its own
	NoCreate, NoUpdate, NoDelete bool     // for the API user
	fixed                        bool     // nobody inserts records

	fields     []*Field
	byName     map[string]*Field // by folded name
	byRelation map[string]*Field // by folded relationship name
	rules      []Rule
	// beforeSave sets what the platform derives; old is nil on insert.
	beforeSave func(o *Org, old, record map[string]any)
	// afterSave changes other records.
	afterSave func(o *Org, t *table, r *row)
	mu        *sync.Mutex // the org's
}

func newObject(mu *sync.Mutex, name, prefix string, fields ...Field) *Object {
	obj := &Object{Name: name, Label: labelOf(name), KeyPrefix: prefix, mu: mu,
		byName: map[string]*Field{}, byRelation: map[string]*Field{}}
	for _, f := range fields {
		obj.add(f)
	}
	return obj
}

// AddField adds a field, or replaces the one of that name, and returns it.
func (obj *Object) AddField(f Field) *Field {
	obj.mu.Lock()
	defer obj.mu.Unlock()
	return obj.add(f)
}

func (obj *Object) add(f Field) *Field {
	if f.Label == "" {
		f.Label = labelOf(f.Name)
	}
	if f.Type == "" {
		f.Type = "string"
	}
	if f.Length == 0 {
		f.Length = defaultLength[f.Type]
	}
	if f.Precision == 0 && f.number() && f.Type != "int" {
		f.Precision, f.Scale = 18, 2
	}
	if f.Type == "textarea" && f.Length > 255 {
		f.NotFilterable = true // long text
	}
	if f.Type == "reference" && f.RelationshipName == "" {
		f.RelationshipName = relationOf(f.Name)
	}
	obj.remove(f.Name)
	p := &f
	obj.fields = append(obj.fields, p)
	obj.byName[fold(f.Name)] = p
	if f.RelationshipName != "" {
		obj.byRelation[fold(f.RelationshipName)] = p
	}
	return p
}

var defaultLength = map[string]int{"string": 255, "textarea": 32768, "picklist": 255, "combobox": 255,
	"phone": 40, "email": 80, "url": 255, "id": 18, "reference": 18}

// RemoveField takes a field out of the schema, as an admin deletes it.
func (obj *Object) RemoveField(name string) {
	obj.mu.Lock()
	defer obj.mu.Unlock()
	obj.remove(name)
}

func (obj *Object) remove(name string) {
	f := obj.byName[fold(name)]
	if f == nil {
		return
	}
	delete(obj.byName, fold(name))
	delete(obj.byRelation, fold(f.RelationshipName))
	obj.fields = slices.DeleteFunc(obj.fields, func(g *Field) bool { return g == f })
}

// HideField takes read access to a field from the API user.
func (obj *Object) HideField(name string) { obj.secure(name, func(f *Field) { f.Hidden = true }) }

// LockField takes edit access to a field from the API user.
func (obj *Object) LockField(name string) { obj.secure(name, func(f *Field) { f.Locked = true }) }

// secure changes a field's security, which a master-detail field does not have.
func (obj *Object) secure(name string, change func(*Field)) {
	obj.Change(name, func(f *Field) {
		if f.MasterDetail {
			panic("orgsim: " + obj.Name + "." + f.Name + " is a master-detail field: it has no field-level security")
		}
		change(f)
	})
}

// Change alters a field while the org is serving. An unknown name panics: it is
// a mistake in a test.
func (obj *Object) Change(name string, change func(*Field)) {
	obj.mu.Lock()
	defer obj.mu.Unlock()
	f := obj.byName[fold(name)]
	if f == nil {
		panic("orgsim: " + obj.Name + " has no field " + name)
	}
	change(f)
}

// Access changes the object itself while the org is serving.
func (obj *Object) Access(change func(*Object)) {
	obj.mu.Lock()
	defer obj.mu.Unlock()
	change(obj)
}

// Field returns a field by name in any case, or nil.
func (obj *Object) Field(name string) *Field { return obj.byName[fold(name)] }

// AddRule adds a validation rule.
func (obj *Object) AddRule(r Rule) {
	obj.mu.Lock()
	defer obj.mu.Unlock()
	obj.rules = append(obj.rules, r)
}

// visible is the field as the API user sees it.
func (obj *Object) visible(name string) *Field {
	if f := obj.byName[fold(name)]; f != nil && !f.Hidden {
		return f
	}
	return nil
}

func (obj *Object) relation(name string) *Field {
	if f := obj.byRelation[fold(name)]; f != nil && !f.Hidden {
		return f
	}
	return nil
}

func (obj *Object) custom() bool { return strings.HasSuffix(obj.Name, "__c") }

func relationOf(name string) string {
	if base, ok := strings.CutSuffix(name, "__c"); ok {
		return base + "__r"
	}
	return strings.TrimSuffix(name, "Id")
}

// labelOf makes "Landing Page" of bizible2__Landing_Page__c, "Call Type" of CallType.
func labelOf(name string) string {
	name = strings.TrimSuffix(name, "__c")
	if _, rest, ok := strings.Cut(name, "__"); ok {
		name = rest
	}
	if strings.Contains(name, "_") {
		return strings.ReplaceAll(name, "_", " ")
	}
	var b strings.Builder
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) && unicode.IsLower(rune(name[i-1])) {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	if strings.HasSuffix(b.String(), " Id") {
		return strings.TrimSuffix(b.String(), " Id") + " ID"
	}
	return b.String()
}
