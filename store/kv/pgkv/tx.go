package pgkv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"
	"time"

	"callpoint/store/kv"

	"github.com/jackc/pgx/v5"
)

// A tx is one transaction. It begins with its first query.
type tx struct {
	db       *DB
	ctx      context.Context
	conn     *pgx.Conn
	readOnly bool
	unfenced bool
	alone    bool // it excludes the leader's transactions
	term     int64
	begun    bool
	err      error // of the first query that failed
	held     int   // rows that were read

	buckets map[kv.Bucket]*cache
}

// A cache is what a transaction has read of a bucket and what it is about to write.
type cache struct {
	read    map[string][]byte // nil: the key does not exist
	spans   []span            // sorted by their beginning, without overlap
	written map[string][]byte // nil: deleted
	keys    []string          // of written, sorted
}

// A span is a part of a bucket that was read completely.
type span struct {
	from, to []byte // to is nil for no bound
	rows     []row
}

type row struct{ key, value []byte }

func (s *span) holds(key []byte) bool {
	return bytes.Compare(key, s.from) >= 0 && (s.to == nil || bytes.Compare(key, s.to) < 0)
}

// maxHeld is how many rows a read transaction keeps before it begins anew.
const maxHeld = 100_000

// trim drops what a long read transaction has read.
func (t *tx) trim() {
	if t.readOnly && t.held > maxHeld {
		t.buckets, t.held = nil, 0
	}
}

func (t *tx) bucket(b kv.Bucket) *cache {
	if t.buckets == nil {
		t.buckets = map[kv.Bucket]*cache{}
	}
	c := t.buckets[b]
	if c == nil {
		c = &cache{read: map[string][]byte{}, written: map[string][]byte{}}
		t.buckets[b] = c
	}
	return c
}

// span returns the span that holds a key; nil if none does.
func (c *cache) span(key []byte) *span {
	i := sort.Search(len(c.spans), func(i int) bool { return bytes.Compare(c.spans[i].from, key) > 0 })
	if i == 0 || !c.spans[i-1].holds(key) {
		return nil
	}
	return &c.spans[i-1]
}

// add keeps a span unless it overlaps another.
func (c *cache) add(s span) {
	if s.from == nil {
		s.from = []byte{}
	}
	i := sort.Search(len(c.spans), func(i int) bool { return bytes.Compare(c.spans[i].from, s.from) >= 0 })
	if i > 0 && c.spans[i-1].holds(s.from) || i < len(c.spans) && (s.to == nil || bytes.Compare(c.spans[i].from, s.to) < 0) {
		return
	}
	c.spans = slices.Insert(c.spans, i, s)
}

// find returns the value of a key as it was read; known is false if it was not read.
func (c *cache) find(key []byte) (value []byte, known bool) {
	if v, ok := c.read[string(key)]; ok {
		return v, true
	}
	s := c.span(key)
	if s == nil {
		return nil, false
	}
	i, ok := slices.BinarySearchFunc(s.rows, key, func(r row, k []byte) int { return bytes.Compare(r.key, k) })
	if !ok {
		return nil, true
	}
	return s.rows[i].value, true
}

func (t *tx) Get(b kv.Bucket, key []byte) []byte {
	c := t.bucket(b)
	if v, ok := c.written[string(key)]; ok {
		return v
	}
	v, known := c.find(key)
	if known || t.err != nil {
		return v
	}
	t.fetch([]kv.Range{kv.Key(b, key)})
	v, _ = c.find(key)
	return v
}

func (t *tx) Put(b kv.Bucket, key, value []byte) error {
	if value == nil {
		value = []byte{}
	}
	return t.write(b, key, value)
}

func (t *tx) Delete(b kv.Bucket, key []byte) error { return t.write(b, key, nil) }

func (t *tx) write(b kv.Bucket, key, value []byte) error {
	if t.readOnly {
		return errors.New("a write in a read transaction")
	}
	c, k := t.bucket(b), string(key)
	if _, ok := c.written[k]; !ok {
		i, _ := slices.BinarySearch(c.keys, k)
		c.keys = slices.Insert(c.keys, i, k)
	}
	c.written[k] = value
	return nil
}

// Hint fetches what is not known yet in one round trip.
func (t *tx) Hint(all ...kv.Range) {
	t.trim()
	if t.err == nil {
		t.fetch(all)
	}
}

// isKey reports whether a range is one key.
func isKey(r kv.Range) bool {
	return r.From != nil && len(r.To) == len(r.From)+1 && r.To[len(r.From)] == 0 && bytes.HasPrefix(r.To, r.From)
}

// A statement is a query of a batch and what takes its rows.
type statement struct {
	sql  string
	args []any
	take func(pgx.Rows) error
}

