package monitor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"callpoint/store"
)

// Status of a check, and of the whole.
type Status string

const (
	OK       Status = "ok"
	Degraded Status = "degraded"
	Failing  Status = "failing"
)

// A Check is the status of one thing, and since when it has it.
type Check struct {
	Name   string    `json:"name"`
	Status Status    `json:"status"`
	Detail string    `json:"detail"`
	Since  time.Time `json:"since"`
}

// Health is the answer of /healthz.
type Health struct {
	Status Status `json:"status"`
	Headline
	Checks []Check `json:"checks"`
}

const (
	// minimumSample is how many calls with an id there must be before match_rate and
	// collector_age warn.
	minimumSample = 20
	// lowRate is a match rate that is wrong on any site: most calls with an id come from
	// someone who is looking at the page.
	lowRate = 0.2
	// silence is how long no event may arrive on a site whose visitors call.
	silence = 12 * time.Hour
	// stuckAfter is when touchpoints that wait are no longer a matter of patience.
	stuckAfter = time.Hour
)

// A check measures one thing.
type check struct {
	name    string
	measure func(s *Server, v *view) (Status, string)
}

// checks are in the order in which they are shown: what others depend on first.
var checks = []check{
	{"store", checkStore}, {"login", checkLogin}, {"poll_age", checkPollAge}, {"write_age", checkWriteAge},
	{"oldest_due", checkOldestDue}, {"parked", checkParked}, {"collector_age", checkCollectorAge},
	{"match_rate", checkMatchRate}, {"api_budget", checkBudget}, {"clock", checkClock},
}

// view is one consistent look at what is known.
type view struct {
	now time.Time
	facts
	history
}

// last is the cycle that ended last; nil before the first.
func (v *view) last() *Cycle {
	if len(v.Cycles) == 0 {
		return nil
	}
	return &v.Cycles[0]
}

// standing keeps, for each check, its status and when that status began.
type standing struct {
	mu    sync.Mutex
	stood map[string]Check
}

// Health returns the status by the latest facts. It makes no request.
func (s *Server) Health() Health {
	now := s.cfg.Now()
	s.mu.Lock()
	v := &view{now: now, facts: s.facts, history: s.history}
	s.mu.Unlock()
	s.standing.mu.Lock()
	defer s.standing.mu.Unlock()
	h := Health{Status: OK}
	for _, check := range slices.Concat(checks, s.sharedChecks()) {
		status, detail := check.measure(s, v)
		c, ok := s.standing.stood[check.name]
		if !ok || c.Status != status {
			c = Check{Name: check.name, Status: status, Since: now.UTC()}
		}
		c.Detail = detail
		s.standing.stood[check.name] = c
		h.Checks = append(h.Checks, c)
		h.Status = worse(h.Status, status)
	}
	h.Headline = s.headline(v, h.Checks)
	return h
}

func checkStore(s *Server, v *view) (Status, string) {
	if sp := s.spooled(); sp != nil && sp.Full == nil && v.writable != nil && errors.Is(v.writable, store.ErrAway) {
		return Degraded, "the database is away; events are kept in the spool: " + v.writable.Error()
	}
	switch age := v.now.Sub(v.at); {
	case v.at.IsZero():
		return Failing, "not yet measured"
	case age > staleAfter:
		return Failing, "the store has not answered for " + ago(age)
	case v.writable != nil:
		return Failing, v.writable.Error()
	case v.readErr != nil:
		return Failing, v.readErr.Error()
	}
	return OK, "takes writes"
}

func checkLogin(_ *Server, v *view) (Status, string) {
	switch last := v.last(); {
	case last == nil:
		return Degraded, "not yet tried"
	case last.Refused:
		return Failing, first(last.Cure, last.Error)
	case v.Success.IsZero():
		return Degraded, "not known before the first complete cycle"
	}
	return OK, "accepted"
}

func checkPollAge(s *Server, v *view) (Status, string) {
	since := v.Success
	if since.IsZero() {
		since = s.began
	}
	last := v.last()
	switch age := v.now.Sub(since); {
	case age > s.late(v) && last != nil && last.Error != "":
		return Failing, fmt.Sprintf("no complete cycle for %s: %s", ago(age), last.trouble())
	case age > s.late(v):
		return Failing, "no complete cycle for " + ago(age)
	case last != nil && last.Error != "":
		return Degraded, "the last cycle failed: " + last.trouble()
	case last != nil && len(last.SourcesFailed) > 0:
		name := slices.Sorted(maps.Keys(last.SourcesFailed))[0]
		return Degraded, fmt.Sprintf("the source %s cannot be read: %s", name, last.SourcesFailed[name])
	case v.Success.IsZero():
		return Degraded, "no cycle has been completed yet"
	default:
		return OK, "last complete cycle " + ago(age) + " ago"
	}
}

