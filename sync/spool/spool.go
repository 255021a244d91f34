// Package spool keeps acknowledged events on this machine's disk while their destination
// (a PostgreSQL store, or the main callpoint of a relay) is away, and delivers them when it
// is back.
//
// A [Spool] has the method set of the destination. [Spool.Add] passes a batch on; if the
// destination is away it appends the batch to a segment file and returns after fsync.
// [Spool.Run] delivers segments, oldest first, and removes each after its last batch was
// accepted. Delivery is at least once: a restart delivers a segment from its beginning, and
// the destination ignores repeats.
//
// An acknowledgement therefore means: the event is at the destination, or it is on this
// machine's disk until the destination has it.
package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"
)

// ErrFull is returned by Add if the batch does not fit into Config.Max or onto the disk. It
// is a kv.ErrFull.
var ErrFull error = fullError{}

type fullError struct{}

func (fullError) Error() string { return "the spool is full" }

// Is reports that a full spool is answered as a full store is.
func (fullError) Is(target error) bool { return target == kv.ErrFull }

// A Sink is the destination of events and sessions. Add makes a batch durable, all of it or
// nothing, and returns how many records of it were there already.
type Sink interface {
	Add(ctx context.Context, events []mapping.Event, visits []mapping.Visit) (repeated int, err error)
}

// Config configures a Spool. Dir, Max, Sink and Away are required.
type Config struct {
	Dir  string           // created with mode 0700 if it does not exist
	Max  int64            // bytes of all segments
	Sink Sink             // where the batches go
	Away func(error) bool // reports whether an error of Sink means that it is away for now

	Segment  int64            // bytes after which a new segment begins; 0: 4 MiB
	RetryMin time.Duration    // first wait after a failed delivery; 0: 50 ms
	RetryMax time.Duration    // longest wait between deliveries; 0: 1 s
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: nothing is logged
}

// Stats describes a spool.
type Stats struct {
	Bytes     int64     // of all segments
	Max       int64     // Config.Max
	Oldest    time.Time // when the oldest undelivered batch was written; zero: there is none
	AwaySince time.Time // zero: the destination accepts batches
	Away      error     // the destination's last error while it is away
	Aside     int       // files with batches that were unreadable or refused
}

// A Spool passes batches to a Sink, through files while the Sink is away. Its methods may
// be called from several goroutines.
type Spool struct {
	cfg    Config
	lock   *os.File // holds an exclusive flock: one process per directory
	writes chan *write
	wake   chan struct{} // holds a token when there may be something to deliver
	closed chan struct{}
	done   chan struct{} // closed when the writer has ended

	// disk is held while a segment is written or sealed; it is locked before mu.
	disk sync.Mutex

	mu       sync.Mutex
	segments []*segment // oldest first; the last one takes writes; guarded by mu
	bytes    int64      // of all segments; guarded by mu
	away     error      // guarded by mu
	since    time.Time  // guarded by mu
	failed   error      // of the last write, until there is room again; guarded by mu
	aside    int        // files moved aside; guarded by mu
	next     int        // number of the next segment; guarded by mu
}

// Open opens or creates the spool in cfg.Dir. Segments of an earlier process are delivered
// by Run.
func Open(cfg Config) (*Spool, error) {
	if cfg.Segment == 0 {
		cfg.Segment = 4 << 20
	}
	if cfg.RetryMin == 0 {
		cfg.RetryMin = 50 * time.Millisecond
	}
	if cfg.RetryMax == 0 {
		cfg.RetryMax = time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(cfg.Dir, "lock"), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("spool: %s is in use by another process; give each instance its own CALLPOINT_SPOOL", cfg.Dir)
	}
	s := &Spool{cfg: cfg, lock: lock, writes: make(chan *write), wake: make(chan struct{}, 1),
		closed: make(chan struct{}), done: make(chan struct{})}
	if err := s.load(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("spool: %w", err)
	}
	go s.writer()
	return s, nil
}

// Close stops the writer and releases the directory. Run must have returned.
func (s *Spool) Close() error {
	close(s.closed)
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, seg := range s.segments {
		if seg.file != nil {
			errs = append(errs, seg.file.Close())
		}
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// Add passes a batch to the sink, or appends it to the spool while the sink is away. Of a
// spooled batch nothing is reported as repeated.
func (s *Spool) Add(ctx context.Context, events []mapping.Event, visits []mapping.Visit) (repeated int, err error) {
	if s.isAway() == nil {
		repeated, err = s.cfg.Sink.Add(ctx, events, visits)
		if err == nil || ctx.Err() != nil || !s.cfg.Away(err) {
			return repeated, err
		}
		s.setAway(err)
	}
	payload, err := encode(s.cfg.Now(), events, visits)
	if err != nil {
		return 0, fmt.Errorf("spool: %w", err)
	}
	return 0, s.append(payload)
}

// Stats returns the state of the spool.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Bytes: s.bytes, Max: s.cfg.Max, Away: s.away, AwaySince: s.since, Aside: s.aside}
	for _, seg := range s.segments {
		if seg.size > 0 {
			st.Oldest = seg.oldest
			break
		}
	}
	return st
}

// Writable returns an error if a batch could be acknowledged neither by the sink nor by the
// spool: the sink is away, and the spool is full or its disk fails.
func (s *Spool) Writable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away == nil {
		return nil
	}
	return s.failed
}

func (s *Spool) isAway() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.away
}

// setAway records an error of the sink; nil means that it accepted a batch.
func (s *Spool) setAway(err error) {
	s.mu.Lock()
	was, since := s.away, s.since
	s.away = err
	switch {
	case err == nil:
		s.since = time.Time{}
	case was == nil:
		s.since = s.cfg.Now().UTC()
	}
	s.mu.Unlock()
	switch {
	case err != nil && was == nil:
		s.cfg.Log.Warn("the destination is away: events are kept in the spool", "dir", s.cfg.Dir, "err", err)
		s.notify()
	case err == nil && was != nil:
		s.cfg.Log.Info("the destination is back", "away", s.cfg.Now().Sub(since).Round(time.Second).String())
	}
}

func (s *Spool) notify() {
	select {
	case s.wake <- struct{}{}:
	default: // one token is enough
	}
}
