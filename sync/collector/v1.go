package collector

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"callpoint/mapping"
	"callpoint/store"
)

// answer is the response of /v1 to a body.
type answer struct {
	Accepted      int        `json:"accepted"`
	Repeated      int        `json:"repeated"`
	Bots          int        `json:"bots,omitempty"`
	Rejected      []rejected `json:"rejected"`                 // the first maxRejected
	RejectedTotal int        `json:"rejected_total,omitempty"` // all of them
	Error         string     `json:"error,omitempty"`          // about the request as a whole
}

type rejected struct {
	Line  int    `json:"line"` // in an array, the element's position
	Error string `json:"error"`
}

const maxRejected = 100

// batch is one body, decoded.
type batch struct {
	events   []mapping.Event
	visits   []mapping.Visit
	repeated int // twice in this body
	answer   answer
	reasons  map[string]uint64 // of rejections
	bots     map[string]uint64

	seenEvents map[eventKey]struct{}
	seenVisits map[visitKey]int // index into visits
}

// eventKey is what makes an event a repeat.
type eventKey struct {
	kind     mapping.EventKind
	visitor  string
	at       int64
	sequence int64
	url      string
}

type visitKey struct{ visitor, session string }

func (b *batch) addEvent(e mapping.Event) {
	if len(b.events) > 0 && b.seenEvent(e) {
		b.repeated++
		return
	}
	b.events = append(b.events, e)
}

// seenEvent reports a repeat. Most bodies hold one event and never ask.
func (b *batch) seenEvent(e mapping.Event) bool {
	if b.seenEvents == nil {
		b.seenEvents = map[eventKey]struct{}{keyOf(b.events[0]): {}}
	}
	key := keyOf(e)
	_, ok := b.seenEvents[key]
	b.seenEvents[key] = struct{}{}
	return ok
}

func keyOf(e mapping.Event) eventKey {
	return eventKey{e.Kind, e.Visitor, e.At.UnixMilli(), e.Sequence, e.URL}
}

// addVisit keeps one of two with the same id: the later end, then the more page views.
func (b *batch) addVisit(v mapping.Visit) {
	key := visitKey{v.Visitor, v.SessionID}
	i, ok := b.seenVisits[key]
	if !ok {
		if b.seenVisits == nil {
			b.seenVisits = map[visitKey]int{}
		}
		b.seenVisits[key] = len(b.visits)
		b.visits = append(b.visits, v)
		return
	}
	b.repeated++
	if c := v.EndedAt.Compare(b.visits[i].EndedAt); c > 0 || c == 0 && v.PageViews > b.visits[i].PageViews {
		b.visits[i] = v
	}
}

func (b *batch) reject(line int, err error) {
	b.answer.RejectedTotal++
	if len(b.answer.Rejected) < maxRejected {
		b.answer.Rejected = append(b.answer.Rejected, rejected{line, err.Error()})
	}
	if re, ok := errors.AsType[*RecordError](err); ok {
		count(&b.reasons, re.Reason)
	}
}

func count(counts *map[string]uint64, reason string) {
	if *counts == nil {
		*counts = map[string]uint64{}
	}
	(*counts)[reason]++
}

func (b *batch) usable() bool { return len(b.events)+len(b.visits)+b.answer.Bots > 0 }

// ingest handles /v1/events and /v1/sessions.
func (c *Collector) ingest(want lines) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case c.slots <- struct{}{}:
			defer func() { <-c.slots }()
		default:
			c.refuse(w, errBusy)
			return
		}
		mem := charge{of: c.memory}
		defer mem.free()
		b, err := c.readBatch(w, r, want, &mem)
		if err != nil {
			c.refuse(w, c.asRefusal(err))
			return
		}
		status := http.StatusOK
		if len(b.events)+len(b.visits) > 0 {
			stood, err := c.store(r.Context(), b.events, b.visits)
			if err != nil {
				c.refuse(w, err)
				return
			}
			b.answer.Repeated = b.repeated + stood
			b.answer.Accepted = max(0, len(b.events)+len(b.visits)-stood)
		} else if !b.usable() {
			status = http.StatusBadRequest
			if b.answer.RejectedTotal == 0 {
				b.answer.Error = "the body holds no record"
			}
		}
		c.count(b)
		reply(w, status, b.answer)
	}
}

