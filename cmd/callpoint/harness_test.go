package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"callpoint/store"
	"callpoint/store/kv/pgkv/pgtest"
	"callpoint/sync/engine"
	"callpoint/sync/monitor"
	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

// TestMain lets the test binary be callpoint itself: scripts run the real program in a
// process of its own. CRASH_AT makes it kill itself at a named step, PANIC_AT
// makes it panic there, LEAK makes it leak at every one.
func TestMain(m *testing.M) {
	// A set-up of the machine that runs the tests must not matter.
	systemConfig = filepath.Join(os.Getenv("SYSTEM_ROOT"), "no-such-folder", "etc", "callpoint.env")
	systemStore = filepath.Join(os.Getenv("SYSTEM_ROOT"), "no-such-folder", "callpoint.db")
	systemSocket = filepath.Join(os.Getenv("SYSTEM_ROOT"), "no-such-folder", "callpoint.sock")
	if root := os.Getenv("SYSTEM_ROOT"); root != "" {
		systemConfig, systemStore = filepath.Join(root, "etc", "callpoint.env"), filepath.Join(root, "var", "callpoint.db")
	}
	if os.Getenv("CALLPOINT_UNDER_TEST") == "" {
		code := m.Run()
		pgtest.StopShared()
		os.Exit(code)
	}
	environ := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "CALLPOINT_UNDER_TEST=") || strings.HasPrefix(kv, "CRASH_AT=") || strings.HasPrefix(kv, "PANIC_AT=") || strings.HasPrefix(kv, "LEAK=") || strings.HasPrefix(kv, "SYSTEM_ROOT=")
	})
	if step := os.Getenv("CRASH_AT"); step != "" {
		testOnlyAtStep = func(at string) {
			if at == step {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // the signal is on its way: nothing more may happen
			}
		}
	}
	if step := os.Getenv("PANIC_AT"); step != "" {
		testOnlyAtStep = func(at string) {
			if at == step {
				panic("at " + step)
			}
		}
	}
	if os.Getenv("LEAK") != "" {
		testOnlyAtStep = leak
	}
	if n, err := strconv.Atoi(os.Getenv("IMPORT_WINDOW")); err == nil {
		importWindow = n
	}
	if settle, err := time.ParseDuration(os.Getenv("ALERT_SETTLE")); err == nil {
		alertSettle, alertEvery = settle, max(settle/2, time.Millisecond)
	}
	if every, err := time.ParseDuration(os.Getenv("MAINTAIN_EVERY")); err == nil {
		maintenance = every
	}
	testOnlyTune = func(c *salesforce.Config) {
		c.RetryWait, c.RetryWaitMax, c.LoginRetryWait = time.Millisecond, time.Millisecond, time.Millisecond
	}
	os.Exit(run(os.Args[1:], environ, os.Stdout, os.Stderr))
}

// A bench is a simulated org and a store, for runs of the real program.
type bench struct {
	t     testing.TB
	org   *orgsim.Org
	url   string // of the org
	drop  func() // closes the connections to the org
	store string
	env   []string

	callers map[string]string // Leads of visitors
}

const (
	touchpoints = "bizible2__Bizible_Touchpoint__c"
	persons     = "bizible2__Bizible_Person__c"
)

func newBench(t testing.TB, env ...string) *bench {
	t.Helper()
	return newBenchOf(t, orgsim.Config{}, env...)
}

func newBenchOf(t testing.TB, org orgsim.Config, env ...string) *bench {
	t.Helper()
	b := &bench{t: t, store: filepath.Join(t.TempDir(), "callpoint.db"), callers: map[string]string{}}
	b.serveOrg(org)
	b.env = append([]string{
		"CALLPOINT_UNDER_TEST=1",
		"SALESFORCE_DOMAIN=" + b.url,
		"SALESFORCE_CONSUMER_KEY=" + orgsim.DefaultClientID,
		"SALESFORCE_CONSUMER_SECRET=" + orgsim.DefaultClientSecret,
		"CALLPOINT_STORE=" + b.store,
		"CALLPOINT_LISTEN=127.0.0.1:0",
		"CALLPOINT_LOG_FORMAT=json",
		"CALLPOINT_TIME_ZONE=UTC", // a daemon would ask the org for its own
		"HOME=" + os.Getenv("HOME"), "PATH=" + os.Getenv("PATH"),
	}, env...)
	t.Cleanup(b.checkStore)
	return b
}

