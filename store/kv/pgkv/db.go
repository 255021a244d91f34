// Package pgkv keeps a kv.DB in PostgreSQL, for several instances.
//
// Every instance reads, and adds rows by one statement (Add). One instance leads: it alone
// runs Update. The right to lead is a lease with a term, by the database's clock; each
// Update checks the term in the batch that commits (the fence).
//
// A Tx reads what Hint announces in one batch, keeps its writes in memory, and sends them
// together with the commit in another batch.
package pgkv

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"callpoint/store/kv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Options configure a DB; zero values mean the defaults.
type Options struct {
	// Buckets are the names of the buckets; a kv.Bucket is an index of this list.
	Buckets []string
	// Tables are the buckets with a table of their own, by the table's name. The tables of
	// Add are among them: events, visits and arrivals.
	Tables map[kv.Bucket]string
	// Events and Visits are the buckets that Add writes, Forgotten and PrunedBefore those
	// that it reads.
	Events, Visits, Forgotten, PrunedBefore kv.Bucket
	// Replaces reports whether a value takes the place of a stored one with the same key.
	Replaces func(b kv.Bucket, key, value, stored []byte) (bool, error)
	// Password replaces that of the URL unless it is empty.
	Password string
	// Connections bounds the pool. Default 10.
	Connections int
	// Init fills an empty database, in the transaction that creates its tables.
	Init func(kv.Tx) error
	// Accept examines the contents before anything is written; an error refuses them.
	Accept func(kv.Tx) error
	// Unfinished makes the tables of an empty database without their identity: until Finish
	// no other program opens them. It refuses tables that exist.
	Unfinished bool
	// MayBeAway lets Open succeed while the database is away.
	MayBeAway bool
	// ReadOnly never takes the lease.
	ReadOnly bool
	// OnWrite takes the lease at the first Update, for processes that run once.
	OnWrite bool

	// Name and Address identify this instance to the others; Version is its program's.
	Name, Address, Version string
	// Rules identifies the rules of this instance; nil: none.
	Rules func() string
	// Collector: this instance never leads.
	Collector bool
	// Lease is how long the lease lasts without renewal. Default 10s.
	Lease time.Duration
	// Queue and QueueBytes bound the rows that wait in Add. Default 1024 and 64 MiB.
	Queue      int
	QueueBytes int64
}

func (o Options) withDefaults() Options {
	if o.Connections == 0 {
		o.Connections = 10
	}
	if o.Lease == 0 {
		o.Lease = 10 * time.Second
	}
	if o.Queue == 0 {
		o.Queue = 1024
	}
	if o.QueueBytes == 0 {
		o.QueueBytes = 64 << 20
	}
	if o.Rules == nil {
		o.Rules = func() string { return "" }
	}
	return o
}

// How long a transaction is tried while the database is away.
const (
	readPatience  = 3 * time.Second
	addPatience   = 3 * time.Second
	writePatience = 5 * time.Second
	awayPatience  = 200 * time.Millisecond // once it is known to be away
)

// A DB is a pool of connections. Its methods may be called from many goroutines.
type DB struct {
	name string
	o    Options
	pool *pgxpool.Pool

	trips atomic.Int64 // round trips, for tests

	ready   atomic.Bool // the schema was found to be right
	readyMu sync.Mutex

	writing sync.Mutex // one Update at a time
	lease   lease
	adds    adds

	mu   sync.Mutex
	away error // why the last transaction failed; nil once one succeeded; guarded by mu
}

// IsURL reports whether a name of a store is a URL of PostgreSQL.
func IsURL(name string) bool {
	return strings.HasPrefix(name, "postgres://") || strings.HasPrefix(name, "postgresql://")
}

// Redacted returns a URL of PostgreSQL without its password.
func Redacted(name string) string {
	u, err := url.Parse(name)
	if err != nil {
		return "postgres://(unreadable)"
	}
	q := u.Query()
	if q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}

