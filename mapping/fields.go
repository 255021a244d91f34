package mapping

import "time"

// FieldMap says which value goes to which field.
type FieldMap struct{}

// DefaultFields is the map that holds without a file.
func DefaultFields() *FieldMap { return &FieldMap{} }

func (m *FieldMap) taskFields() []string { return nil }

// record is what a touchpoint is made of.
type record struct {
	s       *Settings
	call    *Call    // nil for a journey record
	session *Session // nil for a Task touchpoint
	origin  *origin  // of session
	who     string   // of a journey record
	place   place
	rule    Rule
}

func (r *record) channel() {}

func (r *record) touchpoint() Touchpoint {
	t := Touchpoint{Who: r.who, Values: map[string]any{}}
	if r.call != nil {
		t.Key, t.TaskID, t.Who = callKey(r.call.TaskID), r.call.TaskID, whoOf(r.call)
	} else {
		t.Key, t.Session = journeyKey(r.session.ID), r.session
	}
	kind, at := "Web Visit", time.Time{}
	if r.call != nil {
		at = r.call.At
		if typ := textOf(lookup(r.call.Fields, "Type")); typ != "" {
			kind = typ
		}
	}
	if r.session != nil {
		at = r.session.StartedAt
	}
	t.Values["bizible2__Touchpoint_Type__c"] = kind
	t.Values["bizible2__Touchpoint_Date__c"] = at.UTC().Format("2006-01-02T15:04:05.000Z")
	t.Values["bizible2__Touchpoint_Position__c"] = r.place.String()
	return t
}
