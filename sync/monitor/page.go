package monitor

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/store"
)

//go:embed web
var web embed.FS

// policy lets a page load its style from here, send its forms here, and nothing else.
const policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"moment": moment, "rfc3339": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"short":    func(t time.Time) string { return t.UTC().Format("2 Jan 15:04") },
	"words":    func(v any) string { return strings.ReplaceAll(fmt.Sprint(v), "_", " ") },
	"check":    func(name string) string { return strings.ReplaceAll(name, "_", " ") },
	"distance": distanceText, "tone": tone, "page": bare, "channel": callChannel,
	"firstCycles": func(all []Cycle) []Cycle { return all[:min(5, len(all))] },
}).ParseFS(web, "web/*.html"))

func distanceText(seconds int64) string {
	if seconds < 0 {
		return span(-seconds) + " before"
	}
	return span(seconds) + " after"
}

// tone colours a reason or a state; the word beside it says the same.
func tone(v any) string {
	switch fmt.Sprint(v) {
	case "matched", "matched_clock_skew", "written", "unchanged":
		return "good"
	case "held", "pending", "retrying":
		return "wait"
	case "no_bizible_id", "unknown_visitor", "parked":
		return "bad"
	}
	return ""
}

// bare is a page without its scheme and query.
func bare(url string) string {
	_, rest, ok := strings.Cut(url, "://")
	if !ok {
		rest = url
	}
	rest, _, _ = strings.Cut(rest, "?")
	return rest
}

func callChannel(v CallView) string {
	if v.Session != nil {
		return v.Session.ChannelPath
	}
	return text(v.Touchpoint["bizible2__Marketing_Channel_Path__c"])
}

// Pages adds the pages for people.
func (s *Server) pages(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", s.statusPage)
	mux.HandleFunc("GET /calls", s.callsPage)
	mux.HandleFunc("GET /calls/{task}", s.callPage)
	mux.HandleFunc("POST /parked/retry", s.retryForm)
	for path, kind := range map[string]string{"/style.css": "text/css; charset=utf-8", "/icon.svg": "image/svg+xml"} {
		content, err := web.ReadFile("web" + path)
		if err != nil {
			panic(err) // it is embedded
		}
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Cache-Control", "max-age=300")
			_, _ = w.Write(content)
		})
	}
}

func show(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// head is what every page has.
type head struct {
	Title, Page string
	Now         time.Time
}

// callTable is a list of calls with the name that a screen reader says.
type callTable struct {
	CallList
	Label string
}

type statusPage struct {
	head
	Status     StatusView
	Summary    string
	Trouble    []Check
	Said       string
	Rate       string
	Calls      int
	Days       *dayChart
	Channels   []channelBar
	Reasons    []reasonCount
	Recent     callTable
	Parked     []parkedRow
	MoreParked int
}

type reasonCount struct {
	Reason mapping.Reason
	Calls  int
}

type parkedRow struct {
	Key, TaskID, Code, Message, Cure string
	Next                             *time.Time
}

const (
	shownCalls  = 12
	shownParked = 20
)

func (s *Server) statusPage(w http.ResponseWriter, r *http.Request) {
	p := statusPage{head: head{"Status", "status", s.cfg.Now()}, Status: s.Status(), Rate: "–"}
	for _, c := range p.Status.Checks {
		if c.Status != OK {
			c.Name = strings.ReplaceAll(c.Name, "_", " ")
			p.Trouble = append(p.Trouble, c)
		}
	}
	report, err := s.recentReport()
	if err == nil {
		p.Recent.Label = "Latest calls"
		p.Recent.CallList, err = s.Calls(CallQuery{Limit: shownCalls})
	}
	if err == nil {
		err = s.parkedRows(&p)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	for _, reason := range reasons {
		n := report.Reasons[reason]
		p.Calls += n
		if n > 0 {
			p.Reasons = append(p.Reasons, reasonCount{reason, n})
		}
	}
	slices.SortStableFunc(p.Reasons, func(a, b reasonCount) int { return b.Calls - a.Calls })
	if report.MatchRate != nil {
		p.Rate = fmt.Sprintf("%.0f %%", 100**report.MatchRate)
	}
	p.Days, p.Channels = chartDays(report.Days), chartChannels(report.Rows)
	p.Summary = summary(p.Status, p.Now)
	if n := r.FormValue("released"); n != "" {
		p.Said = "Tried again. What Salesforce still refuses stands below."
	}
	show(w, http.StatusOK, "status.html", p)
}

// summary says in one sentence when callpoint last did its work.
func summary(v StatusView, now time.Time) string {
	if v.Success.IsZero() {
		return "No cycle has been completed yet."
	}
	when := "The last complete cycle ended " + ago(now.Sub(v.Success)) + " ago"
	failed := slices.IndexFunc(v.Cycles, func(c Cycle) bool { return c.Error == "" })
	switch {
	case failed < 0 && len(v.Cycles) > 0:
		when += fmt.Sprintf("; the last %d have failed", len(v.Cycles))
	case failed == 1:
		when += "; one has failed since"
	case failed > 1:
		when += fmt.Sprintf("; %d have failed since", failed)
	}
	return when + "."
}

func (s *Server) parkedRows(p *statusPage) error {
	all, err := s.cfg.Store.ParkedTouchpoints()
	if err != nil {
		return err
	}
	p.MoreParked = max(0, len(all)-shownParked)
	for _, t := range all[:len(all)-p.MoreParked] {
		p.Parked = append(p.Parked, parkedRow{t.Key, t.TaskID, t.Code, t.Message, salesforceCure(&t), known(t.NextAttempt)})
	}
	return nil
}

func (s *Server) callsPage(w http.ResponseWriter, r *http.Request) {
	q, err := ParseCallQuery(r.FormValue("reason"), "", "", "200", s.cfg.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	list, err := s.Calls(q)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	show(w, http.StatusOK, "calls.html", struct {
		head
		Reason  mapping.Reason
		Reasons []mapping.Reason
		List    callTable
	}{head{"Calls", "calls", s.cfg.Now()}, q.Reason, reasons, callTable{list, "Calls, newest first"}})
}

func (s *Server) callPage(w http.ResponseWriter, r *http.Request) {
	data := struct {
		head
		Missing string
		Tone    Status
		Call    CallView
		E       Explanation
	}{head: head{"Call " + r.PathValue("task"), "call", s.cfg.Now()}}
	v, err := s.Call(r.PathValue("task"))
	switch {
	case errors.Is(err, store.ErrNotFound):
		data.Missing = "Call " + r.PathValue("task") + " is not known"
		show(w, http.StatusNotFound, "call.html", data)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	data.Call, data.E, data.Tone = v, Explain(v), OK
	switch {
	case v.State == store.Parked:
		data.Tone = Failing
	case !isMatched(v.Reason):
		data.Tone = Degraded
	}
	show(w, http.StatusOK, "call.html", data)
}

// retryWait is how long a page waits for the cycle that its form asked for.
const retryWait = 20 * time.Second

// retryForm releases parked touchpoints, one or all, and lets a cycle send them. The
// guard in front refuses requests from other sites.
func (s *Server) retryForm(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var ids []string // none: all
	if key := r.PostForm.Get("key"); key != "" {
		ids = []string{key}
	}
	ctx, cancel := context.WithTimeout(r.Context(), retryWait)
	defer cancel()
	if _, err := s.cfg.Engine.RetryParked(ctx, ids); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = s.cfg.Engine.Sync(ctx) // the page shows how it went
	http.Redirect(w, r, "/?released=1", http.StatusSeeOther)
}
