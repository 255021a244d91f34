package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"callpoint/store"
	"callpoint/when"
)

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

// Validate returns what is wrong with a query, before it is sent.
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
