package orgsim

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A predicate decides whether a record is in the result.
type predicate func(rec map[string]any) bool

func (b *binder) compile(c *condition) (predicate, *Error) {
	if c.parts == nil {
		return b.comparison(c)
	}
	parts := make([]predicate, len(c.parts))
	for i, part := range c.parts {
		p, err := b.compile(part)
		if err != nil {
			return nil, err
		}
		parts[i] = p
	}
	switch c.op {
	case "NOT":
		return func(rec map[string]any) bool { return !parts[0](rec) }, nil
	case "OR":
		return func(rec map[string]any) bool {
			return slices.ContainsFunc(parts, func(p predicate) bool { return p(rec) })
		}, nil
	}
	return func(rec map[string]any) bool {
		return !slices.ContainsFunc(parts, func(p predicate) bool { return !p(rec) })
	}, nil
}

// A bound is a literal of a field's type: null, or everything from lo to hi,
// which are the same but for literals such as TODAY.
type bound struct {
	null   bool
	lo, hi any
}

func (b *binder) comparison(c *condition) (predicate, *Error) {
	col, err := b.usable(c.path, "filtered")
	if err != nil {
		return nil, err
	}
	f := col.field
	bounds := make([]bound, len(c.values))
	for i, t := range c.values {
		if bounds[i], err = b.literal(c, f, t); err != nil {
			return nil, err
		}
	}
	test := comparer(f, c.op, bounds)
	if test == nil {
		return nil, b.lx.failAt(c.path.pos, "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on "+f.Type+" field")
	}
	return func(rec map[string]any) bool { return test(b.get(col, rec)) }, nil
}

// comparer returns the test of a value, or nil where the type does not know the
// operator. As in SOQL, and unlike SQL, != and NOT IN hold for null.
func comparer(f *Field, op string, bounds []bound) func(v any) bool {
	first := bounds[0]
	ordered := f.Type != "boolean" && !first.null
	switch op {
	case "=", "IN":
		return equalsAny(f, bounds)
	case "!=", "NOT IN":
		in := equalsAny(f, bounds)
		return func(v any) bool { return !in(v) }
	case "LIKE":
		pattern, ok := first.lo.(string)
		if !ok || !isText(f) {
			return nil
		}
		return func(v any) bool { s, ok := v.(string); return ok && like(filterKey(f, pattern), filterKey(f, s)) }
	case "<":
		return when(ordered, func(v any) bool { return v != nil && compareValues(f, v, first.lo) < 0 })
	case "<=":
		return when(ordered, func(v any) bool { return v != nil && compareValues(f, v, first.hi) <= 0 })
	case ">":
		return when(ordered, func(v any) bool { return v != nil && compareValues(f, v, first.hi) > 0 })
	default: // ">="
		return when(ordered, func(v any) bool { return v != nil && compareValues(f, v, first.lo) >= 0 })
	}
}

func when(ok bool, test func(any) bool) func(any) bool {
	if !ok {
		return nil
	}
	return test
}

func equalsAny(f *Field, bounds []bound) func(v any) bool {
	set := map[string]bool{}
	null := false
	var ranges []bound
	for _, b := range bounds {
		s, text := b.lo.(string)
		switch {
		case b.null:
			null = true
		case text && b.lo == b.hi:
			set[filterKey(f, s)] = true
		default:
			ranges = append(ranges, b)
		}
	}
	return func(v any) bool {
		if v == nil && f.Type == "boolean" {
			v = false
		}
		if v == nil {
			return null
		}
		if s, ok := v.(string); ok && set[filterKey(f, s)] {
			return true
		}
		return slices.ContainsFunc(ranges, func(b bound) bool {
			return compareValues(f, v, b.lo) >= 0 && compareValues(f, v, b.hi) <= 0
		})
	}
}

func isText(f *Field) bool {
	switch f.Type {
	case "string", "picklist", "combobox", "phone", "email", "url", "textarea":
		return true
	}
	return false
}

// filterKey returns text as a filter and a sort compare it: without regard to
// case, except in a unique case-sensitive field.
func filterKey(f *Field, s string) string {
	if isText(f) && !(f.Unique && f.CaseSensitive) {
		return fold(s)
	}
	return s
}

