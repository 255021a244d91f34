package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"callpoint/mapping"
	"callpoint/sync/monitor"
	"callpoint/sync/orgsim"
)

// What people ask: explain, calls, status, report. Each is asked of the running daemon
// and of the store, and says the same.

const visitorB = "0000687119cc4928fbf94393ed9f5c35"

// listenBench is a bench whose daemon listens where its commands find it.
func listenBench(t *testing.T, env ...string) *bench {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return newBench(t, append([]string{"CALLPOINT_LISTEN=" + address}, env...)...)
}

// answered runs a command against the daemon, stops the daemon, and runs it on the
// store: the two answers must be equal.
func (b *bench) answered(d *running, args ...string) string {
	b.t.Helper()
	asked, errs, code := b.run(args...)
	if code != exitDone {
		b.t.Fatalf("%v: exit %d\n%s%s", args, code, asked, errs)
	}
	if d != nil {
		d.stop()
		if read := b.answered(nil, args...); read != asked {
			b.t.Errorf("%v: the daemon says\n%s\nthe store says\n%s", args, asked, read)
		}
	}
	return asked
}

// oneMatch is a call matched to a session by a Google ad, and one 18 minutes too late.
func oneMatch(b *bench, d *running) (matched, late string) {
	b.t.Helper()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/?gclid=x&utm_source=google&utm_medium=cpc&utm_campaign=hail", "https://www.google.com/"),
		view(visitorB, yesterday("12:17:00"), "https://www.example.com/?gclid=y", "https://www.google.com/"))
	matched = b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	late = b.task(yesterday("13:05:00"), map[string]any{"bizible2__BizibleId__c": visitorB})
	d.sync()
	return matched, late
}

func TestExplain(t *testing.T) {
	t.Parallel()
	b := listenBench(t)
	d := b.daemon()
	matched, late := oneMatch(b, d)

	out := b.answered(nil, "explain", late)
	for _, s := range []string{late, "not matched to a web session (outside window)", "18 min after the window", "What to do", "report --what-if",
		"Subject Inbound call", "WhatId (empty)", "bizible2__Bizible_Touchpoint_Date__c", visitorB, "gclid=y", "18 min after the nearest window",
		`Campaign "Phone Call*"`, "bizible2__Touchpoint_Source__c", "CRM Activity", "is up to date", fmt.Sprint(b.touchpoint(late)["Id"])} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), s) {
			t.Errorf("explain does not say %q:\n%s", s, out)
		}
	}
	if out := b.answered(nil, "explain", matched[:15]); !strings.Contains(out, ": matched to a web session") || !strings.Contains(out, "Paid Search.AdWords") || strings.Contains(out, "What to do") {
		t.Errorf("explain of a matched call, by 15 characters:\n%s", out)
	}
	var v monitor.CallView
	if err := json.Unmarshal([]byte(b.answered(d, "explain", late, "-o", "json")), &v); err != nil {
		t.Fatal(err)
	}
	if v.TaskID != late || v.Reason != mapping.OutsideWindow || v.Distance != 1080 || len(v.Candidates) != 1 || v.Task["Subject"] != "Inbound call" || v.Rule.Column != "Campaign" {
		t.Errorf("explain -o json: %+v", v)
	}
	for _, id := range []string{"00THs00000Nobody", "no/such?thing"} {
		if _, errs, code := b.run("explain", id); code != exitFailed || !strings.Contains(errs, "not found") {
			t.Errorf("explain %s: exit %d, %s", id, code, errs)
		}
	}
}

func TestExplainShowsTheRefusalAndItsCure(t *testing.T) {
	t.Parallel()
	b := listenBench(t)
	d := b.daemon()
	id := b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", ""))
	b.org.Fault(orgsim.Fault{Op: orgsim.OpUpsert, Object: touchpoints, Times: -1,
		RowError: &orgsim.RowError{Code: "FIELD_CUSTOM_VALIDATION_EXCEPTION", Message: "Medium is mandatory"}})
	d.sync()
	out := b.answered(nil, "explain", id)
	for _, s := range []string{"FIELD_CUSTOM_VALIDATION_EXCEPTION", "Medium is mandatory", "exempt the integration user", "Next attempt"} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), s) {
			t.Errorf("explain does not say %q:\n%s", s, out)
		}
	}
	out, errs, code := b.run("status")
	if code != exitParked || !strings.Contains(out, "refuses 1") {
		t.Errorf("status with a parked record: exit %d\n%s%s", code, out, errs)
	}
	d.stop()
}

// A Subject comes from a stranger: it must not move the cursor.
func TestAnswersAreSafeOnATerminal(t *testing.T) {
	t.Parallel()
	b := listenBench(t)
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", ""))
	id := b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA, "Subject": "call\x1b]0;owned\x07\r\nfrom\u009b31m"})
	d.sync()
	for _, args := range [][]string{{"explain", id}, {"calls"}} {
		if out := b.answered(nil, args...); strings.ContainsAny(out, "\x1b\x07\r\u009b") {
			t.Errorf("%v lets control characters through: %q", args, out)
		}
	}
	d.stop()
}

