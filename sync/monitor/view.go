package monitor

import (
	"time"

	"callpoint/mapping"
	"callpoint/store"
)

// CallView is a call as scripts read it: contract of `--output json` and /v1/calls.
type CallView struct {
	TaskID      string              `json:"task_id"`
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
}

// Answer is what Salesforce said last.
type Answer struct {
	ID      string `json:"id"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// ViewCall shows a stored call with its touchpoint, if it has one.
func ViewCall(c store.Call, t *store.Touchpoint) CallView {
	r := c.Resolution
	v := CallView{
		TaskID: c.TaskID, BizibleID: c.Visitor, WhoID: text(c.Fields["WhoId"]), Type: text(c.Fields["Type"]),
		Subject: text(c.Fields["Subject"]), CallTime: c.At, CallFrom: c.AtFrom,
		Reason: r.Reason, Detail: r.Detail, Distance: r.Distance, Session: r.Session, Rule: r.Rule,
		Candidates: append([]mapping.Candidate{}, r.Candidates...),
	}
	if t == nil {
		return v
	}
	v.State, v.Attempts = t.State, t.Attempts
	v.Salesforce = Answer{t.RecordID, t.Code, t.Message}
	if !t.NextAttempt.IsZero() {
		v.NextAttempt = &t.NextAttempt
	}
	v.Touchpoint = map[string]any{}
	for field, value := range t.Values {
		v.Touchpoint[field] = value
	}
	if t.PersonField != "" {
		v.Touchpoint[t.PersonField] = "person of " + t.Who
	}
	return v
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// VisitorView is a visitor as scripts read it.
type VisitorView struct {
	BizibleID string            `json:"bizible_id"`
	Events    int               `json:"events"`
	Sessions  []mapping.Session `json:"sessions"`
	Calls     []CallView        `json:"calls"`
}

// ViewVisitor shows a journey, with its sessions as the rules have them.
func ViewVisitor(j store.Journey, sessions []mapping.Session) VisitorView {
	v := VisitorView{BizibleID: j.Visitor, Events: len(j.Events), Sessions: append([]mapping.Session{}, sessions...), Calls: []CallView{}}
	for _, c := range j.Calls {
		var t *store.Touchpoint
		if found, ok := j.Touchpoints[store.CallKey(c.TaskID)]; ok {
			t = &found
		}
		v.Calls = append(v.Calls, ViewCall(c, t))
	}
	return v
}
