package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"callpoint/store"
	"callpoint/sync/salesforce"
)

// idsPerQuery keeps a look-up by Lead and Contact well below the limits of SOQL.
const idsPerQuery = 500

// meet learns the Bizible Person of every Lead and Contact of the touchpoints, from the
// store or else from the org, and then lets them into the window.
func (w *writer) meet(ctx context.Context, due []*waiting) error {
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
	var unknown []string
	for _, who := range whos {
		if p := stored[who]; p.RecordID != "" {
			w.persons[who] = p
		} else {
			unknown = append(unknown, who) // or refused before: somebody else may have made it since
		}
	}
	if len(unknown) == 0 {
		w.join(due)
		return nil
	}
	w.asked = due
	w.start(func() func() {
		found, follow, err := w.e.findPersons(ctx, unknown)
		return func() {
			w.asked = nil
			if err == nil {
				err = w.met(ctx, unknown, found, follow)
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

// met takes in persons that were looked up, and sets the Contact of those whose Lead was
// converted.
func (w *writer) met(ctx context.Context, whos []string, found map[string]string, follow []map[string]any) error {
	for len(follow) > 0 && len(w.aloft) > 0 {
		w.next() // what is on its way may hold one of these persons
	}
	busy, err := w.e.followConversions(ctx, follow)
	if err != nil {
		return err
	}
	var keep []store.Person
	for _, who := range whos {
		if busy[who] != nil {
			w.refused[who] = busy[who]
			delete(found, who)
		}
		p := store.Person{Who: who, RecordID: found[who]}
		w.persons[who], w.fresh[who] = p, true
		if p.RecordID != "" {
			keep = append(keep, p)
		}
	}
	return w.e.cfg.Store.PutPersons(ctx, keep)
}

// findPersons finds the persons that the org holds for these Leads and Contacts. Of
// several the oldest created, then the lowest id, is the one. A Contact without a person
// gets that of a Lead which was converted to it; follow is what must be set for that.
func (e *Engine) findPersons(ctx context.Context, whos []string) (found map[string]string, follow []map[string]any, err error) {
	found = map[string]string{}
	converted := map[string]string{} // by Contact: the person of a Lead that became it
	var soqls []string
	for part := range slices.Chunk(whos, idsPerQuery) {
		soqls = append(soqls, personQuery(part))
	}
	err = e.queryMany(ctx, soqls, false, func(r salesforce.Record) error {
		id, _ := r["Id"].(string)
		first := func(m map[string]string, who any) {
			if w, _ := who.(string); w != "" && m[w] == "" {
				m[w] = id
			}
		}
		first(found, r[personLead])
		first(found, r[personContact])
		if lead, _ := r[relation(personLead)].(map[string]any); lead != nil && r[personContact] == nil {
			first(converted, lead["ConvertedContactId"])
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for _, who := range whos {
		if id := converted[who]; found[who] == "" && id != "" && isContact(who) {
			found[who] = id
			follow = append(follow, map[string]any{"Id": id, personContact: who})
		}
	}
	return found, follow, nil
}

// followConversions sets the Contact of persons whose Lead was converted. What may pass
// is given back, by Contact: once the person is remembered nobody would try it again.
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

// latePersons adds the persons that somebody made after the touchpoint was written. They are
// not remembered here: the next write looks them up, and follows conversions.
func (e *Engine) latePersons(ctx context.Context, whos []string, known map[string]store.Person) error {
	var unknown []string
	for _, who := range whos {
		if who != "" && known[who].RecordID == "" {
			unknown = append(unknown, who)
		}
	}
	slices.Sort(unknown)
	found, _, err := e.findPersons(ctx, slices.Compact(unknown))
	if err != nil {
		return fmt.Errorf("look up persons: %w", err)
	}
	for who, id := range found {
		known[who] = store.Person{Who: who, RecordID: id}
	}
	return nil
}

// personQuery asks for the persons of Leads and Contacts, and for those of Leads that
// were converted to one of the Contacts.
func personQuery(whos []string) string {
	var leads, contacts []string
	for _, who := range whos {
		if isContact(who) {
			contacts = append(contacts, salesforce.Quote(who))
		} else {
			leads = append(leads, salesforce.Quote(who))
		}
	}
	convertedTo := relation(personLead) + ".ConvertedContactId"
	fields, or := "Id, "+personLead+", "+personContact, []string(nil)
	if len(leads) > 0 {
		or = append(or, personLead+" IN ("+strings.Join(leads, ",")+")")
	}
	if len(contacts) > 0 {
		fields += ", " + convertedTo
		or = append(or, personContact+" IN ("+strings.Join(contacts, ",")+")", convertedTo+" IN ("+strings.Join(contacts, ",")+")")
	}
	return fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY CreatedDate, Id", fields, personObject, strings.Join(or, " OR "))
}

// queryMany runs queries, five to a call, and hands over every row of all their pages.
func (e *Engine) queryMany(ctx context.Context, soqls []string, all bool, fn func(salesforce.Record) error) error {
	for some := range slices.Chunk(soqls, collectionsPerCall) {
		pages, err := e.cfg.Org.QueryMany(ctx, some, salesforce.QueryOptions{All: all})
		if err != nil {
			return err
		}
		for _, page := range pages {
			for asked := (trail{}); ; {
				for _, r := range page.Records {
					if err := fn(r); err != nil {
						return err
					}
				}
				if page.Next == "" {
					break
				}
				if page, err = asked.page(ctx, e.cfg.Org, page.Next); err != nil {
					return err
				}
			}
		}
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

// link puts the person into a touchpoint's record: by id where it stands, by its key
// where it is created in the same call, as null where there is none.
func (w *writer) link(record map[string]any, t store.Touchpoint) {
	p := w.persons[t.Who]
	switch {
	case p.RecordID != "":
		record[t.PersonField] = p.RecordID
	case t.Who != "" && w.e.cfg.Persons == PersonsCreate:
		record[w.e.relationOf(t.PersonField)] = map[string]any{personKey: store.CallKey(t.Who)}
	default:
		record[t.PersonField] = nil
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