// fetch reads ranges: all single keys of a table by one query, all others by one query for
// each table and direction.
func (t *tx) fetch(all []kv.Range) {
	type keys struct {
		buckets []int16
		keys    [][]byte
	}
	single := map[string]*keys{}
	type group struct {
		table   string
		reverse bool
		heads   bool
	}
	ranges := map[group][]kv.Range{}
	var order []group
	for _, r := range all {
		c := t.bucket(r.Bucket)
		table, _ := t.db.where(r.Bucket)
		if isKey(r) {
			if _, known := c.find(r.From); known {
				continue
			}
			k := single[table]
			if k == nil {
				k = &keys{}
				single[table] = k
			}
			k.buckets, k.keys = append(k.buckets, int16(r.Bucket)), append(k.keys, r.From)
			c.read[string(r.From)] = nil // until it is found
			continue
		}
		if r.Heads || t.covered(c, r) {
			continue
		}
		g := group{table: table, reverse: r.Reverse}
		if ranges[g] == nil {
			order = append(order, g)
		}
		ranges[g] = append(ranges[g], r)
	}
	var batch []statement
	for table, k := range single {
		batch = append(batch, t.readKeys(table, k.buckets, k.keys))
	}
	for _, g := range order {
		batch = append(batch, t.readRanges(g.table, g.reverse, ranges[g]))
	}
	if len(batch) > 0 {
		t.send(batch)
	}
}

// covered reports whether a whole range, or its first row if that is the limit, was read.
func (t *tx) covered(c *cache, r kv.Range) bool {
	if r.Reverse {
		return false
	}
	s := c.span(r.From)
	if s == nil {
		return false
	}
	return s.to == nil || r.To != nil && bytes.Compare(r.To, s.to) <= 0
}

func (t *tx) readKeys(table string, buckets []int16, keys [][]byte) statement {
	caches := map[kv.Bucket]*cache{}
	for _, b := range buckets {
		caches[kv.Bucket(b)] = t.bucket(kv.Bucket(b))
	}
	sql := "SELECT w.bucket, t.key, t.value FROM unnest($1::int2[], $2::bytea[]) AS w(bucket, key) JOIN " + table + " t ON t.key = w.key"
	if table == common {
		sql += " AND t.bucket = w.bucket"
	}
	return statement{sql: sql, args: []any{buckets, keys}, take: func(rows pgx.Rows) error {
		var b int16
		var k, v []byte
		_, err := pgx.ForEachRow(rows, []any{&b, &k, &v}, func() error {
			t.held++
			caches[kv.Bucket(b)].read[string(k)] = nonNil(v)
			return nil
		})
		return err
	}}
}

// last is greater than every key: ids are text, and the first byte of a time is below it.
var last = bytes.Repeat([]byte{0xff}, 16)

// manyRows is the limit of a range that has none.
const manyRows = int64(1) << 60

func (t *tx) readRanges(table string, reverse bool, ranges []kv.Range) statement {
	var buckets []int16
	var from, to [][]byte
	var limits []int64
	for _, r := range ranges {
		buckets = append(buckets, int16(r.Bucket))
		from, to = append(from, nonNil(r.From)), append(to, r.To)
		if r.To == nil {
			to[len(to)-1] = last
		}
		limit := manyRows
		if r.Limit > 0 {
			limit = int64(r.Limit)
		}
		limits = append(limits, limit)
	}
	condition, direction := "", ""
	if table == common {
		condition = "t.bucket = r.bucket AND "
	}
	if reverse {
		direction = " DESC"
	}
	sql := `SELECT r.n, k.key, k.value FROM unnest($1::int2[], $2::bytea[], $3::bytea[], $4::int8[]) WITH ORDINALITY AS r(bucket, lo, hi, most, n)
		CROSS JOIN LATERAL (SELECT t.key, t.value FROM ` + table + ` t WHERE ` + condition + `t.key >= r.lo AND t.key < r.hi ORDER BY t.key` + direction + ` LIMIT r.most) k`
	return statement{sql: sql, args: []any{buckets, from, to, limits}, take: func(rows pgx.Rows) error {
		found := make([][]row, len(ranges))
		var n int64
		var k, v []byte
		_, err := pgx.ForEachRow(rows, []any{&n, &k, &v}, func() error {
			t.held++
			found[n-1] = append(found[n-1], row{k, nonNil(v)})
			return nil
		})
		for i, r := range ranges {
			slices.SortFunc(found[i], func(a, b row) int { return bytes.Compare(a.key, b.key) })
			t.bucket(r.Bucket).add(read(r, found[i]))
		}
		return err
	}}
}

