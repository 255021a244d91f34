package monitor

import (
	"context"
	"errors"
	"slices"
	"time"

	"callpoint/sync/engine"
	"callpoint/sync/salesforce"
)

// Cycle is one that ended, as it is remembered over restarts.
type Cycle struct {
	engine.Summary
	At      time.Time `json:"at"`
	Error   string    `json:"error,omitempty"`
	Cure    string    `json:"cure,omitempty"`
	Refused bool      `json:"refused,omitempty"` // Salesforce does not let us in
	Limit   bool      `json:"limit,omitempty"`   // the org's API calls are used up
}

// trouble is why the cycle failed, and what to do about it.
func (c *Cycle) trouble() string {
	if c.Cure == "" {
		return c.Error
	}
	return c.Error + ". " + c.Cure
}

// history is what health and the status page know of the past. It is kept in the store,
// so that a status can be reported where no daemon runs.
type history struct {
	Cycles   []Cycle   `json:"cycles"`   // newest first
	Success  time.Time `json:"success"`  // the last complete cycle
	Written  time.Time `json:"written"`  // the last record written
	Received time.Time `json:"received"` // the last event collected
}

// newest returns the latest time that the history holds: it was written then.
func (h *history) newest() time.Time {
	newest := h.Received
	for _, t := range []time.Time{h.Success, h.Written} {
		if t.After(newest) {
			newest = t
		}
	}
	if len(h.Cycles) > 0 && h.Cycles[0].At.After(newest) {
		newest = h.Cycles[0].At
	}
	return newest
}

// keptCycles bounds the history.
const keptCycles = 20

const historyState = "monitor"

// Cycle takes note of a cycle that ended. Health knows of it when Cycle returns.
func (s *Server) Cycle(r engine.Report) {
	c := Cycle{Summary: r.Summary, At: r.At.UTC()}
	if r.Err != nil {
		c.Error, c.Cure = r.Err.Error(), engine.Cure(r.Err)
		e, ok := errors.AsType[*salesforce.Error](r.Err)
		c.Limit = ok && e.Code == "REQUEST_LIMIT_EXCEEDED"
		c.Refused = !c.Limit && salesforce.Classify(r.Err) == salesforce.StopCalls
	}
	s.mu.Lock()
	h := &s.history
	// Always a new list: who took a copy of the history reads the old one without the lock.
	h.Cycles = slices.Concat([]Cycle{c}, h.Cycles[:min(len(h.Cycles), keptCycles-1)])
	if r.Err == nil {
		h.Success = r.At // with its monotonic reading: a jump of the clock makes it no older
	}
	if c.TouchpointsWritten > 0 {
		h.Written = r.At
	}
	if c.Calls > 0 {
		s.rated = time.Time{} // the calls changed: so may the match rate
	}
	watched := !s.facts.at.IsZero()
	days := s.days
	s.mu.Unlock()
	if days != nil && (c.Calls > 0 || c.TouchpointsWritten > 0) {
		days.stale(s.cfg.Now())
	}
	s.metrics.cycle(c)
	if watched { // a single cycle has nobody who asks for health
		s.refresh()
	}
}

// Reload reads the history that the last leader kept.
func (s *Server) Reload() {
	var h history
	if ok, err := s.cfg.Store.State(historyState, &h); err != nil || !ok {
		return // what was known stays
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.history.Received.After(h.Received) {
		h.Received = s.history.Received
	}
	s.history = h
}

// Save keeps the history in the store. It is the write probe as well: its result for
// the store is what the store did just now.
func (s *Server) Save(ctx context.Context) error {
	if l := s.leading(); l != nil && !l.Mine {
		return s.cfg.Store.Ping(ctx) // the leader keeps it
	}
	s.mu.Lock()
	h := s.history
	s.mu.Unlock()
	err := s.cfg.Store.SetState(ctx, historyState, h)
	if err == nil {
		s.mu.Lock()
		s.saved = h.newest()
		s.mu.Unlock()
	}
	return err
}

// unsaved reports whether the history holds something newer than the store does.
func (s *Server) unsaved() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.history.newest().After(s.saved)
}
