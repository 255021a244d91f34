package pgkv

import (
	"bytes"
	"context"
	"errors"
	"slices"
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
