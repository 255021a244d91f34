package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"callpoint/store"
	"callpoint/store/kv/pgkv/pgtest"
	"callpoint/sync/monitor"
)

// sharedBench is a bench whose store is in PostgreSQL, behind a proxy that can cut connections.
func sharedBench(t testing.TB, server *pgtest.Server, env ...string) (*bench, *cutter) {
	t.Helper()
	schema := server.Schema(t)
	cut := newCutter(t, server.Addr())
	b := newBench(t, append([]string{"CALLPOINT_LEASE=2s", "CALLPOINT_POLL_INTERVAL=1s"}, env...)...)
	b.store = server.URL(schema)
	b.env = append(b.env, "CALLPOINT_STORE="+pgtest.URL(cut.addr, schema))
	return b, cut
}

// instance starts a daemon with a name, a spool and an address of its own.
func (b *bench) instance(name string, env ...string) *running {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	other := *b
	other.env = append(slices.Clone(b.env), "CALLPOINT_NAME="+name, "CALLPOINT_LISTEN="+addr, "CALLPOINT_ADDRESS="+addr,
		"CALLPOINT_SPOOL="+filepath.Join(b.t.TempDir(), "spool"))
	other.env = append(other.env, env...)
	d := other.daemon()
	d.client.Timeout = time.Minute // a request that hangs fails the test, which shows the log
	return d
}

func (d *running) check(name string) monitor.Check {
	d.b.t.Helper()
	for _, c := range d.health().Checks {
		if c.Name == name {
			return c
		}
	}
	return monitor.Check{}
}

// leads waits until this instance leads.
func (d *running) leads() {
	d.b.t.Helper()
	d.eventually("it does not lead", func() bool { return strings.Contains(d.check("leader").Detail, "(this instance) leads") })
}

// eventually waits for a condition that must come true; the test's own deadline ends the wait.
func (d *running) eventually(what string, cond func() bool) {
	d.b.t.Helper()
	for end := time.Now().Add(90 * time.Second); !cond(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			d.b.t.Fatalf("%s: %+v\n%s", what, d.health(), d.logs)
		}
	}
}

// A cutter is a proxy before PostgreSQL.
type cutter struct {
	addr string
	mu   sync.Mutex
	open map[net.Conn]bool
}

func newCutter(t testing.TB, target string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{addr: l.Addr().String(), open: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); c.cut() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			c.mu.Lock()
			c.open[in], c.open[out] = true, true
			c.mu.Unlock()
			pipe := func(a, b net.Conn) {
				_, _ = io.Copy(a, b)
				a.Close()
				b.Close()
				c.mu.Lock()
				delete(c.open, a)
				delete(c.open, b)
				c.mu.Unlock()
			}
			go pipe(in, out)
			go pipe(out, in)
		}
	}()
	return c
}

// cut ends all connections, before or after whatever is in progress on them.
func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		conn.Close()
	}
}

