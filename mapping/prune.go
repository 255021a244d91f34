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
	for _, x := range slices.Backward(r.sessions) {
		if x.StartedAt.Before(before) && !x.EndedAt.Before(before) {
			before = x.StartedAt
		}
	}
	if !before.After(j.PrunedBefore) {
		return
	}
	for _, x := range r.sessions {
		if !x.StartedAt.Before(before) {
			break
		}
		j.PrunedSessions++
		j.PrunedLast = &x
		if !x.FormAt.IsZero() && (j.PrunedForm.IsZero() || x.FormAt.Before(j.PrunedForm)) {
			j.PrunedForm = x.FormAt
		}
	}
	var events []Event
	for _, e := range j.Events {
		if !e.At.Before(before) {
			events = append(events, e)
		}
	}
	var visits []Visit
	for _, v := range j.Visits {
		if !v.StartedAt.Before(before) {
			visits = append(visits, v)
		}
	}
	j.Events, j.Visits, j.PrunedBefore = events, visits, before
}
