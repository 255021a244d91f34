package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"callpoint/sync/engine"
	"callpoint/sync/orgsim"

	"github.com/google/go-cmp/cmp"
)

// seed fills a bench with visitors, sessions and calls of every kind.
func (b *bench) seed() (tasks []string) {
	b.t.Helper()
	d := b.daemon()
	for i := range 5 {
		v := fmt.Sprintf("%032d", i+10)
		d.send(view(v, yesterday("12:00:00"), "https://www.example.com/?utm_source=google&utm_medium=cpc&utm_campaign=c"+fmt.Sprint(i), "https://www.google.com/"))
	}
	d.stop()
	for i := range 5 {
		lead, err := b.org.Insert("Lead", map[string]any{"LastName": fmt.Sprint("Lead ", i), "Company": "Example"})
		if err != nil {
			b.t.Fatal(err)
		}
		fields := map[string]any{"bizible2__BizibleId__c": fmt.Sprintf("%032d", i+10), "WhoId": lead}
		tasks = append(tasks, b.task(yesterday("12:10:00"), fields), b.task(yesterday("14:00:00"), fields))
	}
	return append(tasks, b.task(yesterday("12:10:00"), nil))
}

// standing is what the org holds, without what differs from run to run.
func (b *bench) standing() []map[string]any { return b.records(touchpoints, persons, "Task") }

func (b *bench) records(objects ...string) []map[string]any {
	var all []map[string]any
	for _, object := range objects {
		for _, r := range b.org.Records(object) {
			for _, stamp := range []string{"SystemModstamp", "LastModifiedDate", "CreatedDate", "CompletedDateTime"} {
				delete(r, stamp)
			}
			all = append(all, r)
		}
	}
	return all
}

func TestSecondRunWritesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.seed()
	first := b.syncOnce()
	if first.TouchpointsWritten != 10 || first.TasksChanged != 11 || first.Matched != 5 || first.Calls != 11 {
		t.Errorf("first run: %+v", first)
	}
	before := b.org.Requests()
	out, _, code := b.run("--sync-once")
	if code != exitDone || !strings.Contains(out, "no record written") {
		t.Errorf("second run: exit %d, said %q", code, out)
	}
	after := b.org.Requests()
	if n := after.Created + after.Updated - before.Created - before.Updated; n != 0 {
		t.Errorf("second run wrote %d records", n)
	}
	if n := after.APICalls - before.APICalls; n != 1 {
		t.Errorf("an idle run took %d API calls, want 1", n)
	}
}

// TestCrashAtEveryStep kills the program at each named step and runs it again: the org
// must end as if nothing had happened.
func TestCrashAtEveryStep(t *testing.T) {
	t.Parallel()
	telling := func() *bench {
		b := newBench(t, "CALLPOINT_REASON_FIELD=Task.Why__c")
		b.org.Schema("Task").AddField(orgsim.Field{Name: "Why__c", Type: "string", Length: 40})
		b.seed()
		return b
	}
	calm := telling()
	calm.syncOnce()
	want := calm.standing()
	for _, step := range stepsInSource(t) {
		if strings.HasPrefix(step, "move-") {
			continue // TestCrashAtEveryStepOfAMove
		}
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			b := telling()
			env := b.env
			b.env = append(b.env, "CRASH_AT="+step)
			if _, errs, code := b.run("--sync-once"); code != -1 {
				t.Fatalf("exit %d, want killed at %s\n%s", code, step, errs)
			}
			b.env = env
			b.syncOnce()
			if diff := cmp.Diff(want, b.standing()); diff != "" {
				t.Errorf("org after a crash at %s differs (-calm +crashed):\n%s", step, diff)
			}
			if s := b.syncOnce(); s.TouchpointsWritten != 0 {
				t.Errorf("the run after that wrote %d touchpoints", s.TouchpointsWritten)
			}
		})
	}
}

// stepsInSource finds the steps that the engine names, so that a new one is crashed at too.
func stepsInSource(t *testing.T) (steps []string) {
	t.Helper()
	files, err := filepath.Glob("../../sync/engine/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`e\.step\("([a-z-]+)"\)`).FindAllSubmatch(b, -1) {
			steps = append(steps, string(m[1]))
		}
	}
	if len(steps) < 7 {
		t.Fatalf("only %d steps found: %v", len(steps), steps)
	}
	return steps
}

func TestDaemonPollsOnItsInterval(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CALLPOINT_POLL_INTERVAL=1s")
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", ""))
	b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	waitFor(t, "the touchpoint", func() bool { return len(b.org.Records(touchpoints)) == 1 })
	d.stop()
	if !strings.Contains(d.logs.String(), "stopping") {
		t.Errorf("the log does not tell of the stop:\n%s", d.logs)
	}
}

// waitFor polls for what another process does.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("%s did not come", what)
		case <-tick.C:
		}
	}
}

// Acknowledged events are there after SIGKILL.
func TestAcknowledgedEventsSurviveAKill(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", ""))
	d.kill()
	id := b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	if s := b.syncOnce(); s.Matched != 1 {
		t.Errorf("after the kill: %+v, want one match", s)
	}
	b.expect(id, map[string]any{"Landing_Page": "www.example.com/"})
}

