package pgkv

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"sort"

	"callpoint/store/kv"

	"github.com/jackc/pgx/v5"
)

// Pages of a scan that no hint announced grow from firstPage to lastPage rows.
const (
	firstPage = 1000
	lastPage  = 8192
)

func (t *tx) Scan(r kv.Range) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		c := t.bucket(r.Bucket)
		n := 0
		lastID := []byte(nil)
		emit := func(k, v []byte) bool {
			if r.Heads {
				id, _, _ := bytes.Cut(k, []byte{0})
				if lastID != nil && bytes.Equal(id, lastID) {
					return true
				}
				lastID = id
			}
			n++
			return yield(k, v) && (r.Limit == 0 || n < r.Limit)
		}
		written := c.between(r)
		for k, v := range t.stored(c, r, len(written)) {
			for len(written) > 0 && before(r, written[0], k) {
				w := written[0]
				written = written[1:]
				if v := c.written[w]; v != nil && !emit([]byte(w), v) {
					return
				}
			}
			if len(written) > 0 && written[0] == string(k) {
				w := written[0]
				written = written[1:]
				if v = c.written[w]; v == nil {
					continue
				}
			}
			if !emit(k, v) {
				return
			}
		}
		for _, w := range written {
			if v := c.written[w]; v != nil && !emit([]byte(w), v) {
				return
			}
		}
	}
}

// between returns the written keys of a range in its order.
func (c *cache) between(r kv.Range) []string {
	from, _ := slices.BinarySearch(c.keys, string(r.From))
	to := len(c.keys)
	if r.To != nil {
		to, _ = slices.BinarySearch(c.keys, string(r.To))
	}
	if from >= to {
		return nil
	}
	keys := slices.Clone(c.keys[from:to])
	if r.Reverse {
		slices.Reverse(keys)
	}
	return keys
}

// before reports whether a written key comes before a stored one.
func before(r kv.Range, w string, k []byte) bool {
	if r.Reverse {
		return w > string(k)
	}
	return w < string(k)
}

// stored yields the rows of a range as the database has them: from spans that were read,
// and for the rest page by page. written is how many of them may be hidden by writes.
func (t *tx) stored(c *cache, r kv.Range, written int) iter.Seq2[[]byte, []byte] {
	if r.Heads {
		return t.heads(r, written)
	}
	return func(yield func(k, v []byte) bool) {
		size, n := firstPage, 0
		if r.Limit > 0 {
			size = min(r.Limit+written, lastPage)
		}
		from, to := nonNil(r.From), r.To
		for t.err == nil {
			if to != nil && bytes.Compare(from, to) >= 0 {
				return
			}
			s := t.next(c, r, from, to)
			if s == nil {
				page := kv.Range{Bucket: r.Bucket, From: from, To: to, Reverse: r.Reverse, Limit: size}
				size = min(4*size, lastPage)
				got := t.page(page, r.Keys)
				s = &got
				if n += len(got.rows); !r.Keys && n <= lastPage { // a long scan is not kept
					c.add(got)
				}
			}
			for _, x := range s.within(from, to, r.Reverse) {
				if !yield(x.key, x.value) {
					return
				}
			}
			if r.Reverse {
				to = s.from
				if len(to) == 0 {
					return
				}
			} else if from = s.to; from == nil {
				return
			}
		}
	}
}

// next returns the span that holds the next rows of a scan; nil if they were not read.
func (t *tx) next(c *cache, r kv.Range, from, to []byte) *span {
	if !r.Reverse {
		return c.span(from)
	}
	// The last span that begins before to, if it reaches up to there.
	i := len(c.spans)
	if to != nil {
		i = sort.Search(len(c.spans), func(i int) bool { return bytes.Compare(c.spans[i].from, to) >= 0 })
	}
	if i == 0 {
		return nil
	}
	s := &c.spans[i-1]
	if s.to == nil || to != nil && bytes.Compare(s.to, to) >= 0 {
		return s
	}
	return nil
}

