package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/salesforce"
)

// ParkedView is a touchpoint that Salesforce refuses, as scripts read it.
type ParkedView struct {
	Key         string    `json:"key"`
	TaskID      string    `json:"task_id"`
	Code        string    `json:"code"`
	Message     string    `json:"message"`
	Cure        string    `json:"cure"`
	Attempts    int       `json:"attempts"`
	NextAttempt time.Time `json:"next_attempt"`
}

// ParkedList is the answer of /v1/parked.
type ParkedList struct {
	Parked []ParkedView   `json:"parked"`
	Paused []engine.Pause `json:"paused"` // objects of which every record is refused
}

// Retried is the answer of /v1/parked/retry.
type Retried struct {
	Released int    `json:"released"`
	Parked   int    `json:"parked"`          // what stands parked after it was tried
	Error    string `json:"error,omitempty"` // of the cycle
}

// mends adds the routes of what looks after records in the org.
func (s *Server) mends(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/parked", s.parked)
	mux.HandleFunc("POST /v1/parked/retry", s.retryParked)
	mux.HandleFunc("POST /v1/reconcile", s.reconcile)
	mux.HandleFunc("POST /v1/reread", s.reread)
	mux.HandleFunc("POST /v1/retract", s.retract)
}

func (s *Server) parked(w http.ResponseWriter, r *http.Request) {
	all, err := s.cfg.Store.ParkedTouchpoints()
	if err != nil {
		fail(w, err)
		return
	}
	pauses, err := s.cfg.Engine.Pauses()
	if err != nil {
		fail(w, err)
		return
	}
	list := ParkedList{Parked: []ParkedView{}, Paused: pauses}
	for _, t := range all {
		list.Parked = append(list.Parked, viewParked(t))
	}
	reply(w, http.StatusOK, list)
}

func viewParked(t store.Touchpoint) ParkedView {
	cure := salesforce.Cure(&salesforce.Error{Op: "upsert", Code: t.Code, Message: t.Message})
	return ParkedView{t.Key, t.TaskID, t.Code, t.Message, cure, t.Attempts, t.NextAttempt}
}

// retryParked releases what the query (id=, repeated) or the body ({"ids":[...]}) names,
// or all, and tries it.
func (s *Server) retryParked(w http.ResponseWriter, r *http.Request) {
	var body struct {
		IDs []string `json:"ids"`
	}
	if r.ContentLength != 0 {
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&body); err != nil {
			reply(w, http.StatusBadRequest, map[string]string{"error": fmt.Sprintf("body: %v", err)})
			return
		}
	}
	n, err := s.cfg.Engine.RetryParked(r.Context(), append(body.IDs, r.URL.Query()["id"]...))
	if err != nil {
		fail(w, err)
		return
	}
	report, err := s.cfg.Engine.Sync(r.Context())
	answer := Retried{Released: n, Parked: report.Summary.Parked}
	if err = errors.Join(err, report.Err); err != nil {
		answer.Error = err.Error()
	}
	reply(w, http.StatusOK, answer)
}

// Reread is the answer of /v1/reread.
type Reread struct {
	From    time.Time      `json:"from"` // what changed since then was read
	Summary engine.Summary `json:"cycle"`
}

// reread reads the Tasks that changed since a time (since=) once more.
func (s *Server) reread(w http.ResponseWriter, r *http.Request) {
	since, err := time.Parse(time.RFC3339, r.URL.Query().Get("since"))
	if err != nil || since.After(s.cfg.Now()) {
		reply(w, http.StatusBadRequest, map[string]string{"error": "since: not an RFC 3339 time in the past"})
		return
	}
	from, err := s.cfg.Engine.Reread(r.Context(), since)
	if err != nil {
		fail(w, err)
		return
	}
	report, err := s.cfg.Engine.Sync(r.Context())
	if err = errors.Join(err, report.Err); err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, Reread{from, report.Summary})
}

func (s *Server) reconcile(w http.ResponseWriter, r *http.Request) {
	fix, _ := strconv.ParseBool(r.URL.Query().Get("fix"))
	did, err := s.cfg.Engine.Reconcile(r.Context(), fix)
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, did)
}

// retract counts callpoint's records; with do=true it deletes them, with undo=true it
// lets them be written again.
func (s *Server) retract(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if undo, _ := strconv.ParseBool(q.Get("undo")); undo {
		n, err := s.cfg.Engine.Restore(r.Context())
		if err != nil {
			fail(w, err)
			return
		}
		reply(w, http.StatusOK, engine.Retracted{Touchpoints: n})
		return
	}
	var since time.Time
	if v := q.Get("since"); v != "" {
		var err error
		if since, err = time.Parse(time.RFC3339, v); err != nil {
			reply(w, http.StatusBadRequest, map[string]string{"error": "since: not an RFC 3339 time"})
			return
		}
	}
	do, _ := strconv.ParseBool(q.Get("do"))
	did, err := s.cfg.Engine.Retract(r.Context(), since, do)
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, did)
}
