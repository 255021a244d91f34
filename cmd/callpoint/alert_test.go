package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callpoint/sync/monitor"
	"callpoint/sync/orgsim"
)

// alertRun drives an alerter second by second, without a clock.
type alertRun struct {
	*alerter
	now    time.Time
	status monitor.Status
	fail   bool
	sent   []alert
	saved  alerted
}

func newAlertRun(t *testing.T) *alertRun {
	t.Helper()
	r := &alertRun{now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), status: monitor.OK}
	r.alerter = &alerter{
		health:  func() monitor.Health { return monitor.Health{Status: r.status} },
		started: func() bool { return true },
		deliver: func(_ context.Context, m alert) error {
			if r.fail {
				return errors.New("nobody there")
			}
			r.sent = append(r.sent, m)
			return nil
		},
		save: func(_ context.Context, s alerted) error { r.saved = s; return nil },
		log:  slog.New(slog.DiscardHandler), began: r.now,
	}
	return r
}

// pass lets time pass with a status, and returns the statuses that were reported meanwhile.
func (r *alertRun) pass(status monitor.Status, d time.Duration) string {
	before := len(r.sent)
	r.status = status
	step := time.Second
	if d > time.Hour {
		step = time.Minute
	}
	for end := r.now.Add(d); r.now.Before(end); r.now = r.now.Add(step) {
		r.step(context.Background(), r.now)
	}
	var got []string
	for _, m := range r.sent[before:] {
		got = append(got, string(m.Status))
	}
	return strings.Join(got, " ")
}

func TestAlertsOnceEachWay(t *testing.T) {
	t.Parallel()
	r := newAlertRun(t)
	for _, c := range []struct {
		status monitor.Status
		for_   time.Duration
		want   string
	}{
		{monitor.OK, 48 * time.Hour, ""},
		{monitor.Degraded, 5 * time.Second, ""}, // too short to be reported
		{monitor.OK, time.Minute, ""},
		{monitor.Degraded, 30 * time.Second, "degraded"},
		{monitor.Degraded, 23 * time.Hour, ""},
		{monitor.Degraded, 2 * time.Hour, "degraded"}, // a day later
		{monitor.Failing, 30 * time.Second, "failing"},
		{monitor.Degraded, 30 * time.Second, ""}, // better is not good
		{monitor.Failing, 30 * time.Second, ""},
		{monitor.OK, 30 * time.Second, "ok"},
		{monitor.OK, 48 * time.Hour, ""},
		{monitor.Failing, 30 * time.Second, "failing"},
	} {
		if got := r.pass(c.status, c.for_); got != c.want {
			t.Errorf("%s for %s at %s: reported %q, want %q", c.status, c.for_, r.now, got, c.want)
		}
	}
}

// Health that flaps is no flood, and its end is reported when there is room again.
func TestAlertsAreNoFlood(t *testing.T) {
	t.Parallel()
	r := newAlertRun(t)
	for range 100 {
		r.pass(monitor.Failing, time.Minute)
		r.pass(monitor.OK, time.Minute)
	}
	r.pass(monitor.Failing, time.Minute)
	if len(r.sent) != alertLimit || !r.sent[alertLimit-1].Held || r.sent[0].Held || !strings.Contains(r.sent[alertLimit-1].text(), "held back") {
		t.Errorf("%d alerts: %+v", len(r.sent), r.sent)
	}
	if got := r.pass(monitor.Failing, 25*time.Hour); got != "failing" {
		t.Errorf("a day later: %q", got)
	}
}

// A delivery that fails is tried again, and reports the status as it is then.
func TestAlertsAreDeliveredLater(t *testing.T) {
	t.Parallel()
	r := newAlertRun(t)
	r.fail = true
	r.pass(monitor.Failing, 10*time.Minute)
	r.fail = false
	if got := r.pass(monitor.Failing, 6*time.Minute); got != "failing" {
		t.Errorf("after the outage of the webhook: %q", got)
	}
	// A restart repeats nothing.
	again := newAlertRun(t)
	again.now, again.reported = r.now, r.saved
	if got := again.pass(monitor.Failing, time.Hour); got != "" {
		t.Errorf("after a restart: %q", got)
	}
	// Before the first cycle has ended nothing is known.
	fresh := newAlertRun(t)
	fresh.started = func() bool { return false }
	if got := fresh.pass(monitor.Degraded, alertStart); got != "" {
		t.Errorf("during the start: %q", got)
	}
	if got := fresh.pass(monitor.Degraded, time.Minute); got != "degraded" {
		t.Errorf("after a start that does not end: %q", got)
	}
}

