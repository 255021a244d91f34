package mapping

import (
	"cmp"
	"time"
)

// Match returns what follows from all that is known of one visitor: the sessions, the answer for
// every call, and what the journeys of the persons who called need of both. Place and the
// touchpoints come after it.
func (s *Settings) Match(j Journey) Result {
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
	r.result.Sessions = r.sessions
	r.result.Steps = r.steps()
	r.result.Calls = make([]Resolution, len(j.Calls))
	r.result.Facts = make([]*Fact, len(j.Calls))
	for i := range r.matches {
		r.buildResult(i)
	}
	return r.result
}

// A Resolved visitor is what follows from a Journey if the persons who called have no other visitor.
type Resolved struct {
	Result
	Touchpoints []Touchpoint // the desired records
}

// Resolve is Match, and then Place for every person who called, by this visitor alone. Sessions have
// their positions in the journey of the first person.
func (s *Settings) Resolve(j Journey) Resolved {
	all := Resolved{Result: s.Match(j)}
	people := map[string]*PersonJourney{}
	calls := map[string]int{}
	var order []string
	for _, i := range callsByTime(j.Calls) {
		f, who := all.Facts[i], personOf(&j.Calls[i])
		if f == nil {
			continue
		}
		if people[who] == nil {
			people[who] = &PersonJourney{Person: who, Followed: who != "",
				Visitors: []VisitorSteps{{Visitor: j.Visitor, Steps: all.Steps, PrunedBefore: j.PrunedBefore}}}
			order = append(order, who)
		}
		people[who].Facts = append(people[who].Facts, *f)
		calls[f.TaskID] = i
	}
	if len(order) == 0 { // nobody called
		people[""], order = &PersonJourney{Visitors: []VisitorSteps{{Visitor: j.Visitor, Steps: all.Steps}}}, []string{""}
	}
	records := make([]*Touchpoint, len(j.Calls))
	var web []Touchpoint
	for n, who := range order {
		placed := s.Place(*people[who])
		if n == 0 {
			for i := range all.Sessions {
				x := &all.Sessions[i]
				x.Position = placed.Session(j.Visitor, x.ID).String()
			}
		}
		for k, f := range people[who].Facts {
			if i := calls[f.TaskID]; f.Writes {
				t := s.CallTouchpoint(&j.Calls[i], &all.Calls[i], placed.Positions[k])
				records[i] = &t
			}
		}
		for _, w := range placed.Web {
			if w.Step.Session != nil {
				web = append(web, s.WebTouchpoint(who, *w.Step.Session, w.Position))
			}
		}
	}
	for _, t := range records {
		if t != nil {
			all.Touchpoints = append(all.Touchpoints, *t)
		}
	}
	all.Touchpoints = append(all.Touchpoints, web...)
	return all
}

// resolver carries one visitor through the steps of Match.
type resolver struct {
	s        *Settings
	j        *Journey
	sites    siteCache
	sessions []Session
	landings []*landingSource // of sessions
	matches  []match          // of j.Calls
	byTime   []int            // j.Calls in the order in which they claim sessions
	result   Result
}

// buildResult writes down the answer for a call, and what it means to the journey of its person.
func (r *resolver) buildResult(i int) {
	m, out := &r.matches[i], &r.result.Calls[i]
	*out = Resolution{TaskID: m.call.TaskID, Reason: m.reason, Distance: int64(m.distance / time.Second)}
	var x *Session
	var o *landingSource
	switch {
	case m.frozen:
		if shot := m.call.Snapshot.Session; shot != nil && m.credited() {
			kept := *shot
			kept.TaskID = m.call.TaskID
			x, o = &kept, r.s.classify(r.sites, &kept)
		}
	case m.credited():
		kept := r.sessions[m.session]
		x, o = &kept, r.landings[m.session]
	}
	out.Session, out.Rule = x, r.s.newRecord(m.call, x, o, Position{}).channel.Rule
	out.Candidates = r.candidates(m)
	out.Detail = r.detail(m, x)
	out.Snapshot = r.snapshot(m, out)
	if m.reason == Held {
		if wake := m.call.At.Add(r.s.UnmatchedHold); r.result.Wake.IsZero() || wake.Before(r.result.Wake) {
			r.result.Wake = wake
		}
	}
	if r.retracts(m) {
		r.result.Retract = append(r.result.Retract, callKey(m.call.TaskID))
		return
	}
	r.result.Facts[i] = r.fact(m, x)
}

// writes reports whether the call's touchpoint is written as it is worked out now.
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

// snapshot returns what must be stored of a call, so that it can be mapped again when its events are gone.
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
		Distance: out.Distance, Detail: out.Detail,
	}
}

// callKey is the external id of a call's touchpoint. The prefix keeps clear of Marketo Measure's own rows.
func callKey(taskID string) string { return "callpoint_" + taskID }

// JourneyKey returns the external id of a person's journey record for a session, which its id names together with the visitor.
func JourneyKey(person, sessionID string) string { return "callpoint_s_" + hashID(person, sessionID) }

// personOf returns the person that a call counts for, whether it comes from the store or was just read.
func personOf(c *Call) string { return cmp.Or(c.Person, c.WhoID()) }
