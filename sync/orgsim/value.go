package orgsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Inside the org a value is a string (also ids and dates), a bool, a float64 or
// a time.Time in whole seconds; null is nil or absent.

const datetimeLayout = "2006-01-02T15:04:05.000-0700"

// datetimeInputs are the forms that the API takes. A date alone, a space for
// the T, or +0000 without milliseconds are refused.
var datetimeInputs = []string{"2006-01-02T15:04:05Z07:00", datetimeLayout}

// decode turns a value of a request, or of a Go caller inside the org, into the
// inner form. A value that does not fit the type fails the whole request, because
// the API's JSON parser knows the schema.
func decode(f *Field, v any) (any, *Error) {
	switch v := v.(type) {
	case nil:
		if f.Type == "boolean" {
			return false, nil
		}
		return nil, nil
	case time.Time:
		if f.Type == "date" {
			return v.UTC().Format(time.DateOnly), nil
		}
		return decode(f, v.UTC().Truncate(time.Second).Format(time.RFC3339))
	case int:
		return decode(f, json.Number(strconv.Itoa(v)))
	case int64:
		return decode(f, json.Number(strconv.FormatInt(v, 10)))
	case float64:
		return decode(f, json.Number(strconv.FormatFloat(v, 'f', -1, 64)))
	case map[string]any:
		return nil, unparsable(f, "START_OBJECT", "{")
	case []any:
		return nil, unparsable(f, "START_ARRAY", "[")
	}
	switch f.Type {
	case "boolean":
		return decodeBool(f, v)
	case "int", "double", "percent", "currency":
		return decodeNumber(f, v)
	}
	s, ok := v.(string)
	if !ok {
		return nil, unparsable(f, jsonKind(v), fmt.Sprint(v))
	}
	switch f.Type {
	case "date":
		if _, err := time.Parse(time.DateOnly, s); err != nil {
			return nil, unparsable(f, "VALUE_STRING", s)
		}
		return s, nil
	case "datetime":
		for _, layout := range datetimeInputs {
			if t, err := time.Parse(layout, s); err == nil {
				return t.UTC().Truncate(time.Second), nil
			}
		}
		return nil, unparsable(f, "VALUE_STRING", s)
	}
	if f.Type == "reference" {
		if id, ok := parseID(s); ok {
			return id, nil
		}
	}
	// Text is stored without the blanks around it, and empty text is null.
	if s = strings.TrimSpace(s); s == "" {
		return nil, nil
	}
	return s, nil
}

func decodeBool(f *Field, v any) (any, *Error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case string:
		if b, err := strconv.ParseBool(v); err == nil && len(v) > 1 {
			return b, nil
		}
	}
	return nil, unparsable(f, jsonKind(v), fmt.Sprint(v))
}

func decodeNumber(f *Field, v any) (any, *Error) {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string: // a number in quotes is taken, too
		text = v
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(n, 0) || math.IsNaN(n) || f.Type == "int" && n != math.Trunc(n) {
		return nil, unparsable(f, jsonKind(v), fmt.Sprint(v))
	}
	if f.Type != "int" {
		unit := math.Pow10(f.Scale)
		n = math.Round(n*unit) / unit
	}
	return n, nil
}

func jsonKind(v any) string {
	switch v := v.(type) {
	case bool:
		return "VALUE_" + strings.ToUpper(strconv.FormatBool(v))
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "VALUE_NUMBER_FLOAT"
		}
		return "VALUE_NUMBER_INT"
	}
	return "VALUE_STRING"
}

func unparsable(f *Field, kind, value string) *Error {
	return refuse(400, "JSON_PARSER_ERROR", fmt.Sprintf(
		"Cannot deserialize instance of %s from %s value %s or request may be missing a required field at [line:1, column:1]", f.Type, kind, value))
}

// encode is a value as a JSON answer shows it: doubles always have a decimal
// point, ints never.
func encode(f *Field, v any) any {
	switch v := v.(type) {
	case time.Time:
		return v.Format(datetimeLayout)
	case float64:
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if f.Type != "int" && !strings.Contains(s, ".") {
			s += ".0"
		}
		return json.RawMessage(s)
	case nil:
		if f.Type == "boolean" {
			return false
		}
	}
	return v
}

// plain returns a value as decoding its JSON would.
func plain(f *Field, v any) any {
	if n, ok := v.(float64); ok {
		return n
	}
	return encode(f, v)
}

// An object is a JSON object that keeps its order, so that answers look like
// Salesforce's and repeat byte for byte.
type object []member

type member struct {
	name  string
	value any
}

func (ob object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range ob {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Quote(m.name))
		b.WriteByte(':')
		v, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(v)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
