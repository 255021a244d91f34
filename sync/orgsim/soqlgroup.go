package orgsim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// grouped reports whether the result is made of AggregateResults.
func (q *soqlQuery) grouped() bool {
	return q.group != nil || slices.ContainsFunc(q.items, func(it selectItem) bool { return it.fn != "" })
}

// A tally is one aggregate over the records of a group.
type tally struct {
	fn       string
	n        int
	distinct map[string]bool
	sum      float64
	best     any
}

func (t *tally) take(f *Field, v any) {
	if v == nil {
		return
	}
	t.n++
	switch t.fn {
	case "COUNT_DISTINCT":
		if t.distinct == nil {
			t.distinct = map[string]bool{}
		}
		t.distinct[groupKey(f, v)] = true
	case "SUM", "AVG":
		t.sum += v.(float64)
	case "MIN", "MAX":
		if n := compareValues(f, v, t.best); t.best == nil || t.fn == "MIN" && n < 0 || t.fn == "MAX" && n > 0 {
			t.best = v
		}
	}
}

func (t *tally) result() any {
	switch {
	case t.fn == "COUNT":
		return float64(t.n)
	case t.fn == "COUNT_DISTINCT":
		return float64(len(t.distinct))
	case t.n == 0:
		return nil
	case t.fn == "SUM":
		return t.sum
	case t.fn == "AVG":
		return t.sum / float64(t.n)
	}
	return t.best
}

// A measure is a selected or ordered item of a grouped query.
type measure struct {
	item  selectItem
	col   column
	name  string
	shown *Field // the type of the result
}

type group struct {
	first   map[string]any // any record of it, for the grouped fields
	tallies []tally
}

func groupKey(f *Field, v any) string {
	if s, ok := v.(string); ok {
		return "s" + filterKey(f, s)
	}
	return fmt.Sprint(v)
}

// aggregate folds the records into groups and renders these.
func (b *binder) aggregate(q *soqlQuery, found []map[string]any) ([]json.RawMessage, *Error) {
	by := make([]column, len(q.group))
	for i, path := range q.group {
		var err *Error
		if by[i], err = b.usable(path, "grouped"); err != nil {
			return nil, err
		}
	}
	items := slices.Clone(q.items)
	for _, item := range q.order {
		items = append(items, item.selectItem)
	}
	measures, err := b.measures(q, items)
	if err != nil {
		return nil, err
	}
	groups := map[string]*group{}
	var keys []string
	for _, rec := range found {
		var key strings.Builder
		for _, col := range by {
			key.WriteString(groupKey(col.field, b.get(col, rec)) + "\x00")
		}
		b.count(groups, &keys, key.String(), measures, rec)
	}
	if len(by) == 0 && len(found) == 0 { // aggregates of nothing are one row
		b.count(groups, &keys, "", measures, nil)
	}
	slices.Sort(keys)
	b.sortGroups(q, groups, keys, measures[len(q.items):])
	keys = window(q, keys)
	if len(keys) > maxPage {
		return nil, refuse(400, "EXCEEDED_ID_LIMIT", "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch")
	}
	records := make([]json.RawMessage, len(keys))
	for i, key := range keys {
		out := object{{"attributes", object{{"type", "AggregateResult"}}}}
		for j, m := range measures[:len(q.items)] {
			out = append(out, member{m.name, encode(m.shown, b.measured(m, groups[key], j))})
		}
		records[i], _ = json.Marshal(out)
	}
	return records, nil
}

func (b *binder) count(groups map[string]*group, keys *[]string, key string, measures []measure, rec map[string]any) {
	g := groups[key]
	if g == nil {
		g = &group{first: rec, tallies: make([]tally, len(measures))}
		for i, m := range measures {
			g.tallies[i].fn = m.item.fn
		}
		groups[key] = g
		*keys = append(*keys, key)
	}
	for i, m := range measures {
		if m.item.fn != "" && rec != nil {
			g.tallies[i].take(m.col.field, b.get(m.col, rec))
		}
	}
}

func (b *binder) measured(m measure, g *group, i int) any {
	if m.item.fn != "" {
		return g.tallies[i].result()
	}
	return b.get(m.col, g.first)
}

func (b *binder) sortGroups(q *soqlQuery, groups map[string]*group, keys []string, by []measure) {
	slices.SortStableFunc(keys, func(x, y string) int {
		for i, item := range q.order {
			at := len(q.items) + i
			if n := item.compare(by[i].shown, b.measured(by[i], groups[x], at), b.measured(by[i], groups[y], at)); n != 0 {
				return n
			}
		}
		return 0
	})
}

// measures binds the items of a grouped query and names their results.
func (b *binder) measures(q *soqlQuery, items []selectItem) ([]measure, *Error) {
	var out []measure
	unnamed := 0
	for _, item := range items {
		col, err := b.column(item.path)
		if err != nil {
			return nil, err
		}
		m := measure{item: item, col: col, name: item.alias, shown: col.field}
		switch {
		case item.fn == "":
			same := func(p fieldPath) bool { return strings.EqualFold(p.text, item.path.text) }
			if !slices.ContainsFunc(q.group, same) {
				return nil, b.lx.failAt(item.path.pos, "MALFORMED_QUERY", "Field must be grouped or aggregated: "+item.path.text)
			}
			m.name = col.field.Name
		case !aggregable(item.fn, col.field):
			return nil, b.lx.failAt(item.path.pos, "MALFORMED_QUERY",
				fmt.Sprintf("field %s does not support aggregate operator %s", item.path.text, item.fn))
		case strings.HasPrefix(item.fn, "COUNT"):
			m.shown = &Field{Name: item.path.text, Type: "int"}
		}
		if m.name == "" {
			m.name = fmt.Sprintf("expr%d", unnamed)
			unnamed++
		}
		out = append(out, m)
	}
	return out, nil
}

func aggregable(fn string, f *Field) bool {
	switch fn {
	case "SUM", "AVG":
		return f.number()
	case "MIN", "MAX":
		return f.Type != "boolean" && f.Type != "textarea"
	}
	return !f.NotFilterable
}