func TestCalls(t *testing.T) {
	t.Parallel()
	b := listenBench(t)
	d := b.daemon()
	matched, late := oneMatch(b, d)
	out := b.answered(nil, "calls")
	if i, j := strings.Index(out, late), strings.Index(out, matched); i < 0 || j < i {
		t.Errorf("calls are not newest first:\n%s", out)
	}
	if out := b.answered(nil, "calls", "--reason", "matched"); !strings.Contains(out, matched) || strings.Contains(out, late) {
		t.Errorf("calls --reason matched:\n%s", out)
	}
	if out := b.answered(nil, "calls", "--since", yesterday("13:00:00").Format("2006-01-02T15:04:05Z07:00")); strings.Contains(out, matched) || !strings.Contains(out, late) {
		t.Errorf("calls --since:\n%s", out)
	}
	if out := b.answered(nil, "calls", "--state", "parked"); out != "No calls match.\n" {
		t.Errorf("calls --state parked: %q", out)
	}
	var list monitor.CallList
	if err := json.Unmarshal([]byte(b.answered(d, "calls", "--limit", "1", "-o", "json")), &list); err != nil || len(list.Calls) != 1 || !list.More {
		t.Errorf("calls --limit 1: %+v %v", list, err)
	}
	for _, args := range [][]string{{"--reason", "unmatched"}, {"--since", "monday"}, {"--limit", "0"}, {"--state", "lost"}} {
		if _, errs, code := b.run(append([]string{"calls"}, args...)...); code != exitUsage || !strings.Contains(errs, args[1]) {
			t.Errorf("calls %v: exit %d, %s", args, code, errs)
		}
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	b := listenBench(t)
	d := b.daemon()
	oneMatch(b, d)
	b.task(yesterday("14:00:00"), nil) // no id: no touchpoint, and not in the rate
	d.sync()

	var r monitor.Report
	if err := json.Unmarshal([]byte(b.answered(nil, "report", "-o", "json")), &r); err != nil {
		t.Fatal(err)
	}
	want := []monitor.ReportRow{{Channel: "Paid Search", Subchannel: "AdWords", Type: "Call", Calls: 1, Matched: 1}, {Channel: "Phone Call", Type: "Call", Calls: 1}}
	if fmt.Sprint(r.Rows) != fmt.Sprint(want) || r.MatchRate == nil || *r.MatchRate != 0.5 {
		t.Errorf("rows %+v, match rate %v", r.Rows, r.MatchRate)
	}
	if r.Reasons[mapping.Matched] != 1 || r.Reasons[mapping.OutsideWindow] != 1 || r.Reasons[mapping.NoBizibleID] != 1 || len(r.Reasons) != 9 {
		t.Errorf("reasons %v", r.Reasons)
	}
	if day := r.Days[len(r.Days)-2]; day != (monitor.ReportDay{Day: yesterday("00:00:00").Format("2006-01-02"), Calls: 3, Counted: 2, Matched: 1}) || len(r.Days) != 31 {
		t.Errorf("yesterday %+v of %d days", day, len(r.Days))
	}
	rows, err := csv.NewReader(strings.NewReader(b.answered(nil, "report", "-o", "csv"))).ReadAll()
	if err != nil || len(rows) != 3 || strings.Join(rows[1], ",") != "Paid Search,AdWords,Call,1,1" {
		t.Errorf("csv %v %v", rows, err)
	}
	if out := b.answered(nil, "report", "--since", yesterday("13:30:00").Format("2006-01-02T15:04:05Z07:00")); !strings.Contains(out, "no call with an id yet") || !strings.Contains(out, "no_bizible_id") {
		t.Errorf("report --since:\n%s", out)
	}
	if text := b.answered(nil, "report"); !strings.Contains(text, "Match rate: 50.0 %") {
		t.Errorf("report:\n%s", text)
	}

	// A longer window ties the late call to its session; nothing is written.
	before := b.org.Requests()
	out := b.answered(d, "report", "--what-if", "window=60m")
	for _, s := range []string{"Match rate would be 100.0 %", "outside_window, Phone Call", "matched, Paid Search.AdWords"} {
		if !strings.Contains(out, s) {
			t.Errorf("what-if does not say %q:\n%s", s, out)
		}
	}
	rules := write(t, header+"Ads,,,,,,[AdWords Paid Search]\nRest,,,,,,*;direct\n")
	if out := b.answered(nil, "report", "--what-if", "channels="+rules); !strings.Contains(out, "matched, Paid Search.AdWords") || !strings.Contains(out, "matched, Ads") {
		t.Errorf("what-if channels:\n%s", out)
	}
	if out := b.answered(nil, "report", "--what-if", "window-from=start,timeout=30m"); !strings.Contains(out, "No call would change") {
		t.Errorf("what-if without effect:\n%s", out)
	}
	if after := b.org.Requests(); after != before {
		t.Errorf("what-if made requests: %+v, before %+v", after, before)
	}
	for _, args := range [][]string{{"--what-if", "windw=60m"}, {"--what-if", "window=-1m"}, {"--what-if", "channels=/no/such"}, {"--since", "1d", "--until", "2d"}, {"-o", "xml"}} {
		if _, errs, code := b.run(append([]string{"report"}, args...)...); code != exitUsage || errs == "" {
			t.Errorf("report %v: exit %d, %s", args, code, errs)
		}
	}
}

// TestReportRevenue sums the org's attribution touchpoints under the org's own
// labels, in two API calls.
func TestReportRevenue(t *testing.T) {
	t.Parallel()
	b := listenBench(t)
	d := b.daemon()
	oneMatch(b, d)
	deal, err := b.org.Insert("Opportunity", map[string]any{"Name": "Deal", "StageName": "Closed Won", "CloseDate": "2026-11-01", "Amount": 2001})
	if err != nil {
		t.Fatal(err)
	}
	b.org.Schema(monitor.AttributionObject).Change("bizible2__Revenue_Custom_Model_2__c", func(f *orgsim.Field) { f.Label = "Revenue - Our Model" })
	for _, r := range []map[string]any{
		{"Touchpoint_Type": "Call", "Marketing_Channel": "Paid Search", "Attribution_First_Touch": 50, "Attribution_Lead_Conversion_Touch": 10, "Attribution_Custom_Model_2": 20},
		{"Touchpoint_Type": "Call", "Marketing_Channel": "Paid Search", "Attribution_First_Touch": 25},
		{"Touchpoint_Type": "Call", "Marketing_Channel": "Email", "Attribution_First_Touch": 5},
		{"Touchpoint_Type": "Web Form", "Marketing_Channel": "Email", "Attribution_First_Touch": 100}, // a type that callpoint did not write
	} {
		fields := map[string]any{"bizible2__Touchpoint_Date__c": yesterday("12:00:00").Format("2006-01-02T15:04:05Z"), "bizible2__Opportunity__c": deal}
		for k, v := range r {
			fields["bizible2__"+k+"__c"] = v
		}
		if _, err := b.org.Insert(monitor.AttributionObject, fields); err != nil {
			t.Fatal(err)
		}
	}
	before := b.org.Requests().APICalls
	var asked, read monitor.Report
	if err := json.Unmarshal([]byte(b.answered(nil, "report", "--revenue", "-o", "json")), &asked); err != nil {
		t.Fatal(err)
	}
	if n := b.org.Requests().APICalls - before; n != 2 {
		t.Errorf("%d API calls, want 2", n)
	}
	d.stop()
	if err := json.Unmarshal([]byte(b.answered(nil, "report", "--revenue", "-o", "json")), &read); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*monitor.Revenue{asked.Revenue, read.Revenue} {
		if r == nil || len(r.Rows) != 2 || r.Rows[0].Channel != "Paid Search" || r.Rows[0].Touchpoints != 2 || r.Rows[0].Revenue["First Touch"] != 1500.75 ||
			r.Rows[0].Revenue["Lead Creation"] != 200.1 || r.Rows[0].Revenue["Our Model"] != 400.2 || r.Rows[1].Revenue["First Touch"] != 100.05 ||
			!slices.Contains(r.Models, "Full Path") || len(r.Fields) != 6 {
			t.Errorf("revenue %+v", r)
		}
	}
}

// Where cron runs --sync-once, status tells from the store how it went.
func TestStatusWithoutADaemon(t *testing.T) {
	t.Parallel()
	b := listenBench(t)
	b.syncOnce()
	out, errs, code := b.run("status")
	if code != exitDone || !strings.Contains(out, "ok: Waiting for the first page view.") || !strings.Contains(out, "last complete cycle") || !strings.Contains(out, "nothing new") {
		t.Errorf("status: exit %d\n%s%s", code, out, errs)
	}
	b.env = append(b.env, "SALESFORCE_CONSUMER_SECRET=wrong")
	if _, _, code := b.run("--sync-once"); code != exitFailed {
		t.Fatalf("--sync-once with a wrong secret: exit %d", code)
	}
	out, _, code = b.run("status")
	if code != exitFailed || !strings.Contains(out, "failing: Calls are not being credited: ") || !strings.Contains(out, "SALESFORCE_CONSUMER_SECRET") {
		t.Errorf("status after a refused login: exit %d\n%s", code, out)
	}
	var h monitor.Health
	if out, _, _ := b.run("status", "-o", "json"); json.Unmarshal([]byte(out), &h) != nil || h.Status != monitor.Failing || len(h.Checks) != 10 {
		t.Errorf("status -o json: %s", out)
	}
	if err := os.Remove(b.store); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := b.run("status"); code != exitFailed || !strings.Contains(errs, "CALLPOINT_STORE") {
		t.Errorf("status without a store: exit %d, %s", code, errs)
	}
}
