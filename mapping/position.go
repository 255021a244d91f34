package mapping

import (
	"slices"
	"strings"
	"time"
)

// touchPosition is where something stands in its visitor's journey.
type touchPosition struct {
	first     bool // the first touch
	lead      bool // the first conversion: Adobe's lead creation
	converted bool // a conversion, first or later
}

// String is the touchpoint position: "FT", "LC", "PostLC" or "FT, LC".
func (p touchPosition) String() string {
	var parts []string
	if p.first {
		parts = append(parts, "FT")
	}
	switch {
	case p.lead:
		parts = append(parts, "LC")
	case p.converted:
		parts = append(parts, "PostLC")
	}
	return strings.Join(parts, ", ")
}

// parsePosition reads a position back.
func parsePosition(position string) touchPosition {
	parts := strings.Split(position, ", ")
	return touchPosition{
		first:     slices.Contains(parts, "FT"),
		lead:      slices.Contains(parts, "LC"),
		converted: strings.Contains(position, "LC"),
	}
}

func (p touchPosition) firstTouch() float64 { return count(p.first) }
func (p touchPosition) leadCreate() float64 { return count(p.lead) }

// uShaped gives half the credit to the first touch and half to the lead's creation.
func (p touchPosition) uShaped() float64 { return (count(p.first) + count(p.lead)) / 2 }

func count(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// step is one touch of a journey: a session, or a call that has no session.
type step struct {
	at, converted time.Time // converted is zero where there was no conversion
	position      *touchPosition
}

// setPositions finds the first touch and the first conversion of the journey.
func (r *resolver) setPositions() {
	r.positions = make([]touchPosition, len(r.sessions))
	steps := make([]step, len(r.sessions), len(r.sessions)+len(r.matches))
	for i := range r.sessions {
		steps[i] = step{r.sessions[i].StartedAt, r.sessions[i].FormAt, &r.positions[i]}
	}
	// What retention dropped came before all that is left.
	hadFirst, hadLead := r.j.PrunedSessions > 0, !r.j.PrunedForm.IsZero()
	for _, i := range r.byTime {
		m := &r.matches[i]
		switch {
		case m.call.Visitor == "":
			m.position = touchPosition{true, true, true} // nothing else is known of the caller
		case !r.converts(m):
		case m.frozen:
			hadFirst, hadLead = true, true
			m.position = touchPosition{m.call.Snapshot.FirstTouch, m.call.Snapshot.LeadCreate, true}
		case m.session >= 0 && m.taken == "":
			// One session has one conversion, the earlier of form and call.
			if at := &steps[m.session].converted; at.IsZero() || m.call.At.Before(*at) {
				*at = m.call.At
			}
		default:
			steps = append(steps, step{m.call.At, m.call.At, &m.position})
		}
	}
	markFirsts(steps, hadFirst, hadLead)
	for i := range r.sessions {
		r.sessions[i].Position = r.positions[i].String()
	}
	for i := range r.matches {
		if m := &r.matches[i]; m.credited() && !m.frozen {
			m.position = r.positions[m.session]
		}
	}
}

// markFirsts gives every step its place. Of equal times the one that comes earlier in the list is first.
func markFirsts(steps []step, hadFirst, hadLead bool) {
	first, lead := -1, -1
	for i, x := range steps {
		if first < 0 || x.at.Before(steps[first].at) {
			first = i
		}
		if x.converted.IsZero() {
			continue
		}
		x.position.converted = true
		if lead < 0 || x.converted.Before(steps[lead].converted) {
			lead = i
		}
	}
	if first >= 0 && !hadFirst {
		steps[first].position.first = true
	}
	if lead >= 0 && !hadLead {
		steps[lead].position.lead = true
	}
}

// converts reports whether a call counts in its visitor's journey: it has a touchpoint, or will have one.
// A deleted Task's record that is kept still counts, or its lead creation would be given out twice.
func (r *resolver) converts(m *match) bool {
	switch m.reason {
	case TaskDeleted:
		return m.call.Written && !r.s.RetractDelete
	case BeforeCollection:
		return m.call.Written || r.s.WriteBeforeCollection
	}
	return m.call.Visitor != ""
}
