package mapping

import (
	"regexp"
	"strings"
	"time"
)

// record is what a touchpoint is made of: a call with its session, a call alone (a Task
// touchpoint), or a session alone (a journey record).
type record struct {
	s        *Settings
	call     *Call          // nil for a journey record
	session  *Session       // nil for a Task touchpoint
	landing  *landingSource // of session
	position Position
	who      string  // the Lead or Contact that it counts for
	reason   Reason  // of the call; empty for a journey record
	channel  Channel // by the session's values, else by the call's campaign
}

// newRecord finds the channel and the person; o is nil without a session.
func (s *Settings) newRecord(call *Call, x *Session, o *landingSource, where Position) *record {
	r := &record{s: s, call: call, session: x, landing: o, position: where}
	if call != nil {
		r.who = personOf(call)
	}
	if o != nil {
		r.channel = o.channel
	} else {
		var h ruleInput
		h.values[0] = strings.ToLower(r.campaign())
		r.channel = s.rules().classify(h)
	}
	return r
}

// touchpoint fills in every mapped field; one without a value is nil, so that Salesforce clears it.
func (r *record) touchpoint() Touchpoint {
	fields := r.s.fieldMap().fields
	t := Touchpoint{Who: r.who, Position: r.position, Values: make(map[string]any, len(fields))}
	if r.call != nil {
		t.Key, t.TaskID = callKey(r.call.TaskID), r.call.TaskID
	} else {
		t.Key, t.Session = JourneyKey(r.who, r.session.ID), r.session
	}
	if r.session != nil {
		t.Start = r.session.StartedAt
	}
	for i := range fields {
		f := &fields[i]
		value, short := f.fit(f.read(r))
		if short {
			t.Cut++
		}
		t.Values[f.name] = value
	}
	return t
}

func (r *record) task(field string) any {
	if r.call == nil {
		return nil
	}
	return lookup(r.call.Fields, field)
}

func (r *record) taskType() string { return clean(textOf(r.task("Type"))) }

func (r *record) kind() string {
	switch typ := r.taskType(); {
	case typ != "":
		return typ
	case r.call == nil && r.session.FormURL != "":
		return "Web Form"
	}
	return "Web Visit"
}

func (r *record) medium() string {
	switch typ := r.taskType(); {
	case typ != "":
		return typ
	case r.session == nil:
		return webMedium
	}
	return r.session.Medium
}

func (r *record) date() time.Time {
	if r.session == nil {
		return r.call.At
	}
	return r.session.StartedAt
}

func (r *record) sourceName() string {
	if r.session == nil {
		return "CRM Activity"
	}
	return r.session.Source
}

func (r *record) campaign() string {
	if r.session == nil {
		return clean(fillIn(r.s.CallCampaign, r.call.Fields))
	}
	return r.session.Campaign
}

func (r *record) adContent() string {
	if r.session == nil {
		return withoutPersonal(clean(textOf(r.task("Subject"))))
	}
	return r.param("utm_content")
}

func (r *record) adID() string {
	if r.session == nil {
		return r.call.TaskID
	}
	return r.param("_bt", "hsa_ad")
}

// param is the first of the landing page's parameters that has a value.
func (r *record) param(keys ...string) string {
	if r.landing == nil {
		return ""
	}
	return r.landing.params.get(keys...)
}

// destination is where the ad of a paid search led to.
func (r *record) destination() string {
	if r.landing == nil || !r.landing.paidSearch() {
		return ""
	}
	return withoutTracking(r.landing.page.raw)
}

// idParam is the first of the parameters whose value is a number, as ids of ad systems are.
func (r *record) idParam(keys ...string) string { return r.paramWhere(isNumber, keys...) }

// nameParam is the first of the parameters whose value is no mere number, which would be an id.
func (r *record) nameParam(keys ...string) string {
	return r.paramWhere(func(s string) bool { return !isNumber(s) }, keys...)
}

func (r *record) paramWhere(ok func(string) bool, keys ...string) string {
	for _, key := range keys {
		if value := r.param(key); value != "" && ok(value) {
			return value
		}
	}
	return ""
}

// keywordTarget is the keyword in Google's {targetid}: kwd-123, or aud-9:kwd-123 with an audience.
var keywordTarget = regexp.MustCompile(`^(?:[a-z]+-\d+:)*kwd-(\d+)$`)

// keywordID is the id of the keyword that the ad was shown for.
func (r *record) keywordID() string {
	if m := keywordTarget.FindStringSubmatch(strings.ToLower(r.param("hsa_tgt"))); m != nil {
		return m[1]
	}
	return r.param("utm_keyword_id", "utm_keywordid")
}

// accountID is the Account of the call's Contact. Salesforce takes a Task's Account from its
// WhatId, and from the Contact only where WhatId is empty: then the Account is certain.
func (r *record) accountID() string {
	if textOf(r.task("WhatId")) != "" || r.call == nil || !strings.HasPrefix(r.call.WhoID(), "003") {
		return ""
	}
	if account := ID18(textOf(r.task("AccountId"))); strings.HasPrefix(account, "001") {
		return account
	}
	return ""
}

// caseID is the Case that the Task is about.
func (r *record) caseID() string {
	if what := ID18(textOf(r.task("WhatId"))); strings.HasPrefix(what, "500") {
		return what
	}
	return ""
}

// matchType spells out the letter that the ad platform put into the landing page.
func (r *record) matchType() string {
	switch strings.ToLower(r.param("_bm")) {
	case "e":
		return "Exact"
	case "p":
		return "Phrase"
	case "b":
		return "Broad"
	}
	return ""
}

// web returns a value that only a session has.
func (r *record) web(read func(x *Session, o *landingSource) string) string {
	if r.session == nil {
		return ""
	}
	return read(r.session, r.landing)
}

// person returns the Lead or Contact whose Bizible Person the touchpoint hangs from; empty for nobody.
func (r *record) person() any { return PersonRef(r.who) }

func (r *record) contact() string {
	if strings.HasPrefix(r.who, "003") {
		return r.who
	}
	return ""
}
