package collector

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"callpoint/mapping"
)

// A bodyModel makes requests from bytes, and knows of each record, from how it was made
// and not by reading it, whether it must be taken and what must then be stored.
type bodyModel struct {
	t      *testing.T
	site   *site
	ops    []byte
	events map[eventKey]bool
	visits map[visitKey]mapping.Visit
}

// pick takes the next byte, as a number below n.
func (m *bodyModel) pick(n int) int {
	if len(m.ops) == 0 {
		return 0
	}
	b := m.ops[0]
	m.ops = m.ops[1:]
	return int(b) % n
}

// A spelling is a JSON value that is taken, and what it means.
type spelling[T any] struct {
	text  string
	means T
}

// choose takes a spelling, mostly a good one. What is not taken means nothing.
func choose[T any](m *bodyModel, good []spelling[T], bad ...string) (text string, means T, ok bool) {
	n := m.pick(2*len(good) + len(bad))
	if n >= 2*len(good) {
		return bad[n-2*len(good)], means, false
	}
	s := good[n%len(good)]
	return s.text, s.means, true
}

func utc(day, hour, minute, milli int) time.Time {
	return time.Date(2026, 11, day, hour, minute, 0, milli*1e6, time.UTC)
}

var (
	goodIDs = []spelling[string]{
		{`"visitor-a"`, "visitor-a"},
		{`" VISITOR-A "`, "visitor-a"},
		{`"dde5687119cc4928fbf94393ed9f5c35"`, "dde5687119cc4928fbf94393ed9f5c35"},
	}
	badIDs = []string{`""`, `"  "`, `null`, `7`, `"a\u0000b"`, `"` + strings.Repeat("x", 300) + `"`}

	// The collector's clock is at noon of the 23rd: the last is early, yet near enough.
	goodTimes = []spelling[time.Time]{
		{`"2026-11-23T11:50:00Z"`, utc(23, 11, 50, 0)},
		{`"2026-11-23T12:50:00+01:00"`, utc(23, 11, 50, 0)},
		{`"2026-11-23T11:50:00.25Z"`, utc(23, 11, 50, 250)},
		{`"2026-11-22T00:00:00Z"`, utc(22, 0, 0, 0)},
		{`"2026-11-23T12:09:00Z"`, utc(23, 12, 9, 0)},
	}
	badTimes = []string{`"yesterday"`, `""`, `null`, `1763898600`, `"2026-11-23T12:11:00Z"`, `"2019-01-01T00:00:00Z"`}

	goodURLs = []spelling[string]{
		{`"https://www.example.com/"`, "https://www.example.com/"},
		{`"https://www.example.com/\u00fc"`, "https://www.example.com/ü"},
		{`"http://shop.example.com/a/b"`, "http://shop.example.com/a/b"},
	}
	badURLs = []string{`""`, `null`, `[]`}

	goodKinds = []spelling[mapping.EventKind]{{`"view"`, mapping.View}, {`"form"`, mapping.Form}}
	badLines  = []string{`{"type":"vi`, `{"type":"view"} {}`, "true", "7", `"text"`, `{"type":"view"}`}
)

// event is one line, and what becomes of it; nil: it is refused.
func (m *bodyModel) event() (line string, want *eventKey) {
	if m.pick(12) == 0 {
		return badLines[m.pick(len(badLines))], nil
	}
	id, visitor, idOK := choose(m, goodIDs, badIDs...)
	at, when, atOK := choose(m, goodTimes, badTimes...)
	url, page, urlOK := choose(m, goodURLs, badURLs...)
	kind, meant, kindOK := choose(m, goodKinds, `"click"`, `7`)
	sequence := m.pick(3)
	more := []string{"", `,"unknown":{"a":[1,2]}`, `,"title":null`, `,"referrer":"https://www.google.com/"`, `,"geo":{"city":"Seattle"}`}[m.pick(5)]
	line = fmt.Sprintf(`{"url":%s,"type":%s,"at":%s,"bizible_id":%s,"sequence":%d%s}`, url, kind, at, id, sequence, more)
	if !idOK || !atOK || !urlOK || !kindOK {
		return line, nil
	}
	return line, &eventKey{meant, visitor, when.UnixMilli(), int64(sequence), page}
}

// session is one line of /v1/sessions, likewise.
func (m *bodyModel) session() (line string, want *mapping.Visit) {
	id, visitor, idOK := choose(m, goodIDs, badIDs...)
	at, when, atOK := choose(m, goodTimes[:4], badTimes...)
	name := fmt.Sprint("s", m.pick(3))
	views := 1 + m.pick(4)
	line = fmt.Sprintf(`{"session_id":%q,"bizible_id":%s,"started_at":%s,"ended_at":%s,"landing_page":"https://www.example.com/","page_views":%d}`, name, id, at, at, views)
	if !idOK || !atOK {
		return line, nil
	}
	return line, &mapping.Visit{SessionID: name, Visitor: visitor, StartedAt: when, EndedAt: when, LandingPage: "https://www.example.com/", PageViews: views}
}