// serveOrg gives the bench an org, in the place of an earlier one.
func (b *bench) serveOrg(config orgsim.Config) {
	b.org = orgsim.New(config)
	srv := httptest.NewServer(b.org)
	b.t.Cleanup(srv.Close)
	b.url, b.drop = srv.URL, srv.CloseClientConnections
}

// checkStore holds every store that a test leaves behind to its own rules.
func (b *bench) checkStore() {
	if _, err := os.Stat(b.store); err != nil && !store.IsURL(b.store) {
		return
	}
	s, err := store.Open(b.store, store.Options{})
	if err != nil {
		b.t.Errorf("store after the test: %v", err)
		return
	}
	defer s.Close()
	problems, err := s.Check()
	if err != nil || len(problems) > 0 {
		b.t.Errorf("store after the test: %v %v", problems, err)
	}
}

// environ is the environment without what the harness tells a process of its own.
func (b *bench) environ() []string {
	return slices.DeleteFunc(slices.Clone(b.env), func(kv string) bool { return strings.HasPrefix(kv, "CALLPOINT_UNDER_TEST=") })
}

func (b *bench) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, os.Args[0], args...)
	c.Env = slices.Clone(b.env)
	return c
}

// run runs the program to its end.
func (b *bench) run(args ...string) (stdout, stderr string, code int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	c := b.command(ctx, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatalf("run %v: %v", args, err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

// syncOnce runs a cycle that must succeed.
func (b *bench) syncOnce() engine.Summary {
	b.t.Helper()
	out, errs, code := b.run("--sync-once", "--output", "json")
	if code != exitDone {
		b.t.Fatalf("--sync-once: exit %d\n%s%s", code, out, errs)
	}
	var s engine.Summary
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		b.t.Fatalf("--sync-once: %v in %q", err, out)
	}
	return s
}

// A running daemon.
type running struct {
	b    *bench
	cmd  *exec.Cmd
	url  string
	logs *bytes.Buffer
	done chan error

	client *http.Client
}

// daemon starts the program and waits until it says where it listens.
func (b *bench) daemon() *running {
	b.t.Helper()
	return b.start(b.command(context.Background()))
}

// start starts a daemon by a command, which may put another program around it.
func (b *bench) start(c *exec.Cmd) *running {
	b.t.Helper()
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := c.StderrPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.t.Fatal(err)
	}
	d := &running{b: b, cmd: c, logs: &bytes.Buffer{}, done: make(chan error, 1)}
	b.t.Cleanup(func() { _ = c.Process.Kill() })
	lines := bufio.NewReader(stderr)
	for d.url == "" {
		line, err := lines.ReadString('\n')
		d.logs.WriteString(line)
		var entry struct{ Msg, Listen string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Listen != "" {
			var c Config
			c.Listen = entry.Listen
			if strings.HasPrefix(c.Listen, "/") {
				c.Listen = "unix:" + c.Listen
			}
			d.client, d.url = listenerClient(c.Listen)
			b.t.Cleanup(d.client.CloseIdleConnections)
		}
		if err != nil {
			b.t.Fatalf("daemon did not start: %v\n%s", c.Wait(), d.logs)
		}
	}
	go func() {
		_, _ = io.Copy(d.logs, lines)
		d.done <- c.Wait()
	}()
	return d
}

// listenerClient returns a client of whatever listens at an address.
func listenerClient(address string) (*http.Client, string) {
	network, host := "tcp", address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address, host = "unix", path, "localhost"
	}
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}}}, "http://" + host
}

// stop sends SIGTERM and expects a clean end within 10 seconds.
func (d *running) stop() {
	d.b.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.b.t.Fatal(err)
	}
	select {
	case err := <-d.done:
		if err != nil {
			d.b.t.Fatalf("daemon ended with %v\n%s", err, d.logs)
		}
	case <-time.After(10 * time.Second):
		d.b.t.Fatal("daemon did not stop within 10 s")
	}
}

// kill ends the daemon as a power cut would, as far as a process can tell.
func (d *running) kill() {
	d.b.t.Helper()
	_ = d.cmd.Process.Kill()
	<-d.done
}

// killGroup ends a daemon with the program around it.
func (d *running) killGroup() {
	d.b.t.Helper()
	_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
	<-d.done
}