// readBatch reads a whole body before anything is stored: if it breaks off, nothing is kept.
func (c *Collector) readBatch(w http.ResponseWriter, r *http.Request, want lines, mem *charge) (*batch, error) {
	body, err := c.openBody(w, r, mem)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b := &batch{
		answer: answer{Rejected: []rejected{}},
	}
	var event mapping.Event
	var visit mapping.Visit
	s := newSplitter(body, c.cfg.MaxRecord)
	defer s.close()
	for {
		line, err := s.next()
		if err == io.EOF {
			return b, nil
		}
		if skip, ok := errors.AsType[errSkip](err); ok {
			b.reject(s.line, skip.err)
			continue
		}
		if err != nil {
			return nil, err
		}
		if !mem.take(recordMemory) {
			return nil, errBusy
		}
		e, v, bot, err := c.decoder.record(string(line), want, &event, &visit)
		switch {
		case err != nil:
			b.reject(s.line, err)
		case bot != "":
			b.answer.Bots++
			count(&b.bots, bot)
		case e != nil:
			b.addEvent(*e)
		default:
			b.addVisit(*v)
		}
	}
}

// store adds a batch to the store and maps an error to its HTTP status.
func (c *Collector) store(ctx context.Context, events []mapping.Event, visits []mapping.Visit) (repeated int, _ *refusal) {
	repeated, err := c.cfg.Store.Add(ctx, events, visits)
	if err == nil {
		return repeated, nil
	}
	status := StoreStatus(err)
	text := map[int]string{
		http.StatusInsufficientStorage: "the store is full; nothing of this request was kept",
		http.StatusServiceUnavailable:  "the store takes no data at present; nothing of this request was kept",
		http.StatusTooManyRequests:     "the store is overloaded; nothing of this request was kept",
	}[status]
	c.cfg.Log.WarnContext(ctx, "events not stored", "status", status, "err", err)
	return 0, &refusal{status, refusedStore, text}
}

// StoreStatus returns the HTTP status of an error of the store.
func StoreStatus(err error) int {
	switch {
	case errors.Is(err, store.ErrFull):
		return http.StatusInsufficientStorage
	case errors.Is(err, store.ErrBusy):
		return http.StatusTooManyRequests
	}
	return http.StatusServiceUnavailable
}

func (c *Collector) count(b *batch) {
	c.stats.add(func(s *Stats) {
		for reason, n := range b.reasons {
			s.Rejected[reason] += n
		}
		for reason, n := range b.bots {
			s.Bots[reason] += n
		}
		if len(b.events)+len(b.visits) == 0 {
			return
		}
		s.Bodies++
		s.Repeated += uint64(b.answer.Repeated)
		if len(b.visits) > 0 {
			s.Visits += uint64(b.answer.Accepted)
		} else {
			s.Events += uint64(b.answer.Accepted)
		}
		s.LastReceived = c.cfg.Now()
	})
}

// refuse answers a request of which nothing is kept.
func (c *Collector) refuse(w http.ResponseWriter, e *refusal) {
	c.stats.refuse(e.reason)
	hangUp(w, e)
	retryAfter(w, e.status)
	reply(w, e.status, answer{Rejected: []rejected{}, Error: e.text})
}

// hangUp closes the connection after an answer to a body that was not read: net/http would
// wait for the rest of it.
func hangUp(w http.ResponseWriter, e *refusal) {
	switch e.status {
	case http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge:
		w.Header().Set("Connection", "close")
	}
}

func retryAfter(w http.ResponseWriter, status int) {
	if w.Header().Get("Retry-After") != "" {
		return
	}
	switch status {
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "1")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
	}
}

func reply(w http.ResponseWriter, status int, a answer) {
	text, err := json.Marshal(a)
	if err != nil { // cannot happen: plain strings and numbers
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)+1))
	w.WriteHeader(status)
	w.Write(append(text, '\n'))
}
