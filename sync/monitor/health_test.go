package monitor

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callpoint/clock"
	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/salesforce"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// downOrg answers every login with one error.
type downOrg struct {
	engine.Org
	err error
}

func (o downOrg) Login(context.Context) (salesforce.Identity, error) {
	return salesforce.Identity{}, o.err
}

// bench is a server on a clock that tests set.
type bench struct {
	*Server
	store  *store.Store
	budget *engine.Budget
	now    time.Time
}

func newBench(t *testing.T, loginErr error) *bench {
	t.Helper()
	st, err := store.Open(filepath.Join(t.TempDir(), "callpoint.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &bench{store: st, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return b.now }
	b.budget = engine.NewBudget(100, 0.1, clock)
	e, err := engine.New(engine.Config{Store: st, Org: downOrg{err: loginErr}, Settings: mapping.Default(), Now: clock,
		Budget:  b.budget,
		OnCycle: func(r engine.Report) { b.Cycle(r) }})
	if err != nil {
		t.Fatal(err)
	}
	b.Server = New(Config{Store: st, Engine: e, Interval: time.Minute, Now: clock, Log: slog.New(slog.DiscardHandler)})
	return b
}

// spend makes so many API calls.
func (b *bench) spend(n int) {
	for range n {
		b.budget.Note(salesforce.CallInfo{Counted: true})
	}
}

func (b *bench) get(path string) (int, string) {
	mux := http.NewServeMux()
	b.Routes(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// The state table: the answer of each endpoint in each state, and that it flips back.
func TestStateTable(t *testing.T) {
	t.Parallel()
	const on, off = http.StatusOK, http.StatusServiceUnavailable
	down := &salesforce.Error{Op: "query", Status: 503, Code: "SERVER_UNAVAILABLE", Message: "maintenance"}
	refused := &salesforce.Error{Op: "login", Status: 400, Code: "invalid_grant", Message: "authentication failure"}
	limit := &salesforce.Error{Op: "query", Status: 403, Code: "REQUEST_LIMIT_EXCEEDED", Message: "TotalRequests Limit exceeded."}
	for _, c := range []struct {
		name                 string
		err                  error // of a cycle that ends now
		set                  func(b *bench)
		livez, readyz, whole int
		status               Status
		check, says          string
	}{
		{"starting: nothing measured", nil, func(b *bench) { b.facts = facts{}; b.history = history{} }, on, off, off, Failing, "store", "not yet measured"},
		{"healthy", nil, nil, on, on, on, OK, "poll_age", "last complete cycle 0 s ago"},
		{"Salesforce down, one poll failed", down, nil, on, on, on, Degraded, "poll_age", "maintenance"},
		{"Salesforce down for longer than the limit", down, func(b *bench) { b.history.Success = b.now.Add(-6 * time.Minute) }, on, on, off, Failing, "poll_age", "no complete cycle for 6 min"},
		{"login refused", refused, nil, on, on, off, Failing, "login", "Salesforce refuses these credentials"},
		{"API quota gone", limit, nil, on, on, off, Failing, "api_budget", "used up"},
		{"API budget nearly spent", nil, func(b *bench) { b.spend(80) }, on, on, on, Degraded, "api_budget", "80 of its 100 calls"},
		{"API budget spent", nil, func(b *bench) { b.spend(100) }, on, on, off, Failing, "api_budget", "paused until"},
		{"store full", nil, func(b *bench) { b.facts.writable = errors.New("no space left on device") }, on, off, off, Failing, "store", "no space left"},
		{"store stuck", nil, func(b *bench) { b.facts.at = b.now.Add(-2 * time.Minute) }, off, off, off, Failing, "store", "not answered for 2 min"},
		{"loop stuck", nil, func(b *bench) { b.now = b.now.Add(6 * time.Minute); b.facts.at = b.now }, off, on, off, Failing, "poll_age", "no complete cycle for 6 min"},
		{"touchpoints wait too long", nil, func(b *bench) {
			b.facts.backlog = store.Backlog{Due: 3, OldestDue: b.now.Add(-10 * time.Minute)}
			b.history.Written = b.now.Add(-time.Minute)
		}, on, on, on, Degraded, "oldest_due", "3 touchpoints wait, the oldest for 10 min"},
		{"touchpoints wait for their next attempt", nil, func(b *bench) {
			b.facts.backlog = store.Backlog{Due: 1, OldestDue: b.now.Add(10 * time.Minute)}
		}, on, on, on, OK, "oldest_due", "1 touchpoint waits for another attempt in 10 min"},
		{"nothing written while they wait", nil, func(b *bench) {
			b.facts.backlog = store.Backlog{Due: 3, OldestDue: b.now.Add(-10 * time.Minute)}
			b.history.Written = b.now.Add(-20 * time.Minute)
		}, on, on, on, Degraded, "write_age", "last record written 20 min ago, and 3 touchpoints wait"},
		{"nothing written for hours", nil, func(b *bench) {
			b.facts.backlog = store.Backlog{Due: 3, OldestDue: b.now.Add(-3 * time.Hour)}
			b.history.Written = b.now.Add(-4 * time.Hour)
		}, on, on, off, Failing, "write_age", "last record written 4 h ago"},
		{"parked", nil, func(b *bench) { b.facts.backlog.Parked = 2 }, on, on, on, Degraded, "parked", "refuses 2"},
		{"match rate low", nil, func(b *bench) { b.facts.recent = share{20, 3} }, on, on, on, Degraded, "match_rate", "15 % of 20 calls"},
		{"match rate low, too few calls", nil, func(b *bench) { b.facts.recent = share{19, 0} }, on, on, on, OK, "match_rate", "too few"},
		{"match rate dropped", nil, func(b *bench) { b.facts.recent, b.facts.before = share{40, 15}, share{100, 80} }, on, on, on, Degraded, "match_rate", "after 80 % before"},
		{"match rate steady", nil, func(b *bench) { b.facts.recent, b.facts.before = share{40, 25}, share{100, 80} }, on, on, on, OK, "match_rate", "62 % of 40 calls"},
		{"collector silent", nil, func(b *bench) {
			b.facts.recent = share{20, 20}
			b.history.Received = b.now.Add(-13 * time.Hour)
		}, on, on, on, Degraded, "collector_age", "is the script still on the site?"},
		{"collector silent, too few calls", nil, func(b *bench) {
			b.facts.recent = share{19, 19}
			b.history.Received = b.now.Add(-13 * time.Hour)
		}, on, on, on, OK, "collector_age", "last event 13 h ago"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.err)
			b.refresh()
			b.probe(t.Context())
			b.Cycle(engine.Report{At: b.now, Err: c.err})
			if c.set != nil {
				c.set(b)
			}
			for path, want := range map[string]int{"/livez": c.livez, "/readyz": c.readyz, "/healthz": c.whole} {
				if got, body := b.get(path); got != want {
					t.Errorf("%s: %d %s, want %d", path, got, body, want)
				}
			}
			h := b.Health()
			if h.Status != c.status || len(h.Checks) != 10 {
				t.Errorf("%+v, want %s", h, c.status)
			}
			for _, check := range h.Checks {
				if check.Name == c.check && (check.Status != c.status || !strings.Contains(check.Detail, c.says)) {
					t.Errorf("%s is %s: %q, want %s with %q", c.check, check.Status, check.Detail, c.status, c.says)
				}
				if check.Name != c.check && check.Status != OK && (c.status == OK || c.status == Degraded && check.Status == Failing) {
					t.Errorf("%s is %s as well: %s", check.Name, check.Status, check.Detail)
				}
			}
			// What passes, passes from health; a day later the calls no longer count.
			b.now = b.now.Add(30 * time.Hour)
			b.facts, b.history = facts{at: b.now, probed: true}, history{}
			b.Cycle(engine.Report{At: b.now})
			if h := b.Health(); h.Status != OK {
				t.Errorf("afterwards: %+v", h)
			}
		})
	}
}

// silentOrg does not answer a login before it is released.
type silentOrg struct {
	engine.Org
	asked, answer chan struct{}
}

func (o silentOrg) Login(context.Context) (salesforce.Identity, error) {
	close(o.asked)
	<-o.answer
	return salesforce.Identity{}, errors.New("no answer")
}

// A Salesforce that is silent for however long changes neither livez nor readyz.
func TestSilentOrgIsAlive(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	org := silentOrg{asked: make(chan struct{}), answer: make(chan struct{})}
	e, err := engine.New(engine.Config{Store: b.store, Org: org, Settings: mapping.Default(), Now: func() time.Time { return b.now }, Budget: b.budget})
	if err != nil {
		t.Fatal(err)
	}
	b.cfg.Engine = e
	b.refresh()
	b.probe(t.Context())
	ended := make(chan struct{})
	go func() { _, _ = e.Cycle(t.Context()); close(ended) }()
	<-org.asked
	b.now = b.now.Add(3 * time.Hour)
	b.refresh()
	for _, path := range []string{"/livez", "/readyz"} {
		if got, body := b.get(path); got != http.StatusOK {
			t.Errorf("%s: %d %s", path, got, body)
		}
	}
	close(org.answer)
	<-ended
	if err := b.Live(); err != nil {
		t.Error(err)
	}
	// The control: without a request in flight the same silence is a loop that is stuck.
	b.now = b.now.Add(3 * time.Hour)
	b.refresh()
	if b.Live() == nil {
		t.Error("a loop that stopped is alive")
	}
}

// The check clock names the clock that is off, and by how much.
func TestClockCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		org    time.Duration // Salesforce's clock minus ours
		status Status
		says   string
	}{
		{"agrees", 0, OK, "agrees with Salesforce's"},
		{"two minutes", 2 * time.Minute, Degraded, "2 min behind Salesforce's"},
		{"an hour", time.Hour, Failing, "60 min behind Salesforce's"},
		{"100 days", -100 * 24 * time.Hour, Failing, "100 days ahead of Salesforce's"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			b.cfg.Clock = clock.New(func() time.Time { return b.now })
			b.cfg.Clock.SetDate(b.now.Add(c.org), b.now)
			for _, check := range b.Health().Checks {
				if check.Name == "clock" && (check.Status != c.status || !strings.Contains(check.Detail, c.says)) {
					t.Errorf("%+v, want %s with %q", check, c.status, c.says)
				}
			}
		})
	}
}