// Open connects to the database of a URL, and creates the tables in an empty one.
func Open(ctx context.Context, name string, o Options) (*DB, error) {
	o = o.withDefaults()
	c, err := config(name, o)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), c)
	if err != nil {
		return nil, err
	}
	db := &DB{name: Redacted(name), o: o, pool: pool}
	db.adds.start(db)
	if err := db.prepare(ctx); err != nil && !(o.MayBeAway && errors.Is(err, kv.ErrAway)) {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Check returns an error if a URL cannot be read, or names a connection that is not verified.
func Check(name string) error {
	_, err := config(name, Options{}.withDefaults())
	return err
}

// config reads a URL and sets what every connection needs.
func config(name string, o Options) (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(name)
	if err != nil {
		return nil, fmt.Errorf("not a URL of PostgreSQL such as postgres://callpoint@db.internal.example/callpoint?sslmode=verify-full: %w", err)
	}
	cc := c.ConnConfig
	if o.Password != "" {
		cc.Password = o.Password
	}
	hosts := []string{cc.Host}
	insecure := cc.TLSConfig == nil || cc.TLSConfig.InsecureSkipVerify
	for _, f := range cc.Fallbacks {
		hosts = append(hosts, f.Host)
		insecure = insecure || f.TLSConfig == nil || f.TLSConfig.InsecureSkipVerify
	}
	for _, h := range hosts {
		if insecure && !isLocal(h) {
			return nil, fmt.Errorf("the connection to %s would not be verified; add sslmode=verify-full to the URL (and sslrootcert=FILE for a private authority)", h)
		}
	}
	if cc.ConnectTimeout == 0 {
		cc.ConnectTimeout = 5 * time.Second
	}
	for k, v := range map[string]string{
		"application_name": "callpoint " + o.Name, "timezone": "UTC", "statement_timeout": "30s", "lock_timeout": "5s",
		"idle_in_transaction_session_timeout": "10s", "client_encoding": "UTF8",
	} {
		if _, ok := cc.RuntimeParams[k]; !ok || k == "client_encoding" {
			cc.RuntimeParams[k] = v
		}
	}
	c.MaxConns = int32(o.Connections)
	c.AfterConnect = usable
	return c, nil
}

// usable refuses a connection to a server that would lose acknowledged writes, or takes none.
func usable(ctx context.Context, c *pgx.Conn) error {
	var replica bool
	var commit string
	err := c.QueryRow(ctx, "SELECT pg_is_in_recovery(), current_setting('synchronous_commit')").Scan(&replica, &commit)
	switch {
	case err != nil:
		return err
	case replica:
		return errReplica
	case commit == "off":
		return errAsync
	}
	return nil
}

var (
	errReplica = errors.New("the server is a standby, which takes no writes; name the primary, or all hosts with target_session_attrs=read-write")
	errAsync   = errors.New("synchronous_commit is off: a crash would lose acknowledged events; switch it on")
)

// isLocal reports whether a host is this machine: loopback, or the folder of a socket.
func isLocal(host string) bool {
	if host == "localhost" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// Name returns the URL without its password.
func (db *DB) Name() string { return db.name }

// Trips returns how many round trips the DB has made.
func (db *DB) Trips() int64 { return db.trips.Load() }

// Close ends the adds that were accepted, gives up the lease, and closes the connections.
func (db *DB) Close() error {
	db.adds.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := db.Resign(ctx)
	db.pool.Close()
	if errors.Is(err, kv.ErrAway) {
		err = nil // the lease runs out by itself
	}
	return err
}

// View runs fn in a read transaction.
func (db *DB) View(ctx context.Context, fn func(kv.Tx) error) error {
	return db.ViewLong(ctx, readPatience, fn)
}

// ViewLong is View for a transaction that may take as long as patience.
func (db *DB) ViewLong(ctx context.Context, patience time.Duration, fn func(kv.Tx) error) error {
	return db.retry(ctx, patience, func(ctx context.Context) error {
		return db.transact(ctx, &tx{db: db, readOnly: true}, fn)
	})
}

// Update runs fn in a transaction of the leader.
func (db *DB) Update(ctx context.Context, fn func(kv.Tx) error) error {
	term, err := db.term(ctx)
	if err != nil {
		return err
	}
	db.writing.Lock()
	defer db.writing.Unlock()
	return db.retry(ctx, writePatience, func(ctx context.Context) error {
		return db.transact(ctx, &tx{db: db, term: term}, fn)
	})
}

// UpdateAlone runs fn in a transaction that excludes every leader's.
func (db *DB) UpdateAlone(ctx context.Context, fn func(kv.Tx) error) error {
	db.writing.Lock()
	defer db.writing.Unlock()
	return db.retry(ctx, writePatience, func(ctx context.Context) error {
		return db.transact(ctx, &tx{db: db, unfenced: true, alone: true}, fn)
	})
}

// Finish is the last UpdateAlone of a DB that was opened with Unfinished.
func (db *DB) Finish(ctx context.Context, fn func(kv.Tx) error) error {
	return db.retry(ctx, writePatience, func(ctx context.Context) error {
		conn, err := db.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		t := &tx{db: db, unfenced: true, ctx: ctx, conn: conn.Conn()}
		if err := errors.Join(fn(t), t.err); err != nil {
			t.rollback()
			return err
		}
		return t.commit(own)
	})
}

// UpdateShared runs fn in a transaction that any instance may run. It must write only keys
// that no other transaction reads before it writes them.
func (db *DB) UpdateShared(ctx context.Context, fn func(kv.Tx) error) error {
	return db.retry(ctx, writePatience, func(ctx context.Context) error {
		return db.transact(ctx, &tx{db: db, unfenced: true}, fn)
	})
}

// transact runs fn once in t.
func (db *DB) transact(ctx context.Context, t *tx, fn func(kv.Tx) error) error {
	if err := db.prepare(ctx); err != nil {
		return err
	}
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // which closes a connection that is within a transaction
	t.ctx, t.conn = ctx, conn.Conn()
	err = fn(t)
	if t.err != nil {
		return t.err
	}
	if err != nil {
		t.rollback()
		return err
	}
	return t.commit()
}

// retry runs fn until it succeeds, fails for good, or patience is over while the database
// is away. It records whether the database is away.
func (db *DB) retry(ctx context.Context, patience time.Duration, fn func(context.Context) error) error {
	// While the database is known to be away a transaction is tried once: a caller that has a
	// spool must not wait each time.
	if db.Writable() != nil {
		patience = min(patience, awayPatience)
	}
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	wait := 50 * time.Millisecond
	for n := 0; ; n++ {
		err := fn(limit)
		kind := classify(err)
		if kind != away || ctx.Err() == nil {
			db.setAway(kind, err)
		}
		var pause time.Duration
		switch kind {
		case done, failed:
			return err
		case conflict:
			if n >= maxConflicts {
				return fmt.Errorf("%w: %w", kv.ErrBusy, err)
			}
			pause = rand.N(time.Duration(n+1) * time.Millisecond)
		case fenced:
			db.lease.lose(db)
			return fmt.Errorf("%w: a later term has begun", kv.ErrNotLeader)
		case noSpace:
			return fmt.Errorf("%w: %w", kv.ErrFull, err)
		case stale: // connections to a server that has become a standby
			db.pool.Reset()
			pause, wait = wait, min(2*wait, time.Second)
		case away:
			pause, wait = wait, min(2*wait, time.Second)
		}
		select {
		case <-time.After(pause):
		case <-limit.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w: %w", kv.ErrAway, err)
		}
	}
}

const maxConflicts = 20

func (db *DB) setAway(k kind, err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	switch k {
	case away, stale:
		db.away = fmt.Errorf("%w: %w", kv.ErrAway, err)
	case noSpace:
		db.away = fmt.Errorf("%w: %w", kv.ErrFull, err)
	case done, conflict, fenced:
		db.away = nil
	}
}

// Writable returns why the last transaction failed; nil if it succeeded.
func (db *DB) Writable() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.away
}

// Ping asks the database whether it answers.
func (db *DB) Ping(ctx context.Context) error {
	return db.retry(ctx, readPatience, func(ctx context.Context) error {
		if err := db.prepare(ctx); err != nil {
			return err
		}
		return db.pool.Ping(ctx)
	})
}

// Size returns the size of the tables and their indexes.
func (db *DB) Size() (file, used int64, err error) {
	err = db.retry(context.Background(), readPatience, func(ctx context.Context) error {
		if err := db.prepare(ctx); err != nil {
			return err
		}
		return db.pool.QueryRow(ctx, "SELECT coalesce(sum(pg_total_relation_size(name::regclass)), 0)::int8 FROM unnest($1::text[]) AS t(name)", db.tables()).Scan(&file)
	})
	return file, file, err
}
