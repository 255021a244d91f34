package mapping

import "time"

// EventKind is the kind of a report from a browser.
type EventKind string

const (
	View  EventKind = "view" // a page view
	Form  EventKind = "form" // a form submission
	IDMap EventKind = "map"  // an id mapping (/m/u): stored, never activity
)

// Geo is where a visitor was, from GeoIP or from the collector.
type Geo struct {
	City    string `json:"city,omitempty"`
	Region  string `json:"region,omitempty"`
	Country string `json:"country,omitempty"`
}

// Event is one thing that a visitor's browser reported. At is UTC, in whole milliseconds.
type Event struct {
	Kind      EventKind `json:"type"`
	Visitor   string    `json:"bizible_id"` // canonical: see VisitorID
	At        time.Time `json:"at"`
	URL       string    `json:"url"`
	Referrer  string    `json:"referrer,omitempty"`
	Title     string    `json:"title,omitempty"`
	FormName  string    `json:"form_name,omitempty"` // of a form: its name, not what was typed
	UserAgent string    `json:"user_agent,omitempty"`
	Geo       Geo       `json:"geo,omitzero"`
	Sequence  int64     `json:"sequence,omitempty"`
	Consent   bool      `json:"consent,omitempty"` // the visitor agreed on the page; false: no answer
}

// Visit is a session that a collector sends finished, or growing: of two with one
// SessionID the later EndedAt wins, then the larger PageViews.
type Visit struct {
	SessionID   string    `json:"session_id"`
	Visitor     string    `json:"bizible_id"`
	StartedAt   time.Time `json:"started_at"`
	EndedAt     time.Time `json:"ended_at"`
	LandingPage string    `json:"landing_page"`
	Referrer    string    `json:"referrer,omitempty"`
	FormURL     string    `json:"form_url,omitempty"`
	FormAt      time.Time `json:"form_at,omitzero"`
	FormName    string    `json:"form_name,omitempty"`
	PageViews   int       `json:"page_views"`
	UserAgent   string    `json:"user_agent,omitempty"`
	Geo         Geo       `json:"geo,omitzero"`
}

// Session is one visit to the site, derived from events or sent finished.
// The raw values come first; Settings.Resolve fills the rest.
type Session struct {
	ID          string    `json:"id"` // a hash of the visitor and the first event
	StartedAt   time.Time `json:"started_at"`
	EndedAt     time.Time `json:"ended_at"`        // the last activity
	Cut         time.Time `json:"cut_at,omitzero"` // the next session's start: no window reaches beyond it
	PageViews   int       `json:"page_views"`
	LandingPage string    `json:"landing_page"` // the whole URL
	Referrer    string    `json:"referrer"`     // the whole URL
	FormURL     string    `json:"form_url"`
	FormAt      time.Time `json:"form_at,omitzero"`
	FormName    string    `json:"form_name,omitempty"`
	UserAgent   string    `json:"user_agent,omitempty"`
	Geo         Geo       `json:"geo,omitzero"`

	Source      string `json:"source"`
	Medium      string `json:"medium"`
	Campaign    string `json:"campaign"`
	Channel     string `json:"channel"`
	Subchannel  string `json:"subchannel"`
	ChannelPath string `json:"channel_path"`
	Rule        Rule   `json:"rule"`
	Position    string `json:"position"`
	TaskID      string `json:"task_id"` // the call that it is credited to

	// Carried is the session whose channel this Direct one inherits, if any.
	Carried *Landing `json:"carried,omitempty"`
}

// Landing is a session's first page and where the visitor came from: all that channels follow from.
type Landing struct {
	Page     string `json:"landing_page"`
	Referrer string `json:"referrer"`
}

// Rule names the row and cell of the channel rules that decided. Row is the line in the file, 0 where no row fits.
type Rule struct {
	Row    int    `json:"row"`
	Column string `json:"column"`
	Cell   string `json:"cell"`
}

// Call is a Task, read as a phone call.
type Call struct {
	TaskID string `json:"task_id"` // 18 characters; of another source the row's id
	// Source is the name of the source of the call; empty for a Task.
	Source  string         `json:"source,omitempty"`
	Visitor string         `json:"bizible_id"`
	At      time.Time      `json:"call_time"`
	AtFrom  string         `json:"call_time_from"` // which entry of the list gave At
	Fields  map[string]any `json:"fields"`         // the Task as read, by API name
	Deleted bool           `json:"deleted,omitempty"`
	// Person is the 18-character id of the Lead or Contact that the call counts for: that of
	// WhoId, else the one that WhatId leads to; of a converted Lead its Contact. Empty: nobody.
	// The store keeps it up to date.
	Person string `json:"person,omitempty"`
	// Written: a record of this call is, or may be, in Salesforce.
	Written bool `json:"-"`
	// Shows is the start of the session that this touchpoint shows; zero: it shows none.
	Shows time.Time `json:"-"`
	// Snapshot is what the call was matched with before its events were pruned.
	Snapshot *Snapshot `json:"snapshot,omitempty"`
}

