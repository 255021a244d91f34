package mapping

import (
	"slices"
	"time"
)

// Prune drops from a journey what lies before a time, and notes what must be remembered of it.
// Sessions go whole: where one reaches across, the line is drawn at its start, so that what is
// left of it never looks like a new session. Calls stay: their snapshots speak for them. Events
// before the journey's PrunedBefore are to be refused from then on.
func (s *Settings) Prune(j *Journey, before time.Time) {
	r := resolver{s: s, j: j, sites: siteCache{}, sessions: s.Sessions(j.Visitor, j.Events, j.Visits)}
	r.classifyAll()
	visits := latestVisits(j.Visits)
	before = r.lineBefore(visits, before)
	if !before.After(j.PrunedBefore) {
		return
	}
	for _, x := range r.sessions {
		if !x.StartedAt.Before(before) {
			break
		}
		j.PrunedSessions++
		j.PrunedLast = &x
		j.PrunedSteps = s.keepStep(j.PrunedSteps, &x)
	}
	j.Events = slices.DeleteFunc(slices.Clone(j.Events), func(e Event) bool { return e.At.Before(before) })
	j.Visits = slices.DeleteFunc(visits, func(v Visit) bool { return v.StartedAt.Before(before) })
	j.PrunedBefore = before
}

// lineBefore moves a time back until it lies within no session and no finished visit.
func (r *resolver) lineBefore(visits []Visit, line time.Time) time.Time {
	for {
		was := line
		for _, x := range slices.Backward(r.sessions) {
			if x.StartedAt.Before(line) && !x.EndedAt.Before(line) {
				line = x.StartedAt
			}
		}
		for _, v := range visits { // a visit that the next one cut still absorbs events
			if v.StartedAt.Before(line) && !v.EndedAt.Before(line) {
				line = v.StartedAt
			}
		}
		if line.Equal(was) {
			return line
		}
	}
}

// keepStep adds a session to those that positions need, if it is the first one, or the first
// one with a form.
func (s *Settings) keepStep(steps []Step, x *Session) []Step {
	hasForm := slices.ContainsFunc(steps, func(x Step) bool { return !x.Form.IsZero() })
	if len(steps) == 0 || !hasForm && !x.FormAt.IsZero() {
		return append(slices.Clip(steps), s.step(x))
	}
	return steps
}
