package engine

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

// A FieldChange is a field that does not stand as it should.
type FieldChange struct {
	From any `json:"from"` // what Salesforce holds
	To   any `json:"to"`
}

// ownRecords asks for records of callpoint's own, by the prefix of their keys.
func ownRecords(object, key string, fields []string, since time.Time) string {
	soql := fmt.Sprintf(`SELECT Id, %s FROM %s WHERE %s LIKE 'callpoint\_%%'`, strings.Join(fields, ", "), object, key)
	if !since.IsZero() {
		soql += " AND CreatedDate >= " + salesforce.DateTime(since)
	}
	return soql + " ORDER BY Id"
}

// recordFields are the fields of a touchpoint that callpoint fills, its key among them.
func (e *Engine) recordFields() []string {
	return append([]string{e.cfg.ExternalID}, e.cfg.Settings.Fields.Names()...)
}

// changes lists the fields in which a record of the org differs from how it should stand.
// A person that is not known proves nothing.
func changes(t store.Touchpoint, r salesforce.Record, persons map[string]store.Person) map[string]FieldChange {
	all := map[string]FieldChange{}
	for field, to := range t.Values() {
		if from, asked := r[field]; asked && !sameValue(from, to) {
			all[field] = FieldChange{from, to}
		}
	}
	if id := persons[t.Who].RecordID; t.PersonField != "" && id != "" {
		if from, asked := r[t.PersonField]; asked && !sameValue(from, id) {
			all[t.PersonField] = FieldChange{from, id}
		}
	}
	return all
}

// sameValue compares values as Salesforce keeps them: it trims text, drops what is empty,
// rounds numbers, and writes times in a form of its own.
func sameValue(a, b any) bool {
	a, b = keptValue(a), keptValue(b)
	if x, ok := a.(float64); ok {
		y, ok := b.(float64)
		return ok && math.Abs(x-y) < 1e-6
	}
	return a == b
}

func keptValue(v any) any {
	switch v := v.(type) {
	case json.Number:
		n, _ := v.Float64()
		return n
	case int:
		return float64(v)
	case string:
		v = strings.TrimSpace(strings.ReplaceAll(v, "\r\n", "\n"))
		for _, layout := range []string{"2006-01-02T15:04:05.999Z0700", time.RFC3339Nano} {
			if t, err := time.Parse(layout, v); err == nil {
				return t.Unix()
			}
		}
		if v == "" {
			return nil
		}
		return v
	}
	return v
}
