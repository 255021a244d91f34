package mapping

import (
	"cmp"
	"slices"
	"time"
)

// Resolve says what follows from all that is known of one visitor: the sessions, the answer
// for every call, and the touchpoints that should stand in Salesforce.
func (s *Settings) Resolve(j Journey) Result {
	r := resolver{s: s, j: &j, sites: siteCache{}}
	r.sessions = s.Sessions(j.Visitor, j.Events, j.Visits)
	r.byTime = callsByTime(j.Calls)
	r.matches = make([]match, len(j.Calls))
	for i := range j.Calls {
		c := &j.Calls[i]
		r.matches[i] = match{call: c, frozen: isFrozen(c, j.PrunedBefore), session: -1, before: -1}
	}
	r.classifyAll()
	r.matchCalls()
	r.setPositions()
	r.result.Sessions = r.sessions
	r.result.Calls = make([]Resolution, len(j.Calls))
	for i := range r.matches {
		r.buildResult(i)
	}
	r.journey()
	return r.result
}

// resolver carries one visitor through the steps of Resolve.
type resolver struct {
	s         *Settings
	j         *Journey
	sites     siteCache
	sessions  []Session
	landings  []*landingSource // of sessions
	positions []touchPosition  // of sessions
	matches   []match          // of j.Calls
	byTime    []int            // j.Calls in the order in which they claim sessions
	result    Result
}

// buildResult writes down the answer for a call, and its touchpoint.
func (r *resolver) buildResult(i int) {
	m, out := &r.matches[i], &r.result.Calls[i]
	*out = Resolution{TaskID: m.call.TaskID, Reason: m.reason, Distance: int64(m.distance / time.Second)}
	var x *Session
	var o *landingSource
	switch {
	case m.frozen:
		if shot := m.call.Snapshot.Session; shot != nil && m.credited() {
			kept := *shot
			kept.TaskID, kept.Position = m.call.TaskID, m.position.String()
			x, o = &kept, r.s.classify(r.sites, &kept)
		}
	case m.credited():
		kept := r.sessions[m.session]
		x, o = &kept, r.landings[m.session]
	}
	rec := r.s.newRecord(m.call, x, o, m.position)
	rec.reason = m.reason
	out.Session, out.Rule = x, rec.channel.Rule
	out.Candidates = r.candidates(m)
	out.Detail = r.detail(m, x)
	out.Snapshot = r.snapshot(m, out)
	if m.reason == Held {
		if wake := m.call.At.Add(r.s.UnmatchedHold); r.result.Wake.IsZero() || wake.Before(r.result.Wake) {
			r.result.Wake = wake
		}
	}
	switch {
	case r.retracts(m):
		r.result.Retract = append(r.result.Retract, callKey(m.call.TaskID))
	case r.writes(m):
		r.result.Touchpoints = append(r.result.Touchpoints, rec.touchpoint())
	}
}

// writes reports whether the call's touchpoint should stand as it is worked out now.
func (r *resolver) writes(m *match) bool {
	switch m.reason {
	case TaskDeleted:
		return false // what was written stays as it is
	case NoBizibleID, Held:
		return m.call.Written
	case BeforeCollection:
		return m.call.Written || r.s.WriteBeforeCollection
	}
	return true
}

// retracts reports whether a touchpoint that was written must go with its basis.
func (r *resolver) retracts(m *match) bool {
	return r.s.RetractDelete && m.call.Written && (m.reason == TaskDeleted || m.reason == NoBizibleID)
}

// snapshot is what must be stored of a call, so that it can be mapped again when its events are gone.
func (r *resolver) snapshot(m *match, out *Resolution) *Snapshot {
	if m.frozen || m.reason == TaskDeleted {
		return m.call.Snapshot
	}
	since := m.call.At
	if m.session >= 0 {
		since = r.sessions[m.session].StartedAt
	}
	return &Snapshot{
		Visitor: m.call.Visitor, Reason: m.reason, Session: out.Session, Since: since,
		FirstTouch: m.position.first, LeadCreate: m.position.lead,
		Distance: out.Distance, Detail: out.Detail,
	}
}

// callKey is the external id of a call's touchpoint. The prefix keeps clear of Marketo Measure's own rows.
func callKey(taskID string) string { return "callpoint_" + taskID }

// journeyKey is the external id of a journey touchpoint.
func journeyKey(sessionID string) string { return "callpoint_s_" + sessionID }

// journey adds the web touchpoints of a visitor who called: the first visit, and forms. It also
// mends what stands in Salesforce for a session that is no longer there.
func (r *resolver) journey() {
	if !r.s.Journey {
		return
	}
	who, called := r.firstCaller()
	wanted := make(map[string]bool)
	for i := range r.sessions {
		x := r.sessions[i]
		if !called || x.TaskID != "" || r.positions[i] == (touchPosition{}) {
			continue
		}
		wanted[journeyKey(x.ID)] = true
		r.webTouchpoint(x, r.landings[i], who, r.positions[i])
	}
	for _, old := range r.j.Standing {
		if wanted[old.Key] {
			continue
		}
		x, who := old.Session, old.Who
		pruned := x.StartedAt.Before(r.j.PrunedBefore)
		if !pruned && r.s.RetractDelete {
			r.result.Retract = append(r.result.Retract, old.Key)
			continue
		}
		var where touchPosition
		if pruned {
			where = parsePosition(x.Position)
		}
		x.Position = where.String()
		r.webTouchpoint(x, r.s.classify(r.sites, &x), who, where)
		r.result.Touchpoints[len(r.result.Touchpoints)-1].Key = old.Key
	}
	slices.Sort(r.result.Retract)
}

func (r *resolver) webTouchpoint(x Session, o *landingSource, who string, where touchPosition) {
	rec := r.s.newRecord(nil, &x, o, where)
	rec.who = who
	r.result.Touchpoints = append(r.result.Touchpoints, rec.touchpoint())
}

// firstCaller reports whether the visitor called, and as whom: the first call by time that has a person.
func (r *resolver) firstCaller() (who string, called bool) {
	for _, i := range r.byTime {
		m := &r.matches[i]
		if m.call.Visitor == "" || m.reason == Held && !m.call.Written || !r.converts(m) {
			continue
		}
		called = true
		if who == "" {
			who = personOf(m.call)
		}
	}
	return who, called
}

// personOf returns the person that a call counts for, whether it comes from the store or was just read.
func personOf(c *Call) string { return cmp.Or(c.Person, c.WhoID()) }
