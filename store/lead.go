package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"callpoint/store/kv"
	"callpoint/store/kv/pgkv"
)

// How often a shared store is looked after.
const (
	leadPoll    = 400 * time.Millisecond // by an instance that would lead, for a free lease
	leadWatch   = 50 * time.Millisecond  // by the leader, whether the lease still is its own
	drainEvery  = time.Second
	seenEvery   = 5 * time.Second
	aliveWithin = 20 * time.Second // an instance that was not seen for so long has stopped
)

// Shared reports whether several instances share the store.
func (s *Store) Shared() bool { return s.shared != nil }

// Leads reports whether this process may write what only the leader writes.
func (s *Store) Leads() bool {
	if s.shared == nil {
		return true
	}
	term, _ := s.shared.Term()
	return term != 0
}

// Leader returns the instance that leads a shared store, and its lease.
func (s *Store) Leader(ctx context.Context) (Leader, error) {
	if s.shared == nil {
		return Leader{Mine: true}, nil
	}
	return s.shared.Leader(ctx)
}

// Lease returns how long a leader's lease lasts without renewal.
func (s *Store) Lease() time.Duration {
	if s.o.Instance.Lease == 0 {
		return 10 * time.Second
	}
	return s.o.Instance.Lease
}

// Ping returns nil if the store answers.
func (s *Store) Ping(ctx context.Context) error {
	if s.shared == nil {
		return s.Writable()
	}
	return s.shared.Ping(ctx)
}

// Lead calls run whenever this instance leads, until ctx ends or run returns while the
// lease lasts; then it gives the lease up and returns run's error. The context of run ends
// when the lease does. On a file run is called at once.
func (s *Store) Lead(ctx context.Context, run func(context.Context) error) error {
	if s.shared == nil {
		return run(ctx)
	}
	for {
		ok, err := s.free(ctx)
		if err == nil && ok {
			ok, err = s.shared.Acquire(ctx)
		}
		if err == nil && ok {
			s.leads.Store(&leading{since: time.Now()})
			lost, err := s.lead(ctx, run)
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			rerr := s.resign(stop)
			cancel()
			if !lost {
				return errors.Join(err, rerr)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(leadPoll):
		}
	}
}

// resign gives the lease up. If the database is away, the lease runs out by itself.
func (s *Store) resign(ctx context.Context) error {
	if err := s.shared.Resign(ctx); !errors.Is(err, ErrAway) {
		return err
	}
	return nil
}

// free reports whether nobody holds the lease, without a lock.
func (s *Store) free(ctx context.Context) (bool, error) {
	l, err := s.shared.Leader(ctx)
	return err == nil && l.Left <= 0, err
}

// lead calls run and looks after the store while the lease lasts. lost reports that it
// ended before run did.
func (s *Store) lead(ctx context.Context, run func(context.Context) error) (lost bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		tick := time.NewTicker(drainEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = s.drain(ctx) // the next tick tries again
			}
		}
	}()
	defer func() { cancel(); <-drained }()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	tick := time.NewTicker(leadWatch)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return lost && ctx.Err() != nil, err
		case <-tick.C:
			if term, _ := s.shared.Term(); term == 0 && !lost {
				lost = true
				cancel()
			}
		}
	}
}

// leading is since when this process leads.
type leading struct{ since time.Time }

// Attend records every few seconds that this instance is there, until ctx ends.
func (s *Store) Attend(ctx context.Context) {
	if s.shared == nil {
		return
	}
	for {
		_ = s.shared.Seen(ctx, schema) // the next one tries again
		select {
		case <-ctx.Done():
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			_ = s.shared.Gone(stop)
			return
		case <-time.After(seenEvery):
		}
	}
}

// Instances returns the instances of a shared store that run.
func (s *Store) Instances(ctx context.Context) ([]pgkv.Instance, error) {
	if s.shared == nil {
		return nil, nil
	}
	return s.shared.Instances(ctx, aliveWithin)
}

// SetShared stores a small named value that any instance may write, and no transaction
// reads before it writes it.
func (s *Store) SetShared(ctx context.Context, name string, v any) error {
	if s.shared == nil {
		return s.SetState(ctx, name, v)
	}
	return s.shared.UpdateShared(ctx, func(tx kv.Tx) error { return put(tx, bMeta, []byte(name), v) })
}

// DropShared removes a value of SetShared.
func (s *Store) DropShared(ctx context.Context, name string) error {
	if s.shared == nil {
		return s.DropState(ctx, name)
	}
	return s.shared.UpdateShared(ctx, func(tx kv.Tx) error { return tx.Delete(bMeta, []byte(name)) })
}

// A request that an earlier leader sent may arrive at Salesforce up to requestLimit after
// its lease ended. leaseForRequest is what must be left of the lease to begin one.
const (
	requestLimit    = 150 * time.Second
	leaseForRequest = 2 * time.Second
)

// mayBegin returns an error if too little of the lease is left for a request.
func (s *Store) mayBegin() error {
	if s.shared == nil {
		return nil
	}
	if term, left := s.shared.Term(); term != 0 && left < min(leaseForRequest, s.Lease()/3) {
		return fmt.Errorf("%w for long enough to send a request", ErrNotLeader)
	}
	return nil
}

// An inFlight is a request that was sent and whose result is not recorded.
type inFlight struct {
	Term    int64  `json:"term"`    // of the leader that sent it
	Content string `json:"content"` // the hash of what was sent, or "delete"
}

// readMark reads a value of sending; nil where it does not name the request.
func readMark(mark []byte) *inFlight {
	if len(mark) < 8 {
		return nil
	}
	return &inFlight{Term: int64(binary.BigEndian.Uint64(mark)), Content: string(mark[8:])}
}

// sendMark is the value of sending: the term, and what is sent.
func (s *Store) sendMark(t *Touchpoint) []byte {
	if s.shared == nil {
		return []byte{1}
	}
	term, _ := s.shared.Term()
	return append(binary.BigEndian.AppendUint64(nil, uint64(term)), sentContent(t)...)
}

func sentContent(t *Touchpoint) string {
	if t.Delete {
		return "delete"
	}
	return t.Hash
}

// awaits reports whether a touchpoint must not be sent yet, because a request of an earlier
// leader with other content may still arrive and would overwrite it. The same content can
// be sent again at once.
func (s *Store) awaits(tx kv.Tx, key []byte) (bool, error) {
	if s.shared == nil {
		return false, nil
	}
	l := s.leads.Load()
	if l == nil || time.Since(l.since) > requestLimit {
		return false, nil
	}
	t, ok, err := loadTouchpoint(tx, key)
	if err != nil || !ok || t.InFlight == nil {
		return false, err
	}
	term, _ := s.shared.Term()
	return t.InFlight.Term != term && (t.Delete || t.InFlight.Content != sentContent(&t)), nil
}

// isPlace reports whether a state is the place of an import, which every instance keeps.
func isPlace(name string) bool { return strings.HasPrefix(name, "import ") }
