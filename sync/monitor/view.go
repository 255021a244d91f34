package monitor

import (
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/salesforce"
)

// CallView is a call as scripts read it: contract of `--output json` and /v1/calls.
type CallView struct {
	TaskID      string              `json:"task_id"`
	Source      string              `json:"source"` // task, or the name of another source
	BizibleID   string              `json:"bizible_id"`
	WhoID       string              `json:"who_id"`
	Type        string              `json:"type"`
	Subject     string              `json:"subject"`
	CallTime    time.Time           `json:"call_time"`
	CallFrom    string              `json:"call_time_from"`
	Reason      mapping.Reason      `json:"reason"`
	Detail      string              `json:"detail"`
	Distance    int64               `json:"distance_seconds"`
	Session     *mapping.Session    `json:"session"`
	Candidates  []mapping.Candidate `json:"candidates"`
	State       store.State         `json:"state"`
	Attempts    int                 `json:"attempts"`
	NextAttempt *time.Time          `json:"next_attempt"`
	Salesforce  Answer              `json:"salesforce"`
	Touchpoint  map[string]any      `json:"touchpoint"`
	Rule        mapping.Rule        `json:"rule"`

	Task       map[string]any `json:"task"` // as read last, by API name
	ReadAt     time.Time      `json:"read_at"`
	ResolvedAt *time.Time     `json:"resolved_at"` // null: not yet
	WrittenAt  *time.Time     `json:"written_at"`  // null: never
	// PersonRecord is the record id of the Bizible Person that the touchpoint hangs from.
	PersonRecord string `json:"person_record_id,omitempty"`
	Cure         string `json:"cure"` // what to do about it; empty: nothing

	Person *PersonView `json:"person,omitempty"`         // of one call: the journey of the person that it counts for
	OnTask *OnTask     `json:"reason_on_task,omitempty"` // of one call, where CALLPOINT_REASON_FIELD names a field of Task
}

// OnTask is the value of the reason field of the Task in Salesforce, and the desired one.
type OnTask struct {
	Field       string         `json:"field"`
	Want        mapping.Reason `json:"want"`
	Written     mapping.Reason `json:"written"`
	WrittenAt   *time.Time     `json:"written_at"`
	NextAttempt *time.Time     `json:"next_attempt"`
	Salesforce  Answer         `json:"salesforce"`
}

// viewReason shows what is kept of a Task's reason.
func viewReason(r *store.Reason) *OnTask {
	if r == nil {
		return nil
	}
	return &OnTask{Field: r.Field, Want: mapping.Reason(r.Want), Written: mapping.Reason(r.Written), WrittenAt: known(r.WrittenAt),
		NextAttempt: known(r.Next), Salesforce: Answer{ID: r.TaskID, Code: r.Code, Message: r.Message}}
}

