package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
)

// FieldInfo describes a field, as reported by Salesforce's describe call.
type FieldInfo struct {
	Name, Type string
	Length     int
	Createable bool
	Updateable bool
	Nillable   bool
}

// defaultLength is the limit of a text for which the org reports none.
const defaultLength = 255

// PersonField returns the field that takes the Bizible Person; empty if none does.
func (m *FieldMap) PersonField() string {
	for i := range m.fields {
		if m.fields[i].kind == personValue {
			return m.fields[i].name
		}
	}
	return ""
}

// Lookups lists the fields that refer to records other than the person and the Contact of
// a call. A map that was not fitted to an org knows of none.
func (m *FieldMap) Lookups() (names []string) {
	for i := range m.fields {
		if f := &m.fields[i]; f.info.Type == "reference" && f.kind != personValue && f.value != "contact" {
			names = append(names, f.name)
		}
	}
	return names
}

// Fit adjusts the map to the org. A built-in field that the org lacks, hides or keeps from being
// written is left out and listed in dropped. In lines of the user's own each is an error, and
// all errors are returned together.
func (m *FieldMap) Fit(org []FieldInfo) (fitted *FieldMap, dropped []string, err error) {
	known := make(map[string]FieldInfo, len(org))
	for _, info := range org {
		known[strings.ToLower(info.Name)] = info
	}
	fitted = &FieldMap{}
	var errs []error
	for _, f := range m.fields {
		f.info = known[strings.ToLower(f.name)]
		complaint := f.check()
		switch {
		case complaint == "":
			f.name = f.info.Name
			fitted.fields = append(fitted.fields, f)
		case f.own:
			errs = append(errs, fmt.Errorf("line %d, %s: %s", f.line, f.name, complaint))
		default:
			dropped = append(dropped, f.name+": "+complaint)
		}
	}
	if errs != nil {
		return nil, dropped, errors.Join(errs...)
	}
	return fitted, dropped, nil
}

// Types of fields, by what they hold.
var (
	textTypes   = []string{"string", "textarea", "url", "picklist", "multipicklist", "combobox", "phone", "email", "encryptedstring"}
	numberTypes = []string{"double", "currency", "percent", "int", "long"}
	timeTypes   = []string{"datetime", "date"}
)

// check returns why the org's field cannot take the value; empty if it can.
func (f *field) check() string {
	switch {
	case f.info.Name == "":
		return "the org has no such field, or hides it from this user"
	case !f.info.Createable, !f.info.Updateable && f.kind != personValue: // the person, a master-detail, is set on create
		return "the field cannot be written by this user"
	}
	var fits []string
	switch f.kind {
	case anyValue:
		return ""
	case textValue, urlValue, numberValue, timeValue, boolValue:
		fits = textTypes // anything can be shown as text
	case idValue:
		fits = append([]string{"reference", "id"}, textTypes...)
	case personValue:
		fits = []string{"reference"}
	}
	switch f.kind {
	case numberValue:
		fits = append(slices.Clone(fits), numberTypes...)
	case timeValue:
		fits = append(slices.Clone(fits), timeTypes...)
	case boolValue:
		fits = append(slices.Clone(fits), "boolean")
	}
	if !slices.Contains(fits, f.info.Type) {
		return fmt.Sprintf("its type is %s, which cannot hold %s", f.info.Type, f.value)
	}
	if limit := f.limit(); strings.HasPrefix(f.value, `"`) && len(f.task) == 0 && utf16Len(strings.Trim(f.value, `"`)) > limit {
		return fmt.Sprintf("the text is longer than the field, which holds %d characters", limit)
	}
	return ""
}

// limit returns the number of UTF-16 units that the field holds.
func (f *field) limit() int {
	if f.info.Length > 0 {
		return f.info.Length
	}
	return defaultLength
}

// fit turns a value into what the field takes, and reports whether it had to be cut. Salesforce
// answers a value of the wrong type with an error, so what cannot be turned is left empty.
func (f *field) fit(value any) (fitted any, short bool) {
	switch v := value.(type) {
	case PersonRef:
		return v, false
	case time.Time:
		value = showTime(v, f.info.Type)
	}
	switch {
	case slices.Contains(numberTypes, f.info.Type):
		if n, ok := numberOf(value); ok {
			return n, false
		}
		return nil, false
	case f.info.Type == "boolean":
		// A checkbox is never empty.
		return textOf(value) == "true", false
	case slices.Contains(timeTypes, f.info.Type) && f.kind != timeValue:
		if t, ok := parseTime(textOf(value)); ok {
			return showTime(t, f.info.Type), false
		}
		return nil, false
	case f.info.Type == "": // no describe: as the value is
		switch v := value.(type) {
		case float64, bool:
			return v, false
		case json.Number:
			n, _ := numberOf(v)
			return n, false
		}
	}
	s := clean(textOf(value))
	if s == "" {
		return nil, false
	}
	if f.kind == urlValue {
		s, short = shortenURL(s, f.limit())
	} else {
		s, short = cut(s, f.limit())
	}
	return strings.TrimSpace(s), short
}

// showTime formats a time as Salesforce reads it; the zero time is empty.
func showTime(t time.Time, fieldType string) string {
	switch {
	case t.IsZero():
		return ""
	case fieldType == "date":
		return t.UTC().Format(time.DateOnly)
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func utf16Len(s string) int {
	n := 0
	for _, c := range s {
		n += max(1, utf16.RuneLen(c))
	}
	return n
}