func TestHealthTellsOfAnOutage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	d.sync()
	health := func() (int, string) {
		status, answer := d.request(http.MethodGet, "/healthz", nil)
		var h struct{ Status string }
		if err := json.Unmarshal(answer, &h); err != nil {
			t.Fatalf("%s: %v", answer, err)
		}
		return status, h.Status
	}
	if status, h := health(); status != http.StatusOK || h != "ok" {
		t.Errorf("well: %d %s", status, h)
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if status, _ := d.request(http.MethodGet, path, nil); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
	b.org.Fault(orgsim.Fault{Times: -1, Status: 503, Body: "<html>down</html>", ContentType: "text/html"})
	if status, _ := d.request(http.MethodPost, "/v1/sync", nil); status != http.StatusServiceUnavailable {
		t.Errorf("sync while the org is down: %d, want 503", status)
	}
	if status, h := health(); status != http.StatusOK || h != "degraded" {
		t.Errorf("after one failed poll: %d %s, want 200 degraded", status, h)
	}
	if status, _ := d.request(http.MethodGet, "/readyz", nil); status != http.StatusOK {
		t.Errorf("/readyz while the org is down: %d: the collector still works", status)
	}
	d.stop()
}

// Before the first poll there is no cursor, and no time is made up for it.
func TestNoCursorBeforeTheFirstPoll(t *testing.T) {
	t.Parallel()
	b := newBench(t, "SALESFORCE_DOMAIN=http://127.0.0.1:1")
	out, _, code := b.run("--sync-once", "--output", "json")
	if code != exitFailed || !strings.Contains(out, `"cursor":null`) {
		t.Errorf("exit %d: %s", code, out)
	}
	if s := newBench(t).syncOnce(); s.Cursor == nil || s.Cursor.IsZero() {
		t.Errorf("after a poll: %+v", s)
	}
}

func TestErrorsNameTheCure(t *testing.T) {
	t.Parallel()
	busy := newBench(t)
	t.Cleanup(busy.daemon().stop) // after the parallel subtests

	other := newBench(t)
	other.syncOnce()
	second := orgsim.New(orgsim.Config{OrgID: "00DHs0000000002"})
	otherURL, stop, err := serveLoopback(second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)

	for _, c := range []struct {
		name string
		b    *bench
		env  []string
		args []string
		code int
		says []string
	}{
		{"wrong secret", newBench(t), []string{"SALESFORCE_CONSUMER_SECRET=wrong"}, nil, exitFailed, []string{"invalid_client", "SALESFORCE_CONSUMER_SECRET"}},
		{"unreachable", newBench(t), []string{"SALESFORCE_DOMAIN=http://127.0.0.1:1"}, nil, exitFailed, []string{"127.0.0.1:1", "connection refused", "SALESFORCE_DOMAIN"}},
		{"plain http", newBench(t), []string{"SALESFORCE_DOMAIN=http://example.my.salesforce.com"}, nil, exitConfig, []string{"SALESFORCE_DOMAIN", "https"}},
		{"no login", newBench(t), []string{"SALESFORCE_CONSUMER_KEY=", "SALESFORCE_CONSUMER_SECRET="}, nil, exitConfig, []string{"no login is configured", "SALESFORCE_CONSUMER_KEY"}},
		{"unknown variables", newBench(t), []string{"CALLPOINT_POL_INTERVAL=1m", "SALESFORCE_DOMIAN=x"}, nil, exitConfig,
			[]string{"CALLPOINT_POL_INTERVAL: unknown variable; did you mean CALLPOINT_POLL_INTERVAL?", "SALESFORCE_DOMIAN: unknown variable; did you mean SALESFORCE_DOMAIN?"}},
		{"bad values, all at once", newBench(t), []string{"CALLPOINT_POLL_INTERVAL=fast", "CALLPOINT_BATCH_SIZE=1000x", "CALLPOINT_START=monday"}, nil, exitConfig,
			[]string{"CALLPOINT_POLL_INTERVAL=fast is not a duration; use for example 90d", "CALLPOINT_BATCH_SIZE", "CALLPOINT_START"}},
		{"out of range", newBench(t), []string{"CALLPOINT_BATCH_SIZE=500", "CALLPOINT_RETRACT=maybe"}, nil, exitConfig,
			[]string{"CALLPOINT_BATCH_SIZE: 500 is not between 25 and 200", `CALLPOINT_RETRACT: "maybe" is not valid; use one of keep, delete`}},
		{"open without a token", newBench(t), []string{"CALLPOINT_LISTEN=0.0.0.0:8425"}, nil, exitConfig, []string{"CALLPOINT_TOKEN: required"}},
		{"store in use", busy, nil, nil, exitFailed, []string{busy.store, "in use by another process"}},
		{"another org", other, []string{"SALESFORCE_DOMAIN=" + otherURL}, nil, exitConfig, []string{other.store, "belongs to another org", "CALLPOINT_STORE"}},
		{"unknown flag", newBench(t), nil, []string{"--sync-twice"}, exitUsage, []string{"--sync-twice"}},
		{"unknown command", newBench(t), nil, []string{"statsu"}, exitUsage, []string{`unknown command "statsu" for "callpoint"; did you mean status?`}},
		{"unknown subcommand", newBench(t), nil, []string{"store", "chekc"}, exitUsage, []string{`unknown command "chekc" for "callpoint store"; did you mean check?`}},
		{"misspelled flag", newBench(t), nil, []string{"calls", "--sinse", "7d"}, exitUsage, []string{"unknown flag: --sinse; did you mean --since?"}},
		{"misspelled value", newBench(t), nil, []string{"calls", "--reason", "outside_windows"}, exitUsage, []string{"--reason outside_windows", "did you mean outside_window?"}},
		{"misspelled format", newBench(t), nil, []string{"calls", "-o", "jsn"}, exitUsage, []string{"--output jsn: use text or json or csv; did you mean json?"}},
		{"an argument too few", newBench(t), nil, []string{"store", "backup"}, exitUsage, []string{"usage: callpoint store backup FILE", "Run callpoint store backup --help"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := &bench{t: t, store: c.b.store, env: append(append([]string{}, c.b.env...), c.env...)}
			args := c.args
			if args == nil {
				args = []string{"--sync-once"}
			}
			out, errs, code := b.run(args...)
			if code != c.code {
				t.Errorf("exit %d, want %d", code, c.code)
			}
			if strings.Contains(out, "nothing new") {
				t.Errorf("a cycle that failed says %q", out)
			}
			for _, s := range c.says {
				if !strings.Contains(errs, s) {
					t.Errorf("error does not say %q:\n%s", s, errs)
				}
			}
		})
	}
}

