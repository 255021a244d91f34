package mapping

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// windowEnd is where a session stops taking calls: its own window, cut at the next session's start.
func (s *Settings) windowEnd(x *Session) time.Time {
	end := x.EndedAt
	if s.WindowFromStart {
		end = x.StartedAt
	}
	end = end.Add(s.SessionWindow)
	if !x.Cut.IsZero() && end.After(x.Cut) {
		end = x.Cut
	}
	return end
}

// outside returns the distance of a time from a session's window: negative before its start, zero within it.
func (s *Settings) outside(x *Session, at time.Time) time.Duration {
	if at.Before(x.StartedAt) {
		return at.Sub(x.StartedAt)
	}
	return max(0, at.Sub(s.windowEnd(x)))
}

// match is the result of matching one call.
type match struct {
	call     *Call
	reason   Reason
	before   int           // the latest session that starts at or before the call; -1 if there is none
	session  int           // the session that the call joins by time, credited or not; -1 if there is none
	distance time.Duration // outside the nearest window
	taken    string        // the other call that has the session's credit
	frozen   bool          // its events are pruned: the snapshot decides
}

// credited reports whether the call gets the session's credit.
func (m *match) credited() bool { return m.reason == Matched || m.reason == MatchedClockSkew }

// matchCalls ties calls to sessions. Windows never overlap, since each is cut at the next start,
// so only the latest session that starts at or before a call can hold it.
func (r *resolver) matchCalls() {
	taken := make([]string, len(r.sessions))
	for _, i := range r.byTime {
		m := &r.matches[i]
		r.findSession(m)
		switch call := m.call; {
		case call.Deleted:
			m.reason = TaskDeleted
		case call.Visitor == "":
			m.reason = NoBizibleID
		case m.frozen:
			m.reason = call.Snapshot.Reason
			m.distance = time.Duration(call.Snapshot.Distance) * time.Second
		case m.session >= 0 && taken[m.session] != "":
			m.reason, m.taken = SessionAlreadyUsed, taken[m.session]
		case m.session >= 0:
			m.reason = Matched
			if m.session != m.before {
				m.reason = MatchedClockSkew
			}
			taken[m.session] = call.TaskID
			r.sessions[m.session].TaskID = call.TaskID
		case r.j.Now.Sub(call.At) < r.s.UnmatchedHold:
			m.reason = Held
		case r.j.Earliest.IsZero() || call.At.Before(r.j.Earliest):
			m.reason = BeforeCollection
		case len(r.sessions) == 0 && r.j.PrunedSessions == 0:
			m.reason = UnknownVisitor
		default:
			m.reason = OutsideWindow
		}
	}
}

// findSession finds the session that a call joins by its time alone, and the nearest one.
func (r *resolver) findSession(m *match) {
	at := m.call.At
	m.before = sort.Search(len(r.sessions), func(i int) bool { return r.sessions[i].StartedAt.After(at) }) - 1
	m.session = -1
	if m.call.Visitor == "" {
		return
	}
	next := m.before + 1
	if m.before >= 0 && at.Before(r.s.windowEnd(&r.sessions[m.before])) {
		m.session = m.before
		return
	}
	if next < len(r.sessions) && r.sessions[next].StartedAt.Sub(at) <= r.s.ClockSkew {
		m.session = next
		return
	}
	before := r.sessionBefore(m)
	if before != nil {
		m.distance = r.s.outside(before, at)
	}
	if next < len(r.sessions) {
		if d := r.s.outside(&r.sessions[next], at); before == nil || -d < m.distance {
			m.distance = d
		}
	}
}

// sessionBefore returns the latest session that starts at or before a call, also if retention
// has dropped it since; nil if there is none.
func (r *resolver) sessionBefore(m *match) *Session {
	if m.before >= 0 {
		return &r.sessions[m.before]
	}
	last := r.j.PrunedLast
	if last == nil || last.StartedAt.After(m.call.At) {
		return nil
	}
	dropped := *last
	if dropped.Cut.IsZero() && len(r.sessions) > 0 {
		dropped.Cut = r.sessions[0].StartedAt
	}
	if m.call.At.Before(r.s.windowEnd(&dropped)) {
		return nil // it came in its window, and its snapshot knows the answer
	}
	return &dropped
}

// isFrozen reports whether the events a call was matched with are pruned, so that only its snapshot
// can be used. Held and before_collection calls have no result worth keeping.
func isFrozen(c *Call, prunedBefore time.Time) bool {
	shot := c.Snapshot
	if shot == nil || prunedBefore.IsZero() || shot.Visitor != c.Visitor {
		return false
	}
	switch shot.Reason {
	case Matched, MatchedClockSkew, UnknownVisitor, OutsideWindow, SessionAlreadyUsed:
	default:
		return false
	}
	return shot.Since.Before(prunedBefore)
}

// callsByTime returns the order in which calls claim sessions: by time, then by Task id.
func callsByTime(calls []Call) []int {
	order := make([]int, len(calls))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(calls[a].At.Compare(calls[b].At), cmp.Compare(calls[a].TaskID, calls[b].TaskID))
	})
	return order
}
