package mapping

import (
	"fmt"
	"strings"
	"time"
)

// candidates lists the sessions around a call, by start, each with the reason why it does or does not match.
func (r *resolver) candidates(m *match) []Candidate {
	list := []Candidate{}
	if m.call.Visitor == "" {
		return list
	}
	if m.frozen {
		if x := m.call.Snapshot.Session; x != nil {
			list = append(list, Candidate{
				StartedAt: x.StartedAt, EndedAt: x.EndedAt, WindowEnd: r.s.windowEnd(x), LandingPage: x.LandingPage, TaskID: m.call.TaskID,
				Why: "the call was matched with it before its events were dropped by retention",
			})
		}
		return list
	}
	for i := max(0, m.before-1); i <= m.before+1 && i < len(r.sessions); i++ {
		x := &r.sessions[i]
		away := r.s.outside(x, m.call.At)
		list = append(list, Candidate{
			StartedAt: x.StartedAt, EndedAt: x.EndedAt, WindowEnd: r.s.windowEnd(x),
			LandingPage: x.LandingPage, Distance: int64(away / time.Second), TaskID: x.TaskID,
			Why: r.why(m, i, away),
		})
	}
	return list
}

func (r *resolver) why(m *match, i int, away time.Duration) string {
	x := &r.sessions[i]
	joined := "the call falls in its window"
	if m.session == i && i > m.before {
		joined = fmt.Sprintf("it starts %s after the call, within the clock skew of %s", span(-away), span(r.s.ClockSkew))
	}
	switch {
	case m.session == i && m.taken != "":
		return joined + ", but it is credited to call " + m.taken
	case m.session == i && m.reason == TaskDeleted:
		return joined + ", but the Task is deleted"
	case m.session == i:
		return joined
	case away < 0:
		return fmt.Sprintf("it starts %s after the call", span(-away))
	case !x.Cut.IsZero() && r.s.windowEnd(x).Equal(x.Cut):
		return fmt.Sprintf("its window was cut at %s by the next session, %s before the call", clock(x.Cut), span(away))
	}
	if away == 0 {
		return "its window closed just as the call began"
	}
	return fmt.Sprintf("its window closed %s before the call", span(away))
}

// detail is the answer to "why is this call (not) tied to a session", in one sentence.
func (r *resolver) detail(m *match, x *Session) string {
	at := clock(m.call.At)
	if m.frozen && !m.call.Deleted {
		return m.call.Snapshot.Detail
	}
	switch m.reason {
	case Matched:
		return fmt.Sprintf("The call at %s falls in the window of the session that started at %s, was last active at %s and takes calls until %s.",
			at, clock(x.StartedAt), clock(x.EndedAt), clock(r.s.windowEnd(x)))
	case MatchedClockSkew:
		return fmt.Sprintf("The call at %s falls in no window, but a session starts %s later at %s, within the clock skew of %s.",
			at, span(x.StartedAt.Sub(m.call.At)), clock(x.StartedAt), span(r.s.ClockSkew))
	case Held:
		return fmt.Sprintf("The call at %s falls in no window yet and waits until %s, as its session may still arrive%s.",
			at, clock(m.call.At.Add(r.s.UnmatchedHold)), r.nearest(m, "; ", ""))
	case BeforeCollection:
		if r.j.Earliest.IsZero() {
			return fmt.Sprintf("The call at %s came before any web event was collected, so nothing can be said about its session.", at)
		}
		return fmt.Sprintf("The call at %s came %s before the first web event ever collected (%s), so nothing can be said about its session.",
			at, span(r.j.Earliest.Sub(m.call.At)), clock(r.j.Earliest))
	case NoBizibleID:
		if m.call.Source != "" {
			return fmt.Sprintf("The row has no BizibleId where the source %s looks for it: check bizible_id in CALLPOINT_CALL_SOURCES, and that the vendor records the _biz_uid cookie.", m.call.Source)
		}
		what := "The Task has no BizibleId in "
		if textOf(lookup(m.call.Fields, r.s.BizibleIDField)) != "" {
			what = "The Task has something that cannot be a BizibleId in "
		}
		return what + r.s.BizibleIDField + ": take it up with the call-tracking vendor, who copies it there."
	case UnknownVisitor:
		if len(r.j.Events) > 0 {
			return "Of this BizibleId an id mapping is known, but no page view or form: the site's script does not report its views here."
		}
		return "No web event was ever collected for this BizibleId: is the script on the page that shows the number, and is consent given?"
	case OutsideWindow:
		return fmt.Sprintf("The call at %s falls in no window%s.", at, r.nearest(m, ": it came ", "; what the visitor did earlier has been dropped by retention"))
	case SessionAlreadyUsed:
		return fmt.Sprintf("The call at %s falls in the session that started at %s, which is credited to the call %s already.",
			at, clock(r.sessions[m.session].StartedAt), m.taken)
	case TaskDeleted:
		kept := "no touchpoint was written for it"
		switch {
		case m.call.Written && r.s.RetractDelete:
			kept = "its touchpoint is deleted with it"
		case m.call.Written:
			kept = "its touchpoint stays as it was"
		}
		return "The Task is deleted in Salesforce: " + kept + "."
	}
	return ""
}

// nearest describes the distance to the nearest session, after intro; without a session it returns none.
func (r *resolver) nearest(m *match, intro, none string) string {
	before := r.sessionBefore(m)
	switch {
	case m.distance < 0:
		x := &r.sessions[m.before+1]
		return fmt.Sprintf("%s%s before the session of %s started", intro, span(-m.distance), clock(x.StartedAt))
	case before != nil && m.distance == 0:
		return fmt.Sprintf("%sjust as the window of the session of %s closed (%s)", intro, clock(before.StartedAt), clock(r.s.windowEnd(before)))
	case before != nil:
		return fmt.Sprintf("%s%s after the window of the session of %s closed (%s)", intro, span(m.distance), clock(before.StartedAt), clock(r.s.windowEnd(before)))
	}
	return none
}

// clock formats a time in UTC, with milliseconds if there are any.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.999 UTC") }

// span formats a duration with up to two units: 45 s, 18 min, 3 h 5 min, 2 d 4 h.
func span(d time.Duration) string {
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	var parts []string
	for _, u := range units {
		if n := d / u.size; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, u.name))
			d -= n * u.size
		}
	}
	if d == 0 && len(parts) == 0 {
		return "0 s"
	}
	if len(parts) == 0 {
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	}
	return strings.Join(parts[:min(2, len(parts))], " ")
}
