package pgkv

import (
	"bytes"
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"sync/atomic"

	"callpoint/store/kv"

	"github.com/jackc/pgx/v5"
)

// A Row is an event or a visit that an instance received.
type Row struct {
	Visit      bool
	Key, Value []byte
	Rank       []byte // of a visit: the greater one replaces the smaller
	Visitor    []byte
	Tombstone  []byte // the key of the visitor's tombstone
	At         []byte // the key of its time
}

// Counts are what became of the rows of an Add.
type Counts struct{ Added, Forgotten, Pruned int }

// addSQL stores rows and leaves an arrival for the leader, in one statement. Whether the
// visitor has calls is for the leader to see: two instances that both looked and both
// wrote would miss a call that arrives at the same time. Where one of the rows has a stored
// version that differs, and $11 is false, it stores nothing.
//
// $1 visit, $2 key, $3 value, $4 visitor, $5 tombstone, $6 at, $7 key of the arrival,
// $8 and $9 the buckets of tombstones and of the bounds of retention, $10 force
const addSQL = `WITH u AS (
		SELECT r.*, EXISTS (SELECT FROM kv f WHERE f.bucket = $8 AND f.key = r.tombstone) AS forgotten,
			EXISTS (SELECT FROM kv p WHERE p.bucket = $9 AND p.key = r.visitor AND p.value > r.at) AS pruned
		FROM unnest($1::bool[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[])
			WITH ORDINALITY AS r(visit, key, value, visitor, tombstone, at, n)),
	ok AS (SELECT * FROM u WHERE NOT forgotten AND NOT pruned),
	old AS (SELECT u.n, s.value = u.value AS same FROM ok u JOIN events s ON s.key = u.key WHERE NOT u.visit
		UNION ALL SELECT u.n, s.value = u.value FROM ok u JOIN visits s ON s.key = u.key WHERE u.visit),
	go AS (SELECT * FROM ok WHERE $10::bool OR NOT EXISTS (SELECT FROM old WHERE NOT same)),
	e AS (INSERT INTO events (key, value) SELECT key, value FROM go WHERE NOT visit ORDER BY key ON CONFLICT (key) DO NOTHING RETURNING key),
	v AS (INSERT INTO visits (key, value) SELECT key, value FROM go WHERE visit ORDER BY key ON CONFLICT (key) DO NOTHING RETURNING key),
	new AS (SELECT false AS visit, key FROM e UNION ALL SELECT true, key FROM v),
	a AS (INSERT INTO arrivals (key, value) SELECT $7, (SELECT at FROM go ORDER BY at LIMIT 1) ||
			coalesce((SELECT string_agg(DISTINCT visitor, '\x00'::bytea) FROM go WHERE (visit, key) IN (SELECT visit, key FROM new)), '')
		WHERE EXISTS (SELECT FROM go) ON CONFLICT (key) DO NOTHING)
SELECT u.n, u.forgotten, u.pruned, (u.visit, u.key) IN (SELECT visit, key FROM new), coalesce((SELECT same FROM old WHERE old.n = u.n), false) FROM u`

// adds is the queue of Add. Rows that wait together are stored by one statement.
type adds struct {
	queue  chan *add
	queued atomic.Int64 // bytes
	quit   chan struct{}
	once   sync.Once
	all    sync.WaitGroup
}

// An add is the rows of one caller.
type add struct {
	rows  []Row
	bytes int64
	done  chan error
	Counts
}

// addWorkers is how many statements of Add run at once.
const addWorkers = 2

func (a *adds) start(db *DB) {
	a.queue, a.quit = make(chan *add, db.o.Queue), make(chan struct{})
	for range addWorkers {
		a.all.Go(func() { db.addLoop() })
	}
}

func (a *adds) stop() {
	a.once.Do(func() { close(a.quit) })
	a.all.Wait()
}

// Add stores rows, all or none, in a transaction of their own or shared with other callers.
// Any instance may add. It returns kv.ErrBusy where too much is queued, and kv.ErrAway if
// the database does not answer within seconds.
func (db *DB) Add(ctx context.Context, rows []Row, size int64) (Counts, error) {
	a := &add{rows: rows, bytes: size, done: make(chan error, 1)}
	queued := db.adds.queued.Add(size)
	defer db.adds.queued.Add(-size)
	if queued > db.o.QueueBytes && queued > size {
		return Counts{}, kv.ErrBusy
	}
	select {
	case <-db.adds.quit:
		return Counts{}, kv.ErrClosed
	default:
	}
	select {
	case db.adds.queue <- a:
	default:
		return Counts{}, kv.ErrBusy
	}
	select { // once queued, the result is awaited: giving up would leave it unknown
	case err := <-a.done:
		return a.Counts, err
	case <-db.adds.quit:
		db.adds.all.Wait()
		select {
		case err := <-a.done:
			return a.Counts, err
		default:
			return Counts{}, kv.ErrClosed
		}
	}
}

const (
	maxGroup      = 256
	maxGroupBytes = 8 << 20
)

func (db *DB) addLoop() {
	for {
		select {
		case a := <-db.adds.queue:
			db.addGroup(a)
		case <-db.adds.quit:
			for {
				select {
				case a := <-db.adds.queue:
					db.addGroup(a)
				default:
					return
				}
			}
		}
	}
}

// addGroup stores the rows of a caller together with those that wait already.
func (db *DB) addGroup(first *add) {
	group, size := []*add{first}, first.bytes
gather:
	for len(group) < maxGroup && size < maxGroupBytes {
		select {
		case a := <-db.adds.queue:
			group, size = append(group, a), size+a.bytes
		default:
			break gather
		}
	}
	err := db.addAll(group)
	if err != nil && len(group) > 1 && classify(err) == failed {
		// One of them may be at fault: each gets a statement of its own.
		for _, a := range group {
			a.done <- db.addAll([]*add{a})
		}
		return
	}
	for _, a := range group {
		a.done <- err
	}
}

