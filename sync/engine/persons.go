package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

// idsPerQuery keeps a look-up by Lead and Contact well below the limits of SOQL.
const idsPerQuery = 500

// marketoPerson begins the keys of the persons that Marketo Measure makes.
const marketoPerson = "Person_"

// resolvePersons looks up the Bizible Person of each touchpoint's Lead or Contact, in the
// store first, then in the org, and adds the touchpoints to the send window. The same call
// asks whether Leads that are new to the store are converted.
func (w *writer) resolvePersons(ctx context.Context, due []*waiting) error {
	var whos []string
	for _, t := range due {
		if _, known := w.persons[t.Who]; t.PersonField != "" && t.Who != "" && !known {
			whos = append(whos, t.Who)
		}
	}
	slices.Sort(whos)
	whos = slices.Compact(whos)
	stored, err := w.e.cfg.Store.Persons(whos)
	if err != nil {
		return err
	}
	leads, err := w.e.cfg.Store.IsUnasked(whos)
	if err != nil {
		return err
	}
	var unknown []string
	for _, who := range whos {
		if p := stored[who]; p.RecordID != "" {
			w.persons[who] = p
		} else {
			unknown = append(unknown, who) // or refused before: somebody else may have made it since
		}
	}
	if len(unknown)+len(leads) == 0 {
		w.join(due)
		return nil
	}
	w.asked = due
	w.start(func() func() {
		found, err := w.e.lookUpPersons(ctx, unknown, leads)
		return func() {
			w.asked = nil
			if err == nil {
				due, err = w.personsFound(ctx, due, unknown, found)
			}
			if err != nil {
				w.fail(fmt.Errorf("look up persons: %w", err))
				return
			}
			w.join(due)
		}
	})
	return nil
}

// personsFound takes in persons that were looked up and sets the Contact of those whose Lead
// was converted. It returns the touchpoints that can be sent: those of converted Leads count
// for another person and are resolved again; where callpoint creates no persons, those
// without one wait for it.
func (w *writer) personsFound(ctx context.Context, due []*waiting, whos []string, found personLookUp) ([]*waiting, error) {
	for len(found.follow) > 0 && len(w.aloft) > 0 {
		w.next() // what is on its way may hold one of these persons
	}
	busy, err := w.e.followConversions(ctx, found.follow)
	if err != nil {
		return nil, err
	}
	var keep []store.Person
	for _, who := range whos {
		if busy[who] != nil {
			w.refused[who] = busy[who]
			delete(found.persons, who)
		}
		p := found.person(who)
		w.persons[who], w.fresh[who] = p, true
		if p.RecordID != "" {
			keep = append(keep, p)
		}
	}
	if err := w.e.cfg.Store.PutPersons(ctx, keep); err != nil {
		return nil, err
	}
	if _, err := w.e.cfg.Store.PutConversions(ctx, found.asked, found.contacts); err != nil {
		return nil, err
	}
	var orphans []string
	due = slices.DeleteFunc(due, func(t *waiting) bool {
		switch {
		case found.contacts[t.Who] != "":
			w.renamed = append(w.renamed, t.Key)
		case w.e.cfg.Persons == PersonsReuse && t.PersonField != "" && w.persons[t.Who].RecordID == "" && w.refused[t.Who] == nil:
			orphans = append(orphans, t.Key)
			delete(w.taken, t.Key)
		default:
			return false
		}
		return true
	})
	return due, w.e.cfg.Store.Orphan(ctx, w.e.local(), orphans)
}

// A personLookUp is the answer of the org about Leads and Contacts.
type personLookUp struct {
	persons  map[string]string // by Lead or Contact: the record id of its person
	keys     map[string]string // by record id of a person: its key
	follow   []map[string]any  // updates that set the Contact of a converted Lead's person
	asked    []string          // Leads that were asked about
	contacts map[string]string // those of them that are converted, with their Contact
}

// person returns what is to be remembered of a Lead or Contact.
func (l *personLookUp) person(who string) store.Person {
	id := l.persons[who]
	return store.Person{Who: who, RecordID: id, Key: l.keys[id]}
}

