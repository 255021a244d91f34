package mapping

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

// MaxVisitors is how many BizibleIds a person may have. One with more, such as a Lead that all
// unknown callers are filed under, is nobody whose journey could be followed.
const MaxVisitors = 200

// A Step is a session as the journey of a person has it.
type Step struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`                // its start
	Form    time.Time `json:"form,omitzero"`     // its first form; zero: none
	Session *Session  `json:"session,omitempty"` // what a journey record of it is made of, where such are written
}

func stepOf(x *Session) Step { return Step{ID: x.ID, At: x.StartedAt, Form: x.FormAt} }

// A Fact is a call, or a record that was written, as the journey of its person has it.
type Fact struct {
	Key     string // the external id of its record
	TaskID  string // empty for a journey record
	Visitor string
	At      time.Time // of the call
	// Session is what the call is credited with, or what its record shows where that stays as it is.
	Session *Step
	Counts  bool // it is a conversion of the journey
	Writes  bool // its record follows the journey
	// Kept: its record stays as it is, with Position, because its Task is deleted or its visitor erased.
	Kept     bool
	Position Position // what its record shows, or is to show
}

// VisitorSteps are the sessions of one visitor that positions need: the first one, and every one with
// a form. Others get a position only by a call that is credited with them.
type VisitorSteps struct {
	Visitor string
	Steps   []Step // by start
	// PrunedBefore: of what lies before this, retention has left the first session and the first
	// one with a form. A journey record of another one proves that it existed.
	PrunedBefore time.Time
}

// A PersonJourney is all that the positions of one person follow from. Those of calls that count
// for nobody follow from one for each visitor, with an empty Person.
type PersonJourney struct {
	Person string
	// Followed: all visitors make one journey. Otherwise each has its own.
	Followed bool
	Visitors []VisitorSteps
	Facts    []Fact
}

// IDs returns the BizibleIds of the person's calls, sorted.
func (j *PersonJourney) IDs() []string {
	var ids []string
	for i := range j.Facts {
		if f := &j.Facts[i]; f.TaskID != "" && f.Visitor != "" {
			ids = append(ids, f.Visitor)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Placed are the positions in a PersonJourney.
type Placed struct {
	Positions []Position // of PersonJourney.Facts, in the same order
	// Web are the sessions that journey records show.
	Web      []WebStep
	sessions map[sessionKey]Position
}

// A WebStep is a session that a journey record shows.
type WebStep struct {
	Visitor  string
	Step     Step
	Key      string // of the record
	Position Position
}

// Session returns the position of a visitor's session.
func (p *Placed) Session(visitor, id string) Position { return p.sessions[sessionKey{visitor, id}] }

type sessionKey struct{ visitor, id string }

// Place works out who of a journey is the first touch and the first conversion. It needs no order of
// what it is given, and gives the same for the same.
func (s *Settings) Place(j PersonJourney) Placed {
	p := Placed{Positions: make([]Position, len(j.Facts)), sessions: map[sessionKey]Position{}}
	if j.Followed {
		facts := make([]int, len(j.Facts))
		for i := range facts {
			facts[i] = i
		}
		s.placeAll(&j, &p, j.Visitors, facts)
		return p
	}
	byVisitor := map[string][]int{}
	for i := range j.Facts {
		f := &j.Facts[i]
		group := f.Visitor
		if group == "" {
			group = "\x01" + f.TaskID // nothing else is known of who called
		}
		byVisitor[group] = append(byVisitor[group], i)
	}
	for i := range j.Visitors {
		v := j.Visitors[i : i+1]
		s.placeAll(&j, &p, v, byVisitor[v[0].Visitor])
		delete(byVisitor, v[0].Visitor)
	}
	for _, facts := range byVisitor {
		s.placeAll(&j, &p, nil, facts)
	}
	return p
}

// A touch is one step of a journey: a session, or a call that has none.
type touch struct {
	at      time.Time // of a session the earlier of its start and its credited call
	visitor string
	order   int    // among the sessions of the visitor
	id      string // of the session, or the Task
	alone   bool   // a call without a session

	converted time.Time // zero: it is no conversion
	by        string    // the Task of the call that converted; empty: a form did

	step  *Step // nil of a call
	shown bool  // a call's record shows the session
	pos   Position
}

// placeAll places one journey: these facts, and the sessions of these visitors.
func (s *Settings) placeAll(j *PersonJourney, p *Placed, visitors []VisitorSteps, facts []int) {
	b := placer{sessions: map[sessionKey]*touch{}}
	for i := range visitors {
		b.addVisitor(&visitors[i])
	}
	holders := map[sessionKey]bool{} // sessions that a living call is credited with
	for _, i := range facts {
		if f := &j.Facts[i]; f.Counts && !f.Kept && f.Session != nil {
			holders[sessionKey{f.Visitor, f.Session.ID}] = true
		}
	}
	called, hadFirst, hadLead := false, false, false
	own := make(map[int]*touch, len(facts))
	for _, i := range facts {
		f := &j.Facts[i]
		p.Positions[i] = f.Position
		called = called || f.TaskID != "" && (f.Writes || f.Kept)
		if f.Kept || f.TaskID == "" && !s.Journey { // journey records stay where none are written any more
			// Another call has the session that the record shows: that one counts.
			if f.Session != nil && holders[sessionKey{f.Visitor, f.Session.ID}] {
				continue
			}
			hadFirst, hadLead = hadFirst || f.Position.First, hadLead || f.Position.Lead
		}
		if t := b.addFact(f, visitors); t != nil && !f.Kept {
			own[i] = t
		}
	}
	b.markFirsts(hadFirst, hadLead)
	for _, i := range facts {
		if !j.Facts[i].Kept {
			p.Positions[i] = Position{}
		}
		if t := own[i]; t != nil {
			p.Positions[i] = t.pos
		}
	}
	for key, t := range b.sessions {
		p.sessions[key] = t.pos
	}
	if s.Journey && called && j.Person != "" {
		p.Web = append(p.Web, b.web(j.Person)...)
	}
}

// placer collects the touches of one journey.
type placer struct {
	touches  []*touch
	sessions map[sessionKey]*touch
}

func (b *placer) addVisitor(v *VisitorSteps) {
	for i := range v.Steps {
		x := &v.Steps[i]
		b.session(v.Visitor, x).order = i
	}
}

// session returns the touch of a session, and adds it where it is new.
func (b *placer) session(visitor string, x *Step) *touch {
	key := sessionKey{visitor, x.ID}
	t := b.sessions[key]
	if t == nil {
		t = &touch{at: x.At, visitor: visitor, order: math.MaxInt, id: x.ID, converted: x.Form, step: x}
		b.sessions[key] = t
		b.touches = append(b.touches, t)
	}
	return t
}

// addFact adds a call that counts, or what is left of a session that only a journey record shows.
func (b *placer) addFact(f *Fact, visitors []VisitorSteps) *touch {
	switch {
	case f.TaskID == "":
		if f.Session != nil && f.Session.At.Before(prunedBefore(visitors, f.Visitor)) {
			b.session(f.Visitor, f.Session)
		}
		return nil
	case !f.Counts:
		return nil
	case f.Session == nil:
		t := &touch{at: f.At, visitor: f.Visitor, id: f.TaskID, alone: true, converted: f.At, by: f.TaskID}
		b.touches = append(b.touches, t)
		return t
	}
	t := b.session(f.Visitor, f.Session)
	t.shown = true
	if f.At.Before(t.at) {
		t.at = f.At
	}
	// One session has one conversion, the earlier of form and call.
	if t.converted.IsZero() || f.At.Before(t.converted) || f.At.Equal(t.converted) && f.TaskID < t.by {
		t.converted, t.by = f.At, f.TaskID
	}
	return t
}

func prunedBefore(visitors []VisitorSteps, visitor string) time.Time {
	for i := range visitors {
		if visitors[i].Visitor == visitor {
			return visitors[i].PrunedBefore
		}
	}
	return time.Time{}
}

// markFirsts sets the position of every touch. A position that an unchangeable record shows is not given again.
func (b *placer) markFirsts(hadFirst, hadLead bool) {
	var first, lead *touch
	for _, t := range b.touches {
		if first == nil || t.before(first) {
			first = t
		}
		if t.converted.IsZero() {
			continue
		}
		t.pos.Converted = true
		if lead == nil || t.convertedBefore(lead) {
			lead = t
		}
	}
	if first != nil && !hadFirst {
		first.pos.First = true
	}
	if lead != nil && !hadLead {
		lead.pos.Lead = true
	}
}

// before orders touches: of one instant a session comes before a call, then the smaller BizibleId.
func (t *touch) before(other *touch) bool {
	return cmp.Or(
		t.at.Compare(other.at), compareBool(t.alone, other.alone), strings.Compare(t.visitor, other.visitor),
		cmp.Compare(t.order, other.order), strings.Compare(t.id, other.id),
	) < 0
}

// convertedBefore orders conversions: of one instant a form comes before a call, then the smaller Task id.
func (t *touch) convertedBefore(other *touch) bool {
	return cmp.Or(
		t.converted.Compare(other.converted), strings.Compare(t.by, other.by), strings.Compare(t.visitor, other.visitor),
		cmp.Compare(t.order, other.order), strings.Compare(t.id, other.id),
	) < 0
}

// web lists the sessions that journey records show: those with a position that no call's record shows.
func (b *placer) web(person string) (all []WebStep) {
	for _, t := range b.touches {
		if t.step != nil && !t.shown && t.pos != (Position{}) {
			all = append(all, WebStep{Visitor: t.visitor, Step: *t.step, Key: JourneyKey(person, t.id), Position: t.pos})
		}
	}
	slices.SortFunc(all, func(a, b WebStep) int { return cmp.Or(a.Step.At.Compare(b.Step.At), strings.Compare(a.Key, b.Key)) })
	return all
}

// CallTouchpoint makes the record of a call, with the session that it is credited with, if any.
func (s *Settings) CallTouchpoint(call *Call, r *Resolution, where Position) Touchpoint {
	var x *Session
	var o *landingSource
	if r.Session != nil {
		kept := *r.Session
		x, o = &kept, s.classify(siteCache{}, &kept)
	}
	rec := s.newRecord(call, x, o, where)
	rec.reason = r.Reason
	return rec.touchpoint()
}

// WebTouchpoint makes the journey record of a person for a session.
func (s *Settings) WebTouchpoint(person string, x Session, where Position) Touchpoint {
	rec := s.newRecord(nil, &x, s.classify(siteCache{}, &x), where)
	rec.who = person
	return rec.touchpoint()
}

// step is a session as positions need it, and as journey records do where they are written.
func (s *Settings) step(x *Session) Step {
	step := stepOf(x)
	if s.Journey {
		whole := *x
		whole.TaskID = "" // a call that is credited with it may be somebody else's
		step.Session = &whole
	}
	return step
}

// steps lists the sessions of the visitor that positions need.
func (r *resolver) steps() []Step {
	steps := slices.Clone(r.j.PrunedSteps)
	for i := range r.sessions {
		x := &r.sessions[i]
		if len(steps) > 0 && x.FormAt.IsZero() {
			continue
		}
		steps = append(steps, r.s.step(x))
	}
	return steps
}

// shown is the session that the record of a deleted call shows, if it is still there.
func (r *resolver) shown(m *match) *Session {
	for i := range r.sessions {
		if x := &r.sessions[i]; x.StartedAt.Equal(m.call.Shows) {
			return x
		}
	}
	if shot := m.call.Snapshot; shot != nil && shot.Session != nil && shot.Visitor == m.call.Visitor &&
		shot.Session.StartedAt.Equal(m.call.Shows) && shot.Session.StartedAt.Before(r.j.PrunedBefore) {
		return shot.Session
	}
	return nil
}

// fact returns what the journey of the person needs of a call; nil if nothing. A call without a
// record still shows that the visitor is that person.
func (r *resolver) fact(m *match, x *Session) *Fact {
	f := Fact{Key: callKey(m.call.TaskID), TaskID: m.call.TaskID, Visitor: m.call.Visitor, At: m.call.At}
	switch m.reason {
	case TaskDeleted:
		if !m.call.Written {
			return nil
		}
		f.Kept, f.Counts, x = true, true, r.shown(m)
	case NoBizibleID:
		if !m.call.Written {
			return nil
		}
		f.Writes, f.Counts = true, true
	default:
		f.Writes = r.writes(m)
		f.Counts = f.Writes || m.reason == Held
	}
	if x != nil {
		step := stepOf(x)
		f.Session = &step
	}
	return &f
}
