package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
)

// TestSoak lets the daemon live under a load like that of a busy site, with an org that
// fails now and then: 50 page views and 2 calls a second, edits, deletions, retention and
// compaction at work. What it holds at the end may not be more than early on, and org and
// store must agree. SOAK=1h sets how long; the short form proves the experiment.
func TestSoak(t *testing.T) {
	t.Parallel()
	s := newSoak(t)
	seen := s.run()
	early, late := middle(seen[len(seen)/4:len(seen)/2]), middle(seen[len(seen)*3/4:])
	t.Logf("%s: %d events, %d calls, %d edits, %d deletions, %d faults\nsecond quarter: %s\nlast quarter:   %s",
		s.length, s.load.sent(), len(s.tasks), s.edits, len(s.deleted), s.faults, early, late)
	if grown := grew(early, late, s.newCalls(len(seen))); grown != "" {
		t.Error(grown)
	}
	s.settle()
}

// TestSoakControl is the same with a daemon that leaks: it must be found out.
func TestSoakControl(t *testing.T) {
	t.Parallel()
	s := newSoak(t, "LEAK=1")
	seen := s.run()
	early, late := middle(seen[len(seen)/4:len(seen)/2]), middle(seen[len(seen)*3/4:])
	grown := grew(early, late, s.newCalls(len(seen)))
	for _, what := range []string{"file descriptors", "goroutines", "memory"} {
		if !strings.Contains(grown, what) {
			t.Errorf("a leak of %s is not seen: %s, then %s", what, early, late)
		}
	}
	s.d.stop()
}

// grew says what is more than it may be: a quarter of what it was, plus what comes and goes
// with connections under way, plus 8 KiB of file for each new call, which is kept for good.
func grew(early, late vitals, calls int) (what string) {
	say := func(name string, early, late, margin int64) {
		if late > early+early/4+margin {
			what += fmt.Sprintf("%s went from %d to %d; ", name, early, late)
		}
	}
	say("file descriptors", int64(early.Files), int64(late.Files), 10)
	say("goroutines", int64(early.Goroutines), int64(late.Goroutines), 20)
	say("memory", early.Anon, late.Anon, 16<<20)
	say("store", early.Store, late.Store, 16<<20+8<<10*int64(calls))
	return what
}

// middle is the median of each.
func middle(all []vitals) vitals {
	median := func(of func(vitals) int64) int64 {
		var n []int64
		for _, v := range all {
			n = append(n, of(v))
		}
		slices.Sort(n)
		return n[len(n)/2]
	}
	return vitals{
		Files:      int(median(func(v vitals) int64 { return int64(v.Files) })),
		Goroutines: int(median(func(v vitals) int64 { return int64(v.Goroutines) })),
		Anon:       median(func(v vitals) int64 { return v.Anon }),
		Store:      median(func(v vitals) int64 { return v.Store }),
	}
}

// A soak is a daemon with its load. Events are as old as retention allows, so that they
// are dropped when they have lived for a while.
type soak struct {
	*bench
	d      *running
	r      *rand.Rand // of the org's side
	length time.Duration
	lives  time.Duration // how long an event is kept
	calm   time.Time     // the org fails no more: what waits is sent before the end

	load    soakLoad
	tasks   []string
	deleted map[string]bool
	made    []int // calls, at each sample
	edits   int
	faults  int
}

const soakRetention = time.Hour

func newSoak(t *testing.T, env ...string) *soak {
	t.Helper()
	length, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil || slices.Contains(env, "LEAK=1") {
		length = 12 * time.Second
	}
	lives := min(10*time.Minute, length/4)
	s := &soak{r: proofRand(t), length: length, lives: lives, deleted: map[string]bool{}}
	s.bench = newBenchOf(t, orgsim.Config{DailyLimit: 10_000_000}, append(env,
		"CALLPOINT_POLL_INTERVAL="+max(time.Second, min(5*time.Second, length/100)).String(),
		"CALLPOINT_API_BUDGET=1000000", "CALLPOINT_RETENTION="+soakRetention.String(), "CALLPOINT_LOG_LEVEL=info",
		"MAINTAIN_EVERY="+max(2*time.Second, lives/10).String())...)
	s.d = s.daemon()
	s.calm = time.Now().Add(length - length/6)
	return s
}

// born is the time of what happens now, as exactly as the store keeps it.
func (s *soak) born() time.Time {
	return time.Now().Add(s.lives - soakRetention).Truncate(time.Millisecond)
}

// run makes the load for its length, and samples.
func (s *soak) run() (seen []vitals) {
	s.t.Helper()
	anchor := view("anchor", s.born().Add(-time.Second), "https://www.example.com/", "")
	s.d.send(anchor)
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() { s.load.post(s, stop) })
	}
	end := time.After(s.length)
	org, look := time.NewTicker(500*time.Millisecond), time.NewTicker(s.length/200)
	defer org.Stop()
	defer look.Stop()
	for n := 0; ; {
		select {
		case <-end:
			close(stop)
			clients.Wait()
			s.org.ClearFaults()
			return seen
		case <-org.C:
			s.inTheOrg()
		case <-look.C:
			seen, s.made = append(seen, s.d.vitals()), append(s.made, len(s.tasks))
			if n++; n%20 == 0 {
				s.people()
			}
		}
	}
}

// newCalls is how many were made between the quarters that are compared.
func (s *soak) newCalls(samples int) int { return s.made[samples-1] - s.made[samples/4] }