// Answer is the latest answer of Salesforce.
type Answer struct {
	ID      string `json:"id"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// ViewCall shows a stored call with its touchpoint, if it has one.
func ViewCall(c store.Call, t *store.Touchpoint) CallView {
	r := c.Resolution
	v := CallView{
		TaskID: c.TaskID, Source: first(c.Source, mapping.TaskSource), BizibleID: c.Visitor, WhoID: text(c.Fields["WhoId"]), Type: text(c.Fields["Type"]),
		Subject: text(c.Fields["Subject"]), CallTime: c.At, CallFrom: c.AtFrom,
		Reason: r.Reason, Detail: r.Detail, Distance: r.Distance, Session: r.Session, Rule: r.Rule,
		Candidates: append([]mapping.Candidate{}, r.Candidates...),
		Task:       c.Fields, ReadAt: c.ReadAt, ResolvedAt: known(c.ResolvedAt), Cure: cures[r.Reason],
	}
	if t == nil {
		return v
	}
	v.State, v.Attempts = t.State, t.Attempts
	if t.State == store.NoPerson {
		v.Detail = strings.TrimSpace(v.Detail + " " + noPerson(t))
		v.Cure = strings.TrimSpace(v.Cure + " " + noPersonCure(t))
	}
	if v.Session != nil {
		x := *v.Session
		x.Position = t.Position.String()
		v.Session = &x
	}
	v.Salesforce = Answer{t.RecordID, t.Code, t.Message}
	v.NextAttempt, v.WrittenAt, v.PersonRecord = known(t.NextAttempt), known(t.WrittenAt), t.Master
	if t.Code != "" {
		v.Cure = strings.TrimSpace(v.Cure + " " + salesforceCure(t))
	}
	v.Touchpoint = map[string]any{}
	for field, value := range t.Values() {
		v.Touchpoint[field] = value
	}
	if t.State == store.NoPerson {
		v.NextAttempt = nil // it is not sent, but looked for
	}
	if t.PersonField != "" && t.Who != "" {
		v.Touchpoint[t.PersonField] = "person of " + t.Who
	}
	return v
}

// noPerson explains why a touchpoint has no record.
func noPerson(t *store.Touchpoint) string {
	if t.Who == "" {
		return "The Task names nobody, so there is no touchpoint: Salesforce keeps touchpoints with a person."
	}
	return "Salesforce has no Bizible Person for " + t.Who + ", so there is no touchpoint."
}

// noPersonCure explains how a call gets its touchpoint.
func noPersonCure(t *store.Touchpoint) string {
	if t.Who == "" {
		return "Set the Task's Name (WhoId) to a Lead or Contact, or relate it to an opportunity with a contact role, a case with a contact, or a person account: callpoint then writes the touchpoint by itself."
	}
	return "callpoint writes the touchpoint as soon as Marketo Measure makes the person; CALLPOINT_PERSONS=create makes it at once."
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// salesforceCure is what to do about the refusal that a touchpoint met last.
func salesforceCure(t *store.Touchpoint) string {
	return salesforce.Cure(&salesforce.Error{Op: "upsert", Code: t.Code, Message: t.Message})
}

// cures say what a person can do about a reason. A matched call needs none.
var cures = map[mapping.Reason]string{
	mapping.Held:               "Nothing: callpoint decides when the hold is over. CALLPOINT_UNMATCHED_HOLD sets how long that is.",
	mapping.BeforeCollection:   "Nothing for this call. CALLPOINT_BEFORE_COLLECTION=write makes touchpoints without web data for such calls.",
	mapping.NoBizibleID:        "Ask the call-tracking vendor why the id is missing: its script must read the _biz_uid cookie, and its Salesforce integration must copy the id to the Task. Once the field is filled in, callpoint follows by itself.",
	mapping.UnknownVisitor:     "Open the page that shows the number and see that its browser calls /m/ipv here; then look at consent, content blockers, and a tag that covers only a part of the site.",
	mapping.OutsideWindow:      "Nothing is broken: the visitor called too late or too early. callpoint report --what-if window=60m shows what a longer window would change.",
	mapping.SessionAlreadyUsed: "Nothing: a session is credited to one call, the first. This call has a touchpoint without web data.",
	mapping.TaskDeleted:        "Nothing. CALLPOINT_RETRACT says whether touchpoints of deleted Tasks stay.",
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// VisitorView is a visitor as scripts read it.
type VisitorView struct {
	BizibleID string            `json:"bizible_id"`
	Events    int               `json:"events"`
	Consented int               `json:"events_with_consent"` // of these: the visitor had agreed on the page
	Sessions  []mapping.Session `json:"sessions"`
	Calls     []CallView        `json:"calls"`
}

// ViewVisitor shows a journey, with its sessions as the rules have them.
func ViewVisitor(j store.Journey, sessions []mapping.Session) VisitorView {
	v := VisitorView{BizibleID: j.Visitor, Events: len(j.Events), Sessions: append([]mapping.Session{}, sessions...), Calls: []CallView{}}
	for _, e := range j.Events {
		if e.Consent {
			v.Consented++
		}
	}
	for _, c := range j.Calls {
		var t *store.Touchpoint
		if found, ok := j.Touchpoints[store.CallKey(c.TaskID)]; ok {
			t = &found
		}
		v.Calls = append(v.Calls, ViewCall(c, t))
	}
	return v
}