// checkWriteAge distinguishes touchpoints that wait while nothing is written from those that
// are on their way.
func checkWriteAge(s *Server, v *view) (Status, string) {
	detail := "no record written yet"
	since := s.began
	if !v.Written.IsZero() {
		detail = "last record written " + ago(v.now.Sub(v.Written)) + " ago"
		since = v.Written
	}
	overdue := v.now.Sub(v.backlog.OldestDue)
	if v.backlog.Due == 0 || overdue <= s.late(v) {
		return OK, detail
	}
	switch idle := min(v.now.Sub(since), overdue); {
	case idle > max(stuckAfter, s.late(v)):
		return Failing, fmt.Sprintf("%s, and %d touchpoints wait", detail, v.backlog.Due)
	case idle > s.late(v):
		return Degraded, fmt.Sprintf("%s, and %d touchpoints wait", detail, v.backlog.Due)
	}
	return OK, detail
}

func checkOldestDue(s *Server, v *view) (Status, string) {
	if v.backlog.Due == 0 {
		return OK, "nothing waits"
	}
	age := v.now.Sub(v.backlog.OldestDue)
	if age < 0 {
		return OK, fmt.Sprintf("%s for another attempt in %s", waiting(v.backlog.Due), ago(-age))
	}
	detail := fmt.Sprintf("%s, the oldest for %s", waiting(v.backlog.Due), ago(age))
	if age > s.late(v) {
		return Degraded, detail
	}
	return OK, detail
}

func waiting(n int) string {
	if n == 1 {
		return "1 touchpoint waits"
	}
	return fmt.Sprintf("%d touchpoints wait", n)
}

func checkParked(_ *Server, v *view) (Status, string) {
	if v.backlog.Parked > 0 {
		return Degraded, fmt.Sprintf("Salesforce refuses %d: callpoint parked lists them with the cure%s", v.backlog.Parked, personless(v.backlog.NoPerson))
	}
	return OK, "none" + personless(v.backlog.NoPerson)
}

// personless counts the calls that wait for a person; empty where none does.
func personless(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; %d without a person (callpoint calls --state no_person)", n)
}

func checkCollectorAge(s *Server, v *view) (Status, string) {
	since, detail := v.Received, "no event since the start"
	if since.IsZero() {
		since = s.began
		if !v.earliest.IsZero() {
			detail = "no event since this start; the store holds earlier ones"
		}
	} else {
		detail = "last event " + ago(v.now.Sub(since)) + " ago"
	}
	if v.recent.counted >= minimumSample && v.now.Sub(since) > silence {
		return Degraded, fmt.Sprintf("%s, while %d calls with an id came within %d days: is the script still on the site?", detail, v.recent.counted, recentDays)
	}
	return OK, detail
}

func checkMatchRate(_ *Server, v *view) (Status, string) {
	r, b := v.recent, v.before
	if r.counted < minimumSample {
		return OK, fmt.Sprintf("%d calls with an id within %d days: too few to judge", r.counted, recentDays)
	}
	detail := fmt.Sprintf("%.0f %% of %d calls within %d days", 100*r.rate(), r.counted, recentDays)
	switch {
	case b.counted >= minimumSample && r.rate() < b.rate()/2:
		return Degraded, fmt.Sprintf("%s, after %.0f %% before: callpoint report shows the reasons", detail, 100*b.rate())
	case r.rate() < lowRate:
		return Degraded, detail + ": callpoint report shows the reasons"
	}
	return OK, detail
}

func checkBudget(s *Server, v *view) (Status, string) {
	if last := v.last(); last != nil && last.Limit {
		return Failing, first(last.Cure, last.Error)
	}
	b := s.cfg.Engine.Budget()
	if b.Spent {
		return Failing, fmt.Sprintf("paused until %s: %s", moment(b.Until), b.Reason)
	}
	detail := fmt.Sprintf("%d of its %d calls within 24 hours", b.Used, b.Limit)
	if b.OrgMax > 0 {
		detail += fmt.Sprintf("; the org %d of %d", b.OrgUsed, b.OrgMax)
	}
	if nearly(b.Used, b.Limit) || b.OrgMax > 0 && nearly(b.OrgUsed, b.OrgStop) {
		return Degraded, detail + ": at the limit callpoint pauses"
	}
	return OK, detail
}

// checkClock compares the machine's clock with Salesforce's and with the store's newest
// data. A minute is what CALLPOINT_CLOCK_SKEW allows for.
func checkClock(s *Server, _ *view) (Status, string) {
	c := s.cfg.Clock
	if c == nil {
		return OK, "not compared: no daemon runs"
	}
	state := c.State()
	switch {
	case c.Doubt() != nil:
		return Failing, state.String() + "; until then nothing is pruned and no cursor is stored"
	case state.HasOrg && state.Org.Abs() > time.Minute:
		return Degraded, state.String() + ": calls may miss their sessions"
	}
	return OK, state.String()
}

// nearly is four fifths of a limit.
func nearly(n, limit int) bool { return n >= limit-limit/5 }

func worse(a, b Status) Status {
	rank := map[Status]int{OK: 0, Degraded: 1, Failing: 2}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// ago formats a duration for people.
func ago(d time.Duration) string {
	d = max(0, d)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}