// A pending is a row of a group, and whose it is.
type pending struct {
	*Row
	of *add
}

func (p pending) bucket(db *DB) kv.Bucket {
	if p.Visit {
		return db.o.Visits
	}
	return db.o.Events
}

// addAll stores the rows of a group.
func (db *DB) addAll(group []*add) error {
	var all []pending
	for _, a := range group {
		for i := range a.rows {
			all = append(all, pending{&a.rows[i], a})
		}
	}
	all, err := db.distinct(all)
	if err != nil {
		return err
	}
	arrival := make([]byte, 16)
	_, _ = rand.Read(arrival) // it never fails
	return db.retry(context.Background(), addPatience, func(ctx context.Context) error {
		if err := db.prepare(ctx); err != nil {
			return err
		}
		for _, a := range group {
			a.Counts = Counts{}
		}
		differ, err := db.insert(ctx, db.pool, all, arrival, false)
		if err != nil || len(differ) == 0 {
			return err
		}
		stored := 0
		for _, a := range group {
			stored += a.Added
		}
		if stored > 0 {
			// The others were stored. These were stored by another statement at the same time.
			return pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error { return db.replace(ctx, tx, differ) })
		}
		for _, a := range group {
			a.Counts = Counts{}
		}
		return pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
			if err := db.replace(ctx, tx, differ); err != nil {
				return err
			}
			_, err := db.insert(ctx, tx, all, arrival, true)
			return err
		})
	})
}

// distinct sorts rows by key, so that statements that store the same ones do not lock each
// other out, and keeps of those with one key the one that replaces the others.
func (db *DB) distinct(all []pending) (kept []pending, err error) {
	slices.SortStableFunc(all, func(a, b pending) int {
		if a.Visit != b.Visit {
			if b.Visit {
				return -1
			}
			return 1
		}
		return bytes.Compare(a.Key, b.Key)
	})
	for _, p := range all {
		n := len(kept)
		if n == 0 || kept[n-1].Visit != p.Visit || !bytes.Equal(kept[n-1].Key, p.Key) {
			kept = append(kept, p)
			continue
		}
		better, err := db.o.Replaces(p.bucket(db), p.Key, p.Value, kept[n-1].Value)
		if err != nil {
			return nil, err
		}
		if better {
			kept[n-1] = p
		}
	}
	return kept, nil
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// insert runs addSQL and returns the rows that were not stored because another version is.
func (db *DB) insert(ctx context.Context, q querier, all []pending, arrival []byte, force bool) (differ []pending, err error) {
	var visits []bool
	var keys, values, visitors, tombstones, ats [][]byte
	for _, r := range all {
		visits, keys, values = append(visits, r.Visit), append(keys, r.Key), append(values, r.Value)
		visitors, tombstones, ats = append(visitors, r.Visitor), append(tombstones, nonNil(r.Tombstone)), append(ats, r.At)
	}
	db.trips.Add(1)
	rows, err := q.Query(ctx, addSQL, visits, keys, values, visitors, tombstones, ats, arrival, int16(db.o.Forgotten), int16(db.o.PrunedBefore), force)
	if err != nil {
		return nil, err
	}
	var n int64
	var forgotten, pruned, added, same bool
	_, err = pgx.ForEachRow(rows, []any{&n, &forgotten, &pruned, &added, &same}, func() error {
		switch r := all[n-1]; {
		case forgotten:
			r.of.Forgotten++
		case pruned:
			r.of.Pruned++
		case added:
			r.of.Added++
		case !same:
			differ = append(differ, r)
		}
		return nil
	})
	return differ, err
}

// replace writes those rows that replace the stored version, and leaves an arrival for them.
func (db *DB) replace(ctx context.Context, tx pgx.Tx, differ []pending) error {
	for _, visit := range []bool{false, true} {
		table := "events"
		if visit {
			table = "visits"
		}
		rows := map[string]pending{}
		var keys [][]byte
		for _, p := range differ {
			if p.Visit == visit {
				rows[string(p.Key)] = p
				keys = append(keys, p.Key)
			}
		}
		if len(keys) == 0 {
			continue
		}
		var values, visitors [][]byte
		var changed [][]byte
		var key, stored []byte
		var earliest []byte
		db.trips.Add(1)
		found, err := tx.Query(ctx, "SELECT key, value FROM "+table+" WHERE key = ANY($1::bytea[]) ORDER BY key FOR UPDATE", keys)
		if err != nil {
			return err
		}
		_, err = pgx.ForEachRow(found, []any{&key, &stored}, func() error {
			p := rows[string(key)]
			better, err := db.o.Replaces(p.bucket(db), key, p.Value, stored)
			if err != nil || !better {
				return err
			}
			p.of.Added++
			changed, values, visitors = append(changed, key), append(values, p.Value), append(visitors, p.Visitor)
			if earliest == nil || bytes.Compare(p.At, earliest) < 0 {
				earliest = p.At
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(changed) == 0 {
			continue
		}
		arrival := make([]byte, 16)
		_, _ = rand.Read(arrival)
		db.trips.Add(2)
		if _, err := tx.Exec(ctx, "UPDATE "+table+" t SET value = w.value FROM unnest($1::bytea[], $2::bytea[]) AS w(key, value) WHERE t.key = w.key", changed, values); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO arrivals (key, value) VALUES ($1, $2)", arrival, append(bytes.Clone(earliest), bytes.Join(visitors, []byte{0})...)); err != nil {
			return err
		}
	}
	return nil
}
