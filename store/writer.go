package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	bolt "go.etcd.io/bbolt"
)

// A write is what waits for the writer.
type write struct {
	fn    func(*txn) error // one transaction, or a part of one
	alone func() error     // or something to do between two transactions
	bytes int64            // what it holds in memory
	done  chan error
}

// enqueue hands w to the writer and waits for its end.
func (s *Store) enqueue(ctx context.Context, w *write) error {
	w.done = make(chan error, 1)
	select {
	case <-s.stop:
		return &RefusedError{http.StatusServiceUnavailable, ErrClosed}
	default:
	}
	defer s.waiting.Add(-w.bytes)
	if err := s.line(ctx, w); err != nil {
		return err
	}
	// Once queued, the outcome is awaited: giving up here would leave it unknown.
	select {
	case err := <-w.done:
		return err
	case <-s.done:
		select {
		case err := <-w.done:
			return err
		default:
			return &RefusedError{http.StatusServiceUnavailable, ErrClosed}
		}
	}
}

// line puts w into the queue. What came from outside is refused where too much waits; the
// daemon's own writes hold no rows, are few, and wait for their place.
func (s *Store) line(ctx context.Context, w *write) error {
	outside := w.bytes > 0
	// One large write is let through when nothing else waits.
	if waiting := s.waiting.Add(w.bytes); outside && waiting > s.o.QueueBytes && waiting > w.bytes {
		return errBusy
	}
	if outside {
		select {
		case s.queue <- w:
			return nil
		default:
			return errBusy
		}
	}
	select {
	case s.queue <- w:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stop:
		return &RefusedError{http.StatusServiceUnavailable, ErrClosed}
	}
}

// between runs fn on the writer, between two transactions.
func (s *Store) between(ctx context.Context, fn func() error) error {
	return s.enqueue(ctx, &write{alone: fn})
}

// maxGroup and maxGroupBytes bound one commit, so that its latency and its memory stay even.
const (
	maxGroup      = 256
	maxGroupBytes = 8 << 20
)

func (s *Store) writer() {
	defer close(s.done)
	for {
		select {
		case w := <-s.queue:
			s.work(w)
		case <-s.stop:
			for {
				select {
				case w := <-s.queue:
					s.work(w)
				default:
					return
				}
			}
		}
	}
}

// work does w, and with it what waits already.
func (s *Store) work(w *write) {
	for w != nil {
		if w.alone != nil {
			w.done <- w.alone()
			return
		}
		var group []*write
		group, w = s.gather(w)
		s.commit(group)
	}
}

// gather takes what waits already; it never waits for more. next is one that was taken
// and belongs to no group.
func (s *Store) gather(first *write) (group []*write, next *write) {
	group = []*write{first}
	bytes := first.bytes
	for len(group) < maxGroup && bytes < maxGroupBytes {
		select {
		case w := <-s.queue:
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

func (s *Store) commit(group []*write) {
	err := s.transact(func(tx *txn) error {
		for _, w := range group {
			if err := w.fn(tx); err != nil {
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
	// One of them failed and took the others down: each gets a transaction of its own.
	for _, w := range group {
		w.done <- s.transact(w.fn)
	}
}

// transact commits fn, and remembers an I/O error for good.
func (s *Store) transact(fn func(*txn) error) error {
	if err := s.broken(); err != nil {
		return refused(err)
	}
	var tx *bolt.Tx
	var failure error // of the commit
	err := s.guard(func() (err error) {
		if tx, err = s.db.Load().Begin(true); err != nil {
			return err
		}
		tx.DB().AllocSize = s.o.step(tx.Size())
		if err := fn(&txn{Tx: tx, touched: s.touched}); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		failure = tx.Commit()
		return failure
	})
	if errors.Is(err, ErrDamaged) && tx != nil {
		// After a panic the transaction is still open, and its lock held.
		_ = s.guard(tx.Rollback)
	}
	switch {
	case err == nil:
		s.note(nil)
	case failure == nil:
	case full(failure) || s.noRoom():
		err = errFull(failure)
		s.note(err)
	default:
		s.mu.Lock()
		s.failed = fmt.Errorf("commit: %w; restart callpoint once the disk is well", failure)
		s.mu.Unlock()
	}
	return refused(err)
}

// note remembers whether the last commit found room.
func (s *Store) note(full error) {
	s.mu.Lock()
	s.full = full
	s.mu.Unlock()
}

// broken is the I/O error after which no write is taken.
func (s *Store) broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}