// Two instances: one leads, the other answers and collects, and takes over at once when the
// leader stops.
func TestTwoInstances(t *testing.T) {
	t.Parallel()
	b, _ := sharedBench(t, pgtest.Shared(t))
	first := b.instance("vm-a")
	first.leads()
	second := b.instance("vm-b")
	id := strings.Repeat("a1", 16)
	second.send(view(id, yesterday("12:00:00"), "https://www.example.com/?utm_source=google&gclid=x", "https://www.google.com/"))
	task := b.task(yesterday("12:05:00"), map[string]any{"bizible2__BizibleId__c": id})
	first.sync()
	b.touchpoint(task)
	if v := second.call(task); v.Reason != "matched" {
		t.Errorf("the standby answers %+v", v)
	}
	status, answer := second.request(http.MethodPost, "/v1/sync", nil)
	var refused struct{ Error, Leader string }
	if err := json.Unmarshal(answer, &refused); err != nil || status != http.StatusConflict || refused.Leader == "" || !strings.HasSuffix(first.url, refused.Leader) {
		t.Errorf("a standby answers POST /v1/sync with %d %s", status, answer)
	}
	for _, path := range []string{"/v1/parked/retry", "/v1/retract", "/v1/reconcile"} {
		if status, answer := second.request(http.MethodPost, path, map[string]any{}); status != http.StatusConflict {
			t.Errorf("a standby answers POST %s with %d %s", path, status, answer)
		}
	}
	if h := second.health(); h.State != monitor.StateStandby || !strings.Contains(h.Sentence, "vm-a leads") {
		t.Errorf("the standby's headline is %q (%s)", h.Sentence, h.State)
	}
	if c := second.check("leader"); c.Status != monitor.OK || !strings.Contains(c.Detail, "vm-a leads in term 1") || !strings.Contains(c.Detail, "vm-b") {
		t.Errorf("the standby's check: %+v", c)
	}
	// A command beside the standby reaches the leader.
	erased := *second.b
	if out, errs, code := erased.run("forget", id); code != exitDone {
		t.Errorf("forget beside the standby: exit %d\n%s%s", code, out, errs)
	}
	// A command without a daemon of its own does not write beside the leader.
	if _, errs, code := b.run("--sync-once"); code != exitFailed || !strings.Contains(errs, "vm-a") {
		t.Errorf("--sync-once beside a leader: exit %d\n%s", code, errs)
	}
	began := time.Now()
	first.stop()
	second.leads()
	t.Logf("handed over after %v", time.Since(began))
	if c := second.check("leader"); !strings.Contains(c.Detail, "term 2") {
		t.Errorf("after the handover: %+v", c)
	}
	second.sync()
	second.stop()
}

// A collector needs no Salesforce secret, and never leads.
func TestCollectorRole(t *testing.T) {
	t.Parallel()
	b, _ := sharedBench(t, pgtest.Shared(t), "SALESFORCE_DOMAIN=", "SALESFORCE_CONSUMER_KEY=", "SALESFORCE_CONSUMER_SECRET=", "CALLPOINT_ROLE=collector")
	d := b.instance("edge")
	d.send(view("edge", yesterday("12:00:00"), "https://www.example.com/", ""))
	if status, answer := d.request(http.MethodGet, "/readyz", nil); status != http.StatusOK {
		t.Errorf("/readyz answers %d %s", status, answer)
	}
	if h := d.health(); h.State != monitor.StateStandby {
		t.Errorf("state %s, %s", h.State, h.Sentence)
	}
	if status, answer := d.request(http.MethodPost, "/v1/sync", nil); status != http.StatusConflict || !strings.Contains(string(answer), "no instance leads") {
		t.Errorf("POST /v1/sync: %d %s", status, answer)
	}
	d.stop()
}

// A leader that is killed is replaced when its lease has run out; one that was frozen finds
// itself on standby when it goes on. No call gets two records.
func TestLeaderKilledOrFrozen(t *testing.T) {
	t.Parallel()
	b, _ := sharedBench(t, pgtest.Shared(t))
	first := b.instance("vm-a")
	first.leads()
	second := b.instance("vm-b")
	var tasks []string
	call := func(d *running, n int) {
		id := fmt.Sprintf("%032x", n)
		d.send(view(id, yesterday("12:00:00"), "https://www.example.com/", "https://www.google.com/"))
		tasks = append(tasks, b.task(yesterday("12:05:00"), map[string]any{"bizible2__BizibleId__c": id}))
	}
	call(second, 1)
	began := time.Now()
	first.kill()
	second.leads()
	t.Logf("killed: another leads after %v, the lease is 2s", time.Since(began))
	second.sync()
	third := b.instance("vm-c")
	call(third, 2)
	began = time.Now()
	if err := second.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	third.leads()
	t.Logf("frozen: another leads after %v", time.Since(began))
	third.sync()
	if err := second.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	second.eventually("it still leads", func() bool { return strings.Contains(second.check("leader").Detail, "vm-c leads") })
	call(second, 3)
	third.sync()
	second.stop()
	third.stop()
	b.oneEach(tasks)
}