func TestAlertForms(t *testing.T) {
	t.Parallel()
	m := alert{Status: monitor.Failing, State: "attention", Headline: "Calls are not being credited right now.", Host: "vm1",
		Checks: []monitor.Check{{Name: "login", Status: monitor.Failing, Detail: "refused <&>"}, {Name: "store", Status: monitor.OK, Detail: "takes writes"}}}
	body := func(form string) string {
		b, err := json.Marshal(alertBody(form, m))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var slack struct{ Text string }
	if err := json.Unmarshal([]byte(body(alertSlack)), &slack); err != nil || slack.Text != "*callpoint on vm1 is failing*\nCalls are not being credited right now.\nlogin: failing: refused &lt;&amp;&gt;" {
		t.Errorf("Slack: %v %q", err, slack.Text)
	}
	var teams struct {
		Type        string
		Attachments []struct {
			ContentType string
			Content     struct {
				Type string
				Body []struct{ Type, Text string }
			}
		}
	}
	if err := json.Unmarshal([]byte(body(alertTeams)), &teams); err != nil || teams.Type != "message" || teams.Attachments[0].ContentType != "application/vnd.microsoft.card.adaptive" ||
		teams.Attachments[0].Content.Type != "AdaptiveCard" || len(teams.Attachments[0].Content.Body) != 3 || teams.Attachments[0].Content.Body[0].Text != "callpoint on vm1 is failing" {
		t.Errorf("Teams: %v %+v", err, teams)
	}
	var plainJSON map[string]any
	if err := json.Unmarshal([]byte(body(alertJSON)), &plainJSON); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"status", "state", "headline", "checks", "since"} {
		if _, ok := plainJSON[name]; !ok {
			t.Errorf("the JSON lacks %s: %v", name, plainJSON)
		}
	}
}

// The real daemon: an outage and its end, to a webhook and by a sendmail of our own.
func TestAlertsOfTheDaemon(t *testing.T) {
	t.Parallel()
	posted := make(chan alert, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m alert
		b, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(b, &m); err != nil || r.Method != http.MethodPost || r.URL.Path != "/T0/secret-path" {
			t.Errorf("%s %s %s: %v", r.Method, r.URL.Path, b, err)
		}
		posted <- m
	}))
	t.Cleanup(hook.Close)
	dir := t.TempDir()
	script := "#!/bin/sh\n{ echo \"args: $*\"; cat; echo; } >>'" + dir + "/mail'\n"
	if err := os.WriteFile(filepath.Join(dir, "sendmail"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, "CALLPOINT_ALERT_WEBHOOK="+hook.URL+"/T0/secret-path", "CALLPOINT_ALERT_MAIL=ops@example.com,night@example.com", "ALERT_SETTLE=20ms",
		"PATH="+dir+":"+os.Getenv("PATH"))
	d := b.daemon()
	d.sync()
	next := func() alert {
		t.Helper()
		select {
		case m := <-posted:
			return m
		case <-time.After(30 * time.Second):
			t.Fatalf("no alert within 30 s\n%s", d.logs)
			return alert{}
		}
	}
	b.org.Fault(orgsim.Fault{Op: orgsim.OpQuery, Status: 503, Times: -1})
	d.request(http.MethodPost, "/v1/sync", nil)
	if m := next(); m.Status == monitor.OK || m.Headline == "" || m.State == "" || len(m.Checks) < 9 || m.Since.IsZero() {
		t.Errorf("the outage: %+v", m)
	}
	b.org.ClearFaults()
	d.sync()
	for m := next(); m.Status != monitor.OK; m = next() {
		if m.Status != monitor.Failing {
			t.Errorf("between: %+v", m)
		}
	}
	mail := func() string {
		text, _ := os.ReadFile(filepath.Join(dir, "mail")) // empty until the first
		return string(text)
	}
	waitFor(t, "the mail of the recovery", func() bool { return strings.Contains(mail(), " is ok again\r\n") })
	d.stop()
	text := mail()
	for _, want := range []string{"args: -i -t\n", "To: ops@example.com, night@example.com\r\n", "Subject: callpoint on ", " is ok again\r\n", "poll_age: degraded: "} {
		if !strings.Contains(text, want) {
			t.Errorf("the mail lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(d.logs.String(), "secret-path") {
		t.Error("the log names the webhook's address")
	}
}

func TestAlertSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ env, want string }{
		{"CALLPOINT_ALERT_FORM=slck", `CALLPOINT_ALERT_FORM: "slck" is not valid; use one of json, slack, teams; did you mean slack?`},
		{"CALLPOINT_ALERT_WEBHOOK=hooks.example.com/x", "CALLPOINT_ALERT_WEBHOOK: not an address"},
		{"CALLPOINT_ALERT_MAIL=ops@example.com,-oQ/tmp", `CALLPOINT_ALERT_MAIL: "-oQ/tmp" is not an e-mail address`},
	} {
		if _, err := loadConfig([]string{c.env}, ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.env, err, c.want)
		}
	}
}
