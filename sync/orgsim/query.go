package orgsim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxPage     = 2000
	minPage     = 200
	locatorLife = 48 * time.Hour
)

// A cursor is a query's whole result, fixed when the query ran.
type cursor struct {
	records []json.RawMessage
	page    int
	made    time.Time
}

func (o *Org) queryEndpoint(c *call, all bool, locator string) (answer, *Error) {
	if c.method != "GET" && c.method != "HEAD" {
		return answer{}, notAllowed(c.method, "HEAD,GET")
	}
	if locator != "" {
		return o.more(c, locator)
	}
	if !c.query.Has("q") {
		return answer{}, refuse(400, "MALFORMED_QUERY", "A query string has to be specified")
	}
	ans, err := o.query(c, c.query.Get("q"), all)
	return ans, err
}

func (o *Org) query(c *call, soql string, all bool) (answer, *Error) {
	q, lx, err := parseSOQL(soql)
	if err != nil {
		return answer{}, err
	}
	t := o.visibleTable(q.from.text)
	if t == nil {
		e := unsupportedType(q.from.text)
		return answer{}, lx.failAt(q.from.pos, e.Code, e.Message)
	}
	b := &binder{o: o, lx: lx, obj: t.obj, all: all}
	found, err := b.find(t, q)
	if err != nil {
		return answer{}, err
	}
	if f := o.tooMany(c, len(found)); f != nil {
		return *f.answer(), nil
	}
	if q.count {
		o.stats.Pages++
		return jsonAnswer(200, object{{"totalSize", len(window(q, found))}, {"done", true}, {"records", []int{}}}), nil
	}
	cur := &cursor{page: o.pageSize(c), made: o.cfg.Now()}
	if cur.records, err = b.render(c, q, found); err != nil {
		return answer{}, err
	}
	return o.page(c, cur, "", 0), nil
}

// tooMany finds a scripted fault for queries of this size.
func (o *Org) tooMany(c *call, rows int) *fault {
	req := requestOf(c)
	for _, f := range o.faults {
		if f.MinRows > 0 && rows > f.MinRows && f.answer() != nil && f.matches(req) && f.due() {
			o.stats.Faults++
			return f
		}
	}
	return nil
}

// find returns the records of the result before LIMIT. Ties, and results
// without ORDER BY, come in an order that means nothing, as in Salesforce.
func (b *binder) find(t *table, q *soqlQuery) ([]map[string]any, *Error) {
	keep := func(map[string]any) bool { return true }
	if q.where != nil {
		where, err := b.compile(q.where)
		if err != nil {
			return nil, err
		}
		keep = where
	}
	type hashed struct {
		rec  map[string]any
		hash uint64
	}
	archived := t.obj.Field("IsArchived")
	var found []hashed
	for _, r := range t.order {
		rec := b.o.view(r)
		if rec == nil || !b.all && (rec["IsDeleted"] == true || archived != nil && b.o.value(archived, rec) == true) || !keep(rec) {
			continue
		}
		h := fnv.New64a()
		h.Write([]byte(r.id))
		found = append(found, hashed{rec, h.Sum64()})
	}
	slices.SortFunc(found, func(x, y hashed) int { return cmp.Compare(x.hash, y.hash) })
	recs := make([]map[string]any, len(found))
	for i, x := range found {
		recs[i] = x.rec
	}
	if q.grouped() {
		return recs, nil // groups are sorted later
	}
	return recs, b.sort(q, recs)
}

func (b *binder) sort(q *soqlQuery, recs []map[string]any) *Error {
	cols := make([]column, len(q.order))
	for i, item := range q.order {
		if item.fn != "" {
			return b.lx.failAt(item.path.pos, "MALFORMED_QUERY", "Ordered field must be grouped or aggregated: "+item.path.text)
		}
		var err *Error
		if cols[i], err = b.usable(item.path, "sorted"); err != nil {
			return err
		}
	}
	slices.SortStableFunc(recs, func(x, y map[string]any) int {
		for i, item := range q.order {
			if n := item.compare(cols[i].field, b.get(cols[i], x), b.get(cols[i], y)); n != 0 {
				return n
			}
		}
		return 0
	})
	return nil
}

// compare orders two values as an ORDER BY item asks. NULLS FIRST holds for
// both directions unless NULLS LAST is said.
func (item orderItem) compare(f *Field, x, y any) int {
	n := compareValues(f, x, y)
	switch {
	case (x == nil) != (y == nil):
		if item.nullsLast {
			return -n
		}
		return n
	case item.desc:
		return -n
	}
	return n
}

// window applies OFFSET and LIMIT.
func window[T any](q *soqlQuery, rows []T) []T {
	rows = rows[min(q.offset, len(rows)):]
	if q.limit >= 0 {
		rows = rows[:min(q.limit, len(rows))]
	}
	return rows
}