// read returns the span that is known after a range was read, whose rows may have reached
// its limit.
func read(r kv.Range, rows []row) span {
	s := span{from: r.From, to: r.To, rows: rows}
	if r.Limit == 0 || len(rows) < r.Limit {
		return s
	}
	if r.Reverse {
		s.from = rows[0].key
	} else {
		s.to = append(bytes.Clone(rows[len(rows)-1].key), 0)
	}
	return s
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// send runs a batch in one round trip, after BEGIN if the transaction has not begun.
func (t *tx) send(all []statement) {
	var b pgx.Batch
	if !t.begun {
		mode := "BEGIN ISOLATION LEVEL REPEATABLE READ"
		if t.readOnly {
			mode += " READ ONLY"
		}
		b.Queue(mode)
		if t.alone {
			b.Queue("SELECT FROM leader FOR UPDATE")
		}
	}
	for _, s := range all {
		b.Queue(s.sql, s.args...)
	}
	t.db.trips.Add(1)
	r := t.conn.SendBatch(t.ctx, &b)
	if !t.begun {
		if _, err := r.Exec(); err != nil {
			t.fail(err)
		}
		if t.alone && t.err == nil {
			if _, err := r.Exec(); err != nil {
				t.fail(err)
			}
		}
		t.begun = true
	}
	for _, s := range all {
		if t.err != nil {
			break
		}
		if s.take == nil {
			if _, err := r.Exec(); err != nil {
				t.fail(err)
			}
			continue
		}
		rows, err := r.Query()
		if err == nil {
			err = s.take(rows)
		}
		if err != nil {
			t.fail(err)
		}
	}
	if err := r.Close(); err != nil {
		t.fail(err)
	}
}

// fail keeps the first error; the transaction is over.
func (t *tx) fail(err error) {
	if t.err != nil {
		return
	}
	t.err = err
	t.rollback()
}

// rollback ends a transaction that has begun. A connection that cannot do that is closed
// when it is released.
func (t *tx) rollback() {
	if !t.begun || t.conn.IsClosed() || t.conn.PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), time.Second)
	defer cancel()
	t.db.trips.Add(1)
	if _, err := t.conn.Exec(ctx, "ROLLBACK"); err != nil {
		_ = t.conn.Close(ctx)
	}
}

// fence is an error unless the term still is the leader's. It makes a take-over wait for
// the transaction.
const fence = "SELECT 1/count(*) FROM (SELECT 1 FROM leader WHERE term = $1 FOR SHARE) x"

// commit sends the writes and COMMIT in one round trip.
func (t *tx) commit(more ...statement) error {
	var all []statement
	if !t.unfenced && !t.readOnly && t.writes() {
		all = append(all, statement{sql: fence, args: []any{t.term}})
	}
	all = append(append(all, t.flush()...), more...)
	if !t.begun && len(all) == 0 {
		return nil
	}
	t.send(append(all, statement{sql: "COMMIT"}))
	return t.err
}

func (t *tx) writes() bool {
	for _, c := range t.buckets {
		if len(c.written) > 0 {
			return true
		}
	}
	return false
}

// flush returns the statements that write: a deletion and an upsert for each table.
func (t *tx) flush() (all []statement) {
	type set struct {
		buckets []int16
		keys    [][]byte
		values  [][]byte
	}
	puts, deletes := map[string]*set{}, map[string]*set{}
	add := func(sets map[string]*set, b kv.Bucket, key string, value []byte) {
		table, _ := t.db.where(b)
		if sets[table] == nil {
			sets[table] = &set{}
		}
		s := sets[table]
		s.buckets, s.keys, s.values = append(s.buckets, int16(b)), append(s.keys, []byte(key)), append(s.values, value)
	}
	for b := range kv.Bucket(len(t.db.o.Buckets)) {
		c := t.buckets[b]
		if c == nil {
			continue
		}
		for _, k := range c.keys {
			if v := c.written[k]; v != nil {
				add(puts, b, k, v)
			} else if was, known := c.find([]byte(k)); !known || was != nil {
				add(deletes, b, k, nil)
			}
		}
	}
	for _, table := range t.db.tables() {
		if s := deletes[table]; s != nil {
			sql, args := "DELETE FROM "+table+" t USING unnest($1::bytea[]) AS w(key) WHERE t.key = w.key", []any{s.keys}
			if table == common {
				sql, args = "DELETE FROM kv t USING unnest($1::int2[], $2::bytea[]) AS w(bucket, key) WHERE t.bucket = w.bucket AND t.key = w.key", []any{s.buckets, s.keys}
			}
			all = append(all, statement{sql: sql, args: args})
		}
		if s := puts[table]; s != nil {
			sql, args := "INSERT INTO "+table+" (key, value) SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT (key) DO UPDATE SET value = excluded.value", []any{s.keys, s.values}
			if table == common {
				sql, args = "INSERT INTO kv (bucket, key, value) SELECT * FROM unnest($1::int2[], $2::bytea[], $3::bytea[]) ON CONFLICT (bucket, key) DO UPDATE SET value = excluded.value", []any{s.buckets, s.keys, s.values}
			}
			all = append(all, statement{sql: sql, args: args})
		}
	}
	return all
}

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
