package pgkv

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"callpoint/store/kv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// format and version identify the tables; the records in them have a schema of their own.
const (
	format  = "callpoint store"
	version = 1
)

// common is the table of the buckets that have none of their own.
const common = "kv"

// create are the statements that make the tables. Keys are bytea: they have no collation,
// and any byte is possible.
var create = []string{
	`CREATE TABLE meta_schema (one bool PRIMARY KEY DEFAULT true CHECK (one), format text NOT NULL, version int NOT NULL, created timestamptz NOT NULL DEFAULT now())`,
	`CREATE TABLE kv (bucket int2 NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (bucket, key)) WITH (fillfactor = 80)`,
	`CREATE TABLE events (key bytea PRIMARY KEY, value bytea NOT NULL)`,
	`CREATE TABLE visits (key bytea PRIMARY KEY, value bytea NOT NULL)`,
	`CREATE TABLE arrivals (key bytea PRIMARY KEY, value bytea NOT NULL) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)`,
	`CREATE TABLE leader (one bool PRIMARY KEY DEFAULT true CHECK (one), term bigint NOT NULL, holder text NOT NULL, address text NOT NULL, rules text NOT NULL, since timestamptz NOT NULL)`,
	`CREATE TABLE beat (one bool PRIMARY KEY DEFAULT true CHECK (one), term bigint NOT NULL, until timestamptz NOT NULL)`,
	`CREATE TABLE rules (fingerprint text PRIMARY KEY, term bigint NOT NULL)`,
	`CREATE TABLE instances (name text PRIMARY KEY, seen timestamptz NOT NULL, address text NOT NULL, version text NOT NULL, schema int NOT NULL, collector bool NOT NULL, rules text NOT NULL)`,
	`ALTER TABLE events ALTER COLUMN value SET STORAGE EXTERNAL`, // values are short, or compressed already
	`INSERT INTO leader (term, holder, address, rules, since) VALUES (0, '', '', '', now())`,
	`INSERT INTO beat (term, until) VALUES (0, '2000-01-01')`,
}

// tables returns the names of the tables with rows of buckets.
func (db *DB) tables() []string {
	names := []string{common}
	for _, n := range db.o.Tables {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// prepare creates the tables in an empty database and refuses a foreign or later one. After
// it succeeded once it does nothing.
func (db *DB) prepare(ctx context.Context) error {
	if db.ready.Load() {
		return nil
	}
	db.readyMu.Lock()
	defer db.readyMu.Unlock()
	if db.ready.Load() {
		return nil
	}
	err := db.ensure(ctx)
	if err == nil {
		db.ready.Store(true)
		return nil
	}
	if k := classify(err); k == away || k == stale {
		return fmt.Errorf("%w: %w", kv.ErrAway, err)
	}
	return err
}

func (db *DB) ensure(ctx context.Context) error {
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	for range 5 {
		var made bool
		if err := conn.QueryRow(ctx, "SELECT to_regclass('meta_schema') IS NOT NULL").Scan(&made); err != nil {
			return err
		}
		if made && db.o.Unfinished {
			return errors.New("there are tables of a store already; name an empty database or schema")
		}
		if made {
			err = nil // of a creation that lost to another instance's
			break
		}
		// Of two instances that start at once one fails with a duplicate, and looks again.
		if err = db.create(ctx, conn.Conn()); err == nil || !isDuplicate(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("create tables: %w", err)
	}
	if db.o.Unfinished {
		return nil
	}
	var f string
	var v int
	err = conn.QueryRow(ctx, "SELECT format, version FROM meta_schema").Scan(&f, &v)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return errUnfinished
	case err != nil:
		return err
	case f != format:
		return fmt.Errorf("the tables belong to another program (%.40q); CALLPOINT_STORE must name a database or schema of its own", f)
	case v != version:
		return fmt.Errorf("the version of the tables is %d, this program has %d: install the callpoint that wrote them, or a later one", v, version)
	}
	if db.o.Accept == nil {
		return nil
	}
	t := &tx{db: db, readOnly: true, ctx: ctx, conn: conn.Conn()}
	err = db.o.Accept(t)
	t.rollback()
	if t.err != nil {
		return t.err
	}
	return err
}

var errUnfinished = errors.New("it is an unfinished copy; make the copy again into an empty database or schema")

// own makes the tables those of a store.
var own = statement{sql: "INSERT INTO meta_schema (format, version) VALUES ($1, $2)", args: []any{format, version}}

// create makes the tables and their first rows in one transaction.
func (db *DB) create(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
		return err
	}
	for _, s := range create {
		if _, err := conn.Exec(ctx, s); err != nil {
			_, rerr := conn.Exec(ctx, "ROLLBACK")
			return errors.Join(err, rerr)
		}
	}
	t := &tx{db: db, ctx: ctx, conn: conn, begun: true, unfenced: true}
	var insert []statement
	if !db.o.Unfinished {
		insert = append(insert, own)
	}
	if db.o.Init != nil {
		if err := errors.Join(db.o.Init(t), t.err); err != nil {
			t.rollback()
			return err
		}
	}
	return t.commit(insert...)
}

func isDuplicate(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P07" || pg.Code == "23505" || pg.Code == "42710")
}

// where returns the table of a bucket and the condition that selects its rows.
func (db *DB) where(b kv.Bucket) (table, condition string) {
	if name, ok := db.o.Tables[b]; ok {
		return name, "true"
	}
	return common, fmt.Sprintf("bucket = %d", b)
}
