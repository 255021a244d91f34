package engine_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/store"
)

// simModel says what should stand in the org, from the events that were acknowledged and
// the Tasks as they are in the end. It is written from the description of the product,
// not from package mapping, of which it borrows the channel rules alone.
type simModel struct {
	events   []mapping.Event
	visits   []mapping.Visit
	tasks    []map[string]any          // deleted ones too
	records  map[string]map[string]any // the touchpoints of the org by key
	contacts map[string]string         // of converted Leads
	delete   bool                      // CALLPOINT_RETRACT=delete
	settings *mapping.Settings
	person   func(task map[string]any) string // the Lead or Contact that a call counts for

	found map[string][]*simSession // by visitor
	web   []simWeb                 // journey records
	late  map[string]bool          // keys of records that stay although another call shows their session
}

// simWant is one record: its fields, or none where history alone decides.
type simWant struct {
	task   string
	must   bool // it has to stand; else it may stand only if it stood before
	fields map[string]any
}

type simCall struct {
	id, visitor, typ string
	person           string // the Lead or Contact that it counts for
	at               time.Time
	deleted          bool
	session          *simSession // by its time, credited or not
	credited         bool
	stands           bool // it has a record
	before           bool // before collection
	converts         bool
	first, lead      bool
}

type simSession struct {
	start, last, cut     time.Time
	page, referrer, form string
	formAt               time.Time
	owner                *simCall
	seen                 map[string]bool
	tags                 map[string]bool
	prev                 string
}

func (m *simModel) want() map[string]simWant {
	byVisitor, byPerson := map[string][]*simCall{}, map[string][]*simCall{}
	m.found, m.late = map[string][]*simSession{}, map[string]bool{}
	var calls []*simCall
	for _, t := range m.tasks {
		c := readSimCall(t)
		c.stands = m.records[store.CallKey(c.id)] != nil
		c.person = m.person(t)
		calls = append(calls, c)
		if c.visitor != "" {
			byVisitor[c.visitor] = append(byVisitor[c.visitor], c)
		}
	}
	for visitor, calls := range byVisitor {
		m.match(visitor, calls)
	}
	for _, c := range calls {
		switch {
		case c.deleted, c.visitor == "":
			c.converts = c.stands && !m.delete
		default:
			c.converts = c.stands || !c.before
		}
		journey := c.person
		if journey == "" {
			journey = "nobody " + cmp.Or(c.visitor, c.id)
		}
		byPerson[journey] = append(byPerson[journey], c)
	}
	for _, calls := range byPerson {
		m.place(calls)
	}
	want := map[string]simWant{}
	for _, c := range calls {
		w := simWant{task: c.id, must: c.visitor != "" && !c.before && !c.deleted}
		switch {
		case m.delete && (c.deleted || c.visitor == ""):
			continue // a record goes with its basis
		case !c.deleted && c.person == "":
			continue // nobody: no record, in either mode
		case !c.deleted:
			w.fields = m.fields(c)
		}
		want[store.CallKey(c.id)] = w
	}
	return want
}

func readSimCall(t map[string]any) *simCall {
	text := func(f string) string { s, _ := t[f].(string); return s }
	c := &simCall{id: text("Id"), typ: text("Type")}
	c.visitor = strings.ToLower(strings.TrimSpace(text("bizible2__BizibleId__c")))
	c.deleted, _ = t["IsDeleted"].(bool)
	if at := text("bizible2__Bizible_Touchpoint_Date__c"); at != "" {
		c.at = simTime(at)
	} else {
		seconds, _ := t["CallDurationInSeconds"].(float64)
		c.at = simTime(text("CreatedDate")).Add(-time.Duration(seconds) * time.Second)
	}
	return c
}