// The database is killed under load: events go to the spool, are acknowledged, and are in
// the store afterwards.
func TestDatabaseKilled(t *testing.T) {
	t.Parallel()
	if pgtest.Find() == "" {
		t.Skip(pgtest.Missing)
	}
	server, err := pgtest.New(serverDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	b, _ := sharedBench(t, server)
	d := b.instance("vm-a")
	d.leads()
	var l load
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() { l.post(d.url, stop) })
	}
	d.eventually("nothing is acknowledged", func() bool { return l.accepted() > 20 })
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	before := l.accepted()
	d.eventually("nothing is acknowledged while the database is away", func() bool { return l.accepted() > before+20 })
	if status, answer := d.request(http.MethodGet, "/readyz", nil); status != http.StatusOK {
		t.Errorf("/readyz while the database is away: %d %s", status, answer)
	}
	d.eventually("the spool does not show", func() bool { return d.check("spool").Status == monitor.Degraded })
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	d.eventually("the spool is not delivered", func() bool { return d.check("spool").Status == monitor.OK })
	close(stop)
	clients.Wait()
	d.eventually("the spool is not empty", func() bool { return d.check("spool").Detail == "empty" })
	d.leads()
	d.sync()
	d.stop()
	b.verify(l.acked)
	t.Logf("%d events acknowledged, %d while the database was there", len(l.acked), before)
}

