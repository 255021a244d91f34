package boltkv

import (
	"context"
	"errors"
	"fmt"

	"callpoint/store/kv"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// A write is an entry of the writer's queue.
type write struct {
	fn    func(*tx) error // a transaction, or a part of one
	alone func() error    // or a function to call between two transactions
	bytes int64           // of memory; 0 for a write that is not ingested
	done  chan error
}

// Update runs fn in a transaction that it may share with other writes.
func (db *DB) Update(ctx context.Context, fn func(kv.Tx) error) error {
	return db.enqueue(ctx, &write{fn: func(t *tx) error { return fn(t) }})
}

// Loads of denseRows or more come from an import, whose rows lie close together: pages
// that are split are left fuller than for rows that come one by one.
const (
	denseRows = 2000
	denseFill = 0.75
)

// Ingest is Update for rows from outside. It returns ErrBusy where too much is queued, and
// ErrFull where MaxSize or FreeFloor leaves no space.
func (db *DB) Ingest(ctx context.Context, load kv.Load, fn func(kv.Tx) error) error {
	if err := db.checkSpace(load.Bytes); err != nil {
		return err
	}
	return db.enqueue(ctx, &write{bytes: load.Bytes, fn: func(t *tx) error {
		if load.Rows >= denseRows {
			t.fill = denseFill
		}
		return fn(t)
	}})
}

// between runs fn on the writer, between two transactions.
func (db *DB) between(ctx context.Context, fn func() error) error {
	return db.enqueue(ctx, &write{alone: fn})
}

// enqueue passes w to the writer and waits for its result.
func (db *DB) enqueue(ctx context.Context, w *write) error {
	w.done = make(chan error, 1)
	select {
	case <-db.stop:
		return kv.ErrClosed
	default:
	}
	defer db.queued.Add(-w.bytes)
	if err := db.enqueueWrite(ctx, w); err != nil {
		return err
	}
	// Once queued, the result is awaited: giving up here would leave it unknown.
	select {
	case err := <-w.done:
		return err
	case <-db.done:
		select {
		case err := <-w.done:
			return err
		default:
			return kv.ErrClosed
		}
	}
}

// enqueueWrite puts w into the queue. Ingested writes are refused where too much is queued;
// other writes hold no rows, are few, and wait for their place.
func (db *DB) enqueueWrite(ctx context.Context, w *write) error {
	ingested := w.bytes > 0
	// A single large write is accepted while nothing else is queued.
	if queued := db.queued.Add(w.bytes); ingested && queued > db.o.QueueBytes && queued > w.bytes {
		return kv.ErrBusy
	}
	if ingested {
		select {
		case db.queue <- w:
			return nil
		default:
			return kv.ErrBusy
		}
	}
	select {
	case db.queue <- w:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-db.stop:
		return kv.ErrClosed
	}
}

// maxGroup and maxGroupBytes bound one commit, so that its latency and its memory stay even.
const (
	maxGroup      = 256
	maxGroupBytes = 8 << 20
)

func (db *DB) writer() {
	defer close(db.done)
	for {
		select {
		case w := <-db.queue:
			db.work(w)
		case <-db.stop:
			for {
				select {
				case w := <-db.queue:
					db.work(w)
				default:
					return
				}
			}
		}
	}
}

// work runs w together with the writes that are queued already.
func (db *DB) work(w *write) {
	for w != nil {
		if w.alone != nil {
			w.done <- w.alone()
			return
		}
		var group []*write
		group, w = db.gather(w)
		db.commit(group)
	}
}

// gather takes the writes that are queued already and never waits for more. next is a
// write that was taken and belongs to no group.
func (db *DB) gather(first *write) (group []*write, next *write) {
	group = []*write{first}
	bytes := first.bytes
	for len(group) < maxGroup && bytes < maxGroupBytes {
		select {
		case w := <-db.queue:
			if w.alone != nil {
				return group, w
			}
			group, bytes = append(group, w), bytes+w.bytes
		default:
			return group, nil
		}
	}
	return group, nil
}

func (db *DB) commit(group []*write) {
	err := db.transact(func(t *tx) error {
		for _, w := range group {
			if err := w.fn(t); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil || len(group) == 1 {
		for _, w := range group {
			w.done <- err
		}
		return
	}
	// One of them failed and undid the others: each gets a transaction of its own.
	for _, w := range group {
		w.done <- db.transact(w.fn)
	}
}

// transact commits fn. After an I/O error it refuses every further write.
func (db *DB) transact(fn func(*tx) error) error {
	if err := errors.Join(db.broken(), db.inPlace()); err != nil {
		return err
	}
	var b *bolt.Tx
	var failure error // of the commit
	err := db.guard(func() (err error) {
		if b, err = db.db.Load().Begin(true); errors.Is(err, berrors.ErrDatabaseNotOpen) {
			return kv.ErrClosed
		} else if err != nil {
			return err
		}
		b.DB().AllocSize = db.o.growthStep(b.Size())
		t := db.newTx(b)
		t.touched = db.touched
		if err := fn(t); err != nil {
			return errors.Join(err, b.Rollback())
		}
		failure = b.Commit()
		return failure
	})
	if errors.Is(err, kv.ErrDamaged) && b != nil {
		// After a panic the transaction is still open, and its lock held.
		_ = db.guard(b.Rollback)
	}
	switch {
	case err == nil:
		db.setFull(nil)
		err = db.inPlace() // nothing is acknowledged that a removed file holds
	case failure == nil:
	case full(failure) || db.noRoom():
		err = errFull(failure)
		db.setFull(err)
	default:
		err = fmt.Errorf("store does not take writes: commit: %w; restart callpoint once the disk is well", failure)
		db.fail(err)
	}
	return err
}

// fail refuses every further write, because the kernel may have dropped what it could not
// write.
func (db *DB) fail(err error) {
	db.mu.Lock()
	db.failed = err
	db.mu.Unlock()
}

// setFull records why the last commit found no room; nil if it found some.
func (db *DB) setFull(err error) {
	db.mu.Lock()
	db.full = err
	db.mu.Unlock()
}

// broken returns the error after which no write is accepted.
func (db *DB) broken() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.failed
}
