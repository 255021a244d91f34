// Package monitor answers the people and programs that watch callpoint: health,
// metrics, calls with their evidence, reports, and the status page.
package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"callpoint/clock"
	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/engine"
)

// Config is what a Server watches. Store, Now and Log are required.
type Config struct {
	Store    *store.Store
	Engine   *engine.Engine // Offline, only to look: it has no org
	Offline  bool           // no daemon runs: the store alone is read
	Org      Org            // for revenue; nil: not to be asked
	Interval time.Duration  // of the poll
	Now      func() time.Time
	Log      *slog.Logger
	Build    Build

	Clock     *clock.Clock     // nil: the check clock has nothing to compare
	Collected func() Collected // what came in; nil: nothing is collected here

	OrgURL  string                // of the org, for links to its records; empty: there are none
	Zone    func() *time.Location // of the pages; nil: UTC
	DryRun  bool                  // nothing is written to Salesforce
	Host    string                // under which browsers reach the collector; empty: not known
	Leading func() *Leading       // who leads; nil, or a nil result: this instance always does
	Spooled func() *Spooled       // the spool before the store; nil, or a nil result: there is none
}

// Build identifies the binary.
type Build struct{ Version, Revision, Go string }

// A Server answers the requests of monitor.
type Server struct {
	cfg      Config
	began    time.Time
	metrics  *metrics
	standing standing

	mu      sync.Mutex
	facts   facts     // guarded by mu
	history history   // guarded by mu
	saved   time.Time // the newest time of the history that the store holds; guarded by mu
	rated   time.Time // when the match rate was last looked at; guarded by mu
	days    *dayIndex // of the zone that the pages had last; guarded by mu
}

// New makes a Server that remembers what the store holds of the past.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, began: cfg.Now(), standing: standing{stood: map[string]Check{}}}
	s.metrics = newMetrics(s)
	if _, err := cfg.Store.State(historyState, &s.history); err != nil {
		cfg.Log.Warn("what happened before is not known", "err", err)
	}
	if newest := s.history.newest(); cfg.Clock != nil && !newest.IsZero() {
		cfg.Clock.SetNewest(newest)
	}
	return s
}

// index returns the tally of days in the pages' time zone.
func (s *Server) index() *dayIndex {
	zone := s.zone()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.days == nil || s.days.zone.String() != zone.String() {
		s.days = newDayIndex(zone, s.cfg.Store.EachCall)
		s.days.stale(s.cfg.Now())
	}
	return s.days
}

// Routes adds the routes.
func (s *Server) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", s.livez)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.Handle("GET /metrics", s.metricsHandler())
	s.pages(mux)
	s.mends(mux)
	mux.HandleFunc("GET /v1/status", s.status)
	mux.HandleFunc("POST /v1/sync", s.sync)
	mux.HandleFunc("GET /v1/calls", s.calls)
	mux.HandleFunc("GET /v1/calls/{task}", s.call)
	mux.HandleFunc("GET /v1/visitors/{id}", s.visitor)
	mux.HandleFunc("GET /v1/persons", s.unfollowed)
	mux.HandleFunc("GET /v1/persons/{id}", s.person)
	mux.HandleFunc("GET /v1/report", s.report)
	mux.HandleFunc("POST /v1/report", s.report)
}

// late is how old the last poll may be before it is no longer fresh. Where --sync-once
// runs by a timer, the timer's own pace is the measure.
func (s *Server) late(v *view) time.Duration {
	pace := s.cfg.Interval
	if s.cfg.Offline && len(v.Cycles) > 1 {
		pace = max(pace, v.Cycles[0].At.Sub(v.Cycles[1].At))
	}
	return max(3*pace, 5*time.Minute)
}

// Live returns nil while the process's own loops make progress, and otherwise an error that names which
// one does not: then a restart may help. A wait for Salesforce is progress, however long it
// lasts. Live takes no lock of the engine or of the store.
func (s *Server) Live() error {
	now := s.cfg.Now()
	// A first run of months is one long cycle; its steps are progress.
	moved, waiting := s.cfg.Engine.Progress()
	if moved.IsZero() {
		moved = s.began
	}
	l := s.leading()
	standby := l != nil && !l.Mine // whose engine rests
	if age := now.Sub(moved); !waiting && !standby && age > s.late(&view{}) {
		return errors.New("no progress for " + ago(age))
	}
	s.mu.Lock() // it is never held over a call of the store
	at := s.facts.at
	s.mu.Unlock()
	if age := now.Sub(at); !at.IsZero() && age > staleAfter {
		return errors.New("the store has not answered for " + ago(age))
	}
	return nil
}

