package main

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/collector"
)

// storeServer does for the commands what needs the store while the daemon has it.
type storeServer struct {
	store *store.Store
	log   *slog.Logger
}

func (s *storeServer) routes(mux *http.ServeMux) {
	mux.HandleFunc("DELETE /v1/visitors/{id}", s.forget)
	mux.HandleFunc("GET /v1/store/check", s.check)
	mux.HandleFunc("POST /v1/store/compact", s.compact)
	mux.HandleFunc("POST /v1/store/backup", s.backup)
	mux.HandleFunc("GET /v1/imports/{file}", s.place)
	mux.HandleFunc("PUT /v1/imports/{file}", s.setPlace)
	mux.HandleFunc("DELETE /v1/imports/{file}", s.dropPlace)
}

func (s *storeServer) forget(w http.ResponseWriter, r *http.Request) {
	id, ok := mapping.VisitorID(r.PathValue("id"))
	if !ok {
		answer(w, http.StatusNotFound, map[string]string{"error": "no plausible BizibleId"})
		return
	}
	erased, err := s.store.Forget(r.Context(), id, time.Now())
	if err != nil {
		s.fail(w, err)
		return
	}
	s.log.Info("visitor erased", "events", erased.Events, "visits", erased.Visits, "calls", erased.Calls)
	answer(w, http.StatusOK, erased)
}

// checked is the answer of a check.
type checked struct {
	Problems []string `json:"problems"`
}

func (s *storeServer) check(w http.ResponseWriter, _ *http.Request) {
	problems, err := s.store.Check()
	if err != nil {
		s.fail(w, err)
		return
	}
	answer(w, http.StatusOK, checked{append([]string{}, problems...)})
}

// compacted is the answer of a compaction: sizes of the file.
type compacted struct {
	Before int64 `json:"before"`
	After  int64 `json:"after"`
}

func (s *storeServer) compact(w http.ResponseWriter, r *http.Request) {
	before, after, err := s.store.Compact(r.Context())
	if err != nil {
		s.fail(w, err)
		return
	}
	answer(w, http.StatusOK, compacted{before, after})
}

// backup streams a copy. The path is where the client puts it: it is remembered, so that
// an erasure can name the copies that still hold the visitor.
func (s *storeServer) backup(w http.ResponseWriter, r *http.Request) {
	var to struct{ Path string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&to); err != nil || to.Path == "" {
		answer(w, http.StatusBadRequest, map[string]string{"error": `a body {"path":"…"} is needed: where the copy goes`})
		return
	}
	if sameFile(s.store.Path(), to.Path) {
		answer(w, http.StatusConflict, map[string]string{"error": to.Path + " is the store itself; name another file"})
		return
	}
	// A store that takes no writes is the one whose backup is needed most.
	if err := s.store.NoteBackup(r.Context(), store.BackupNote{Path: to.Path, At: time.Now().UTC()}); err != nil {
		s.log.Warn("the backup is not recorded, so forget will not name it", "path", to.Path, "err", err)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	out := &countingWriter{w: w}
	if _, err := s.store.Backup(r.Context(), out); err != nil {
		if out.n > 0 {
			panic(http.ErrAbortHandler) // a copy that breaks off must not look whole
		}
		w.Header().Del("Content-Type")
		s.fail(w, err)
	}
}

// place writes how far a file has been imported; the file is the hash of its name.
func (s *storeServer) place(w http.ResponseWriter, r *http.Request) {
	var at place
	ok, err := s.store.State(placePrefix+r.PathValue("file"), &at)
	switch {
	case err != nil:
		s.fail(w, err)
	case !ok:
		answer(w, http.StatusNotFound, map[string]string{"error": "no import of that file was stopped"})
	default:
		answer(w, http.StatusOK, at)
	}
}

func (s *storeServer) setPlace(w http.ResponseWriter, r *http.Request) {
	var at place
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&at); err != nil || at.Line <= 0 || len(r.PathValue("file")) > 64 {
		answer(w, http.StatusBadRequest, map[string]string{"error": `a body {"line":…,"offset":…,"head":"…"} is needed`})
		return
	}
	s.done(w, s.store.SetState(r.Context(), placePrefix+r.PathValue("file"), at))
}

func (s *storeServer) dropPlace(w http.ResponseWriter, r *http.Request) {
	s.done(w, s.store.DropState(r.Context(), placePrefix+r.PathValue("file")))
}

func (s *storeServer) done(w http.ResponseWriter, err error) {
	if err != nil {
		s.fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (s *storeServer) fail(w http.ResponseWriter, err error) {
	s.log.Warn("store request failed", "err", err)
	status := collector.StoreStatus(err)
	if errors.Is(err, store.ErrElsewhere) {
		status = http.StatusNotImplemented
	}
	answer(w, status, map[string]string{"error": err.Error()})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone
}
