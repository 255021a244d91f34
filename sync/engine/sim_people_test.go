package engine_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"callpoint/store"
	"callpoint/sync/orgsim"
)

// simWeb is a record of a session that no call's record of the person shows.
type simWeb struct {
	person                 string
	session                *simSession
	first, lead, converted bool
}

// A simTouch is a session, or a call without one, in the journey of a person.
type simTouch struct {
	at, converted time.Time
	visitor       string
	session       *simSession
	call          *simCall // that converted, or is alone
	owned         bool     // a record of a call shows the session
	first, lead   bool
}

// place works out the journey of one person from the person's calls, or that of a visitor from
// the calls of nobody.
func (m *simModel) place(calls []*simCall) {
	var touches []*simTouch
	bySession := map[*simSession]*simTouch{}
	slices.SortFunc(calls, func(a, b *simCall) int {
		return cmp.Or(strings.Compare(a.visitor, b.visitor), strings.Compare(a.id, b.id))
	})
	added := map[string]bool{}
	for _, c := range calls {
		if c.visitor == "" || c.deleted && !c.converts || added[c.visitor] {
			continue
		}
		added[c.visitor] = true
		for _, s := range m.found[c.visitor] {
			t := &simTouch{at: s.start, converted: s.formAt, visitor: c.visitor, session: s}
			bySession[s] = t
			touches = append(touches, t)
		}
	}
	of := map[*simCall]*simTouch{}
	for _, c := range calls {
		if c.converts && !c.deleted {
			of[c] = m.convert(c, c.creditedWith(), bySession, &touches)
		}
	}
	hadFirst, hadLead, called := false, false, false
	for _, c := range calls {
		called = called || c.converts
		if !c.converts || !c.deleted {
			continue
		}
		// A record that is kept without its Task keeps what it shows, unless another call has its session.
		record := m.records[store.CallKey(c.id)]
		var shown *simSession
		for _, s := range m.found[c.visitor] {
			if at, _ := record["bizible2__Touchpoint_Date__c"].(string); shown == nil && record["bizible2__Touchpoint_Source__c"] != "CRM Activity" &&
				simTime(at).Equal(s.start.Truncate(time.Second)) {
				shown = s
			}
		}
		if shown != nil && shown.owner != nil && shown.owner.person == c.person {
			m.late[store.CallKey(c.id)] = true
			continue
		}
		hadFirst = hadFirst || record["bizible2__Count_First_Touch__c"] == 1.0
		hadLead = hadLead || record["bizible2__Count_Lead_Creation_Touch__c"] == 1.0
		m.convert(c, shown, bySession, &touches)
	}
	simMark(touches, hadFirst, hadLead)
	for c, t := range of {
		c.first, c.lead = t.first, t.lead
	}
	if person := calls[0].person; m.settings.Journey && called && person != "" {
		for _, t := range touches {
			if t.session != nil && !t.owned && (t.first || !t.converted.IsZero()) {
				m.web = append(m.web, simWeb{person, t.session, t.first, t.lead, !t.converted.IsZero()})
			}
		}
	}
}

func (c *simCall) creditedWith() *simSession {
	if c.credited {
		return c.session
	}
	return nil
}

// convert adds a call to the journey: to the session that it has, or alone.
func (m *simModel) convert(c *simCall, s *simSession, bySession map[*simSession]*simTouch, touches *[]*simTouch) *simTouch {
	t := bySession[s]
	if s == nil {
		t = &simTouch{at: c.at, converted: c.at, visitor: c.visitor, call: c}
		*touches = append(*touches, t)
		return t
	}
	t.owned = true
	if c.at.Before(t.at) {
		t.at = c.at
	}
	if t.converted.IsZero() || c.at.Before(t.converted) || t.call != nil && c.at.Equal(t.converted) && c.id < t.call.id {
		t.converted, t.call = c.at, c
	}
	return t
}

// simMark gives the first touch and the lead creation away, unless a record that stays has them.
func simMark(touches []*simTouch, hadFirst, hadLead bool) {
	task := func(t *simTouch) string {
		if t.call == nil {
			return ""
		}
		return t.call.id
	}
	slices.SortStableFunc(touches, func(a, b *simTouch) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(simCount(a.session == nil), simCount(b.session == nil)), strings.Compare(a.visitor, b.visitor), strings.Compare(task(a), task(b)))
	})
	if len(touches) > 0 {
		touches[0].first = !hadFirst
	}
	conversions := slices.DeleteFunc(slices.Clone(touches), func(t *simTouch) bool { return t.converted.IsZero() })
	slices.SortStableFunc(conversions, func(a, b *simTouch) int {
		return cmp.Or(a.converted.Compare(b.converted), strings.Compare(task(a), task(b)), strings.Compare(a.visitor, b.visitor))
	})
	if len(conversions) > 0 {
		conversions[0].lead = !hadLead
	}
}

// compareWeb takes the journey records out of what stands, and compares them with the model.
func (w *simWorld) compareWeb(got map[string]map[string]any) {
	w.t.Helper()
	want := map[string]int{}
	for _, x := range w.model.web {
		u := (simCount(x.first) + simCount(x.lead)) / 2
		want[fmt.Sprint(x.person, " ", simStamp(x.session.start), " ", x.session.page, " ", x.session.form, " ",
			simPosition(x.first, x.lead, x.converted), " ", simCount(x.first), simCount(x.lead), u)]++
	}
	for key, r := range got {
		if !strings.HasPrefix(key, "callpoint_s_") {
			continue
		}
		delete(got, key)
		text := func(f string) string { s, _ := r["bizible2__"+f+"__c"].(string); return s }
		line := fmt.Sprint(w.whoOf(r), " ", simStamp(simTime(text("Touchpoint_Date"))), " ", text("Landing_Page_Raw"), " ", text("Form_URL_Raw"), " ",
			text("Touchpoint_Position"), " ", r["bizible2__Count_First_Touch__c"], r["bizible2__Count_Lead_Creation_Touch__c"], r["bizible2__Count_U_Shaped__c"])
		if want[line]--; want[line] < 0 {
			w.t.Errorf("%s stands, and the model has none: %s", key, line)
		}
	}
	for line, n := range want {
		if n > 0 {
			w.t.Errorf("%d journey records are missing: %s", n, line)
		}
	}
}

// whoOf is the Contact, else the Lead, of the person that a record belongs to.
func (w *simWorld) whoOf(record map[string]any) string {
	linked, _ := record["bizible2__Bizible_Person__c"].(string)
	person, _ := w.org.Get(orgsim.Person, linked)
	lead, _ := person["bizible2__Lead__c"].(string)
	contact, _ := person["bizible2__Contact__c"].(string)
	return cmp.Or(contact, w.model.contacts[lead], lead)
}

// compareSums: the records of a person show no more than one first touch and one lead creation.
func (w *simWorld) compareSums() {
	w.t.Helper()
	type sums struct{ first, lead float64 }
	all := map[string]*sums{}
	for key, r := range w.model.records {
		who := w.whoOf(r)
		if who == "" || w.model.late[key] {
			continue
		}
		if all[who] == nil {
			all[who] = &sums{}
		}
		first, _ := r["bizible2__Count_First_Touch__c"].(float64)
		lead, _ := r["bizible2__Count_Lead_Creation_Touch__c"].(float64)
		all[who].first += first
		all[who].lead += lead
	}
	for who, s := range all {
		w.people++
		if s.first > 1 || s.lead > 1 {
			w.t.Errorf("%s has %v first touches and %v lead creations", who, s.first, s.lead)
		}
	}
}
