package monitor

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/when"
)

// CallList is a page of calls, newest first.
type CallList struct {
	Calls []CallView `json:"calls"`
	More  bool       `json:"more"` // there are older ones
}

// CallQuery chooses calls. Zero values choose all.
type CallQuery struct {
	Reason  mapping.Reason
	State   store.State
	Channel string // a channel, or a channel path; case does not matter
	Q       string // a Task, BizibleId, Lead or Contact; a Salesforce id may be a pasted link
	Since   time.Time
	Until   time.Time // exclusive
	Page    int       // from 1
	Limit   int       // calls of a page
}

// mostCalls bounds a page.
const mostCalls = 10000

// Calls returns a page of calls, newest first.
func (s *Server) Calls(q CallQuery) (CallList, error) {
	list := CallList{Calls: []CallView{}}
	skip := (max(1, q.Page) - 1) * q.Limit
	err := s.eachFound(q, func(c store.Call, t *store.Touchpoint) bool {
		switch {
		case !q.fits(c, t):
			return true
		case skip > 0:
			skip--
			return true
		case len(list.Calls) == q.Limit:
			list.More = true
			return false
		}
		list.Calls = append(list.Calls, ViewCall(c, t))
		return true
	})
	return list, err
}

func (q CallQuery) fits(c store.Call, t *store.Touchpoint) bool {
	switch {
	case q.Reason != "" && c.Resolution.Reason != q.Reason:
		return false
	case q.State != "" && (t == nil || t.State != q.State):
		return false
	case !q.Since.IsZero() && c.At.Before(q.Since), !q.Until.IsZero() && !c.At.Before(q.Until):
		return false
	case q.Channel == "":
		return true
	case t == nil:
		return false
	}
	channel, sub := channelOf(c, t)
	return strings.EqualFold(q.Channel, channel) || sub != "" && strings.EqualFold(q.Channel, channel+"."+sub)
}

// eachFound calls fn with the calls that Q names, or with all of the period, newest first.
func (s *Server) eachFound(q CallQuery, fn func(store.Call, *store.Touchpoint) bool) error {
	if q.Q == "" {
		return s.cfg.Store.EachCall(q.Since, q.Until, fn)
	}
	tasks, err := s.search(q.Q)
	if err != nil {
		return err
	}
	type found struct {
		c store.Call
		t *store.Touchpoint
	}
	var all []found
	for _, id := range tasks {
		c, t, err := s.cfg.Store.Call(id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		all = append(all, found{c, t})
	}
	slices.SortFunc(all, func(a, b found) int {
		if c := b.c.At.Compare(a.c.At); c != 0 {
			return c
		}
		return strings.Compare(b.c.TaskID, a.c.TaskID)
	})
	for _, f := range all {
		if !fn(f.c, f.t) {
			break
		}
	}
	return nil
}

// search returns the Tasks of what a person typed: a Task id, a Lead or Contact id, or a
// BizibleId.
func (s *Server) search(q string) (tasks []string, err error) {
	if id := salesforceID(q); id != "" {
		if tasks, err = s.callsOfPerson(id); err != nil || len(tasks) > 0 {
			return tasks, err
		}
		if _, _, err := s.cfg.Store.Call(id); !errors.Is(err, store.ErrNotFound) {
			return []string{id}, err
		}
	}
	visitor, ok := mapping.VisitorID(q)
	if !ok {
		return nil, nil
	}
	j, err := s.cfg.Store.Journey(visitor)
	for _, c := range j.Calls {
		tasks = append(tasks, c.TaskID)
	}
	return tasks, err
}

func (s *Server) callsOfPerson(id string) (tasks []string, err error) {
	err = s.cfg.Store.Callers(id, func(c store.Call) error {
		tasks = append(tasks, c.TaskID)
		return nil
	})
	return tasks, err
}

// idInText finds an id of Salesforce in a pasted link: behind a slash or an equals sign.
var idInText = regexp.MustCompile(`(?:^|[/=])([A-Za-z0-9]{18}|[A-Za-z0-9]{15})(?:$|[/?&#])`)

// salesforceID returns the id of 18 characters in what a person typed or pasted; empty if
// there is none.
func salesforceID(text string) string {
	m := idInText.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return ""
	}
	return mapping.RestoreID(mapping.ID18(m[1]))
}

func (s *Server) calls(w http.ResponseWriter, r *http.Request) {
	q, err := ParseCallQuery(r.FormValue, s.cfg.Now())
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

// ParseCallQuery reads a query by its parameters: reason, state, channel, q, since, until,
// page and limit. Empty ones choose all.
func ParseCallQuery(value func(name string) string, now time.Time) (q CallQuery, err error) {
	q = CallQuery{Reason: mapping.Reason(value("reason")), State: store.State(value("state")), Channel: value("channel"),
		Q: strings.TrimSpace(value("q")), Page: 1, Limit: mostCalls}
	if q.Reason != "" && !slices.Contains(reasons, q.Reason) {
		return q, &badRequest{fmt.Errorf("reason %s is not valid; use one of %s", q.Reason, joined(reasons))}
	}
	if q.State != "" && !slices.Contains(states, q.State) {
		return q, &badRequest{fmt.Errorf("state %s is not valid; use one of %s", q.State, joined(states))}
	}
	for name, to := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if text := value(name); text != "" {
			if *to, err = when.Time(text, now); err != nil {
				return q, &badRequest{fmt.Errorf("%s %w", name, err)}
			}
		}
	}
	for name, n := range map[string]struct {
		to   *int
		most int
	}{"limit": {&q.Limit, mostCalls}, "page": {&q.Page, 1e6}} {
		if text := value(name); text != "" {
			if *n.to, err = strconv.Atoi(text); err != nil || *n.to < 1 || *n.to > n.most {
				return q, &badRequest{fmt.Errorf("%s=%s is not a number from 1 to %d", name, text, n.most)}
			}
		}
	}
	return q, nil
}

// WriteCSV writes calls as a table for a spreadsheet; times are UTC.
func WriteCSV(to io.Writer, calls []CallView) error {
	w := csv.NewWriter(to)
	_ = w.Write([]string{"task_id", "call_time", "bizible_id", "who_id", "type", "subject", "reason", "state",
		"channel_path", "salesforce_id", "salesforce_code", "detail"}) // Error returns what went wrong
	for _, v := range calls {
		row := []string{v.TaskID, v.CallTime.UTC().Format(time.RFC3339), v.BizibleID, v.WhoID, v.Type, v.Subject, string(v.Reason), string(v.State),
			callChannel(v), v.Salesforce.ID, v.Salesforce.Code, v.Detail}
		for i := range row {
			row[i] = NoFormula(row[i])
		}
		_ = w.Write(row)
	}
	w.Flush()
	return w.Error()
}

// NoFormula keeps a spreadsheet from running what a stranger wrote: a cell that begins like
// a formula gets an apostrophe in front.
func NoFormula(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

// parameters returns the query as URL parameters, without the page.
func (q CallQuery) parameters() url.Values {
	v := url.Values{}
	for name, text := range map[string]string{"reason": string(q.Reason), "state": string(q.State), "channel": q.Channel, "q": q.Q} {
		if text != "" {
			v.Set(name, text)
		}
	}
	for name, t := range map[string]time.Time{"since": q.Since, "until": q.Until} {
		if !t.IsZero() {
			v.Set(name, t.UTC().Format(time.RFC3339))
		}
	}
	return v
}