func (s *Server) livez(w http.ResponseWriter, r *http.Request) {
	if err := s.Live(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	v := &view{now: s.cfg.Now(), facts: s.facts}
	s.mu.Unlock()
	if status, detail := checkStore(s, v); status == Failing {
		http.Error(w, detail, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	h := s.Health()
	status := http.StatusOK
	if h.Status == Failing {
		status = http.StatusServiceUnavailable
	}
	reply(w, status, h)
}

// StatusView is health with what it rests on.
type StatusView struct {
	Health
	Backlog Backlog    `json:"backlog"`
	Cursor  *time.Time `json:"cursor"`
	Cycles  []Cycle    `json:"cycles"` // newest first, so many as are kept
	Success time.Time  `json:"-"`      // the last complete cycle, which may be none of these
}

// Backlog counts what waits.
type Backlog struct {
	Due        int        `json:"due"`
	OldestDue  *time.Time `json:"oldest_due"`
	Parked     int        `json:"parked"`
	Unresolved int        `json:"unresolved"`
	NoPerson   int        `json:"no_person"` // touchpoints that wait for somebody to be named
}

// Status returns the status by the latest facts.
func (s *Server) Status() StatusView {
	v := StatusView{Health: s.Health(), Cycles: []Cycle{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.facts.backlog
	v.Backlog = Backlog{Due: b.Due, Parked: b.Parked, Unresolved: b.Dirty, NoPerson: b.NoPerson}
	if b.Due > 0 {
		v.Backlog.OldestDue = known(b.OldestDue)
	}
	v.Cursor, v.Success = known(s.facts.cursor), s.history.Success
	v.Cycles = append(v.Cycles, s.history.Cycles...)
	return v
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) { reply(w, http.StatusOK, s.Status()) }

// sync makes a complete cycle that begins now, and answers as --sync-once does.
func (s *Server) sync(w http.ResponseWriter, r *http.Request) {
	report, err := s.cfg.Engine.Sync(r.Context())
	if err = errors.Join(err, report.Err); err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, report.Summary)
}

func (s *Server) call(w http.ResponseWriter, r *http.Request) {
	v, err := s.Call(r.PathValue("task"))
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, v)
}

// Call shows one call. Its id may have 15 or 18 characters, be in lower case, or be part of a
// link to the Task.
func (s *Server) Call(task string) (CallView, error) {
	if id := salesforceID(task); id != "" {
		task = id
	}
	c, t, err := s.cfg.Store.Call(task)
	if err != nil {
		return CallView{}, err
	}
	reason, err := s.cfg.Store.Reason(c.TaskID)
	if err != nil {
		return CallView{}, err
	}
	v := ViewCall(c, t)
	v.OnTask = viewReason(reason)
	if c.Person != "" {
		p, err := s.Person(c.Person)
		if err != nil {
			return CallView{}, err
		}
		v.Person = &p
	}
	return v, nil
}

func (s *Server) visitor(w http.ResponseWriter, r *http.Request) {
	id, ok := mapping.VisitorID(r.PathValue("id"))
	if !ok {
		fail(w, fmt.Errorf("no plausible BizibleId: %w", store.ErrNotFound))
		return
	}
	j, result, err := s.cfg.Engine.Look(id)
	if err == nil && len(j.Events)+len(j.Visits)+len(j.Calls) == 0 {
		err = fmt.Errorf("visitor %s: %w", id, store.ErrNotFound)
	}
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, ViewVisitor(j, result.Sessions))
}

func statusOf(err error) int {
	var bad *badRequest
	switch {
	case errors.Is(err, store.ErrNotFound):
		return http.StatusNotFound
	case errors.As(err, &bad):
		return http.StatusBadRequest
	case errors.Is(err, context.Canceled):
		return 499 // the client went away; nobody reads this
	}
	return http.StatusServiceUnavailable
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func fail(w http.ResponseWriter, err error) {
	reply(w, statusOf(err), map[string]string{"error": err.Error()})
}