func simTime(s string) time.Time {
	t, err := time.Parse("2006-01-02T15:04:05.000-0700", s)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func (m *simModel) earliest() (first time.Time) {
	for _, e := range m.events {
		if first.IsZero() || e.At.Before(first) {
			first = e.At
		}
	}
	for _, v := range m.visits {
		if first.IsZero() || v.StartedAt.Before(first) {
			first = v.StartedAt
		}
	}
	return first
}

// match finds the session of each call of a visitor.
func (m *simModel) match(visitor string, calls []*simCall) {
	sessions := m.sessions(visitor)
	m.found[visitor] = sessions
	slices.SortFunc(calls, func(a, b *simCall) int {
		return cmp.Or(a.at.Compare(b.at), strings.Compare(a.id, b.id))
	})
	earliest := m.earliest()
	for _, c := range calls {
		for _, s := range sessions {
			end := s.last.Add(30 * time.Minute)
			if !s.cut.IsZero() && s.cut.Before(end) {
				end = s.cut
			}
			if !c.at.Before(s.start) && c.at.Before(end) {
				c.session = s
			}
		}
		for _, s := range sessions {
			if ahead := s.start.Sub(c.at); c.session == nil && ahead > 0 && ahead <= time.Minute {
				c.session = s
			}
		}
		if c.deleted {
			continue
		}
		if c.session != nil && c.session.owner == nil {
			c.session.owner, c.credited = c, true
		}
		c.before = c.session == nil && (earliest.IsZero() || c.at.Before(earliest))
	}
}

func (m *simModel) fields(c *simCall) map[string]any {
	typ := c.typ
	if typ == "" {
		typ = "Web Visit"
	}
	f := map[string]any{"Touchpoint_Type": typ, "Medium": cmp.Or(c.typ, "Web"), "Touchpoint_Date": c.at, "Landing_Page_Raw": "", "Referrer_Page_Raw": "",
		"Form_URL_Raw": "", "Ad_Campaign_Name": "Phone Call", "Ad_Id": c.id}
	at, lead, converted := c.first, c.lead, c.converts
	if c.credited {
		s := c.session
		channel := m.settings.Channel(s.page, s.referrer)
		f["Touchpoint_Date"], f["Landing_Page_Raw"], f["Referrer_Page_Raw"], f["Form_URL_Raw"] = s.start, s.page, s.referrer, s.form
		f["Marketing_Channel_Path"] = channel.Path
		f["Ad_Campaign_Name"], f["Ad_Id"] = simTag(s.page, "utm_campaign"), ""
		if c.typ == "" {
			f["Medium"] = cmp.Or(simTag(s.page, "utm_medium"), simMedium(s.referrer))
		}
	} else {
		f["Touchpoint_Source"] = "CRM Activity"
	}
	f["Count_First_Touch"], f["Count_Lead_Creation_Touch"], f["Count_U_Shaped"] = simCount(at), simCount(lead), (simCount(at)+simCount(lead))/2
	f["Touchpoint_Position"] = simPosition(at, lead, converted)
	return f
}

func simCount(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func simPosition(first, lead, converted bool) string {
	var parts []string
	if first {
		parts = append(parts, "FT")
	}
	if lead {
		parts = append(parts, "LC")
	} else if converted {
		parts = append(parts, "PostLC")
	}
	return strings.Join(parts, ", ")
}

func simTag(page, tag string) string {
	_, query, _ := strings.Cut(page, "?")
	for pair := range strings.SplitSeq(query, "&") {
		if k, v, _ := strings.Cut(pair, "="); k == tag {
			return v
		}
	}
	return ""
}

func simMedium(referrer string) string {
	switch referrer {
	case simGoogle:
		return "Search"
	case simLinkedIn:
		return "Social"
	}
	return "Web"
}

// sessions follows section 3 of the domain: a gap, a new campaign or an outside referrer
// begins a session; a finished visit is one, and takes in what lies within it.
func (m *simModel) sessions(visitor string) (all []*simSession) {
	type item struct {
		at    time.Time
		visit *mapping.Visit
		event *mapping.Event
	}
	var items []item
	latest := map[string]*mapping.Visit{}
	for i := range m.visits {
		v := &m.visits[i]
		old := latest[v.SessionID]
		if v.Visitor == visitor && (old == nil || v.EndedAt.After(old.EndedAt)) {
			latest[v.SessionID] = v
		}
	}
	for _, v := range latest {
		items = append(items, item{at: v.StartedAt, visit: v})
	}
	known := map[string]bool{}
	for i := range m.events {
		e := &m.events[i]
		key := fmt.Sprint(e.Kind, e.At.UnixMilli(), e.Sequence, e.URL)
		if e.Visitor == visitor && e.Kind != mapping.IDMap && !known[key] {
			known[key] = true
			items = append(items, item{at: e.At, event: e})
		}
	}
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(simCount(a.visit == nil), simCount(b.visit == nil)))
	})
	var busy time.Time
	for _, it := range items {
		if v := it.visit; v != nil {
			all = append(all, &simSession{start: v.StartedAt, last: v.EndedAt, page: v.LandingPage, referrer: v.Referrer})
			all[len(all)-1].note(v.LandingPage, v.Referrer)
			if v.EndedAt.After(busy) {
				busy = v.EndedAt
			}
			continue
		}
		e := it.event
		absorbed := len(all) > 0 && !e.At.After(busy)
		if !absorbed && (len(all) == 0 || all[len(all)-1].ends(e)) {
			all = append(all, &simSession{start: e.At, page: e.URL, referrer: e.Referrer})
		}
		s := all[len(all)-1]
		if !absorbed {
			s.last = e.At
		}
		if e.Kind == mapping.View {
			s.note(e.URL, e.Referrer)
			continue
		}
		s.tag(e.URL)
		if s.form == "" {
			s.form, s.formAt = e.URL, e.At
		}
	}
	for i := range len(all) - 1 {
		all[i].cut = all[i+1].start
		if all[i].last.After(all[i].cut) {
			all[i].last = all[i].cut
		}
	}
	return all
}

func (s *simSession) note(page, referrer string) {
	if s.seen == nil {
		s.seen = map[string]bool{}
	}
	s.seen[page+" "+referrer], s.prev = true, referrer
	s.tag(page)
}

// tag notes the campaign tags of a page, of a form's page too.
func (s *simSession) tag(page string) {
	if s.tags == nil {
		s.tags = map[string]bool{}
	}
	if _, tags, ok := strings.Cut(page, "?"); ok {
		s.tags[tags] = true
	}
}

// ends reports whether an event begins another session.
func (s *simSession) ends(e *mapping.Event) bool {
	_, tags, tagged := strings.Cut(e.URL, "?")
	switch {
	case e.At.Sub(s.last) >= 30*time.Minute:
		return true
	case e.Kind == mapping.Form, e.Referrer == simOwn, e.Referrer == simSignIn, s.seen[e.URL+" "+e.Referrer]:
		return false
	case tagged && !s.tags[tags]:
		return true
	}
	return e.Referrer != "" && e.Referrer != s.prev
}
