package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ReadCall reads a Task, as Salesforce's JSON has it, as a phone call. Every Task counts as
// one, whatever its Type; an unbelievable BizibleId leaves Visitor empty.
func (s *Settings) ReadCall(fields map[string]any) (Call, error) {
	id := textOf(lookup(fields, "Id"))
	if id == "" {
		return Call{}, errors.New("task without Id")
	}
	call := Call{TaskID: ID18(id), Fields: fields}
	call.Visitor, _ = VisitorID(textOf(lookup(fields, s.BizibleIDField)))
	call.Deleted, _ = lookup(fields, "IsDeleted").(bool)
	var ok bool
	if call.At, call.AtFrom, ok = s.callTime(fields); !ok {
		return Call{}, fmt.Errorf("task %s: no time in %s", call.TaskID, strings.Join(s.CallTime, ", "))
	}
	return call, nil
}

// WhoID returns the 18-character id of the Lead or Contact that the Task names itself; empty for none.
func (c *Call) WhoID() string { return c.reference("WhoId", "00Q", "003") }

// WhatID returns the 18-character id of the opportunity, case or account that the Task is about; empty for none.
func (c *Call) WhatID() string { return c.reference("WhatId", "006", "500", "001") }

// reference reads a field that holds the id of a record with one of the prefixes.
func (c *Call) reference(field string, prefixes ...string) string {
	id := ID18(textOf(lookup(c.Fields, field)))
	if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(id, p) }) {
		return id
	}
	return ""
}

// callTime takes the first entry of the list that has a value, and CreatedDate, which
// every Task has, if none has one. A bare date is no value: it would be off by hours.
func (s *Settings) callTime(fields map[string]any) (at time.Time, from string, ok bool) {
	for _, entry := range append(s.CallTime[:len(s.CallTime):len(s.CallTime)], "CreatedDate") {
		name, minus, _ := strings.Cut(entry, "-")
		name, minus = strings.TrimSpace(name), strings.TrimSpace(minus)
		at, ok := parseTime(textOf(lookup(fields, name)))
		if !ok {
			continue
		}
		if seconds, ok := numberOf(lookup(fields, minus)); ok && minus != "" && seconds >= 0 && seconds < 1e9 {
			at = at.Add(-time.Duration(seconds * float64(time.Second)))
			name += "-" + minus
		}
		return at.Truncate(time.Millisecond), name, true
	}
	return time.Time{}, "", false
}

// parseTime reads a datetime as Salesforce writes it, or as RFC 3339 has it.
func parseTime(text string) (time.Time, bool) {
	for _, layout := range []string{"2006-01-02T15:04:05.999Z0700", time.RFC3339Nano} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// lookup finds a field by its API name, in any case, and across relationships: Owner.Name.
func lookup(record map[string]any, path string) any {
	name, rest, nested := strings.Cut(path, ".")
	value, ok := record[name]
	if !ok {
		for key, v := range record {
			if strings.EqualFold(key, name) {
				value = v
				break
			}
		}
	}
	if !nested {
		return value
	}
	inner, _ := value.(map[string]any)
	return lookup(inner, rest)
}

// textOf formats a field's value as text; the result for null and for records is empty.
func textOf(value any) string {
	switch v := value.(type) {
	case string:
		return strings.TrimSpace(v)
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return v.String()
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}

// numberOf reads a field's value as a number: some vendors keep durations as text.
func numberOf(value any) (float64, bool) {
	n, err := strconv.ParseFloat(textOf(value), 64)
	return n, err == nil && !math.IsNaN(n) && !math.IsInf(n, 0)
}
