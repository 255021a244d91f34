package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"callpoint/store/kv"
	"callpoint/store/kv/pgkv"
)

// Conditions of a store that several instances share.
var (
	ErrAway      = kv.ErrAway      // the database cannot be reached for now
	ErrNotLeader = kv.ErrNotLeader // another instance leads
)

// An Instance describes this process to the others that share the store.
type Instance struct {
	Name, Address, Version string
	// Rules returns the fingerprint of the rules of this instance; nil: none.
	Rules func() string
	// Collector: the instance never leads.
	Collector bool
	// Lease is how long the lease of a leader lasts without renewal. Default 10s.
	Lease time.Duration
	// Daemon: the instance leads within Lead alone, and Open succeeds while the database is
	// away. Other processes take the lease at their first write, and refuse to write with
	// ErrInUse while another process leads.
	Daemon bool
}

// IsURL reports whether the name of a store is a URL of PostgreSQL.
func IsURL(name string) bool { return pgkv.IsURL(name) }

// CheckURL returns an error if a URL of PostgreSQL cannot be used as the name of a store.
func CheckURL(name string) error { return pgkv.Check(name) }

// Redacted returns the name of a store without a password.
func Redacted(name string) string {
	if IsURL(name) {
		return pgkv.Redacted(name)
	}
	return name
}

// A Leader is the instance that leads.
type Leader = pgkv.Leader

// sharedOptions are those of a store in PostgreSQL.
func sharedOptions(o Options) pgkv.Options {
	return pgkv.Options{
		Buckets: buckets, Tables: map[kv.Bucket]string{bEvents: "events", bVisits: "visits", bArrivals: "arrivals"},
		Events: bEvents, Visits: bVisits, Forgotten: bForgotten, PrunedBefore: bPrunedBefore, Replaces: replacesValue,
		Password: o.Password, Connections: o.Connections, Queue: o.Queue, QueueBytes: o.QueueBytes,
		Init: func(tx kv.Tx) error { return found(tx, o.Now()) }, Accept: identify, MayBeAway: o.Instance.Daemon, OnWrite: !o.Instance.Daemon,
		Name: o.Instance.Name, Address: o.Instance.Address, Version: o.Instance.Version, Rules: o.Instance.Rules,
		Collector: o.Instance.Collector, Lease: o.Instance.Lease,
	}
}

func openShared(name string, o Options) (*Store, error) {
	if o.MaxSize != 0 || o.FreeFloor != 0 {
		return nil, fmt.Errorf("open store %s: a size limit is for a file; limit the database itself", Redacted(name))
	}
	db, err := pgkv.Open(context.Background(), name, sharedOptions(o))
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", Redacted(name), err)
	}
	s := &Store{o: o, shared: db}
	s.db = unbounded{db}
	if err := s.migrateShared(); err != nil {
		if !(o.Instance.Daemon && errors.Is(err, ErrAway)) {
			return nil, fmt.Errorf("open store %s: %w", Redacted(name), errors.Join(err, db.Close()))
		}
	}
	return s, nil
}

// migrateShared refuses a store of an older schema while an older instance uses it.
func (s *Store) migrateShared() error {
	var id identity
	err := s.view(func(tx kv.Tx) (err error) {
		id, err = readIdentity(tx)
		return err
	})
	if err != nil || id.Schema == schema {
		return err
	}
	instances, err := s.shared.Instances(context.Background(), time.Minute)
	if err != nil {
		return err
	}
	for _, i := range instances {
		if i.Schema < schema && i.Name != s.o.Instance.Name {
			return fmt.Errorf("the store has schema %d, this program schema %d, and %s still runs callpoint %s: stop it first", id.Schema, schema, i.Name, i.Version)
		}
	}
	update := func(fn func(kv.Tx) error) error { return s.update(context.Background(), fn) }
	if s.o.Instance.Daemon {
		update = func(fn func(kv.Tx) error) error { return s.shared.UpdateAlone(context.Background(), fn) }
	}
	return migrate(s.view, update, s.o.OnStep)
}

// unbounded is a database as an engine: it has no limits of its own for rows.
type unbounded struct{ *pgkv.DB }

func (u unbounded) Ingest(ctx context.Context, _ kv.Load, fn func(kv.Tx) error) error {
	return u.Update(ctx, fn)
}

