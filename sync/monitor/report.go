package monitor

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/store"
)

// Report counts which channels drew calls in a period, by call time.
type Report struct {
	From      time.Time              `json:"from"`
	To        time.Time              `json:"to"`
	Rows      []ReportRow            `json:"rows"`
	Reasons   map[mapping.Reason]int `json:"reasons"`
	MatchRate *float64               `json:"match_rate"` // null: no call in the period counts
	NoPerson  int                    `json:"no_person"`  // calls in rows that have no touchpoint, because they name nobody
	Days      []ReportDay            `json:"days"`       // UTC, every day of the period
	WhatIf    *WhatIf                `json:"what_if,omitempty"`
	Revenue   *Revenue               `json:"revenue,omitempty"`
}

// ReportRow counts the calls that have a touchpoint, or would have one if they named somebody.
type ReportRow struct {
	Channel    string `json:"channel"`
	Subchannel string `json:"subchannel"`
	Type       string `json:"touchpoint_type"`
	Calls      int    `json:"calls"`
	Matched    int    `json:"matched"`
}

// ReportDay counts the calls of one day. Counted are those that the match rate is about.
type ReportDay struct {
	Day     string `json:"day"`
	Calls   int    `json:"calls"`
	Counted int    `json:"counted"`
	Matched int    `json:"matched"`
}

// reasons are all of them, so that none appears late in an answer.
var reasons = []mapping.Reason{
	mapping.Matched, mapping.MatchedClockSkew, mapping.Held, mapping.BeforeCollection, mapping.NoBizibleID,
	mapping.UnknownVisitor, mapping.OutsideWindow, mapping.SessionAlreadyUsed, mapping.TaskDeleted,
}

// maxDays bounds the days that a report lists.
const maxDays = 400

func isMatched(r mapping.Reason) bool { return r == mapping.Matched || r == mapping.MatchedClockSkew }

// counts reports whether a call shows how well matching works: it has an id, and its
// answer is no matter of time.
func counts(r mapping.Reason) bool {
	switch r {
	case mapping.UnknownVisitor, mapping.OutsideWindow, mapping.SessionAlreadyUsed:
		return true
	}
	return isMatched(r)
}

// MakeReport reads the calls of [from, to).
func MakeReport(s *store.Store, from, to time.Time) (Report, error) {
	t := newTally(from, to)
	err := s.EachCall(from, to, func(c store.Call, tp *store.Touchpoint) bool {
		t.add(c, tp)
		return true
	})
	return t.report(), err
}

// tally adds up calls for a Report.
type tally struct {
	r    Report
	rows map[ReportRow]*ReportRow // by a row without counts
	days map[string]*ReportDay
}

func newTally(from, to time.Time) *tally {
	t := &tally{rows: map[ReportRow]*ReportRow{}, days: map[string]*ReportDay{}}
	t.r = Report{From: from.UTC(), To: to.UTC(), Rows: []ReportRow{}, Days: []ReportDay{}, Reasons: map[mapping.Reason]int{}}
	for _, reason := range reasons {
		t.r.Reasons[reason] = 0
	}
	return t
}

func (t *tally) add(c store.Call, tp *store.Touchpoint) {
	reason := c.Resolution.Reason
	if reason == "" {
		return // read, and not resolved yet
	}
	t.r.Reasons[reason]++
	day := dayOf(c.At)
	if t.days[day] == nil {
		t.days[day] = &ReportDay{Day: day}
	}
	d := t.days[day]
	d.Calls++
	if counts(reason) {
		d.Counted++
	}
	if isMatched(reason) {
		d.Matched++
	}
	if tp == nil {
		return
	}
	if tp.State == store.NoPerson {
		t.r.NoPerson++
	}
	key := ReportRow{Type: typeOf(c)}
	key.Channel, key.Subchannel = channelOf(c, tp)
	if reason == mapping.TaskDeleted {
		key.keep(tp)
	}
	if t.rows[key] == nil {
		row := key
		t.rows[key] = &row
	}
	t.rows[key].Calls++
	if isMatched(reason) {
		t.rows[key].Matched++
	}
}

func (t *tally) report() Report {
	r := t.r
	for _, row := range t.rows {
		r.Rows = append(r.Rows, *row)
	}
	slices.SortFunc(r.Rows, func(a, b ReportRow) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Subchannel, b.Subchannel), cmp.Compare(a.Type, b.Type))
	})
	counted, matched := 0, 0
	for _, day := range slices.Sorted(maps.Keys(t.days)) {
		counted += t.days[day].Counted
		matched += t.days[day].Matched
	}
	if counted > 0 {
		rate := float64(matched) / float64(counted)
		r.MatchRate = &rate
	}
	first := r.From
	if earliest := r.To.AddDate(0, 0, -maxDays); first.Before(earliest) {
		first = earliest
	}
	for day := first.Truncate(24 * time.Hour); day.Before(r.To); day = day.AddDate(0, 0, 1) {
		d := ReportDay{Day: dayOf(day)}
		if known := t.days[d.Day]; known != nil {
			d = *known
		}
		r.Days = append(r.Days, d)
	}
	return r
}

// keep counts a record that stays as it is by what it shows: its Task may have changed after
// the record was written, and was then deleted.
func (r *ReportRow) keep(tp *store.Touchpoint) {
	values := tp.Values()
	if typ := text(values["bizible2__Touchpoint_Type__c"]); typ != "" {
		r.Type = typ
	}
	if channel, subchannel := writtenChannel(values); channel != "" {
		r.Channel, r.Subchannel = channel, subchannel
	}
}

func dayOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func typeOf(c store.Call) string {
	if typ := strings.TrimSpace(text(c.Fields["Type"])); typ != "" {
		return typ
	}
	return "Web Visit"
}

// channelOf returns the channel of the session, or of the touchpoint where there is no session. A
// field map without the channel fields leaves the latter unknown.
func channelOf(c store.Call, tp *store.Touchpoint) (channel, subchannel string) {
	if x := c.Resolution.Session; x != nil {
		return x.Channel, x.Subchannel
	}
	channel, subchannel = writtenChannel(tp.Values())
	return cmp.Or(channel, "(not mapped)"), subchannel
}

// writtenChannel reads the channel and subchannel of a record.
func writtenChannel(values map[string]any) (channel, subchannel string) {
	channel = text(values["bizible2__Marketing_Channel__c"])
	path := text(values["bizible2__Marketing_Channel_Path__c"])
	if rest, ok := strings.CutPrefix(path, channel+"."); ok {
		subchannel = rest
	}
	return channel, subchannel
}