// within returns the rows of a span between two keys, in the order of the scan.
func (s *span) within(from, to []byte, reverse bool) []row {
	find := func(k []byte) int {
		return sort.Search(len(s.rows), func(i int) bool { return bytes.Compare(s.rows[i].key, k) >= 0 })
	}
	lo, hi := find(from), len(s.rows)
	if to != nil {
		hi = find(to)
	}
	if lo >= hi {
		return nil
	}
	rows := s.rows[lo:hi]
	if reverse {
		rows = slices.Clone(rows)
		slices.Reverse(rows)
	}
	return rows
}

// page reads one page of a scan.
func (t *tx) page(r kv.Range, keys bool) span {
	table, condition := t.db.where(r.Bucket)
	value, direction := "value", ""
	if keys {
		value = "''::bytea"
	}
	if r.Reverse {
		direction = " DESC"
	}
	to := r.To
	if to == nil {
		to = last
	}
	sql := fmt.Sprintf("SELECT key, %s FROM %s WHERE %s AND key >= $1 AND key < $2 ORDER BY key%s LIMIT $3", value, table, condition, direction)
	rows := t.query(sql, nonNil(r.From), to, int64(r.Limit))
	if r.Reverse {
		slices.Reverse(rows)
	}
	return read(r, rows)
}

// heads reads the first key of each id by skipping from one to the next within the
// database. Writes may hide a head whose id has further keys: then those are read as well.
func (t *tx) heads(r kv.Range, written int) iter.Seq2[[]byte, []byte] {
	if written > 0 { // read all rows: Scan keeps the first of each id
		r.Heads, r.Limit = false, 0
		return t.stored(t.bucket(r.Bucket), r, written)
	}
	return func(yield func(k, v []byte) bool) {
		table, condition := t.db.where(r.Bucket)
		to := r.To
		if to == nil {
			to = last
		}
		size := firstPage
		if r.Limit > 0 {
			size = min(r.Limit, lastPage)
		}
		value := "t.value"
		if r.Keys {
			value = "''::bytea"
		}
		sql := fmt.Sprintf(`WITH RECURSIVE h(key) AS (
				(SELECT key FROM %[1]s WHERE %[2]s AND key >= $1 AND key < $2 ORDER BY key LIMIT 1)
			UNION ALL
				SELECT (SELECT key FROM %[1]s WHERE %[2]s AND key >= substring(h.key from 1 for coalesce(nullif(position('\x00'::bytea in h.key), 0) - 1, length(h.key))) || '\x01'::bytea AND key < $2 ORDER BY key LIMIT 1)
				FROM h WHERE h.key IS NOT NULL)
			SELECT h.key, %[3]s FROM (SELECT key FROM h WHERE key IS NOT NULL LIMIT $3) h JOIN %[1]s t ON %[4]s AND t.key = h.key ORDER BY 1`,
			table, condition, value, aliased(condition))
		from := nonNil(r.From)
		for t.err == nil {
			rows := t.query(sql, from, to, int64(size))
			for _, x := range rows {
				if !yield(x.key, x.value) {
					return
				}
			}
			if len(rows) < size {
				return
			}
			id, _, _ := bytes.Cut(rows[len(rows)-1].key, []byte{0})
			from = append(bytes.Clone(id), 1)
			size = min(4*size, lastPage)
		}
	}
}

// aliased is a condition on a bucket for the table t.
func aliased(condition string) string {
	if condition == "true" {
		return condition
	}
	return "t." + condition
}

// query reads keys and values.
func (t *tx) query(sql string, args ...any) (all []row) {
	if t.err != nil {
		return nil
	}
	t.send([]statement{{sql: sql, args: args, take: func(rows pgx.Rows) error {
		var k, v []byte
		_, err := pgx.ForEachRow(rows, []any{&k, &v}, func() error {
			all = append(all, row{k, nonNil(v)})
			return nil
		})
		return err
	}}})
	return all
}