// A tally is what the answer to a body must count.
type tally struct{ accepted, repeated, rejected int }

// someEvents are the lines of one body, which the model takes in.
func (m *bodyModel) someEvents() (lines []string, n tally) {
	for range 1 + m.pick(6) {
		line, e := m.event()
		lines = append(lines, line)
		switch {
		case e == nil:
			n.rejected++
		case m.events[*e]:
			n.repeated++
		default:
			m.events[*e] = true
			n.accepted++
		}
	}
	return lines, n
}

// someSessions likewise. Of two of one id in a body the one with the later end counts, then
// the one with more page views.
func (m *bodyModel) someSessions() (lines []string, n tally) {
	kept := map[visitKey]mapping.Visit{}
	for range 1 + m.pick(6) {
		line, v := m.session()
		lines = append(lines, line)
		if v == nil {
			n.rejected++
			continue
		}
		key := visitKey{v.Visitor, v.SessionID}
		was, twice := kept[key]
		if twice {
			n.repeated++
		}
		if !twice || v.EndedAt.After(was.EndedAt) || v.EndedAt.Equal(was.EndedAt) && v.PageViews > was.PageViews {
			kept[key] = *v
		}
	}
	for key, v := range kept {
		if m.visits[key] == v {
			n.repeated++
		} else {
			n.accepted++
		}
		m.visits[key] = v
	}
	return lines, n
}

// body sends some lines, in one of the forms that a body may have.
func (m *bodyModel) body() {
	m.t.Helper()
	path, some := "/v1/events", m.someEvents
	if m.pick(4) == 0 {
		path, some = "/v1/sessions", m.someSessions
	}
	lines, n := some()
	text, headers := strings.Join(lines, "\n"), []string(nil)
	if array := "[" + strings.Join(lines, ",") + "]"; m.pick(2) == 1 && json.Valid([]byte(array)) {
		text = array
	}
	switch m.pick(3) {
	case 1:
		text, headers = gzipped(text), []string{"Content-Encoding", "gzip"}
	case 2:
		text, headers = zstded(text), []string{"Content-Encoding", "zstd"}
	}
	want := http.StatusOK
	if n.accepted+n.repeated == 0 {
		want = http.StatusBadRequest
	}
	status, a := m.site.post(m.t, path, text, headers...)
	if got := (tally{a.Accepted, a.Repeated, a.RejectedTotal}); status != want || got != n {
		m.t.Fatalf("%s\n%s\nanswered %d %+v, want %d %+v", path, strings.Join(lines, "\n"), status, got, want, n)
	}
}

func (m *bodyModel) run() {
	for len(m.ops) > 0 {
		m.body()
	}
	s := m.site.store
	for key := range m.events {
		if _, ok := s.events[key]; !ok {
			m.t.Errorf("not stored: %+v", key)
		}
	}
	for key, v := range m.visits {
		if s.visits[key] != v {
			m.t.Errorf("stored %+v, want %+v", s.visits[key], v)
		}
	}
	if len(s.events) != len(m.events) || len(s.visits) != len(m.visits) {
		m.t.Errorf("%d events and %d sessions are stored, want %d and %d", len(s.events), len(s.visits), len(m.events), len(m.visits))
	}
}

func newBodyModel(t *testing.T, ops []byte) *bodyModel {
	return &bodyModel{t: t, site: serve(t), ops: ops, events: map[eventKey]bool{}, visits: map[visitKey]mapping.Visit{}}
}

// TestBodiesAgainstModel sends bodies of every form, with lines good and bad, and compares
// the answers and what is stored with what the lines were made to be.
func TestBodiesAgainstModel(t *testing.T) {
	t.Parallel()
	first := rand.Uint64()
	for i := range uint64(8) {
		t.Run(fmt.Sprint(first+i), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(first+i, 1))
			ops := make([]byte, 4000)
			for i := range ops {
				ops[i] = byte(r.Uint32())
			}
			newBodyModel(t, ops).run()
		})
	}
}

func FuzzBodiesAgainstModel(f *testing.F) {
	f.Add([]byte("\x01\x03\x01\x02\x03\x04\x05\x06\x07\x08\x09\x00\x01\x02"))
	f.Fuzz(func(t *testing.T, ops []byte) { newBodyModel(t, ops[:min(len(ops), 500)]).run() })
}