// Where nobody watches, as in a single cycle from cron, its end reads no calls.
func TestCycleUnwatched(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.Cycle(engine.Report{At: b.now})
	if !b.facts.at.IsZero() {
		t.Error("the store was measured for nobody")
	}
	b.Measure()
	b.now = b.now.Add(time.Second)
	b.Cycle(engine.Report{At: b.now})
	if !b.facts.at.Equal(b.now) {
		t.Error("health does not know of the cycle")
	}
}

// A check has the time of its status; a failing one that goes on failing keeps it.
func TestSince(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.refresh()
	began := b.now
	down := errors.New("connection refused")
	b.Cycle(engine.Report{At: b.now, Err: down})
	since := func() time.Time {
		for _, c := range b.Health().Checks {
			if c.Name == "poll_age" {
				return c.Since
			}
		}
		return time.Time{}
	}
	if !since().Equal(began) {
		t.Errorf("since %s, want %s", since(), began)
	}
	b.now = b.now.Add(time.Minute)
	b.Cycle(engine.Report{At: b.now, Err: down})
	if !since().Equal(began) {
		t.Errorf("a minute later since %s, want %s", since(), began)
	}
	b.Cycle(engine.Report{At: b.now})
	if !since().Equal(b.now) {
		t.Errorf("well again since %s, want %s", since(), b.now)
	}
}

