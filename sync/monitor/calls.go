package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/when"
)

// CallList are calls, newest first.
type CallList struct {
	Calls []CallView `json:"calls"`
	More  bool       `json:"more"` // there are older ones
}

// CallQuery chooses calls. Zero values choose all.
type CallQuery struct {
	Reason mapping.Reason
	State  store.State
	Since  time.Time
	Limit  int
}

// mostCalls bounds a list.
const mostCalls = 10000

// Calls lists calls, newest first.
func (s *Server) Calls(q CallQuery) (CallList, error) {
	list := CallList{Calls: []CallView{}}
	err := s.cfg.Store.EachCall(q.Since, time.Time{}, func(c store.Call, t *store.Touchpoint) bool {
		if q.Reason != "" && c.Resolution.Reason != q.Reason || q.State != "" && (t == nil || t.State != q.State) {
			return true
		}
		if len(list.Calls) == q.Limit {
			list.More = true
			return false
		}
		list.Calls = append(list.Calls, ViewCall(c, t))
		return true
	})
	return list, err
}

func (s *Server) calls(w http.ResponseWriter, r *http.Request) {
	q, err := ParseCallQuery(r.FormValue("reason"), r.FormValue("state"), r.FormValue("since"), r.FormValue("limit"), s.cfg.Now())
	if err != nil {
		fail(w, err)
		return
	}
	list, err := s.Calls(q)
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, list)
}

// ParseCallQuery reads a query as it is typed; empty strings choose all.
func ParseCallQuery(reason, state, since, limit string, now time.Time) (q CallQuery, err error) {
	q = CallQuery{Reason: mapping.Reason(reason), State: store.State(state), Limit: mostCalls}
	if reason != "" && !slices.Contains(reasons, q.Reason) {
		return q, &badRequest{fmt.Errorf("reason %s: none of %s", reason, joined(reasons))}
	}
	if state != "" && !slices.Contains(states, q.State) {
		return q, &badRequest{fmt.Errorf("state %s: none of %s", state, joined(states))}
	}
	if since != "" {
		if q.Since, err = when.Time(since, now); err != nil {
			return q, &badRequest{fmt.Errorf("since %w", err)}
		}
	}
	if limit != "" {
		if q.Limit, err = strconv.Atoi(limit); err != nil || q.Limit < 1 || q.Limit > mostCalls {
			return q, &badRequest{fmt.Errorf("limit %s: not a number from 1 to %d", limit, mostCalls)}
		}
	}
	return q, nil
}

// states are those that a call can be asked for by.
var states = []store.State{store.Pending, store.Written, store.Unchanged, store.Retrying, store.Parked, store.NoPerson}

// ReasonNames returns every reason code.
func ReasonNames() []string { return names(reasons) }

// StateNames returns every state of a call's touchpoint.
func StateNames() []string { return names(states) }

func names[T ~string](all []T) []string {
	names := make([]string, len(all))
	for i, v := range all {
		names[i] = string(v)
	}
	return names
}

func joined[T ~string](all []T) string { return strings.Join(names(all), ", ") }

// ReportQuery is what a report is asked for.
type ReportQuery struct {
	Since   string    `json:"since,omitempty"`
	Until   string    `json:"until,omitempty"`
	Revenue bool      `json:"revenue,omitempty"`
	WhatIf  *Settings `json:"what_if,omitempty"`
}

// reportDays is the period of a report without a since.
const reportDays = 30

func (q ReportQuery) period(now time.Time) (from, to time.Time, err error) {
	to = now.UTC()
	if q.Until != "" {
		if to, err = when.Time(q.Until, now); err != nil {
			return from, to, &badRequest{fmt.Errorf("until %w", err)}
		}
	}
	from = to.AddDate(0, 0, -reportDays)
	if q.Since != "" {
		if from, err = when.Time(q.Since, now); err != nil {
			return from, to, &badRequest{fmt.Errorf("since %w", err)}
		}
	}
	if !from.Before(to) {
		return from, to, &badRequest{fmt.Errorf("since must be before until (got %s and %s)", from.Format(time.RFC3339), to.Format(time.RFC3339))}
	}
	return from, to, nil
}

func (s *Server) report(w http.ResponseWriter, r *http.Request) {
	q := ReportQuery{Since: r.FormValue("since"), Until: r.FormValue("until"), Revenue: r.FormValue("revenue") == "true"}
	if r.Method == http.MethodPost {
		// A rules file is the largest thing in it.
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20))
		if err == nil {
			err = json.Unmarshal(body, &q)
		}
		if err != nil {
			fail(w, &badRequest{err})
			return
		}
	}
	report, err := s.Report(r.Context(), q)
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, report)
}

// Validate says what is wrong with a query, before anybody is asked.
func (q ReportQuery) Validate(now time.Time) error {
	_, _, err := q.period(now)
	return err
}

// Report answers a query.
func (s *Server) Report(ctx context.Context, q ReportQuery) (Report, error) {
	from, to, err := q.period(s.cfg.Now())
	if err != nil {
		return Report{}, err
	}
	report, err := MakeReport(s.cfg.Store, from, to)
	if err == nil && q.WhatIf != nil {
		var w WhatIf
		w, err = Try(s.cfg.Store, s.cfg.Engine, from, to, *q.WhatIf)
		report.WhatIf = &w
	}
	if err == nil && q.Revenue {
		report.Revenue, err = s.revenue(ctx, report)
	}
	return report, err
}

// revenue asks the org about the types that the period's touchpoints have.
func (s *Server) revenue(ctx context.Context, report Report) (*Revenue, error) {
	if s.cfg.Org == nil {
		return nil, &badRequest{errors.New("revenue is asked of Salesforce, and no login is configured")}
	}
	var types []string
	for _, row := range report.Rows {
		types = append(types, row.Type)
	}
	slices.Sort(types)
	return AskRevenue(ctx, s.cfg.Org, slices.Compact(types), report.From, report.To)
}

// reportCache keeps the status page's report: the page may be reloaded at will.
type reportCache struct {
	mu     sync.Mutex
	at     time.Time
	cycle  time.Time // the cycle that it was made after
	report Report
}

const reportFor = time.Minute

// recent is the report of the last 30 days, at most a minute old.
func (s *Server) recentReport() (Report, error) {
	now := s.cfg.Now()
	s.mu.Lock()
	var cycle time.Time
	if len(s.history.Cycles) > 0 {
		cycle = s.history.Cycles[0].At
	}
	s.mu.Unlock()
	c := &s.reports
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.at) < reportFor && c.cycle.Equal(cycle) {
		return c.report, nil
	}
	r, err := MakeReport(s.cfg.Store, now.AddDate(0, 0, -reportDays), now)
	if err != nil {
		return r, err
	}
	c.at, c.cycle, c.report = now, cycle, r
	return r, nil
}
