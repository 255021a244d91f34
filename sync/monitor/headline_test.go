package monitor

import (
	"context"
	"encoding/json"
	"html"
	"net/http"
	"strings"
	"testing"
	"time"

	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/salesforce"
)

// working sets the facts of a callpoint whose calls are credited.
func working(b *bench) {
	b.Cycle(engine.Report{At: b.now})
	b.refresh()
	b.probe(context.Background())
	b.facts.earliest, b.facts.anyCall = b.now.Add(-time.Hour), true
	b.facts.credit = credit{calls: 264, matched: 192, inSalesforce: 254}
	b.history.Written = b.now
}

// Each state, in the order in which they take precedence: a later row applies only where the
// earlier ones do not.
func TestHeadlineStates(t *testing.T) {
	t.Parallel()
	refused := store.Touchpoint{Code: "FIELD_CUSTOM_VALIDATION_EXCEPTION", Message: "no"}
	for _, c := range []struct {
		name  string
		set   func(b *bench)
		state State
		wants []string
	}{
		{"dry run", func(b *bench) { b.cfg.DryRun, b.facts.backlog.Due = true, 254 }, StateDryRun,
			[]string{"254 touchpoints would be written", "--sync-once"}},
		{"dry run, one", func(b *bench) { b.cfg.DryRun, b.facts.backlog.Due = true, 1 }, StateDryRun, []string{"1 touchpoint would be written"}},
		{"standby", func(b *bench) {
			b.cfg.Leading = func() *Leading { return &Leading{Leader: "vm-a", Until: b.cfg.Now().Add(time.Second)} }
		}, StateStandby, []string{"vm-a leads"}},
		{"store failing", func(b *bench) { b.facts.writable = store.ErrClosed }, StateAttention, []string{"not being credited", store.ErrClosed.Error()}},
		{"nothing accepted", func(b *bench) {
			b.history.Written = time.Time{}
			b.facts.credit = credit{calls: 8, matched: 5, refused: 8, refusal: refused}
		}, StateNothingAccepted, []string{"has not accepted any touchpoint", refused.Code, "8 touchpoints are refused", salesforce.Cure(&salesforce.Error{Op: "upsert", Code: refused.Code})}},
		{"paused", func(b *bench) { b.spend(100) }, StatePaused, []string{"Paused until 2026-11-"}},
		{"waiting for views", func(b *bench) { b.facts.earliest, b.cfg.Host = time.Time{}, "www.example.com" }, StateWaitingForViews,
			[]string{"first page view", `<script src="https://www.example.com/callpoint.js" async></script>`}},
		{"waiting for calls", func(b *bench) { b.facts.anyCall = false }, StateWaitingForCalls, []string{"first call", "CALLPOINT_TASK_FILTER"}},
		{"attention", func(b *bench) { b.facts.backlog.Parked = 3 }, StateAttention, []string{"something needs your attention: parked."}},
		{"attention, nothing written", func(b *bench) {
			b.facts.backlog.Parked, b.history.Written, b.facts.credit = 3, time.Time{}, credit{calls: 8}
		}, StateAttention, []string{"No touchpoint is in Salesforce yet"}},
		{"working", func(*bench) {}, StateWorking, []string{"192 of 264 calls in the last 30 days were matched to a web session; 254 touchpoints are in Salesforce."}},
		{"working, one", func(b *bench) { b.facts.credit = credit{calls: 1, matched: 1, inSalesforce: 1} }, StateWorking,
			[]string{"1 of 1 call in the last 30 days was matched to a web session; 1 touchpoint is in Salesforce."}},
		{"working, no calls", func(b *bench) { b.facts.credit = credit{} }, StateWorking, []string{"There were no calls in the last 30 days."}},
		{"working, many", func(b *bench) { b.facts.credit.capped = true }, StateWorking, []string{"192 of the newest 264 calls"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			working(b)
			c.set(b)
			h := b.Health()
			if h.State != c.state {
				t.Errorf("state %s, want %s: %s", h.State, c.state, h.Sentence)
			}
			for _, want := range c.wants {
				if text := h.Sentence + "\n" + h.Next + "\n" + h.Tag; !strings.Contains(text, want) {
					t.Errorf("%q is missing in %q", want, text)
				}
			}
			if _, page := b.get("/"); !strings.Contains(page, html.EscapeString(h.Sentence)) || !strings.Contains(page, html.EscapeString(h.Next)) {
				t.Errorf("the page does not show %q and %q", h.Sentence, h.Next)
			}
			if line := b.Line(); !strings.HasPrefix(line, h.Sentence) {
				t.Errorf("systemd's line %q does not begin with %q", line, h.Sentence)
			}
			_, text := b.get("/healthz")
			var j map[string]any
			if err := json.Unmarshal([]byte(text), &j); err != nil || j["headline"] != h.Sentence || j["state"] != string(h.State) {
				t.Errorf("/healthz: %v, headline %v, state %v", err, j["headline"], j["state"])
			}
		})
	}
}

