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

// queriesPerCall is how many queries one composite call takes.
const queriesPerCall = 5

// persons says, for every Lead or Contact of the touchpoints, what is known of its
// Bizible Person; whom the store does not know is looked up in the org.
func (e *Engine) persons(ctx context.Context, due []store.Touchpoint) (map[string]store.Person, error) {
	var whos []string
	for _, t := range due {
		if t.PersonField != "" && t.Who != "" && !t.Delete {
			whos = append(whos, t.Who)
		}
	}
	slices.Sort(whos)
	whos = slices.Compact(whos)
	known, err := e.cfg.Store.Persons(whos)
	if err != nil {
		return nil, err
	}
	unknown := slices.DeleteFunc(whos, func(who string) bool { _, ok := known[who]; return ok })
	found, err := e.lookUp(ctx, unknown)
	if err != nil {
		return nil, fmt.Errorf("look up persons: %w", err)
	}
	var keep []store.Person
	for _, who := range unknown {
		p := store.Person{Who: who, RecordID: found[who]}
		known[who] = p
		if p.RecordID != "" {
			keep = append(keep, p)
		}
	}
	return known, e.cfg.Store.PutPersons(ctx, keep)
}

// lookUp finds the persons that the org holds for these Leads and Contacts. Of several
// the oldest created, then the lowest id, is the one.
func (e *Engine) lookUp(ctx context.Context, whos []string) (map[string]string, error) {
	found := map[string]string{}
	var soqls []string
	for part := range slices.Chunk(whos, idsPerQuery) {
		soqls = append(soqls, personQuery(part))
	}
	for some := range slices.Chunk(soqls, queriesPerCall) {
		pages, err := e.cfg.Org.QueryMany(ctx, some)
		if err != nil {
			return nil, err
		}
		for _, page := range pages {
			for {
				for _, r := range page.Records {
					notePerson(found, r)
				}
				if page.Next == "" {
					break
				}
				if page, err = e.cfg.Org.Query(ctx, "", salesforce.QueryOptions{Next: page.Next}); err != nil {
					return nil, err
				}
			}
		}
	}
	return found, nil
}

func personQuery(whos []string) string {
	var leads, contacts []string
	for _, who := range whos {
		if isContact(who) {
			contacts = append(contacts, salesforce.Quote(who))
		} else {
			leads = append(leads, salesforce.Quote(who))
		}
	}
	var or []string
	if len(leads) > 0 {
		or = append(or, personLead+" IN ("+strings.Join(leads, ",")+")")
	}
	if len(contacts) > 0 {
		or = append(or, personContact+" IN ("+strings.Join(contacts, ",")+")")
	}
	return fmt.Sprintf("SELECT Id, %s, %s FROM %s WHERE %s ORDER BY CreatedDate, Id",
		personLead, personContact, personObject, strings.Join(or, " OR "))
}

func notePerson(found map[string]string, r salesforce.Record) {
	id, _ := r["Id"].(string)
	for _, field := range []string{personLead, personContact} {
		if who, _ := r[field].(string); who != "" && found[who] == "" {
			found[who] = id
		}
	}
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
func (e *Engine) link(record map[string]any, t store.Touchpoint, persons map[string]store.Person) {
	p := persons[t.Who]
	switch {
	case p.RecordID != "":
		record[t.PersonField] = p.RecordID
	case t.Who != "" && e.cfg.Persons == PersonsCreate:
		record[relation(t.PersonField)] = map[string]any{personKey: store.CallKey(t.Who)}
	default:
		record[t.PersonField] = nil
	}
}

// relation is the relationship name of a custom lookup.
func relation(field string) string { return strings.TrimSuffix(field, "__c") + "__r" }
