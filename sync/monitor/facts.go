package monitor

import (
	"context"
	"errors"
	"time"

	"callpoint/store"
)

// How often the facts behind health and metrics are measured. Handlers read them only:
// a slow disk must not slow down a probe.
const (
	writableEvery = time.Second
	backlogEvery  = 5 * time.Second
	probeEvery    = 30 * time.Second
	rateEvery     = time.Hour // and whenever calls were answered
	// staleAfter is when facts are so old that the store must be stuck.
	staleAfter = 90 * time.Second
)

// Match rates are of the last week, and of the four weeks before it.
const (
	recentDays = 7
	beforeDays = 28
)

// facts are what was measured last.
type facts struct {
	at       time.Time // when the last round of measuring ended
	writable error
	probed   bool // a write was tried
	backlog  store.Backlog
	cursor   time.Time
	readErr  error
	recent   share // of the last recentDays
	before   share // of the beforeDays before them
	credit   credit
	earliest time.Time // of all events ever stored; zero: there is none
	anyCall  bool      // a call was read
}

// share is how many of the calls that count were matched.
type share struct{ counted, matched int }

func (s share) rate() float64 { return float64(s.matched) / float64(max(1, s.counted)) }

// Measure looks at everything once, and writes nothing.
func (s *Server) Measure() { s.refresh() }

// Run measures again and again until ctx ends. Its first act is a write, so a start looks
// at everything with Measure before and is not slower than its reads.
func (s *Server) Run(ctx context.Context) {
	tick := time.NewTicker(writableEvery)
	defer tick.Stop()
	s.probe(ctx)
	s.index() // the first page shall find its numbers counted
	backlog, probe := s.cfg.Now(), s.cfg.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := s.cfg.Now()
		s.mu.Lock()
		days := s.days
		s.mu.Unlock()
		if _, err := days.update(); err != nil {
			s.cfg.Log.Warn("the numbers of the page were not brought up to date", "err", err)
		}
		s.mu.Lock()
		every := probeEvery
		if !s.facts.probed {
			every = backlogEvery // it may be well again
		}
		s.mu.Unlock()
		if now.Sub(probe) >= every {
			s.probe(ctx)
			probe = now
		}
		if now.Sub(backlog) >= backlogEvery {
			s.refresh()
			backlog = now
			if s.unsaved() { // a kill loses no more than the last seconds
				s.probe(ctx)
				probe = now
			}
			continue
		}
		err := s.cfg.Store.Writable()
		s.mu.Lock()
		s.facts.at = now
		if err != nil || s.facts.probed {
			s.facts.writable = err
		}
		s.mu.Unlock()
	}
}

// probe writes to the store: a write shows more than a question.
func (s *Server) probe(ctx context.Context) {
	err := s.Save(ctx)
	// Too much to write at once is no fault of the store.
	if errors.Is(err, store.ErrBusy) {
		err = nil
	}
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.facts.writable, s.facts.probed, s.facts.at = err, err == nil, s.cfg.Now()
}

// refresh reads the facts from the store.
func (s *Server) refresh() {
	now := s.cfg.Now()
	if l := s.leading(); l != nil && !l.Mine {
		s.Reload()
	}
	writable := s.cfg.Store.Writable()
	backlog, err := s.cfg.Store.Backlog()
	cursor, _, cerr := s.cfg.Store.Cursor()
	err = errors.Join(err, cerr)

	s.mu.Lock()
	stale := now.Sub(s.rated) >= rateEvery
	earliest, anyCall := s.facts.earliest, s.facts.anyCall
	s.mu.Unlock()
	var rated rates
	if stale {
		var rerr error
		rated, rerr = s.rates(now)
		err = errors.Join(err, rerr)
	}
	if earliest.IsZero() {
		var eerr error
		earliest, eerr = s.cfg.Store.Earliest()
		err = errors.Join(err, eerr)
	}
	if !anyCall {
		err = errors.Join(err, s.cfg.Store.EachCall(time.Time{}, endOfTime, func(store.Call, *store.Touchpoint) bool {
			anyCall = true
			return false
		}))
	}
	received := time.Time{}
	if s.cfg.Collected != nil {
		received = s.cfg.Collected().LastReceived
	}

	if at := s.cfg.Store.Arrived(); at.After(received) {
		received = at // at another instance
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.facts
	f.at, f.backlog, f.cursor, f.readErr = now, backlog, cursor.Since, err
	if writable != nil {
		f.writable = writable
	}
	f.earliest, f.anyCall = earliest, anyCall
	if stale {
		f.recent, f.before, f.credit, s.rated = rated.recent, rated.before, rated.credit, now
	}
	if rated.written.After(s.history.Written) {
		s.history.Written = rated.written // a kill may have lost what was in memory
	}
	if received.After(s.history.Received) {
		s.history.Received = received
	}
}

// mostRated bounds how many calls a look at the match rate reads.
const mostRated = 5000

// endOfTime is later than any call.
var endOfTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// rates is what one walk over the newest calls counts.
type rates struct {
	recent, before share
	credit         credit
	written        time.Time // when the last of their records was written
}

// rates counts the newest calls.
func (s *Server) rates(now time.Time) (r rates, err error) {
	week, month := now.AddDate(0, 0, -recentDays), now.AddDate(0, 0, -reportDays)
	n := 0
	err = s.cfg.Store.EachCall(week.AddDate(0, 0, -beforeDays), now, func(c store.Call, t *store.Touchpoint) bool {
		if n++; n > mostRated {
			r.credit.capped = c.At.After(month)
			return false
		}
		if !c.At.Before(month) {
			r.credit.add(c, t)
		}
		if t != nil && t.WrittenAt.After(r.written) {
			r.written = t.WrittenAt
		}
		into := &r.recent
		if c.At.Before(week) {
			into = &r.before
		}
		if counts(c.Resolution.Reason) {
			into.counted++
		}
		if isMatched(c.Resolution.Reason) {
			into.matched++
		}
		return true
	})
	return r, err
}