func (d *running) request(method, path string, body any) (int, []byte) {
	d.b.t.Helper()
	var r io.Reader
	if body != nil {
		j, err := json.Marshal(body)
		if err != nil {
			d.b.t.Fatal(err)
		}
		r = bytes.NewReader(j)
	}
	req, err := http.NewRequest(method, d.url+path, r)
	if err != nil {
		d.b.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := d.client.Do(req)
	if err != nil {
		d.b.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		d.b.t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// send posts events, which must all be accepted.
func (d *running) send(events ...map[string]any) {
	d.b.t.Helper()
	status, answer := d.request(http.MethodPost, "/v1/events", events)
	var a struct{ Accepted, Repeated int }
	if err := json.Unmarshal(answer, &a); err != nil || status != http.StatusOK || a.Accepted+a.Repeated != len(events) {
		d.b.t.Fatalf("POST /v1/events: %d %s", status, answer)
	}
}

// sync makes a complete cycle, which must succeed.
func (d *running) sync() engine.Summary {
	d.b.t.Helper()
	status, answer := d.request(http.MethodPost, "/v1/sync", nil)
	var s engine.Summary
	if err := json.Unmarshal(answer, &s); err != nil || status != http.StatusOK {
		d.b.t.Fatalf("POST /v1/sync: %d %s", status, answer)
	}
	return s
}

func (d *running) call(taskID string) monitor.CallView {
	d.b.t.Helper()
	status, answer := d.request(http.MethodGet, "/v1/calls/"+taskID, nil)
	var v monitor.CallView
	if err := json.Unmarshal(answer, &v); err != nil || status != http.StatusOK {
		d.b.t.Fatalf("GET /v1/calls/%s: %d %s", taskID, status, answer)
	}
	return v
}

// touchpoint is the one record of a Task that stands in the org.
func (b *bench) touchpoint(taskID string) map[string]any {
	b.t.Helper()
	var found []map[string]any
	for _, r := range b.org.Records(touchpoints) {
		if r["bizible2__UniqueId__c"] == store.CallKey(taskID) {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		b.t.Fatalf("%d touchpoints of task %s stand in the org, want 1", len(found), taskID)
	}
	return found[0]
}

// expect compares fields of the record of a Task; names go without prefix and suffix.
func (b *bench) expect(taskID string, want map[string]any) {
	b.t.Helper()
	r := b.touchpoint(taskID)
	for name, v := range want {
		if got := r["bizible2__"+name+"__c"]; fmt.Sprint(got) != fmt.Sprint(v) {
			b.t.Errorf("%s = %v, want %v", name, got, v)
		}
	}
}

// somebody is the Lead of a visitor's calls for which a test names no other.
func (b *bench) somebody(visitor string) string {
	b.t.Helper()
	if b.callers[visitor] == "" {
		b.callers[visitor] = b.insert("Lead", map[string]any{"LastName": "Somebody", "Company": "Example"})
	}
	return b.callers[visitor]
}

// task creates a call in the org. A WhoId of nil is a call of nobody.
func (b *bench) task(at time.Time, fields map[string]any) string {
	b.t.Helper()
	all := map[string]any{
		"Subject": "Inbound call", "Type": "Call", "TaskSubtype": "Call", "CallType": "Inbound", "Status": "Completed",
		"bizible2__Bizible_Touchpoint_Date__c": at.UTC().Format("2006-01-02T15:04:05Z"),
	}
	for k, v := range fields {
		all[k] = v
	}
	if _, named := fields["WhoId"]; !named {
		all["WhoId"] = b.somebody(fmt.Sprint(fields["bizible2__BizibleId__c"]))
	}
	id, err := b.org.Insert("Task", all)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

func (b *bench) update(id string, fields map[string]any) {
	b.t.Helper()
	if err := b.org.Update("Task", id, fields); err != nil {
		b.t.Fatal(err)
	}
}

func view(visitor string, at time.Time, url, referrer string) map[string]any {
	e := map[string]any{"type": "view", "bizible_id": visitor, "at": at.UTC().Format(time.RFC3339Nano), "url": url}
	if referrer != "" {
		e["referrer"] = referrer
	}
	return e
}

// yesterday is a time of day that lies safely in the past, on one day.
func yesterday(clock string) time.Time {
	t, err := time.Parse("15:04:05", clock)
	if err != nil {
		panic(err)
	}
	y, m, d := time.Now().UTC().AddDate(0, 0, -1).Date()
	return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}