// inTheOrg is half a second there: a call, an edit, seldom a deletion, and now and then
// something that goes wrong.
func (s *soak) inTheOrg() {
	id := s.task(s.born(), map[string]any{"bizible2__BizibleId__c": s.load.visitor(s.r)})
	s.tasks = append(s.tasks, id)
	switch n := s.r.IntN(20); {
	case n < 4:
		s.edit(map[string]any{"Type": "Call " + fmt.Sprint(s.r.IntN(9))})
	case n < 6:
		s.edit(map[string]any{"bizible2__BizibleId__c": s.load.visitor(s.r)})
	case n == 6:
		if id := s.tasks[s.r.IntN(len(s.tasks))]; !s.deleted[id] {
			if err := s.org.Delete("Task", id); err != nil {
				s.t.Error(err)
			}
			s.deleted[id] = true
		}
	}
	if s.r.IntN(6) == 0 && time.Now().Before(s.calm) {
		s.fault()
	}
}

// fault lets something go wrong in the org. A row that was locked is tried again after a
// minute at the earliest: too late for a short run.
func (s *soak) fault() {
	f := []orgsim.Fault{
		{Op: orgsim.OpRead, Status: 503, Times: 1 + s.r.IntN(6)},
		{Op: orgsim.OpWrite, Drop: orgsim.DropAfter, Times: 1 + s.r.IntN(3)},
		{Op: orgsim.OpQuery, Truncate: true},
		{Op: orgsim.OpQuery, Expire: true},
		{Op: orgsim.OpLogin, Status: 500},
		{Op: orgsim.OpUpsert, RowError: &orgsim.RowError{Code: "UNABLE_TO_LOCK_ROW", Message: "unable to obtain exclusive access", Every: 3}},
	}
	if s.length < 10*time.Minute {
		f = f[:len(f)-1]
	}
	s.org.Fault(f[s.r.IntN(len(f))])
	s.faults++
}

func (s *soak) edit(fields map[string]any) {
	if id := s.tasks[s.r.IntN(len(s.tasks))]; !s.deleted[id] {
		s.update(id, fields)
		s.edits++
	}
}

// people look at the page, explain a call, ask for a report, take a backup, and compact.
func (s *soak) people() {
	s.t.Helper()
	for _, path := range []string{"/", "/v1/status", "/v1/report", "/v1/calls?limit=50", "/v1/calls/" + s.tasks[s.r.IntN(len(s.tasks))]} {
		s.d.request(http.MethodGet, path, nil)
	}
	for _, path := range []string{"/v1/store/backup", "/v1/store/compact"} {
		if status, answer := s.d.request(http.MethodPost, path, map[string]string{"path": "/dev/null"}); status != http.StatusOK {
			s.t.Errorf("%s: %d %.200s", path, status, answer)
		}
	}
}

// settle brings org and store to rest and compares them: one touchpoint stands for every
// call, with every field as the store has it, and what was acknowledged last is there.
func (s *soak) settle() {
	s.t.Helper()
	for i := 0; s.d.sync().TouchpointsWritten > 0; i++ {
		if i == 5 {
			s.t.Fatal("every cycle writes: org and store do not come to rest")
		}
	}
	count := map[any]int{}
	for _, r := range s.org.Records(touchpoints) {
		count[r["bizible2__UniqueId__c"]]++
	}
	for _, id := range s.tasks {
		if n := count[store.CallKey(id)]; n != 1 && (n != 0 || !s.deleted[id]) {
			s.t.Errorf("%d touchpoints of %s stand, want 1; deleted: %v", n, id, s.deleted[id])
		}
	}
	var r engine.Reconciled
	status, answer := s.d.request(http.MethodPost, "/v1/reconcile?fix=false", nil)
	if err := json.Unmarshal(answer, &r); err != nil || status != http.StatusOK || r.Differs() || r.Stray > 0 {
		s.t.Errorf("org and store differ: %d %.2000s", status, answer)
	}
	s.d.stop()
	old := time.Now().Add(time.Second - soakRetention).UTC().Format(time.RFC3339Nano)
	young := slices.DeleteFunc(s.load.acked, func(e map[string]any) bool { return e["at"].(string) < old })
	s.verify(young)
	logs := s.d.logs.String()
	s.t.Logf("at rest: %d records in the org and %d Tasks compared; %d events younger than retention looked for; pruned %d times, compacted %d times by itself",
		r.Records, r.Tasks, len(young), strings.Count(logs, `"store pruned"`), strings.Count(logs, `"store compacted"`))
}

// soakLoad is what visitors do: sessions of three views, each with a campaign of its own,
// so that a session ends where the visitor's next one starts.
type soakLoad struct {
	load
}

const soakVisitors = 3000

func (l *soakLoad) visitor(r *rand.Rand) string {
	return fmt.Sprintf("soak-%d", r.IntN(min(soakVisitors, 1+l.sent()/3)))
}

func (l *soakLoad) event(at time.Time) map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.next
	l.next++
	session := n / 3
	return view(fmt.Sprintf("soak-%d", session%soakVisitors), at,
		fmt.Sprintf("https://www.example.com/products/%d?utm_source=google&utm_medium=cpc&utm_campaign=spring-%d&utm_content=a-longer-name", n, session),
		"https://www.google.com/")
}

// post sends some 12 events a second, and five times as many during one tenth of the time.
func (l *soakLoad) post(s *soak, stop chan struct{}) {
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	tick := time.NewTicker(80 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		times := 1
		if n%4000 > 3600 {
			times = 5
		}
		for range times {
			l.send(s, c)
		}
		if n%500 == 499 {
			c.CloseIdleConnections()
		}
	}
}

func (l *soakLoad) send(s *soak, c *http.Client) {
	e := l.event(s.born())
	body, _ := json.Marshal(e)
	resp, err := c.Post(s.d.url+"/v1/events", "application/json", bytes.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Errorf("POST /v1/events: %d %s %v", resp.StatusCode, answer, err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked = append(l.acked, e)
}
