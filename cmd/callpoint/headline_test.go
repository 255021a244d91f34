package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"callpoint/sync/monitor"
	"callpoint/sync/orgsim"
)

// health returns the answer of /healthz.
func (d *running) health() monitor.Health {
	d.b.t.Helper()
	_, text := d.request(http.MethodGet, "/healthz", nil)
	var h monitor.Health
	if err := json.Unmarshal(text, &h); err != nil {
		d.b.t.Fatalf("GET /healthz: %v in %s", err, text)
	}
	return h
}

// wantState waits for a state; health is measured every few seconds.
func (d *running) wantState(state monitor.State, sentence string) {
	d.b.t.Helper()
	var h monitor.Health
	for _, wait := range []int{0, 1} {
		if wait > 0 {
			d.sync()
		}
		if h = d.health(); h.State == state {
			break
		}
	}
	if h.State != state || !strings.Contains(h.Sentence, sentence) {
		d.b.t.Errorf("state %s, want %s with %q: %+v", h.State, state, sentence, h)
	}
}

// The first hours of an installation, as the page and /healthz report them.
func TestHeadlineFromTheStartOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	d.wantState(monitor.StateWaitingForViews, "first page view")
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", ""))
	d.sync()
	d.wantState(monitor.StateWaitingForCalls, "first call")
	lead, err := b.org.Insert("Lead", map[string]any{"LastName": "Ada", "Company": "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA, "WhoId": lead})
	d.sync()
	d.wantState(monitor.StateWorking, "1 of 1 call in the last 30 days was matched to a web session; 1 touchpoint is in Salesforce.")
	d.stop()
}

// Salesforce refuses every touchpoint: no page claims that calls are credited.
func TestHeadlineNothingAccepted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.org.Schema(touchpoints).AddRule(orgsim.Rule{Message: "no touchpoints here", Fails: func(map[string]any) bool { return true }})
	lead, err := b.org.Insert("Lead", map[string]any{"LastName": "Ada", "Company": "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA, "WhoId": lead})
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", ""))
	d.sync()
	d.wantState(monitor.StateNothingAccepted, "FIELD_CUSTOM_VALIDATION_EXCEPTION")
	d.stop()
}

// A dry run claims nothing.
func TestHeadlineDryRun(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CALLPOINT_DRY_RUN=true")
	lead, err := b.org.Insert("Lead", map[string]any{"LastName": "Ada", "Company": "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA, "WhoId": lead})
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", ""))
	d.sync()
	d.wantState(monitor.StateDryRun, "1 touchpoint would be written. Nothing is sent to Salesforce.")
	d.stop()
}
