// Package monitor answers the people and programs that watch callpoint: health,
// calls and visitors as JSON.
package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/salesforce"
)

// Config is what a Server watches.
type Config struct {
	Store    *store.Store
	Engine   *engine.Engine
	Interval time.Duration // of the poll
	Now      func() time.Time
	Log      *slog.Logger
}

// A Server answers the requests of monitor.
type Server struct {
	cfg    Config
	prober prober
	began  time.Time
}

// New makes a Server.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, began: cfg.Now()}
	s.prober = prober{stood: map[string]Check{}, probes: []Probe{
		{"store", s.store}, {"login", s.login}, {"poll_age", s.pollAge},
		{"oldest_due", s.oldestDue}, {"parked", s.parked},
	}}
	return s
}

// Routes adds the routes.
func (s *Server) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", s.livez)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("POST /v1/sync", s.sync)
	mux.HandleFunc("GET /v1/calls/{task}", s.call)
	mux.HandleFunc("GET /v1/visitors/{id}", s.visitor)
}

// late is how old the last poll may be before it is no longer fresh.
func (s *Server) late() time.Duration { return max(3*s.cfg.Interval, 5*time.Minute) }

// Live says why the loop makes no progress, where it makes none: a restart may help.
// An org that is away is progress.
func (s *Server) Live() error {
	last := s.cfg.Engine.Last().At
	if last.IsZero() {
		last = s.began
	}
	// A first run of months is one long cycle; its pages are progress.
	if progress := s.cfg.Engine.Progress(); progress.After(last) {
		last = progress
	}
	if age := s.cfg.Now().Sub(last); age > s.late() {
		return errors.New("no progress for " + ago(age))
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
	if err := s.cfg.Store.Writable(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	h := s.prober.health(s.cfg.Now())
	status := http.StatusOK
	if h.Status == Failing {
		status = http.StatusServiceUnavailable
	}
	reply(w, status, h)
}

func (s *Server) store(time.Time) (Status, string) {
	if err := s.cfg.Store.Writable(); err != nil {
		return Failing, err.Error()
	}
	return OK, "takes writes"
}

func (s *Server) login(time.Time) (Status, string) {
	last := s.cfg.Engine.Last()
	if last.Err != nil && salesforce.Classify(last.Err) == salesforce.StopCalls {
		return Failing, salesforce.Cure(last.Err)
	}
	if last.At.IsZero() {
		return Degraded, "not yet tried"
	}
	return OK, "accepted"
}

func (s *Server) pollAge(now time.Time) (Status, string) {
	last := s.cfg.Engine.Last()
	since := last.Success
	if since.IsZero() {
		since = s.began
	}
	switch age := now.Sub(since); {
	case age > s.late() && last.Err != nil:
		return Failing, fmt.Sprintf("no complete cycle for %s: %v", ago(age), last.Err)
	case age > s.late():
		return Failing, "no complete cycle for " + ago(age)
	case last.Err != nil:
		return Degraded, "the last cycle failed: " + last.Err.Error()
	case last.Success.IsZero():
		return Degraded, "the first cycle is under way"
	default:
		return OK, "last complete cycle " + ago(age) + " ago"
	}
}

func (s *Server) oldestDue(now time.Time) (Status, string) {
	b, err := s.cfg.Store.Backlog()
	switch {
	case err != nil:
		return Failing, err.Error()
	case b.Due == 0:
		return OK, "nothing waits"
	}
	age := now.Sub(b.OldestDue)
	detail := fmt.Sprintf("%d touchpoints wait, the oldest for %s", b.Due, ago(max(0, age)))
	if age > s.late() {
		return Degraded, detail
	}
	return OK, detail
}

func (s *Server) parked(time.Time) (Status, string) {
	b, err := s.cfg.Store.Backlog()
	switch {
	case err != nil:
		return Failing, err.Error()
	case b.Parked > 0:
		return Degraded, fmt.Sprintf("Salesforce refuses %d touchpoints: see callpoint parked", b.Parked)
	}
	return OK, "none"
}

// sync makes a complete cycle that begins now, and answers as --sync-once does.
func (s *Server) sync(w http.ResponseWriter, r *http.Request) {
	report, err := s.cfg.Engine.Sync(r.Context())
	if err = errors.Join(err, report.Err); err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	reply(w, http.StatusOK, report.Summary)
}

func (s *Server) call(w http.ResponseWriter, r *http.Request) {
	c, t, err := s.cfg.Store.Call(mapping.ID18(r.PathValue("task")))
	if err != nil {
		fail(w, statusOf(err), err)
		return
	}
	reply(w, http.StatusOK, ViewCall(c, t))
}

func (s *Server) visitor(w http.ResponseWriter, r *http.Request) {
	id, ok := mapping.VisitorID(r.PathValue("id"))
	if !ok {
		fail(w, http.StatusNotFound, errors.New("no plausible BizibleId"))
		return
	}
	j, result, err := s.cfg.Engine.Look(id)
	if err == nil && len(j.Events)+len(j.Visits)+len(j.Calls) == 0 {
		err = fmt.Errorf("visitor %s: %w", id, store.ErrNotFound)
	}
	if err != nil {
		fail(w, statusOf(err), err)
		return
	}
	reply(w, http.StatusOK, ViewVisitor(j, result.Sessions))
}

func statusOf(err error) int {
	if errors.Is(err, store.ErrNotFound) {
		return http.StatusNotFound
	}
	return http.StatusServiceUnavailable
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func fail(w http.ResponseWriter, status int, err error) {
	if errors.Is(err, context.Canceled) {
		status = 499 // the client went away; nobody reads this
	}
	reply(w, status, map[string]string{"error": err.Error()})
}