// serverDir is a folder that the user postgres may enter.
func serverDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (l *load) accepted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// A daemon starts while the database is away, and spools.
func TestStartWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	if pgtest.Find() == "" {
		t.Skip(pgtest.Missing)
	}
	server, err := pgtest.New(serverDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	b, _ := sharedBench(t, server)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	d := b.instance("vm-a")
	d.send(view("early", yesterday("12:00:00"), "https://www.example.com/", ""))
	off := b.instance("vm-b", "CALLPOINT_SPOOL=off", "RUNTIME_DIRECTORY="+t.TempDir())
	if status, answer := off.request(http.MethodPost, "/v1/events", []any{view("x", yesterday("12:00:00"), "https://www.example.com/", "")}); status != http.StatusServiceUnavailable {
		t.Errorf("without a spool: %d %s", status, answer)
	}
	if status, _ := off.request(http.MethodGet, "/readyz", nil); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz without a spool: %d", status)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	d.eventually("the spool is not empty", func() bool { return d.check("spool").Detail == "empty" })
	d.stop()
	off.stop()
	s, err := store.Open(b.store, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if j, err := s.Journey("early"); err != nil || len(j.Events) != 1 {
		t.Errorf("%d events, %v", len(j.Events), err)
	}
}

// Two daemons are killed at random moments, and connections are cut, under load: nothing
// that was acknowledged is lost, and every call has one record.
func TestKillInstancesAtRandomMoments(t *testing.T) {
	t.Parallel()
	cycles, r := proofCycles(t, "KILL_CYCLES", 12), proofRand(t)
	b, cut := sharedBench(t, pgtest.Shared(t), "CALLPOINT_LEASE=1s")
	var l load
	var tasks []string
	spools := []string{t.TempDir(), t.TempDir()} // they outlive their daemon
	instances := [2]*running{}
	var clients sync.WaitGroup
	for i := range cycles {
		for n := range instances {
			if instances[n] == nil {
				d := b.instance(fmt.Sprint("vm-", n), "CALLPOINT_SPOOL="+spools[n])
				instances[n] = d
				clients.Go(func() { l.post(d.url, nil) })
				clients.Go(func() { l.post(d.url, nil) })
			}
		}
		for range 3 {
			n := r.IntN(l.sent() + 1)
			tasks = append(tasks, b.task(yesterday("12:00:30").Add(time.Duration(n)*time.Second),
				map[string]any{"bizible2__BizibleId__c": fmt.Sprintf("killed-%d", n/3)}))
		}
		<-time.After(time.Duration(100+r.IntN(1500)) * time.Millisecond)
		cut.cut()
		<-time.After(time.Duration(r.IntN(300)) * time.Millisecond)
		n := i % 2
		instances[n].kill()
		instances[n] = nil
	}
	for n, d := range instances {
		if d != nil {
			d.kill()
			instances[n] = nil
		}
	}
	clients.Wait()
	for n := range instances {
		instances[n] = b.instance(fmt.Sprint("vm-", n), "CALLPOINT_SPOOL="+spools[n])
	}
	for _, d := range instances {
		d.eventually("the spool is not empty", func() bool { return d.check("spool").Detail == "empty" })
	}
	instances[0].eventually("nobody leads", func() bool {
		if strings.Contains(instances[1].check("leader").Detail, "(this instance) leads") {
			instances[0], instances[1] = instances[1], instances[0]
		}
		return strings.Contains(instances[0].check("leader").Detail, "(this instance) leads")
	})
	for i := 0; instances[0].sync().TouchpointsWritten > 0; i++ {
		if i == 20 {
			t.Fatal("every cycle writes: org and store do not come to rest")
		}
	}
	for _, d := range instances {
		d.kill()
	}
	b.verify(l.acked)
	b.oneEach(tasks)
	t.Logf("%d kills, %d events acknowledged of %d sent, %d calls", cycles, len(l.acked), l.sent(), len(tasks))
}

// Settings that do not fit the kind of the store stop the start, and commands for files say
// what a database needs instead.
func TestSharedStoreConfiguration(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ env, want string }{
		{"CALLPOINT_STORE=postgres://u@db.example.com/x", "CALLPOINT_STORE: the connection to db.example.com would not be verified"},
		{"CALLPOINT_STORE=postgres://u@127.0.0.1:notaport/x", "CALLPOINT_STORE: not a URL"},
		{"CALLPOINT_ROLE=collector", "CALLPOINT_ROLE: collector needs a store that several instances share"},
		{"CALLPOINT_ROLE=follower", "CALLPOINT_ROLE"},
		{"CALLPOINT_LEASE=10ms", "CALLPOINT_LEASE: 10ms is too short"},
		{"CALLPOINT_STORE_PASSWORD=x", "CALLPOINT_STORE_PASSWORD: this is for a store in PostgreSQL"},
		{"CALLPOINT_ADDRESS=ftp://x", "CALLPOINT_ADDRESS"},
	} {
		b := newBench(t, c.env)
		if _, errs, code := b.run("--sync-once"); code != exitConfig || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit %d, %q; want %d and %q", c.env, code, errs, exitConfig, c.want)
		}
	}
	b := newBench(t, "CALLPOINT_STORE=postgres://u@127.0.0.1:1/x?sslmode=disable", "CALLPOINT_STORE_MAX_SIZE=1GiB")
	if _, errs, code := b.run("--sync-once"); code != exitConfig || !strings.Contains(errs, "CALLPOINT_STORE_MAX_SIZE") {
		t.Errorf("a size limit of a database: exit %d, %q", code, errs)
	}
	b = newBench(t, "CALLPOINT_STORE=postgres://u:hunter2@127.0.0.1:1/x?sslmode=disable")
	for _, args := range [][]string{{"store", "backup", filepath.Join(t.TempDir(), "x.db")}, {"store", "restore", "x.db"}} {
		if _, errs, code := b.run(args...); code != exitFailed || !strings.Contains(errs, "pg_dump") || strings.Contains(errs, "hunter2") {
			t.Errorf("%v: exit %d, %q", args, code, errs)
		}
	}
	if _, errs, code := b.run("--sync-once"); code != exitFailed || strings.Contains(errs, "hunter2") {
		t.Errorf("a database that is away: exit %d, %q", code, errs)
	}
}
