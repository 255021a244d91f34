package monitor

import (
	"fmt"
	"strings"

	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/salesforce"
)

// State is the one word for what callpoint is doing. It follows from what was written to
// Salesforce, not from whether a process runs.
type State string

const (
	StateWaitingForViews State = "waiting_for_views" // no page view was ever collected
	StateWaitingForCalls State = "waiting_for_calls" // no call was read yet
	StateDryRun          State = "dry_run"           // CALLPOINT_DRY_RUN: nothing is written
	StateNothingAccepted State = "nothing_accepted"  // Salesforce refused every touchpoint so far
	StatePaused          State = "paused"            // writing waits for a time that is known
	StateStandby         State = "standby"           // another instance leads
	StateWorking         State = "working"
	StateAttention       State = "attention" // a check is degraded or failing
)

// credit counts the calls of the last [reportDays] days that were read newest first, at most
// mostRated of them.
type credit struct {
	calls, matched, inSalesforce int
	refused                      int              // touchpoints with a refusal of Salesforce
	refusal                      store.Touchpoint // the newest of these
	capped                       bool             // there are more calls than were read
}

func (c *credit) add(call store.Call, t *store.Touchpoint) {
	if call.Resolution.Reason == "" {
		return
	}
	c.calls++
	if isMatched(call.Resolution.Reason) {
		c.matched++
	}
	switch {
	case t == nil:
	case t.RecordID != "":
		c.inSalesforce++
	case t.Code != "":
		if c.refused == 0 {
			c.refusal = *t
		}
		c.refused++
	}
}

// Headline is the sentence at the top of the page, with the step that comes next.
type Headline struct {
	State    State  `json:"state"`
	Sentence string `json:"headline"`
	Next     string `json:"next_step,omitempty"`
	Tag      string `json:"tag,omitempty"` // HTML to paste, where that is the next step
}

// headline decides between the states: the first that applies is the answer.
func (s *Server) headline(v *view, checks []Check) Headline {
	trouble := map[string]Check{}
	var names []string
	for _, c := range checks {
		if c.Status != OK {
			trouble[c.Name] = c
			names = append(names, strings.ReplaceAll(c.Name, "_", " "))
		}
	}
	if s.cfg.DryRun {
		return Headline{StateDryRun, fmt.Sprintf("Dry run: %s. Nothing is sent to Salesforce.", plural(v.backlog.Due, "touchpoint would be written", "touchpoints would be written")),
			"Run callpoint --sync-once to see each field that would change. Set CALLPOINT_DRY_RUN=false and restart to write.", ""}
	}
	if l := s.leading(); l != nil && !l.Mine {
		return l.headline(v.now)
	}
	for _, name := range []string{"store", "login"} {
		if c := trouble[name]; c.Status == Failing {
			return Headline{StateAttention, fmt.Sprintf("Calls are not being credited: %s.", strings.TrimRight(c.Detail, ".")), attentionStep(name), ""}
		}
	}
	credit := v.credit
	if credit.inSalesforce == 0 && v.Written.IsZero() && credit.refused > 0 {
		return Headline{StateNothingAccepted, fmt.Sprintf("Salesforce has not accepted any touchpoint yet: %s, %s.", credit.refusal.Code, plural(credit.refused, "touchpoint is refused", "touchpoints are refused")),
			salesforce.Cure(&salesforce.Error{Op: "upsert", Code: credit.refusal.Code, Message: credit.refusal.Message}), ""}
	}
	if h, paused := s.pausedHeadline(v); paused {
		return h
	}
	if v.earliest.IsZero() {
		return Headline{StateWaitingForViews, "Waiting for the first page view.",
			"Put the script on every page of the site, before </body>, and open a page. docs/collector.md describes other sources.", s.tag()}
	}
	if !v.anyCall {
		return Headline{StateWaitingForCalls, "Page views arrive. Waiting for the first call.",
			"callpoint looks for Tasks that have a BizibleId or are inbound calls. Make a test call from a tracked number, or check CALLPOINT_START and CALLPOINT_TASK_FILTER.", ""}
	}
	if len(trouble) > 0 {
		sentence := "Calls are being credited, but something needs your attention: "
		for _, c := range trouble {
			if c.Status == Failing {
				sentence = "Calls are not being credited right now: "
			}
		}
		if v.Written.IsZero() && credit.inSalesforce == 0 {
			sentence = "No touchpoint is in Salesforce yet, and something needs your attention: "
		}
		return Headline{StateAttention, sentence + strings.Join(names, ", ") + ".", "The checks below name the cause and the cure.", ""}
	}
	return Headline{State: StateWorking, Sentence: workingSentence(credit)}
}

// workingSentence gives the numbers of the last 30 days.
func workingSentence(c credit) string {
	if c.calls == 0 {
		return fmt.Sprintf("callpoint is working. There were no calls in the last %d days.", reportDays)
	}
	calls := plural(c.calls, "call", "calls") + fmt.Sprintf(" in the last %d days", reportDays)
	if c.capped {
		calls = fmt.Sprintf("the newest %d calls", c.calls)
	}
	return fmt.Sprintf("Calls are being credited: %d of %s %s matched to a web session; %s in Salesforce.",
		c.matched, calls, choose(c.matched == 1, "was", "were"), plural(c.inSalesforce, "touchpoint is", "touchpoints are"))
}

// pausedHeadline reports what writing waits for.
func (s *Server) pausedHeadline(v *view) (Headline, bool) {
	if b := s.cfg.Engine.Budget(); b.Spent {
		return Headline{StatePaused, fmt.Sprintf("Paused until %s: %s.", moment(b.Until), strings.TrimRight(b.Reason, ".")),
			"Nothing is lost; callpoint continues by itself. Raise CALLPOINT_API_BUDGET if this happens often.", ""}, true
	}
	pauses := s.pauses()
	if len(pauses) == 0 {
		return Headline{}, false
	}
	p := pauses[0]
	return Headline{StatePaused, fmt.Sprintf("Paused until %s: Salesforce refuses every %s (%s).", moment(p.Until), p.Object, p.Code), p.Cure, ""}, true
}

// pauses returns the pauses that have not ended.
func (s *Server) pauses() (all []engine.Pause) {
	for _, p := range s.cfg.Engine.Last().Paused {
		if s.cfg.Now().Before(p.Until) {
			all = append(all, p)
		}
	}
	return all
}

// tag returns the script element for the site.
func (s *Server) tag() string {
	host := "HOST"
	if s.cfg.Host != "" {
		host = s.cfg.Host
	}
	return fmt.Sprintf(`<script src="https://%s/callpoint.js" async></script>`, host)
}

func attentionStep(check string) string {
	if check == "login" {
		return "Run callpoint check: it names every setting that Salesforce refuses."
	}
	return "Free disk space or repair the disk; events are not accepted meanwhile."
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func choose(one bool, a, b string) string {
	if one {
		return a
	}
	return b
}
