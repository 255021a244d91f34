package monitor

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"callpoint/mapping"
	"callpoint/store"
)

// pageCalls is how many calls a page lists.
const pageCalls = 50

// callsPage lists calls by the filters of its form. A search that names one call leads to it.
func (s *Server) callsPage(w http.ResponseWriter, r *http.Request) {
	q, err := ParseCallQuery(s.pageValue(r), s.cfg.Now())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if id := salesforceID(q.Q); id != "" {
		if _, _, err := s.cfg.Store.Call(id); err == nil {
			http.Redirect(w, r, "/calls/"+id, http.StatusSeeOther)
			return
		}
	}
	if r.FormValue("limit") == "" {
		q.Limit = pageCalls
	}
	list, err := s.Calls(q)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	link := func(page int) string {
		v := q.parameters()
		if page > 1 {
			v.Set("page", strconv.Itoa(page))
		}
		if q.Limit != pageCalls {
			v.Set("limit", strconv.Itoa(q.Limit))
		}
		if len(v) == 0 {
			return "/calls"
		}
		return "/calls?" + v.Encode()
	}
	data := struct {
		head
		Query              CallQuery
		Reasons            []mapping.Reason
		States             []store.State
		Channels           []string
		List               callTable
		Newer, Older, CSV  string
		Since, Until       string
		ShownFrom, ShownTo int
	}{head: s.head("Calls", "calls"), Query: q, Reasons: reasons, States: states, List: callTable{list, "Table of calls, newest first"},
		CSV: "/calls.csv?" + q.parameters().Encode(), Since: r.FormValue("since"), Until: r.FormValue("until")}
	data.Q = q.Q
	data.ShownFrom = (q.Page-1)*q.Limit + 1
	data.ShownTo = data.ShownFrom + len(list.Calls) - 1
	if q.Page > 1 {
		data.Newer = link(q.Page - 1)
	}
	if list.More {
		data.Older = link(q.Page + 1)
	}
	if data.Channels, err = s.channelNames(q.Channel); err != nil {
		s.fail(w, r, err)
		return
	}
	s.show(w, http.StatusOK, "calls.html", data)
}

// pageValue reads the parameters of the page's form: its days are of the page's time zone,
// and until names the last day that is shown.
func (s *Server) pageValue(r *http.Request) func(string) string {
	return func(name string) string {
		value := r.FormValue(name)
		day, err := time.ParseInLocation(time.DateOnly, value, s.zone())
		switch {
		case err != nil:
			return value
		case name == "since":
			return day.Format(time.RFC3339)
		case name == "until":
			return day.AddDate(0, 0, 1).Format(time.RFC3339)
		}
		return value
	}
}

// channelNames returns the channels of the last 90 days for the form, with chosen among them.
func (s *Server) channelNames(chosen string) (names []string, err error) {
	p, err := parsePeriod("90", "", "", s.cfg.Now(), s.zone())
	if err != nil {
		return nil, err
	}
	now, _, err := s.periods(p)
	if err != nil {
		return nil, err
	}
	found := chosen == ""
	for _, c := range channelPaths(now) {
		names = append(names, c)
		found = found || c == chosen
	}
	if !found {
		names = append(names, chosen)
	}
	return names, nil
}

func (s *Server) callsCSV(w http.ResponseWriter, r *http.Request) {
	q, err := ParseCallQuery(s.pageValue(r), s.cfg.Now())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	list, err := s.Calls(q)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="calls.csv"`)
	w.Header().Set("Cache-Control", "no-store")
	_ = WriteCSV(w, list.Calls) // a client that went away
}

// A recordLink is a record of Salesforce that a call has to do with.
type recordLink struct{ Name, ID, URL string }

func (s *Server) callPage(w http.ResponseWriter, r *http.Request) {
	task := r.PathValue("task")
	if id := salesforceID(task); id != "" {
		task = id
	}
	v, err := s.Call(task)
	if errors.Is(err, store.ErrNotFound) {
		s.showError(w, r, http.StatusNotFound, "Call "+task+" is not known: callpoint never read a Task with this id. It may be older than CALLPOINT_START, or CALLPOINT_TASK_FILTER leaves it out.")
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	data := struct {
		head
		Tone     Status
		Call     CallView
		E        Explanation
		Timeline *timeline
		Journey  *journeyPicture
		Links    []recordLink
		Visitor  string // the list of the visitor's calls
	}{head: s.head("Call "+task, "call"), Call: v, E: Explain(v, s.zone()), Tone: OK, Links: s.recordLinks(v)}
	switch {
	case v.State == store.Parked:
		data.Tone = Failing
	case !isMatched(v.Reason):
		data.Tone = Degraded
	}
	var sessions []mapping.Session
	if v.BizibleID != "" {
		data.Visitor = "/calls?" + url.Values{"q": {v.BizibleID}}.Encode()
		if _, result, err := s.cfg.Engine.Look(v.BizibleID); err == nil {
			sessions = result.Sessions
		}
	}
	data.Journey = drawJourney(v, s.zone())
	data.Timeline = drawTimeline(v, sessions, s.zone())
	s.show(w, http.StatusOK, "call.html", data)
}

// recordLinks returns the records of a call that Salesforce can show.
func (s *Server) recordLinks(v CallView) (links []recordLink) {
	who := map[string]string{"00Q": "Lead", "003": "Contact"}
	what := map[string]string{"006": "Opportunity", "001": "Account", "500": "Case"}
	add := func(name, id string) {
		if u := s.link(id); u != "" && name != "" {
			links = append(links, recordLink{name, id, u})
		}
	}
	add("Task", v.TaskID)
	if len(v.WhoID) >= 3 {
		add(who[v.WhoID[:3]], v.WhoID)
	}
	if id := text(v.Task["WhatId"]); len(id) >= 3 {
		add(what[id[:3]], id)
	}
	add("Touchpoint", v.Salesforce.ID)
	add("Bizible Person", v.PersonRecord)
	return links
}