// Handlers of health read what was measured: they answer while nothing answers them.
func TestHealthAsksNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.refresh()
	b.probe(t.Context())
	b.Cycle(engine.Report{At: b.now})
	if err := b.store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/livez", "/readyz", "/healthz", "/metrics"} {
		if status, body := b.get(path); status != http.StatusOK {
			t.Errorf("%s with a closed store: %d %s", path, status, body)
		}
	}
	b.refresh()
	if status, _ := b.get("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz after it was measured: %d", status)
	}
}

func TestHistoryOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for range keptCycles + 5 {
		b.now = b.now.Add(time.Minute)
		b.Cycle(engine.Report{At: b.now, Summary: engine.Summary{TouchpointsWritten: 1}})
	}
	if err := b.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := New(b.cfg)
	again.Measure()
	v := again.Status()
	if len(v.Cycles) != keptCycles || !v.Cycles[0].At.Equal(b.now) || !again.history.Written.Equal(b.now) {
		t.Errorf("%d cycles, the last at %s", len(v.Cycles), v.Cycles[0].At)
	}
}

// Metrics follow the conventions, and no series comes from input.
func TestMetrics(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.cfg.Collected = func() Collected {
		return Collected{Events: 7, Rejected: map[string]uint64{"malformed": 1}, Bots: map[string]uint64{"crawler": 2}, Refused: map[string]uint64{"busy": 3}}
	}
	problems, err := testutil.GatherAndLint(b.Server.metrics.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
	_, before := b.get("/metrics")
	b.APICall("query", 200)
	b.APICall("no such operation", 999)
	b.Cycle(engine.Report{At: b.now, Summary: engine.Summary{TasksRead: 5, TouchpointsWritten: 2, DurationSeconds: 0.3}})
	b.Cycle(engine.Report{At: b.now, Err: errors.New("down")})
	_, after := b.get("/metrics")
	for _, line := range []string{
		`callpoint_salesforce_requests_total{operation="query",status="2xx"} 1`,
		`callpoint_salesforce_requests_total{operation="other",status="none"} 1`,
		`callpoint_sync_cycles_total{outcome="success"} 1`, `callpoint_sync_cycles_total{outcome="failure"} 1`,
		`callpoint_sync_records_total{what="touchpoints_written"} 2`, `callpoint_check_status{check="poll_age"} 1`,
		`callpoint_ingest_records_total{outcome="event"} 7`, `callpoint_ingest_bots_total{reason="crawler"} 2`,
	} {
		if !strings.Contains(after, "\n"+line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
	if a, b := strings.Count(before, "\ncallpoint_"), strings.Count(after, "\ncallpoint_"); a != b || a < 90 {
		t.Errorf("%d series before, %d after: none may appear late", a, b)
	}
}

// A page that is being made shows the cycles as they were when it began.
func TestCyclesThatWereReadStay(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.Cycle(engine.Report{At: b.now})
	for range 2 * keptCycles {
		read, was := b.history, b.history.Cycles[0].At
		b.now = b.now.Add(time.Minute)
		b.Cycle(engine.Report{At: b.now})
		if at := read.Cycles[0].At; !at.Equal(was) {
			t.Fatalf("a cycle of %s became one of %s", was, at)
		}
	}
	if n := len(b.history.Cycles); n != keptCycles {
		t.Errorf("%d cycles are kept", n)
	}
}

// The engine of a standby rests: that is no reason to restart the process.
func TestAStandbyIsAlive(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	standby := true
	b.cfg.Leading = func() *Leading { return &Leading{Leader: "vm-a", Mine: !standby} }
	b.now = b.now.Add(time.Hour)
	if err := b.Live(); err != nil {
		t.Errorf("a standby: %v", err)
	}
	standby = false
	if err := b.Live(); err == nil {
		t.Error("a leader without progress is alive")
	}
}
