package pgkv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"callpoint/store/kv"

	"github.com/jackc/pgx/v5"
)

// A Leader is the instance that leads, or led last.
type Leader struct {
	Term    int64
	Name    string
	Address string        // under which other instances reach it; empty: not known
	Since   time.Time     // when its term began
	Left    time.Duration // of the lease; negative once it has run out
	Mine    bool
}

// A lease is what this instance holds. It trusts it by its own monotonic clock, from before
// it asked, less a margin.
type lease struct {
	mu     sync.Mutex
	held   int64     // the term; 0: none
	until  time.Time // guarded by mu, as is held
	cancel context.CancelFunc
	done   chan struct{} // closed when the renewal has ended
}

// margin is how much earlier than the database this instance takes its lease for ended.
func (db *DB) margin() time.Duration { return min(time.Second, db.o.Lease/5) }

// Term returns the term that this instance holds, and how much of the lease is left by its
// own clock; 0 if it does not lead.
func (db *DB) Term() (term int64, left time.Duration) {
	db.lease.mu.Lock()
	defer db.lease.mu.Unlock()
	if left = time.Until(db.lease.until); db.lease.held == 0 || left <= 0 {
		return 0, 0
	}
	return db.lease.held, left
}

// term returns the term for an Update, which a process that runs once takes first.
func (db *DB) term(ctx context.Context) (int64, error) {
	if term, _ := db.Term(); term != 0 {
		return term, nil
	}
	if !db.o.OnWrite {
		return 0, db.notLeader(ctx)
	}
	db.writing.Lock()
	defer db.writing.Unlock()
	if term, _ := db.Term(); term != 0 {
		return term, nil
	}
	if err := db.takeIdle(ctx); err != nil {
		return 0, err
	}
	term, _ := db.Term()
	return term, nil
}

// notLeader returns kv.ErrNotLeader with the name of the leader.
func (db *DB) notLeader(ctx context.Context) error {
	l, err := db.Leader(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("%w, and the leader is not known: %w", kv.ErrNotLeader, err)
	case l.Left <= 0:
		return fmt.Errorf("%w; nobody does at the moment", kv.ErrNotLeader)
	}
	return fmt.Errorf("%w; %s does", kv.ErrNotLeader, l.Name)
}

// takeIdle takes the lease unless another process renews it.
func (db *DB) takeIdle(ctx context.Context) error {
	first, err := db.Leader(ctx)
	if err != nil {
		return err
	}
	end := time.Now().Add(first.Left)
	for {
		ok, err := db.Acquire(ctx)
		if ok || err != nil {
			return err
		}
		now, err := db.Leader(ctx)
		if err != nil {
			return err
		}
		if now.Left > 0 && (now.Term != first.Term || time.Now().Add(now.Left).After(end.Add(500*time.Millisecond))) {
			return fmt.Errorf("%w: %s leads on %s; stop it first, or ask the running daemon (callpoint status)", kv.ErrInUse, now.Name, db.name)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Leader returns who leads, by the database's clock.
func (db *DB) Leader(ctx context.Context) (l Leader, err error) {
	err = db.retry(ctx, readPatience, func(ctx context.Context) error {
		if err := db.prepare(ctx); err != nil {
			return err
		}
		var left float64
		err := db.pool.QueryRow(ctx, `SELECT l.term, l.holder, l.address, l.since, greatest(extract(epoch FROM b.until - clock_timestamp()), -1e6)::float8 FROM leader l, beat b`).
			Scan(&l.Term, &l.Name, &l.Address, &l.Since, &left)
		l.Left = time.Duration(left * float64(time.Second))
		return err
	})
	if term, _ := db.Term(); err == nil && term != 0 {
		l.Mine = term == l.Term
	}
	return l, err
}

// Acquire begins a term if nobody holds the lease, and renews it from then on until Resign,
// Close, or the loss of it. ok is false if another instance holds it, or has newer rules.
func (db *DB) Acquire(ctx context.Context) (ok bool, err error) {
	if db.o.ReadOnly || db.o.Collector {
		return false, nil
	}
	var term int64
	var asked time.Time
	err = db.retry(ctx, readPatience, func(ctx context.Context) error {
		if err := db.prepare(ctx); err != nil {
			return err
		}
		term, asked = 0, time.Now()
		return pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
			var free bool
			err := tx.QueryRow(ctx, "SELECT until < clock_timestamp() FROM beat FOR UPDATE").Scan(&free)
			if err != nil || !free {
				return err
			}
			if superseded, err := db.superseded(ctx, tx); err != nil || superseded {
				return err
			}
			rules := db.o.Rules()
			// This waits for a transaction of the last leader that is in progress.
			err = tx.QueryRow(ctx, "UPDATE leader SET term = term + 1, holder = $1, address = $2, rules = $3, since = clock_timestamp() RETURNING term", db.o.Name, db.o.Address, rules).Scan(&term)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "INSERT INTO rules VALUES ($1, $2) ON CONFLICT (fingerprint) DO UPDATE SET term = excluded.term", rules, term); err != nil {
				return err
			}
			_, err = tx.Exec(ctx, "UPDATE beat SET term = $1, until = clock_timestamp() + $2 * interval '1 second'", term, db.o.Lease.Seconds())
			return err
		})
	})
	if err != nil || term == 0 {
		return false, err
	}
	db.lease.mu.Lock()
	db.lease.held, db.lease.until = term, asked.Add(db.o.Lease-db.margin())
	renewing, cancel := context.WithCancel(context.Background())
	db.lease.cancel, db.lease.done = cancel, make(chan struct{})
	go db.renew(renewing, term, db.lease.done)
	db.lease.mu.Unlock()
	return true, nil
}