func TestMalformedEventNamesTheCulprit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	good := view(visitorA, yesterday("12:00:00"), "https://www.example.com/", "")
	bad := view(visitorA, yesterday("12:00:00"), "https://www.example.com/", "")
	bad["at"] = "yesterday"
	status, answer := d.request(http.MethodPost, "/v1/events", []any{good, bad})
	if status != http.StatusOK || !strings.Contains(string(answer), `at: not an RFC 3339 time: \"yesterday\"`) {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer := d.request(http.MethodPost, "/v1/events", bad); status != http.StatusBadRequest {
		t.Errorf("only a bad event: %d %s, want 400", status, answer)
	}
	d.stop()
}

func TestDemoShowsEveryReason(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	out, errs, code := b.run("demo")
	if code != exitDone || errs != "" {
		t.Fatalf("exit %d\n%s\n%s", code, out, errs)
	}
	for _, s := range []string{"matched", "outside_window", "session_already_credited", "no_bizible_id", "unknown_visitor", "held",
		"Paid Search.AdWords", "18 min", "no record written", engine.Summary{}.String()[:11]} {
		if !strings.Contains(out, s) {
			t.Errorf("the demo does not show %q:\n%s", s, out)
		}
	}
}

// TestCrashAtEveryStepOfAMove kills the program at each step of a move to another person,
// in an org that takes the deletion and the creation in one request and in one that does
// not: in the end there is one record, of the right person, as without a crash.
func TestCrashAtEveryStepOfAMove(t *testing.T) {
	t.Parallel()
	for _, apart := range []bool{false, true} {
		for _, step := range append(stepsInSource(t), "") {
			if step != "" && !strings.HasPrefix(step, "move-") && step != "intent-stored" && step != "answered" && step != "outcome-stored" {
				continue
			}
			t.Run(fmt.Sprintf("%s, apart %v", orNone(step), apart), func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				b.org.KeysFreedLate(apart)
				tasks := b.seed()
				b.syncOnce()
				other := b.insert("Lead", map[string]any{"LastName": "Other", "Company": "Example"})
				b.update(tasks[0], map[string]any{"WhoId": other})
				env := b.env
				b.env = append(b.env, "CRASH_AT="+step)
				_, errs, code := b.run("--sync-once")
				if reached := step != "" && (step != "move-deleted" || apart); (code == -1) != reached {
					t.Fatalf("exit %d at %s\n%s", code, step, errs)
				}
				b.env = env
				b.syncOnce()
				person := b.touchpoint(tasks[0])["bizible2__Bizible_Person__c"]
				if p, _ := b.org.Get(persons, fmt.Sprint(person)); p["bizible2__Lead__c"] != other {
					t.Errorf("it hangs from %v, want the person of %s", p, other)
				}
				for _, task := range tasks[1:10] {
					b.touchpoint(task)
				}
				if n := len(b.org.Records(touchpoints)); n != 10 {
					t.Errorf("%d touchpoints, want 10", n)
				}
				if s := b.syncOnce(); s.TouchpointsWritten != 0 || s.Parked != 0 {
					t.Errorf("the run after that: %+v", s)
				}
			})
		}
	}
}

func orNone(step string) string {
	if step == "" {
		return "none"
	}
	return step
}