// A node is one entry of a record in the answer: a field, or a related record
// with the fields that were asked of it.
type node struct {
	name  string
	field *Field
	ref   *Field
	parts []*node
}

// render makes the records of the answer.
func (b *binder) render(c *call, q *soqlQuery, found []map[string]any) ([]json.RawMessage, *Error) {
	if q.grouped() {
		return b.aggregate(q, found)
	}
	root := &node{}
	for _, item := range q.items {
		col, err := b.column(item.path)
		if err != nil {
			return nil, err
		}
		if !root.add(col) {
			return nil, b.lx.failAt(item.path.pos, "MALFORMED_QUERY", "duplicate field selected: "+item.path.text)
		}
	}
	found = window(q, found)
	records := make([]json.RawMessage, len(found))
	for i, rec := range found {
		records[i], _ = json.Marshal(b.record(c, b.obj, b.obj.Name, root, rec))
	}
	return records, nil
}

func (n *node) add(col column) bool {
	for _, ref := range col.hops {
		i := slices.IndexFunc(n.parts, func(p *node) bool { return p.ref == ref })
		if i < 0 {
			i = len(n.parts)
			n.parts = append(n.parts, &node{name: ref.RelationshipName, ref: ref})
		}
		n = n.parts[i]
	}
	if slices.ContainsFunc(n.parts, func(p *node) bool { return p.field == col.field }) {
		return false
	}
	n.parts = append(n.parts, &node{name: col.field.Name, field: col.field})
	return true
}

func attributes(c *call, shown string, obj *Object, rec map[string]any) member {
	return member{"attributes", object{{"type", shown},
		{"url", fmt.Sprintf("/services/data/v%s/sobjects/%s/%s", c.version, obj.Name, rec["Id"])}}}
}

func (b *binder) record(c *call, obj *Object, shown string, n *node, rec map[string]any) object {
	out := object{attributes(c, shown, obj, rec)}
	for _, part := range n.parts {
		var v any
		switch {
		case part.ref == nil && shown == "Name":
			v = b.get(column{field: part.field}, b.asName(obj, rec))
		case part.ref == nil:
			v = encode(part.field, b.o.value(part.field, rec))
		default:
			target, next := b.follow(part.ref, rec)
			if next == nil {
				break
			}
			shown := target.Name
			if part.ref.polymorphic() {
				shown = "Name"
			}
			v = b.record(c, target, shown, part, next)
		}
		out = append(out, member{part.name, v})
	}
	return out
}

// asName shows a record through the Name pseudo-object.
func (b *binder) asName(obj *Object, rec map[string]any) map[string]any {
	out := map[string]any{"Type": obj.Name}
	for _, f := range b.o.nameObj.fields {
		if own := obj.Field(f.Name); own != nil && f.Name != "Type" {
			out[f.Name] = b.o.value(own, rec)
		}
	}
	return out
}

// pageSize is the hint of the client within the limits, and the org's own.
func (o *Org) pageSize(c *call) int {
	size := maxPage
	for part := range strings.SplitSeq(c.header.Get("Sforce-Query-Options"), ",") {
		if name, value, _ := strings.Cut(part, "="); strings.EqualFold(strings.TrimSpace(name), "batchSize") {
			if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
				size = min(max(n, minPage), maxPage)
			}
		}
	}
	return min(size, o.cfg.PageSize)
}

// page answers with the page that starts at a position. A cursor gets its
// locator when there is a second page.
func (o *Org) page(c *call, cur *cursor, locator string, start int) answer {
	o.stats.Pages++
	end := min(start+cur.page, len(cur.records))
	done := end == len(cur.records)
	out := object{{"totalSize", len(cur.records)}, {"done", done}}
	if !done {
		if locator == "" {
			locator = o.newID("0r8")
			o.cursors[locator] = cur
			o.dropOldCursors()
		}
		out = append(out, member{"nextRecordsUrl", fmt.Sprintf("/services/data/v%s/query/%s-%d", c.version, locator, end)})
	}
	o.stats.RowsRead += end - start
	records := cur.records[start:end]
	if records == nil {
		records = []json.RawMessage{}
	}
	return jsonAnswer(200, append(out, member{"records", records}))
}

func (o *Org) dropOldCursors() {
	for id, cur := range o.cursors {
		if o.cfg.Now().Sub(cur.made) >= locatorLife {
			delete(o.cursors, id)
		}
	}
}

func (o *Org) more(c *call, locator string) (answer, *Error) {
	id, position, _ := strings.Cut(locator, "-")
	cur := o.cursors[id]
	start, err := strconv.Atoi(position)
	if cur == nil || err != nil || start < 0 || start >= len(cur.records) || o.cfg.Now().Sub(cur.made) >= locatorLife {
		return answer{}, refuse(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
	}
	return o.page(c, cur, id, start), nil
}

// ExpireLocators ends every open query cursor.
func (o *Org) ExpireLocators() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.cursors)
}