// lookUpPersons finds the persons that the org holds for Leads and Contacts, and which of
// some Leads are converted.
func (e *Engine) lookUpPersons(ctx context.Context, whos, leads []string) (personLookUp, error) {
	f := newPersonFinder(e)
	questions := append(f.questions(whos), e.leadQuestions(leads, f.found.contacts)...)
	if err := e.askMany(ctx, questions); err != nil {
		return personLookUp{}, err
	}
	if !e.blind(leadObject) {
		f.found.asked = leads
	}
	return f.result(whos), nil
}

// A personFinder chooses among the persons that the org has for somebody: Marketo Measure's
// own, then the oldest created, then the lowest id.
type personFinder struct {
	e         *Engine
	found     personLookUp
	marketo   map[string]bool   // by Lead or Contact: the person found so far is Marketo Measure's
	converted map[string]string // by Contact: the person of a Lead that became it
}

func newPersonFinder(e *Engine) *personFinder {
	return &personFinder{e: e, found: personLookUp{persons: map[string]string{}, keys: map[string]string{}, contacts: map[string]string{}},
		marketo: map[string]bool{}, converted: map[string]string{}}
}

// questions asks for the persons of Leads and Contacts, and for those of Leads that were
// converted to one of the Contacts.
func (f *personFinder) questions(whos []string) (all []question) {
	for some := range slices.Chunk(whos, idsPerQuery) {
		var leads, contacts []string
		for _, who := range some {
			if isContact(who) {
				contacts = append(contacts, salesforce.Quote(who))
			} else {
				leads = append(leads, salesforce.Quote(who))
			}
		}
		if soql := f.e.personQuery(leads, contacts); soql != "" {
			all = append(all, question{soql: soql, row: f.direct})
		}
		if len(contacts) > 0 && f.e.personHas(personLead) {
			all = append(all, question{about: leadObject, row: f.throughLead, soql: fmt.Sprintf(
				"SELECT Id, "+personKey+", %[1]s.ConvertedContactId FROM %[2]s WHERE %[3]s = null AND %[1]s.ConvertedContactId IN (%[4]s) ORDER BY CreatedDate, Id",
				relation(personLead), personObject, personContact, strings.Join(contacts, ","))})
		}
	}
	return all
}

// personQuery asks for persons in the order in which they are preferred.
func (e *Engine) personQuery(leads, contacts []string) string {
	fields, or := []string{"Id", personKey}, []string(nil)
	for field, ids := range map[string][]string{personLead: leads, personContact: contacts} {
		if !e.personHas(field) {
			continue
		}
		fields = append(fields, field)
		if len(ids) > 0 {
			or = append(or, field+" IN ("+strings.Join(ids, ",")+")")
		}
	}
	if len(or) == 0 {
		return ""
	}
	slices.Sort(fields[2:])
	slices.Sort(or)
	return fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY CreatedDate, Id", strings.Join(fields, ", "), personObject, strings.Join(or, " OR "))
}

// personHas reports whether the user may read a field of the person.
func (e *Engine) personHas(field string) bool {
	_, ok := e.schema.Objects[personObject].Field(field)
	return ok
}

func (f *personFinder) direct(r salesforce.Record) error {
	id, _ := r["Id"].(string)
	key, _ := r[personKey].(string)
	f.found.keys[id] = key
	marketo := strings.HasPrefix(key, marketoPerson)
	for _, field := range []string{personLead, personContact} {
		who, _ := r[field].(string)
		if who != "" && (f.found.persons[who] == "" || marketo && !f.marketo[who]) {
			f.found.persons[who], f.marketo[who] = id, marketo
		}
	}
	return nil
}

func (f *personFinder) throughLead(r salesforce.Record) error {
	lead, _ := r[relation(personLead)].(map[string]any)
	contact, _ := lead["ConvertedContactId"].(string)
	key, _ := r[personKey].(string)
	if id, _ := r["Id"].(string); contact != "" && f.converted[contact] == "" {
		f.converted[contact], f.found.keys[id] = id, key
	}
	return nil
}

// result gives a Contact without a person that of a Lead which was converted to it.
func (f *personFinder) result(whos []string) personLookUp {
	for _, who := range whos {
		if id := f.converted[who]; f.found.persons[who] == "" && id != "" && isContact(who) {
			f.found.persons[who] = id
			f.found.follow = append(f.found.follow, map[string]any{"Id": id, personContact: who})
		}
	}
	return f.found
}