// superseded reports whether the rules of this instance were replaced by those of another
// that is still there: it would map every call back.
func (db *DB) superseded(ctx context.Context, tx pgx.Tx) (yes bool, err error) {
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM leader l, rules r WHERE l.rules <> $1 AND r.fingerprint = $1)
		AND EXISTS (SELECT FROM leader l, instances i WHERE i.rules = l.rules AND NOT i.collector AND i.name <> $2 AND i.seen > clock_timestamp() - interval '30 seconds')`,
		db.o.Rules(), db.o.Name).Scan(&yes)
	return yes, err
}

// renew prolongs the lease each third of it, by a connection of its own.
func (db *DB) renew(ctx context.Context, term int64, ended chan struct{}) {
	defer close(ended)
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
		}
	}()
	wait := db.o.Lease / 3
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		asked := time.Now()
		if _, left := db.Term(); left == 0 {
			// The run of this term has been cancelled: the lease is not continued.
			db.lease.end(term)
			return
		}
		limit, cancel := context.WithTimeout(ctx, db.o.Lease/3)
		n, err := db.prolong(limit, &conn, term)
		cancel()
		switch {
		case err != nil:
			wait = min(db.o.Lease/10, 500*time.Millisecond)
		case n == 0:
			db.lease.end(term)
			return
		default:
			wait = db.o.Lease / 3
			db.lease.mu.Lock()
			if db.lease.held == term {
				db.lease.until = asked.Add(db.o.Lease - db.margin())
			}
			db.lease.mu.Unlock()
		}
	}
}

// prolong renews the lease once; n is 0 if another term has begun.
func (db *DB) prolong(ctx context.Context, conn **pgx.Conn, term int64) (n int64, err error) {
	if *conn == nil || (*conn).IsClosed() {
		c, err := pgx.ConnectConfig(ctx, db.pool.Config().ConnConfig)
		if err != nil {
			return 0, err
		}
		if err := usable(ctx, c); err != nil {
			return 0, errors.Join(err, c.Close(ctx))
		}
		*conn = c
	}
	tag, err := (*conn).Exec(ctx, "UPDATE beat SET until = clock_timestamp() + $2 * interval '1 second' WHERE term = $1", term, db.o.Lease.Seconds())
	if err != nil {
		_ = (*conn).Close(ctx)
		return 0, err
	}
	return tag.RowsAffected(), nil
}

// end forgets a lease that was lost.
func (l *lease) end(term int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == term {
		l.held = 0
		l.cancel()
	}
}

// lose ends the lease after the fence refused a transaction.
func (l *lease) lose(*DB) {
	l.mu.Lock()
	term := l.held
	l.mu.Unlock()
	if term != 0 {
		l.end(term)
	}
}

// Resign gives the lease up, so that another instance can take it at once.
func (db *DB) Resign(ctx context.Context) error {
	db.lease.mu.Lock()
	term, cancel, done := db.lease.held, db.lease.cancel, db.lease.done
	db.lease.held = 0
	db.lease.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
	if term == 0 {
		return nil
	}
	return db.retry(ctx, readPatience, func(ctx context.Context) error {
		_, err := db.pool.Exec(ctx, "UPDATE beat SET until = '2000-01-01' WHERE term = $1", term)
		return err
	})
}

// An Instance is one that was seen lately.
type Instance struct {
	Name, Address, Version string
	Schema                 int
	Collector              bool
	Ago                    time.Duration // since it was seen
}

// Seen records that this instance is there.
func (db *DB) Seen(ctx context.Context, schema int) error {
	return db.retry(ctx, readPatience, func(ctx context.Context) error {
		if err := db.prepare(ctx); err != nil {
			return err
		}
		_, err := db.pool.Exec(ctx, `INSERT INTO instances (name, seen, address, version, schema, collector, rules) VALUES ($1, clock_timestamp(), $2, $3, $4, $5, $6)
			ON CONFLICT (name) DO UPDATE SET seen = excluded.seen, address = excluded.address, version = excluded.version, schema = excluded.schema, collector = excluded.collector, rules = excluded.rules`,
			db.o.Name, db.o.Address, db.o.Version, schema, db.o.Collector, db.o.Rules())
		return err
	})
}

// Gone records that this instance has stopped.
func (db *DB) Gone(ctx context.Context) error {
	return db.retry(ctx, readPatience, func(ctx context.Context) error {
		_, err := db.pool.Exec(ctx, "DELETE FROM instances WHERE name = $1", db.o.Name)
		return err
	})
}

// Instances returns those that were seen within a time, by name.
func (db *DB) Instances(ctx context.Context, within time.Duration) (all []Instance, err error) {
	err = db.retry(ctx, readPatience, func(ctx context.Context) error {
		all = nil
		rows, err := db.pool.Query(ctx, `SELECT name, address, version, schema, collector, extract(epoch FROM clock_timestamp() - seen)::float8 FROM instances
			WHERE seen > clock_timestamp() - $1 * interval '1 second'`, within.Seconds())
		if err != nil {
			return err
		}
		var i Instance
		var ago float64
		_, err = pgx.ForEachRow(rows, []any{&i.Name, &i.Address, &i.Version, &i.Schema, &i.Collector, &ago}, func() error {
			i.Ago = time.Duration(ago * float64(time.Second))
			all = append(all, i)
			return nil
		})
		return err
	})
	slices.SortFunc(all, func(a, b Instance) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return all, err
}