// addShared is AddRows for a shared store.
func (s *Store) addShared(ctx context.Context, rows []Row, size int64) (repeated int, err error) {
	salt, err := s.saltOf()
	if err != nil {
		return 0, err
	}
	all := make([]pgkv.Row, len(rows))
	for i := range rows {
		r := &rows[i]
		all[i] = pgkv.Row{Visit: r.kind == rowVisit, Key: r.key, Value: r.value, Visitor: r.Visitor(), Tombstone: digest(salt, string(r.Visitor())), At: timeKey(r.at)}
	}
	c, err := s.shared.Add(ctx, all, size)
	if err != nil {
		return 0, err
	}
	s.counts.forgotten.Add(uint64(c.Forgotten))
	s.counts.pruned.Add(uint64(c.Pruned))
	return len(rows) - c.Added, nil
}

// saltOf returns the secret of the tombstones' digests, which never changes.
func (s *Store) saltOf() ([]byte, error) {
	if salt := s.salt.Load(); salt != nil {
		return *salt, nil
	}
	var salt []byte
	ok, err := s.State("salt", &salt)
	if err == nil && !ok {
		err = fmt.Errorf("%w: it has no salt", ErrDamaged)
	}
	if err == nil {
		s.salt.Store(&salt)
	}
	return salt, err
}

// replacesValue reports whether a value takes the place of a stored one.
func replacesValue(b kv.Bucket, key, value, stored []byte) (bool, error) {
	r := Row{kind: rowEvent, key: key, value: value}
	if b == bVisits {
		r.kind = rowVisit
	}
	return r.replaces(stored)
}

// drainPage is how many arrivals drain reads in one transaction.
const drainPage = 500

// drain marks the journeys of visitors with calls whose events other instances, or this
// one, have added to a shared store. It uses several transactions. On a file it does
// nothing: Add itself marks them.
func (s *Store) drain(ctx context.Context) error {
	if s.shared == nil || s.undrained {
		return nil
	}
	for {
		n := 0
		err := s.update(ctx, func(tx kv.Tx) (err error) {
			n, err = drainSome(tx)
			return err
		})
		if err == nil && n > 0 {
			now := s.o.Now()
			s.arrived.Store(&now)
		}
		if err != nil || n < drainPage {
			return err
		}
	}
}

func drainSome(tx kv.Tx) (n int, err error) {
	all := kv.Range{Bucket: bArrivals, Limit: drainPage}
	tx.Hint(all, kv.Range{Bucket: bForgotten, Limit: 1}, kv.Key(bMeta, []byte("salt")), kv.Key(bMeta, []byte("earliest")), kv.Key(bMeta, []byte("recheck")), kv.Key(bMeta, []byte("generation")))
	var keys [][]byte
	visitors := map[string]bool{}
	var earliest time.Time
	for k, v := range tx.Scan(all) {
		if len(v) < 8 {
			return 0, fmt.Errorf("%w: an arrival has %d bytes", ErrDamaged, len(v))
		}
		keys = append(keys, k)
		if at := keyTime(v); earliest.IsZero() || at.Before(earliest) {
			earliest = at
		}
		for id := range bytes.SplitSeq(v[8:], []byte{0}) {
			if len(id) > 0 {
				visitors[string(id)] = true
			}
		}
	}
	if len(keys) == 0 {
		return 0, nil
	}
	var salt []byte
	if _, err := get(tx, bMeta, []byte("salt"), &salt); err != nil {
		return 0, err
	}
	tombstones := hasAny(tx, kv.Range{Bucket: bForgotten})
	var hints []kv.Range
	for v := range visitors {
		calls := under(bJourneys, v)
		calls.Limit = 1
		hints = append(hints, calls, kv.Key(bDirty, []byte(v)))
		if tombstones {
			hints = append(hints, kv.Key(bForgotten, digest(salt, v)))
		}
	}
	tx.Hint(hints...)
	if _, err := setEarliest(tx, earliest); err != nil {
		return 0, err
	}
	for v := range visitors {
		// The statement of an Add may have begun before the visitor was erased.
		if tombstones && tx.Get(bForgotten, digest(salt, v)) != nil {
			if err := errors.Join(deleteAll(tx, under(bEvents, v), nil), deleteAll(tx, under(bVisits, v), nil)); err != nil {
				return 0, err
			}
			continue
		}
		if hasCalls(tx, v) {
			if err := markDirty(tx, v); err != nil {
				return 0, err
			}
		}
	}
	for _, k := range keys {
		if err := tx.Delete(bArrivals, k); err != nil {
			return 0, err
		}
	}
	return len(keys), nil
}

// Arrived returns when the leader last saw events of any instance in a shared store.
func (s *Store) Arrived() time.Time {
	if at := s.arrived.Load(); at != nil {
		return *at
	}
	return time.Time{}
}
