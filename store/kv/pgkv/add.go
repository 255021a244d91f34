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
// wrote would miss a call that arrives at the same time.
//
// $1 visit, $2 key, $3 value, $4 rank, $5 visitor, $6 tombstone, $7 at, $8 key of the arrival,
// $9 and $10 the buckets of tombstones and of the bounds of retention
const addSQL = `WITH u AS (
		SELECT r.*, EXISTS (SELECT FROM kv f WHERE f.bucket = $9 AND f.key = r.tombstone) AS forgotten,
			EXISTS (SELECT FROM kv p WHERE p.bucket = $10 AND p.key = r.visitor AND p.value > r.at) AS pruned
		FROM unnest($1::bool[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[])
			WITH ORDINALITY AS r(visit, key, value, rank, visitor, tombstone, at, n)),
	ok AS (SELECT * FROM u WHERE NOT forgotten AND NOT pruned),
	e AS (INSERT INTO events (key, value) SELECT key, value FROM ok WHERE NOT visit ORDER BY key, n ON CONFLICT (key) DO NOTHING RETURNING key),
	v AS (INSERT INTO visits (key, value, rank) SELECT DISTINCT ON (key) key, value, rank FROM ok WHERE visit ORDER BY key, rank DESC, n
		ON CONFLICT (key) DO UPDATE SET value = excluded.value, rank = excluded.rank WHERE excluded.rank > visits.rank RETURNING key),
	new AS (SELECT false AS visit, key FROM e UNION ALL SELECT true, key FROM v),
	a AS (INSERT INTO arrivals (key, value) SELECT $8, (SELECT at FROM ok ORDER BY at LIMIT 1) ||
			coalesce((SELECT string_agg(DISTINCT visitor, '\x00'::bytea) FROM ok WHERE (visit, key) IN (SELECT visit, key FROM new)), '')
		WHERE EXISTS (SELECT FROM ok) ON CONFLICT (key) DO NOTHING)
SELECT u.n, u.forgotten, u.pruned, (u.visit, u.key) IN (SELECT visit, key FROM new) FROM u WHERE u.forgotten OR u.pruned OR (u.visit, u.key) IN (SELECT visit, key FROM new)`

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

func (db *DB) addAll(group []*add) error {
	type one struct {
		*Row
		of *add
	}
	var all []one
	for _, a := range group {
		for i := range a.rows {
			all = append(all, one{&a.rows[i], a})
		}
	}
	// In the order of the keys: statements that store the same ones do not lock each other out.
	slices.SortStableFunc(all, func(a, b one) int { return bytes.Compare(a.Key, b.Key) })
	var visits []bool
	var keys, values, ranks, visitors, tombstones, ats [][]byte
	for _, r := range all {
		visits, keys, values = append(visits, r.Visit), append(keys, r.Key), append(values, r.Value)
		ranks, visitors = append(ranks, nonNil(r.Rank)), append(visitors, r.Visitor)
		tombstones, ats = append(tombstones, nonNil(r.Tombstone)), append(ats, r.At)
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
		db.trips.Add(1)
		rows, err := db.pool.Query(ctx, addSQL, visits, keys, values, ranks, visitors, tombstones, ats, arrival, int16(db.o.Forgotten), int16(db.o.PrunedBefore))
		if err != nil {
			return err
		}
		counted := map[string]bool{} // a key that was added counts for the first row of it
		var n int64
		var forgotten, pruned, added bool
		_, err = pgx.ForEachRow(rows, []any{&n, &forgotten, &pruned, &added}, func() error {
			r := all[n-1]
			kind := "e"
			if r.Visit {
				kind = "v"
			}
			switch {
			case forgotten:
				r.of.Forgotten++
			case pruned:
				r.of.Pruned++
			case added && !counted[kind+string(r.Key)]:
				counted[kind+string(r.Key)] = true
				r.of.Added++
			}
			return nil
		})
		return err
	})
}
