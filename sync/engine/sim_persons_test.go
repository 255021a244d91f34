package engine_test

import (
	"fmt"
	"strings"
	"time"

	"callpoint/sync/orgsim"
)

// deal is an opportunity without anybody.
func (w *simWorld) deal() string {
	w.t.Helper()
	id, err := w.org.Insert("Opportunity", map[string]any{"Name": fmt.Sprint("Deal ", len(w.deals)), "StageName": "New", "CloseDate": "2030-01-01"})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// keeper is whoever works on persons: Marketo Measure, and people who delete by hand.
func (w *simWorld) keeper(a *simActor) time.Duration {
	pause := a.within(3 * time.Hour)
	all := w.org.Records(orgsim.Person)
	switch who := simPick(a.rng, w.persons...); a.rng.IntN(5) {
	case 0: // Marketo Measure makes a person of its own
		field := "bizible2__Lead__c"
		if strings.HasPrefix(who, "003") {
			field = "bizible2__Contact__c"
		}
		if who != "" && w.preferred(who) == "" || a.chance(3) && who != "" {
			_, err := w.org.Insert(orgsim.Person, map[string]any{field: who, uniqueID: fmt.Sprint("Person_", who, "_", len(all))})
			w.note(fmt.Sprintf("person of %s: %v", who, err))
		}
	case 1: // a person is deleted or merged away, and its touchpoints with it
		if len(all) > 0 {
			p := simPick(a.rng, all...)
			w.vanishing(func(r map[string]any) bool { return r[personField] == p["Id"] })
			w.note(fmt.Sprintf("delete person %v: %v", p["Id"], w.org.Delete(orgsim.Person, p["Id"].(string))))
		}
	case 2: // a touchpoint is deleted
		if records := w.org.Records(orgsim.Touchpoint); len(records) > 0 {
			r := simPick(a.rng, records...)
			w.vanishing(func(other map[string]any) bool { return other["Id"] == r["Id"] })
			w.note(fmt.Sprintf("delete touchpoint %v: %v", r["Id"], w.org.Delete(orgsim.Touchpoint, r["Id"].(string))))
		}
	case 3: // somebody is named for an opportunity that had nobody
		if deal := simPick(a.rng, w.deals...); len(w.roles(deal)) == 0 {
			contact, err := w.org.Insert("Contact", map[string]any{"LastName": "of " + deal})
			if err == nil {
				_, err = w.org.Insert("OpportunityContactRole", map[string]any{"OpportunityId": deal, "ContactId": contact, "IsPrimary": a.chance(2)})
			}
			w.note(fmt.Sprintf("role of %s: %v", deal, err))
		}
	}
	return pause
}

// vanishing notes records that go by another hand.
func (w *simWorld) vanishing(which func(map[string]any) bool) {
	for _, r := range w.org.Records(orgsim.Touchpoint) {
		if which(r) {
			w.mayGo[fmt.Sprint(r[uniqueID])] = true
		}
	}
}

func (w *simWorld) roles(deal string) (contacts []string) {
	for _, r := range w.org.Records("OpportunityContactRole") {
		if r["OpportunityId"] == deal {
			contacts = append(contacts, r["ContactId"].(string))
		}
	}
	return contacts
}

// personOf is the Lead or Contact that a Task counts for, by the description of the product:
// that of WhoId, else the Contact of its opportunity; a converted Lead is its Contact.
func (w *simWorld) personOf(task map[string]any) string {
	who, _ := task["WhoId"].(string)
	if lead, ok := w.org.Get("Lead", who); ok && lead["ConvertedContactId"] != nil {
		return lead["ConvertedContactId"].(string)
	}
	if deal, _ := task["WhatId"].(string); who == "" && deal != "" {
		if contacts := w.roles(deal); len(contacts) == 1 {
			return contacts[0]
		}
	}
	return who
}

// preferred is the person of a Lead or Contact from which records should hang: Marketo
// Measure's own, then the oldest, then the lowest id; a Contact without one has that of
// the Lead that became it.
func (w *simWorld) preferred(who string) string {
	var best, through map[string]any
	better := func(a, b map[string]any) map[string]any {
		if b == nil {
			return a
		}
		rank := func(p map[string]any) string {
			order := "2"
			if strings.HasPrefix(fmt.Sprint(p[uniqueID]), "Person_") {
				order = "1"
			}
			return order + fmt.Sprint(p["CreatedDate"]) + fmt.Sprint(p["Id"])
		}
		if rank(a) < rank(b) {
			return a
		}
		return b
	}
	for _, p := range w.org.Records(orgsim.Person) {
		if who != "" && (p["bizible2__Lead__c"] == who || p["bizible2__Contact__c"] == who) {
			best = better(p, best)
		} else if lead, ok := w.org.Get("Lead", fmt.Sprint(p["bizible2__Lead__c"])); ok && who != "" && lead["ConvertedContactId"] == who {
			through = better(p, through)
		}
	}
	if best == nil {
		best = through
	}
	id, _ := best["Id"].(string)
	return id
}