// The order of precedence: with everything wrong at once, taking away the first cause shows
// the next.
func TestHeadlinePrecedence(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	working(b)
	standby := true
	b.cfg.DryRun = true
	b.cfg.Leading = func() *Leading {
		return &Leading{Leader: "vm-a", Mine: !standby, Until: b.cfg.Now().Add(time.Second)}
	}
	b.facts.writable = store.ErrClosed
	b.history.Written = time.Time{}
	b.facts.credit = credit{calls: 1, refused: 1, refusal: store.Touchpoint{Code: "X"}}
	b.facts.earliest, b.facts.anyCall = time.Time{}, false
	b.facts.backlog.Parked = 1
	b.spend(100)
	for _, step := range []struct {
		state  State
		remove func()
	}{
		{StateDryRun, func() { b.cfg.DryRun = false }},
		{StateStandby, func() { standby = false }},
		{StateAttention, func() { b.facts.writable = nil }},
		{StateNothingAccepted, func() { b.facts.credit = credit{} }},
		{StatePaused, func() { b.now = b.now.Add(25 * time.Hour); b.facts.at = b.now; b.Cycle(engine.Report{At: b.now}) }},
		{StateWaitingForViews, func() { b.facts.earliest = b.now }},
		{StateWaitingForCalls, func() { b.facts.anyCall = true; b.facts.backlog.Parked = 1 }},
		{StateAttention, func() { b.facts.backlog.Parked = 0 }},
		{StateWorking, func() {}},
	} {
		if h := b.Health(); h.State != step.state {
			t.Fatalf("state %s, want %s: %+v", h.State, step.state, h)
		}
		step.remove()
	}
}

// The sentence under the headline, from the start to an outage that is longer than the list
// of cycles.
func TestPageSummary(t *testing.T) {
	t.Parallel()
	down := &salesforce.Error{Op: "login", Message: "connection refused"}
	b := newBench(t, down)
	b.refresh()
	b.probe(t.Context())
	shows := func(want ...string) {
		t.Helper()
		code, page := b.get("/")
		for _, text := range want {
			if code != http.StatusOK || !strings.Contains(page, text) {
				t.Errorf("%d, without %q", code, text)
			}
		}
	}
	shows("Waiting for the first page view.", "No cycle has been completed yet.", "Calls by reason</h2>\n<p class=\"quiet\">No calls in the last 30 days.")
	b.Cycle(engine.Report{At: b.now, Err: down})
	shows("No cycle has been completed yet.", "not known before the first complete cycle", html.EscapeString(salesforce.Cure(down)))
	if salesforce.Cure(down) == "" {
		t.Error("no cure: nothing is proved")
	}
	b.Cycle(engine.Report{At: b.now})
	shows("The last complete cycle ended 0 s ago.")
	b.Cycle(engine.Report{At: b.now, Err: down})
	shows("The last complete cycle ended 0 s ago; one has failed since.")
	for range keptCycles {
		b.Cycle(engine.Report{At: b.now, Err: down})
	}
	shows("The last complete cycle ended 0 s ago; the last 20 have failed.")
}
