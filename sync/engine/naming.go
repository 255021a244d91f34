package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

const (
	leadObject = "Lead"
	roleObject = "OpportunityContactRole"

	// namingEach is how long a person is looked for in each cycle, after that once a day.
	namingEach = 24 * time.Hour
	// conversionsEvery is how often Leads are asked about that were converted, without a Task
	// that changed: an hour, less what a cycle may be late.
	conversionsEvery = 58 * time.Minute
	// namesAtOnce bounds one look-up: as many ids as go into one API call.
	namesAtOnce = 1000
	// leadsAtOnce and placesAtOnce bound what the hourly look-up asks beside conversions.
	leadsAtOnce  = 2 * idsPerQuery
	placesAtOnce = 2 * idsPerQuery
)

// whatQueries finds the Contact that a WhatId leads to, by the prefix of the id.
var whatQueries = []struct{ prefix, object, soql string }{
	{"006", roleObject, "SELECT OpportunityId, ContactId, IsPrimary FROM OpportunityContactRole WHERE OpportunityId IN (%s) ORDER BY IsPrimary DESC, Id"},
	{"500", "Case", "SELECT Id, ContactId FROM Case WHERE ContactId != null AND Id IN (%s)"},
	{"001", "Account", "SELECT Id, PersonContactId FROM Account WHERE PersonContactId != null AND Id IN (%s)"},
}

// findNames looks up, in one API call where that suffices, who calls count for whose Task
// names nobody but an opportunity, case or person account, and persons that callpoint waits
// for. Each is looked for in every cycle for a day, then daily, and once in a cycle.
func (e *Engine) findNames(ctx context.Context, w *writer) error {
	now := e.local()
	calls, err := e.cfg.Store.Unnamed(now, namesAtOnce, func(id string) bool { return w.looked[id] })
	if err != nil {
		return err
	}
	waiting, err := e.waitingForPersons(w, now)
	if err != nil || len(calls)+len(waiting) == 0 {
		return err
	}
	roles := contactRoles{}
	persons := newPersonFinder(e)
	if err := e.askMany(ctx, append(roles.questions(calls), persons.questions(whosOf(waiting))...)); err != nil {
		return fmt.Errorf("look up who calls count for: %w", err)
	}
	named := make([]store.Named, len(calls))
	for i, c := range calls {
		w.looked[c.TaskID] = true
		named[i] = store.Named{TaskID: c.TaskID, What: c.WhatID(), Person: roles.person(c.WhatID()), Next: nextLook(c.LookAt, c.ReadAt, now)}
	}
	if _, err := e.cfg.Store.NameCalls(ctx, named); err != nil {
		return err
	}
	return e.adoptPersons(ctx, w, waiting, &persons.found, now)
}

// nextLook is when somebody who was not found is looked for again.
func nextLook(last, since, now time.Time) time.Time {
	if now.Sub(since) < namingEach {
		return last
	}
	return now.Add(namingEach)
}

// waitingForPersons returns touchpoints whose person the org did not have, where callpoint may
// not create it.
func (e *Engine) waitingForPersons(w *writer, now time.Time) ([]store.Touchpoint, error) {
	if e.cfg.Persons != PersonsReuse {
		return nil, nil
	}
	all, err := e.cfg.Store.Personless(now, namesAtOnce)
	return slices.DeleteFunc(all, func(t store.Touchpoint) bool { return w.looked[t.Key] }), err
}

// adoptPersons makes touchpoints due whose person exists now.
func (e *Engine) adoptPersons(ctx context.Context, w *writer, waiting []store.Touchpoint, found *personLookUp, now time.Time) error {
	var persons []store.Person
	var keys, later []string
	for _, t := range waiting {
		w.looked[t.Key] = true
		if found.persons[t.Who] != "" {
			persons, keys = append(persons, found.person(t.Who)), append(keys, t.Key)
		} else if next := nextLook(t.NextAttempt, t.Since, now); !next.Equal(t.NextAttempt) {
			later = append(later, t.Key)
		}
	}
	if err := e.cfg.Store.PutPersons(ctx, persons); err != nil {
		return err
	}
	if err := e.cfg.Store.LookLater(ctx, now.Add(namingEach), later); err != nil {
		return err
	}
	return e.cfg.Store.Adopt(ctx, now, keys)
}

func whosOf(all []store.Touchpoint) (whos []string) {
	for _, t := range all {
		whos = append(whos, t.Who)
	}
	slices.Sort(whos)
	return slices.Compact(whos)
}

// contactRoles holds the Contacts that opportunities, cases and accounts lead to.
type contactRoles map[string]*contactRole

type contactRole struct {
	contact string
	primary bool
	several bool // Contacts, none of them primary
}

func (c contactRoles) questions(calls []store.Call) (all []question) {
	ids := map[string][]string{}
	for _, call := range calls {
		what := call.WhatID()
		ids[what[:3]] = append(ids[what[:3]], salesforce.Quote(what))
	}
	for _, q := range whatQueries {
		of := ids[q.prefix]
		slices.Sort(of)
		for some := range slices.Chunk(slices.Compact(of), idsPerQuery) {
			all = append(all, question{about: q.object, row: c.note, soql: fmt.Sprintf(q.soql, strings.Join(some, ","))})
		}
	}
	return all
}