// Snapshot keeps what a call needs once its visitor's events are gone.
type Snapshot struct {
	Visitor string   `json:"bizible_id"` // the snapshot does not apply to a call whose id was corrected since
	Reason  Reason   `json:"reason"`
	Session *Session `json:"session,omitempty"`
	// Since is the start of the session that the call falls in, else the call's time. Once
	// events from then are pruned, the snapshot alone decides.
	Since    time.Time `json:"since"`
	Distance int64     `json:"distance_seconds,omitempty"`
	Detail   string    `json:"detail,omitempty"`
}

// Reason answers "why is this call (not) tied to a web session".
type Reason string

const (
	Matched            Reason = "matched"
	MatchedClockSkew   Reason = "matched_clock_skew"
	Held               Reason = "held"
	BeforeCollection   Reason = "before_collection"
	NoBizibleID        Reason = "no_bizible_id"
	UnknownVisitor     Reason = "unknown_visitor"
	OutsideWindow      Reason = "outside_window"
	SessionAlreadyUsed Reason = "session_already_credited"
	TaskDeleted        Reason = "task_deleted"
)

// Journey is everything known of one visitor, or of one call without a visitor.
type Journey struct {
	Visitor string
	Events  []Event
	Visits  []Visit
	Calls   []Call
	// Now is the org's clock. Earliest is the earliest event ever stored, of any visitor; zero if there is none.
	Now, Earliest time.Time
	// PrunedBefore: events older than this have been dropped by retention; zero if none.
	// It lies between sessions: see Settings.Prune, which also gives what to remember of them.
	PrunedBefore time.Time
	// PrunedSessions is the number of sessions that have gone. PrunedSteps are those of them that
	// positions need: the first one, and the first one with a form. PrunedLast is the last one,
	// whose channel the next session may inherit.
	PrunedSessions int
	PrunedSteps    []Step
	PrunedLast     *Session
}

// Result is what follows from the Journey of one visitor.
type Result struct {
	Sessions []Session    // by start
	Calls    []Resolution // one for each of Journey.Calls, in the same order
	// Steps are the sessions that positions need: the first one, and every one with a form.
	Steps []Step
	// Facts are what the journeys of persons need of the calls: one for each of Journey.Calls,
	// in the same order; nil where a call means nothing to them.
	Facts []*Fact
	// Retract lists keys of touchpoints that are to be deleted because their basis went.
	Retract []string
	// Wake is when a held call must be resolved again; zero if there is none.
	Wake time.Time
}

// Resolution is the answer for one call.
type Resolution struct {
	TaskID     string      `json:"task_id"`
	Reason     Reason      `json:"reason"`
	Detail     string      `json:"detail"`           // one plain sentence
	Distance   int64       `json:"distance_seconds"` // outside the nearest window; negative before its start
	Session    *Session    `json:"session"`
	Candidates []Candidate `json:"candidates"`
	Rule       Rule        `json:"rule"`
	Snapshot   *Snapshot   `json:"snapshot,omitempty"`
}

// Candidate is a session that was looked at for a call.
type Candidate struct {
	StartedAt   time.Time `json:"started_at"`
	EndedAt     time.Time `json:"ended_at"`
	WindowEnd   time.Time `json:"window_end"`
	LandingPage string    `json:"landing_page"`
	Distance    int64     `json:"distance_seconds"`
	TaskID      string    `json:"task_id,omitempty"` // credited to this call
	Why         string    `json:"why"`
}

// Touchpoint is one record as it should be in Salesforce.
type Touchpoint struct {
	Key    string         // the external id's value
	TaskID string         // empty for a journey record
	Who    string         // Task.WhoId: whose person it belongs to
	Values map[string]any // by API name: string, float64, bool, nil, or PersonRef
	Cut    int            // how many values were too long for their field
	// Position is its position in the journey of its person.
	Position Position
	// Start is that of the session that it shows; zero: it shows none.
	Start time.Time
	// Session is the basis of a journey record; nil for a call's.
	Session *Session
}

// PersonRef is a placeholder for the Bizible Person of a Lead or Contact. It is empty where
// there is nobody. The writer of the record replaces it with the link.
type PersonRef string