// compareValues orders two values of one type; nil is lower than everything.
func compareValues(f *Field, a, b any) int {
	if a == nil || b == nil {
		return cmp.Compare(boolInt(a != nil), boolInt(b != nil))
	}
	switch a := a.(type) {
	case string:
		return strings.Compare(filterKey(f, a), filterKey(f, b.(string)))
	case float64:
		return cmp.Compare(a, b.(float64))
	case time.Time:
		return a.Compare(b.(time.Time))
	case bool:
		return cmp.Compare(boolInt(a), boolInt(b.(bool)))
	}
	panic(fmt.Sprintf("orgsim: a %T in field %s", a, f.Name))
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// like matches a LIKE pattern: % is any text, _ one character, both
// literal after a backslash.
func like(pattern, s string) bool {
	p, text := []rune(pattern), []rune(s)
	i, j := 0, 0
	star, retry := -1, 0
	for j < len(text) {
		switch {
		case i < len(p) && p[i] == '%':
			star, retry = i, j
			i++
		case i < len(p) && p[i] == '\\' && i+1 < len(p) && p[i+1] == text[j]:
			i, j = i+2, j+1
		case i < len(p) && p[i] != '\\' && (p[i] == '_' || p[i] == text[j]):
			i, j = i+1, j+1
		case star >= 0:
			retry++
			i, j = star+1, retry
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '%' {
		i++
	}
	return i == len(p)
}

// literal checks a literal against the type of its field.
func (b *binder) literal(c *condition, f *Field, t token) (bound, *Error) {
	if t.kind == tokName && strings.EqualFold(t.text, "null") {
		return bound{null: true}, nil
	}
	v := bound{}
	switch {
	case isText(f) || f.Type == "id" || f.Type == "reference":
		if t.kind != tokString {
			return v, b.wrongType(c, f, "should be enclosed in quotes")
		}
		s, err := b.lx.unquote(t, c.op == "LIKE")
		if err != nil {
			return v, err
		}
		if s == "" { // empty text is null
			return bound{null: c.op != "LIKE", lo: s, hi: s}, nil
		}
		if !isText(f) && c.op != "LIKE" {
			id, ok := parseID(s)
			if !ok {
				return v, refuse(400, "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: "+s)
			}
			s = id
		}
		return bound{lo: s, hi: s}, nil
	case t.kind == tokString:
	case f.Type == "boolean":
		if isWord(t.text, "true", "false") {
			yes := strings.EqualFold(t.text, "true")
			return bound{lo: yes, hi: yes}, nil
		}
	case f.Type == "date" || f.Type == "datetime":
		if v, ok := b.o.timeLiteral(f, t); ok {
			return v, nil
		}
	default:
		if n, err := strconv.ParseFloat(t.text, 64); err == nil && t.kind == tokNumber {
			return bound{lo: n, hi: n}, nil
		}
	}
	return v, b.wrongType(c, f, "should not be enclosed in quotes")
}

func (b *binder) wrongType(c *condition, f *Field, advice string) *Error {
	name := f.Type
	if name == "datetime" {
		name = "dateTime"
	}
	return b.lx.failAt(c.path.pos, "INVALID_FIELD",
		fmt.Sprintf("value of filter criterion for field '%s' must be of type %s and %s", f.Name, name, advice))
}

var dayLiterals = map[string]bool{"TODAY": true, "YESTERDAY": true, "TOMORROW": true, "THIS_MONTH": true, "LAST_MONTH": true, "THIS_YEAR": true}

// timeLiteral is a date or a datetime, whichever the field is, or a word for a
// span of whole days. The org's time zone is UTC.
func (o *Org) timeLiteral(f *Field, t token) (bound, bool) {
	if t.kind == tokName {
		from, to, ok := span(strings.ToUpper(t.text), o.now().Truncate(24*time.Hour))
		if f.Type == "date" {
			return bound{lo: from.Format(time.DateOnly), hi: to.AddDate(0, 0, -1).Format(time.DateOnly)}, ok
		}
		return bound{lo: from, hi: to.Add(-time.Second)}, ok
	}
	if f.Type == "date" {
		_, err := time.Parse(time.DateOnly, t.text)
		return bound{lo: t.text, hi: t.text}, err == nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700"} {
		if v, err := time.Parse(layout, t.text); err == nil {
			v = v.UTC().Truncate(time.Second) // milliseconds are ignored
			return bound{lo: v, hi: v}, true
		}
	}
	return bound{}, false
}

// span is the days [from, to) that a word stands for, seen from today.
func span(word string, today time.Time) (from, to time.Time, ok bool) {
	month := today.AddDate(0, 0, 1-today.Day())
	switch word {
	case "TODAY":
		return today, today.AddDate(0, 0, 1), true
	case "YESTERDAY":
		return today.AddDate(0, 0, -1), today, true
	case "TOMORROW":
		return today.AddDate(0, 0, 1), today.AddDate(0, 0, 2), true
	case "THIS_MONTH":
		return month, month.AddDate(0, 1, 0), true
	case "LAST_MONTH":
		return month.AddDate(0, -1, 0), month, true
	case "THIS_YEAR":
		year := time.Date(today.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
		return year, year.AddDate(1, 0, 0), true
	}
	name, count, _ := strings.Cut(word, ":")
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > 100_000 {
		return from, to, false
	}
	switch name {
	case "LAST_N_DAYS":
		return today.AddDate(0, 0, -n), today.AddDate(0, 0, 1), true
	case "NEXT_N_DAYS":
		return today.AddDate(0, 0, 1), today.AddDate(0, 0, n+1), true
	}
	return from, to, false
}