func (c contactRoles) note(r salesforce.Record) error {
	text := func(field string) string { s, _ := r[field].(string); return s }
	primary, _ := r["IsPrimary"].(bool)
	what, contact := firstOf(text("OpportunityId"), text("Id")), firstOf(text("ContactId"), text("PersonContactId"))
	switch old := c[what]; {
	case contact == "":
	case old == nil:
		c[what] = &contactRole{contact: contact, primary: primary}
	case primary && !old.primary:
		*old = contactRole{contact: contact, primary: true}
	case !old.primary && old.contact != contact:
		old.several = true
	}
	return nil
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// person returns the primary Contact, else the only one.
func (c contactRoles) person(what string) string {
	if r := c[what]; r != nil && !r.several {
		return r.contact
	}
	return ""
}

// leadQuestions asks which of some Leads are converted.
func (e *Engine) leadQuestions(leads []string, contacts map[string]string) (all []question) {
	for some := range slices.Chunk(leads, idsPerQuery) {
		quoted := make([]string, len(some))
		for i, id := range some {
			quoted[i] = salesforce.Quote(id)
		}
		all = append(all, question{about: leadObject, row: noteConversion(contacts), soql: fmt.Sprintf(
			"SELECT Id, ConvertedContactId FROM Lead WHERE ConvertedContactId != null AND Id IN (%s)", strings.Join(quoted, ","))})
	}
	return all
}

func noteConversion(contacts map[string]string) func(salesforce.Record) error {
	return func(r salesforce.Record) error {
		lead, _ := r["Id"].(string)
		if contact, _ := r["ConvertedContactId"].(string); contact != "" {
			contacts[lead] = contact
		}
		return nil
	}
}

// followLeads asks, at most once an hour, which Leads were converted since the last time. The
// same API call asks about Leads of calls that were not written, and under which person
// records hang where that is not known.
func (e *Engine) followLeads(ctx context.Context) error {
	var last time.Time
	asked, err := e.cfg.Store.State("conversions", &last)
	now := e.now()
	if err != nil || asked && now.Sub(last).Abs() < conversionsEvery {
		return err
	}
	if !asked { // each Lead is asked about when it is new
		return e.cfg.Store.SetState(ctx, "conversions", now)
	}
	contacts := map[string]string{}
	leads, err := e.cfg.Store.Unasked(leadsAtOnce)
	if err != nil {
		return err
	}
	unplaced, err := e.cfg.Store.Unplaced(placesAtOnce)
	if err != nil {
		return err
	}
	questions := append([]question{{about: leadObject, row: noteConversion(contacts), soql: fmt.Sprintf(
		"SELECT Id, ConvertedContactId FROM Lead WHERE IsConverted = true AND SystemModstamp >= %s", salesforce.DateTime(last.Add(-e.cfg.Overlap)))}},
		e.leadQuestions(leads, contacts)...)
	places := placeFinder{}
	questions = append(questions, places.questions(e, unplaced)...)
	if err := e.askMany(ctx, questions); err != nil {
		return fmt.Errorf("look up converted Leads: %w", err)
	}
	if !e.blind(leadObject) {
		changed, err := e.cfg.Store.PutConversions(ctx, leads, contacts)
		if err != nil {
			return err
		}
		if changed > 0 {
			e.cfg.Log.Info("Leads were converted: their calls count for the Contacts", "calls", changed)
		}
	}
	if err := e.putPlaces(ctx, unplaced, places); err != nil {
		return err
	}
	return e.cfg.Store.SetState(ctx, "conversions", now)
}

// A placeFinder holds, by key, where records were found.
type placeFinder map[string]store.Place

func (p placeFinder) questions(e *Engine, of []store.Touchpoint) (all []question) {
	for some := range slices.Chunk(of, idsPerQuery) {
		all = append(all, question{row: p.note(e, some[0].PersonField), soql: e.placeQuery(some)})
	}
	return all
}

// placeQuery asks for the ids and persons of records by their keys.
func (e *Engine) placeQuery(of []store.Touchpoint) string {
	keys := make([]string, len(of))
	for i, t := range of {
		keys[i] = salesforce.Quote(t.Key)
	}
	return fmt.Sprintf("SELECT Id, %[1]s, %[2]s FROM %[3]s WHERE %[1]s IN (%[4]s)",
		e.cfg.ExternalID, of[0].PersonField, e.cfg.TouchpointObject, strings.Join(keys, ","))
}

func (p placeFinder) note(e *Engine, personField string) func(salesforce.Record) error {
	return func(r salesforce.Record) error {
		key, _ := r[e.cfg.ExternalID].(string)
		id, _ := r["Id"].(string)
		master, _ := r[personField].(string)
		p[key] = store.Place{Key: key, RecordID: id, Master: master}
		return nil
	}
}

// putPlaces stores where records were found; those that hang from another person than they
// should become due, to be moved.
func (e *Engine) putPlaces(ctx context.Context, of []store.Touchpoint, found placeFinder) error {
	if len(of) == 0 {
		return nil
	}
	persons, err := e.cfg.Store.Persons(whosOf(of))
	if err != nil {
		return err
	}
	places := make([]store.Place, len(of))
	for i, t := range of {
		p := found[t.Key]
		p.Key = t.Key
		id := persons[t.Who].RecordID
		p.Wrong = p.RecordID != "" && id != "" && p.Master != id
		places[i] = p
	}
	return e.cfg.Store.PutPlaces(ctx, e.local(), places)
}