// followConversions sets the Contact of persons whose Lead was converted. Refusals that may
// pass are returned, by Contact: once the person is remembered nobody would try it again.
func (e *Engine) followConversions(ctx context.Context, records []map[string]any) (busy map[string]*salesforce.Error, err error) {
	busy = map[string]*salesforce.Error{}
	for some := range slices.Chunk(records, rowsPerCall) {
		results, err := e.cfg.Org.Update(ctx, personObject, some)
		if err != nil && classOf(err) != salesforce.StopClass {
			return nil, err
		}
		for i, r := range results {
			if r.Err != nil && classOf(r.Err) == salesforce.Retry {
				who, _ := some[i][personContact].(string)
				busy[who] = r.Err
			} else if r.Err != nil { // the touchpoint can be linked all the same
				e.cfg.Log.Warn("the Contact of a converted Lead's person was not set", "person", some[i]["Id"],
					"code", r.Err.Code, "fields", r.Err.Fields, "cure", salesforce.Cure(r.Err))
			}
		}
	}
	return busy, nil
}

// latePersons adds to known the persons that somebody made meanwhile for Leads and Contacts
// without one.
func (e *Engine) latePersons(ctx context.Context, whos []string, known map[string]store.Person) error {
	var unknown []string
	for _, who := range whos {
		if who != "" && known[who].RecordID == "" {
			unknown = append(unknown, who)
		}
	}
	slices.Sort(unknown)
	found, err := e.lookUpPersons(ctx, slices.Compact(unknown), nil)
	if err != nil {
		return fmt.Errorf("look up persons: %w", err)
	}
	for who, id := range found.persons {
		known[who] = store.Person{Who: who, RecordID: id, Key: found.keys[id]}
	}
	return nil
}

func isContact(who string) bool { return strings.HasPrefix(who, "003") }

// personRecord is a person as it is created: its key makes a repeat harmless.
func personRecord(who string) map[string]any {
	field := personLead
	if isContact(who) {
		field = personContact
	}
	return map[string]any{personKey: store.CallKey(who), field: who}
}

// link puts the person into the record of a touchpoint that is created: by id where the
// person exists, by its key where it is created in the same call.
func (w *writer) link(record map[string]any, t store.Touchpoint) {
	if p := w.persons[t.Who]; p.RecordID != "" {
		record[t.PersonField] = p.RecordID
	} else {
		record[w.e.relationOf(t.PersonField)] = map[string]any{personKey: store.CallKey(t.Who)}
	}
}

// relationOf is the relationship name of a lookup of the touchpoint, as described.
func (e *Engine) relationOf(field string) string {
	if e.schema != nil {
		if f, ok := e.schema.Objects[e.cfg.TouchpointObject].Field(field); ok && f.RelationshipName != "" {
			return f.RelationshipName
		}
	}
	return relation(field)
}

// relation is the relationship name of a custom lookup, as a rule.
func relation(field string) string { return strings.TrimSuffix(field, "__c") + "__r" }

// losePersons forgets persons that the org has no more, and makes the touchpoints due that
// were deleted with them.
func (w *writer) losePersons(ctx context.Context, ids map[string]bool) error {
	if len(ids) == 0 {
		return nil
	}
	if w.e.mistaken("cascade not noticed") {
		return w.forgetPersons(ctx, ids)
	}
	lost, err := w.e.cfg.Store.LosePersons(ctx, w.e.local(), ids)
	if err == nil {
		w.e.cfg.Log.Info("Bizible Persons were deleted or merged: they are looked up again, and their touchpoints written again",
			"persons", len(ids), "touchpoints", lost)
		maps.DeleteFunc(w.persons, func(_ string, p store.Person) bool { return ids[p.RecordID] })
	}
	return err
}

// forgetPersons forgets persons, but not what was deleted with them.
func (w *writer) forgetPersons(ctx context.Context, ids map[string]bool) error {
	var whos []string
	for who, p := range w.persons {
		if ids[p.RecordID] {
			whos = append(whos, who)
			delete(w.persons, who)
		}
	}
	return w.e.cfg.Store.ForgetPersons(ctx, whos)
}
