package orgsim

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// Error is a refusal of one row or of one request.
type Error struct {
	Status  int // HTTP status; 0: it refuses only a row
	Code    string
	Message string
	Fields  []string

	choices []string // ids that a key is ambiguous between
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// refuse refuses a whole request.
func refuse(status int, code, message string) *Error {
	return &Error{Status: status, Code: code, Message: message}
}

// reject refuses one row.
func reject(code, message string, fields ...string) *Error {
	return &Error{Code: code, Message: message, Fields: fields}
}

func noSuchID() *Error  { return reject("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id") }
func isDeleted() *Error { return reject("ENTITY_IS_DELETED", "entity is deleted") }

// An actor is who writes: the API user is bound by permissions.
type actor int

const (
	api    actor = iota // the integration user, bound by its permissions
	inside              // the org itself
)

// simulated fields are read-only in every org; Insert takes them all the same,
// to set up old data.
var simulated = []string{"CreatedDate", "LastModifiedDate", "SystemModstamp", "CreatedById", "LastModifiedById"}

func (o *Org) insertRaw(t *table, fields map[string]any) (*row, *Error) {
	rec, err := decodeRow(t.obj, fields, inside)
	if err != nil {
		return nil, err
	}
	return o.insert(t, rec, inside)
}

func (o *Org) updateRaw(t *table, r *row, fields map[string]any) *Error {
	rec, err := decodeRow(t.obj, fields, inside)
	if err != nil {
		return err
	}
	return o.update(t, r, rec, inside)
}

// decodeRow decodes plain fields. An unknown name or a wrong type refuses the
// whole request.
func decodeRow(obj *Object, fields map[string]any, by actor) (map[string]any, *Error) {
	rec := map[string]any{}
	for _, name := range sortedKeys(fields) {
		f := obj.Field(name)
		if f == nil || by == api && f.Hidden {
			return nil, noSuchColumn(obj, name)
		}
		v, err := decode(f, fields[name])
		if err != nil {
			return nil, err
		}
		rec[f.Name] = v
	}
	return rec, nil
}

func noSuchColumn(obj *Object, name string) *Error {
	return refuse(400, "INVALID_FIELD", fmt.Sprintf("No such column '%s' on sobject of type %s", name, obj.Name))
}

// insert validates and saves a new record. in is decoded, by canonical name.
func (o *Org) insert(t *table, in map[string]any, by actor) (*row, *Error) {
	if t.obj.NoCreate && (by == api || t.obj.fixed) {
		return nil, reject("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "entity type cannot be inserted: "+t.obj.Label)
	}
	if err := permitted(t.obj, in, by, (*Field).createable); err != nil {
		return nil, err
	}
	if err := o.checkMaster(t.obj, by); err != nil {
		return nil, err
	}
	if err := o.checkConverted(t.obj, nil, in, by); err != nil {
		return nil, err
	}
	r := &row{id: o.newID(t.obj.KeyPrefix)}
	rec := map[string]any{"Id": r.id, "IsDeleted": false}
	for _, f := range t.obj.fields {
		switch v := in[f.Name]; {
		case v != nil:
			rec[f.Name] = v
		case f.Default != nil:
			rec[f.Name] = f.Default
		case f.Name == "OwnerId":
			rec[f.Name] = o.userID
		case f.AutoNumber:
			rec[f.Name] = fmt.Sprintf("%08d", t.nextNumber())
		case f.Name == "Name" && f.NotNillable && f.calc == nil:
			rec[f.Name] = r.id // as custom objects with a text name do
		}
	}
	if err := o.validate(t, r, nil, rec, in); err != nil {
		return nil, err
	}
	o.stamp(rec, in)
	o.put(t, r, rec)
	if t.obj.afterSave != nil {
		t.obj.afterSave(o, t, r)
	}
	return r, nil
}

// update validates and saves changes. Every update moves the stamps, also one
// that changes nothing.
func (o *Org) update(t *table, r *row, in map[string]any, by actor) *Error {
	if t.obj.NoUpdate && by == api {
		return reject("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id")
	}
	o.dropEqualMaster(r, t.obj, in)
	if err := permitted(t.obj, in, by, (*Field).updateable); err != nil {
		return err
	}
	if err := o.checkMaster(t.obj, by); err != nil {
		return err
	}
	if err := o.checkConverted(t.obj, r.fields, in, by); err != nil {
		return err
	}
	rec := make(map[string]any, len(r.fields)+len(in))
	for k, v := range r.fields {
		rec[k] = v
	}
	for k, v := range in {
		if v == nil {
			delete(rec, k)
		} else {
			rec[k] = v
		}
	}
	if t.obj.custom() && rec["Name"] == nil {
		rec["Name"] = r.id
	}
	if err := o.validate(t, r, r.fields, rec, in); err != nil {
		return err
	}
	now := o.now()
	rec["LastModifiedDate"], rec["LastModifiedById"], rec["SystemModstamp"] = now, o.userID, now
	o.put(t, r, rec)
	if t.obj.afterSave != nil {
		t.obj.afterSave(o, t, r)
	}
	return nil
}

// stamp sets the audit fields of a new record.
func (o *Org) stamp(rec, given map[string]any) {
	now := o.now()
	for name, v := range map[string]any{"CreatedDate": now, "CreatedById": o.userID,
		"LastModifiedDate": now, "LastModifiedById": o.userID, "SystemModstamp": now, "IsDeleted": false} {
		if given[name] != nil && slices.Contains(simulated, name) {
			v = given[name]
		}
		rec[name] = v
	}
}

func permitted(obj *Object, in map[string]any, by actor, may func(*Field) bool) *Error {
	var denied []string
	for _, name := range sortedKeys(in) {
		f := obj.Field(name)
		if name == "Id" || name == "IsDeleted" || f.calc != nil || (by == api || f.MasterDetail) && !may(f) {
			denied = append(denied, f.Name)
		}
	}
	if denied == nil {
		return nil
	}
	return reject("INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: "+strings.Join(denied, ", ")+
		". Please check the security settings of this field and verify that it is read/write for your profile or permission set.", denied...)
}

// validate checks a record that is about to be saved; in holds the fields that
// the writer gave.
func (o *Org) validate(t *table, r *row, old, rec, in map[string]any) *Error {
	for _, name := range sortedKeys(in) {
		if in[name] == nil {
			continue
		}
		if err := o.checkValue(t.obj.Field(name), in[name]); err != nil {
			return err
		}
	}
	var missing []string
	for _, f := range t.obj.fields {
		if f.required() && rec[f.Name] == nil || f.NotNillable && !f.ReadOnly && f.calc == nil && rec[f.Name] == nil {
			missing = append(missing, f.Name)
		}
	}
	if missing != nil {
		return reject("REQUIRED_FIELD_MISSING", "Required fields are missing: ["+strings.Join(missing, ", ")+"]", missing...)
	}
	if t.obj.beforeSave != nil {
		t.obj.beforeSave(o, old, rec)
	}
	for _, rule := range t.obj.rules {
		if rule.Fails(rec) {
			e := reject("FIELD_CUSTOM_VALIDATION_EXCEPTION", rule.Message)
			if rule.Field != "" {
				e.Fields = []string{rule.Field}
			}
			return e
		}
	}
	return o.unique(t, r, rec)
}

// unique checks every row that is not deleted, also one that is not visible yet:
// the second of two concurrent inserts is refused.
func (o *Org) unique(t *table, r *row, rec map[string]any) *Error {
	for _, f := range t.obj.fields {
		if !f.Unique || rec[f.Name] == nil {
			continue
		}
		for _, other := range t.find(f, rec[f.Name]) {
			gone := other.fields["IsDeleted"] == true && !(o.keysFreedLate && o.tx != nil && other.deletedBy == o.tx)
			if other != r && !gone {
				return reject("DUPLICATE_VALUE", fmt.Sprintf("duplicate value found: %s duplicates value on record with id: %s", f.Name, other.id[:15]))
			}
		}
	}
	return nil
}

func (o *Org) checkValue(f *Field, v any) *Error {
	switch v := v.(type) {
	case string:
		if f.Type == "reference" {
			return o.checkReference(f, v)
		}
		if f.Length > 0 && len(utf16.Encode([]rune(v))) > f.Length {
			return reject("STRING_TOO_LONG", fmt.Sprintf("%s: data value too large: %s (max length=%d)", f.Label, v, f.Length), f.Name)
		}
		if f.Restricted && !slices.Contains(f.Values, v) {
			return reject("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", fmt.Sprintf("%s: bad value for restricted picklist field: %s", f.Label, v), f.Name)
		}
		if f.Type == "email" && !plausibleEmail(v) {
			return reject("INVALID_EMAIL_ADDRESS", f.Label+": invalid email address: "+v, f.Name)
		}
	case float64:
		limit := math.Pow10(f.Precision - f.Scale)
		if f.Type == "int" {
			limit = math.MaxInt32
		}
		if math.Abs(v) > limit {
			return reject("NUMBER_OUTSIDE_VALID_RANGE", fmt.Sprintf("%s: value outside of valid range on numeric field: %s", f.Label,
				strconv.FormatFloat(v, 'f', -1, 64)), f.Name)
		}
	case time.Time:
		if v.Year() < 1700 || v.Year() > 4000 {
			return reject("INVALID_TYPE_ON_FIELD_IN_RECORD", f.Label+": value not of required type: "+v.Format(datetimeLayout), f.Name)
		}
	}
	return nil
}

func plausibleEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && strings.Contains(domain, ".") && !strings.ContainsAny(s, " \t")
}

func (o *Org) checkReference(f *Field, v string) *Error {
	id, ok := parseID(v)
	wrong := fmt.Sprintf("%s: id value of incorrect type: %s", f.Label, v)
	if !ok {
		return reject("MALFORMED_ID", wrong, f.Name)
	}
	t := o.byPrefix[id[:3]]
	if t == nil || !slices.Contains(f.ReferenceTo, t.obj.Name) {
		return reject("FIELD_INTEGRITY_EXCEPTION", wrong, f.Name)
	}
	r := t.rows[id]
	if r == nil {
		e := noSuchID()
		e.Fields = []string{f.Name}
		return e
	}
	if r.fields["IsDeleted"] == true {
		e := isDeleted()
		e.Fields = []string{f.Name}
		return e
	}
	return nil
}
