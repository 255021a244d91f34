package mapping

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// Settings are the operator's choices. Start from Default; Resolve only reads them.
type Settings struct {
	SessionTimeout   time.Duration // a gap this long ends a session
	SessionWindow    time.Duration // how long after its last activity a session may get a call
	WindowFromStart  bool          // count SessionWindow from the session's start instead
	ClockSkew        time.Duration // how long after a call its session may seem to start
	UnmatchedHold    time.Duration // how long a call without a session waits for one
	ChannelCarryover time.Duration // how long a Direct session inherits the previous channel; 0 is never

	OwnDomains       []string // sites of one's own, beside the page's own domain
	IgnoredReferrers []string // hosts that one passes through, such as a payment page

	WriteBeforeCollection bool // write Task touchpoints for calls before the first event
	RetractDelete         bool // delete touchpoints whose basis went, instead of keeping them
	Journey               bool // write the web touchpoints of visitors who called, too

	CallCampaign   string   // the campaign of a Task touchpoint; {Field} is replaced from the Task
	BizibleIDField string   // the Task field that holds the BizibleId
	CallTime       []string // Task fields for the start of the call, A or A-B, best first

	Rules  *Rules    // channel rules; nil is the built-in file
	Fields *FieldMap // field map; nil is the built-in map

	dropped map[string]bool // Task fields that the org lacks, in lower case
}

// Default returns the settings without configuration.
func Default() *Settings {
	return &Settings{
		SessionTimeout: 30 * time.Minute,
		SessionWindow:  30 * time.Minute,
		ClockSkew:      time.Minute,
		UnmatchedHold:  10 * time.Minute,
		CallCampaign:   "Phone Call",
		BizibleIDField: "bizible2__BizibleId__c",
		CallTime:       []string{"bizible2__Bizible_Touchpoint_Date__c", "CreatedDate-CallDurationInSeconds"},
		Rules:          DefaultRules(),
		Fields:         DefaultFields(),
	}
}

// alwaysRead are the Task fields without which no call can be followed. Every org has them.
var alwaysRead = []string{"Id", "IsDeleted", "SystemModstamp", "CreatedDate"}

// TaskFields lists the Task fields that must be queried, sorted, each once.
func (s *Settings) TaskFields() []string {
	names := append(slices.Clone(alwaysRead), s.BizibleIDField)
	for _, name := range s.optionalFields() {
		if !s.dropped[strings.ToLower(name)] {
			names = append(names, name)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return slices.CompactFunc(names, strings.EqualFold)
}

// optionalFields are the Task fields that enrich a call, and that an org may lack or hide.
func (s *Settings) optionalFields() []string {
	names := []string{"Type", "Subject", "WhoId", "WhatId"}
	for _, entry := range s.CallTime {
		at, minus, _ := strings.Cut(entry, "-")
		names = append(names, strings.TrimSpace(at))
		if minus = strings.TrimSpace(minus); minus != "" {
			names = append(names, minus)
		}
	}
	names = append(names, fieldsIn(s.CallCampaign)...)
	return append(names, s.fieldMap().taskFields(func(*field) bool { return true })...)
}

// DropTaskFields forgets the fields that the org lacks, and returns their names. Of a
// call-time entry A-B it keeps A when only B is missing. The id field is never dropped:
// without it there is nothing to do, and that is for the caller to report.
func (s *Settings) DropTaskFields(missing func(field string) bool) []string {
	var gone []string
	for _, name := range s.optionalFields() {
		key := strings.ToLower(name)
		if s.dropped[key] || isAlwaysRead(name) || strings.EqualFold(name, s.BizibleIDField) || !missing(name) {
			continue
		}
		if s.dropped == nil {
			s.dropped = make(map[string]bool)
		}
		s.dropped[key] = true
		gone = append(gone, name)
	}
	var kept []string
	for _, entry := range s.CallTime {
		at, minus, _ := strings.Cut(entry, "-")
		switch {
		case s.dropped[strings.ToLower(strings.TrimSpace(at))]:
		case s.dropped[strings.ToLower(strings.TrimSpace(minus))]:
			kept = append(kept, strings.TrimSpace(at))
		default:
			kept = append(kept, entry)
		}
	}
	s.CallTime = kept
	return gone
}

func isAlwaysRead(name string) bool {
	return slices.ContainsFunc(alwaysRead, func(f string) bool { return strings.EqualFold(f, name) })
}

func (s *Settings) rules() *Rules {
	if s.Rules == nil {
		return DefaultRules()
	}
	return s.Rules
}

func (s *Settings) fieldMap() *FieldMap {
	if s.Fields == nil {
		return DefaultFields()
	}
	return s.Fields
}

// fieldRef is a Task field in a text: {Type}, or {Owner.Name} across a relationship.
var fieldRef = regexp.MustCompile(`\{([A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*)\}`)

// fieldsIn names the Task fields in a text.
func fieldsIn(text string) []string {
	var names []string
	for _, m := range fieldRef.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

// fillIn replaces every {Field} of a text with its value from the Task; a field without a value is removed.
func fillIn(text string, task map[string]any) string {
	if !strings.Contains(text, "{") {
		return text
	}
	return fieldRef.ReplaceAllStringFunc(text, func(ref string) string {
		return textOf(lookup(task, ref[1:len(ref)-1]))
	})
}
