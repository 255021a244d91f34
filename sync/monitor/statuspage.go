package monitor

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"callpoint/mapping"
)

// callTable is a list of calls with the name that a screen reader reads.
type callTable struct {
	CallList
	Label string
}

type statusPage struct {
	head
	Status   StatusView
	Summary  string
	Trouble  []Check
	Said     string
	Data     periodData
	Periods  []int
	First    string // of the period's days, for the form
	LastDay  string
	Figures  []figure
	Days     *chart
	Rate     *chart
	Hours    *chart
	Channels []channelBar
	Reasons  []reasonCount
	Recent   callTable
	Refused  []refusedGroup
}

type figure struct {
	Value, Label, Compared string
	Warn                   bool
}

type reasonCount struct {
	Reason mapping.Reason
	Calls  int
}

// A refusedGroup is what Salesforce refuses for one cause.
type refusedGroup struct {
	Code, Cure string
	Count      int
	Records    []refusedRecord // the first of them
	More       int
	Next       *time.Time // the earliest attempt
}

type refusedRecord struct{ TaskID, Key, Message string }

const (
	shownCalls   = 12
	shownRefused = 10 // of a group
)

func (s *Server) statusPage(w http.ResponseWriter, r *http.Request) {
	p := statusPage{head: s.head("Status", "status"), Status: s.Status(), Periods: periodDays}
	for _, c := range p.Status.Checks {
		if c.Status != OK {
			c.Name = strings.ReplaceAll(c.Name, "_", " ")
			p.Trouble = append(p.Trouble, c)
		}
	}
	zone := s.zone()
	period, err := parsePeriod(r.FormValue("days"), r.FormValue("from"), r.FormValue("to"), p.Now, zone)
	var before periodData
	if err == nil {
		p.Data, before, err = s.periods(period)
	}
	if err == nil {
		p.Recent.Label = "Table of the latest calls"
		p.Recent.CallList, err = s.Calls(CallQuery{Limit: shownCalls})
	}
	if err == nil {
		p.Refused, err = s.refusedGroups()
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p.First, p.LastDay = period.From.Format(time.DateOnly), period.Last().Format(time.DateOnly)
	for _, reason := range reasons {
		if n := p.Data.reasons[string(reason)]; n > 0 {
			p.Reasons = append(p.Reasons, reasonCount{reason, n})
		}
	}
	slices.SortStableFunc(p.Reasons, func(a, b reasonCount) int { return b.Calls - a.Calls })
	p.Figures = figures(p.Data, before, p.Status.Backlog)
	p.Days, p.Rate, p.Hours = chartDays(p.Data), chartRate(p.Data), chartHours(p.Data, p.Zone)
	p.Channels = chartChannels(p.Data)
	p.Summary = summary(p.Status, p.Now)
	if r.FormValue("released") != "" {
		p.Said = "Tried again. Salesforce accepted every record."
		if len(p.Refused) > 0 {
			p.Said = "Tried again. Salesforce still refuses the records below."
		}
	}
	s.show(w, http.StatusOK, "status.html", p)
}

// periods returns the numbers of a period and of the one before it.
func (s *Server) periods(p Period) (now, before periodData, err error) {
	x := s.index()
	if err := x.settle(); err != nil {
		return now, before, err
	}
	b := p.before()
	return collect(p, x.period(p.From, p.Days)), collect(b, x.period(b.From, b.Days)), nil
}

func figures(now, before periodData, b Backlog) []figure {
	rate := figure{Value: "–", Label: "of calls with a BizibleId were matched to a web session"}
	if percent, known := now.all.rate(); known {
		rate.Value = fmt.Sprintf("%.0f %%", percent)
		rate.Compared = "none in the period before"
		if was, known := before.all.rate(); known {
			rate.Compared = fmt.Sprintf("%.0f %% in the period before", was)
		}
	}
	return []figure{
		rate,
		{Value: grouped(now.all.calls), Label: "calls " + now.Name(), Compared: change(now.all.calls, before.all.calls)},
		{Value: grouped(now.inOrg), Label: "of them have a touchpoint in Salesforce", Compared: change(now.inOrg, before.inOrg)},
		{Value: grouped(b.Due), Label: "touchpoints waiting to be sent"},
		{Value: grouped(b.Parked), Label: "refused by Salesforce", Warn: b.Parked > 0},
	}
}

// summary returns in one sentence when callpoint last did its work.
func summary(v StatusView, now time.Time) string {
	if v.Success.IsZero() {
		return "No cycle has been completed yet."
	}
	text := "The last complete cycle ended " + ago(now.Sub(v.Success)) + " ago"
	failed := slices.IndexFunc(v.Cycles, func(c Cycle) bool { return c.Error == "" })
	switch {
	case failed < 0 && len(v.Cycles) > 0:
		text += fmt.Sprintf("; the last %d have failed", len(v.Cycles))
	case failed == 1:
		text += "; one has failed since"
	case failed > 1:
		text += fmt.Sprintf("; %d have failed since", failed)
	}
	return text + "."
}

// refusedGroups returns the parked touchpoints by cause, the largest group first.
func (s *Server) refusedGroups() ([]refusedGroup, error) {
	all, err := s.cfg.Store.ParkedTouchpoints()
	if err != nil {
		return nil, err
	}
	byCause := map[string]*refusedGroup{}
	var groups []*refusedGroup
	for _, t := range all {
		cure := salesforceCure(&t)
		g := byCause[t.Code+"\x00"+cure]
		if g == nil {
			g = &refusedGroup{Code: t.Code, Cure: cure}
			byCause[t.Code+"\x00"+cure] = g
			groups = append(groups, g)
		}
		if g.Count++; len(g.Records) < shownRefused {
			g.Records = append(g.Records, refusedRecord{t.TaskID, t.Key, t.Message})
		} else {
			g.More++
		}
		if next := known(t.NextAttempt); next != nil && (g.Next == nil || next.Before(*g.Next)) {
			g.Next = next
		}
	}
	slices.SortStableFunc(groups, func(a, b *refusedGroup) int {
		return cmp.Or(b.Count-a.Count, cmp.Compare(a.Code, b.Code))
	})
	list := make([]refusedGroup, len(groups))
	for i, g := range groups {
		list[i] = *g
	}
	return list, nil
}

// retryWait is how long a page waits for the cycle that its form asked for.
const retryWait = 20 * time.Second

// retryForm makes parked touchpoints due, one, those of a cause, or all, and runs a cycle.
// The guard in front refuses requests from other sites.
func (s *Server) retryForm(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		s.showError(w, r, http.StatusBadRequest, err.Error())
		return
	}
	var ids []string // none: all
	if key := r.PostForm.Get("key"); key != "" {
		ids = []string{key}
	} else if code := r.PostForm.Get("code"); code != "" {
		all, err := s.cfg.Store.ParkedTouchpoints()
		if err != nil {
			s.fail(w, r, err)
			return
		}
		for _, t := range all {
			if t.Code == code && (!r.PostForm.Has("cure") || salesforceCure(&t) == r.PostForm.Get("cure")) {
				ids = append(ids, t.Key)
			}
		}
		if len(ids) == 0 {
			http.Redirect(w, r, "/?released=1", http.StatusSeeOther)
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), retryWait)
	defer cancel()
	if _, err := s.cfg.Engine.RetryParked(ctx, ids); err != nil {
		s.fail(w, r, err)
		return
	}
	_, _ = s.cfg.Engine.Sync(ctx) // the page shows how it went
	http.Redirect(w, r, "/?released=1", http.StatusSeeOther)
}
