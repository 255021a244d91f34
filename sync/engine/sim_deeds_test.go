package engine_test

import (
	"context"
	"fmt"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/orgsim"
)

// collect hands events and visits to the store; what it takes is acknowledged, and so
// must be in the model.
func (w *simWorld) collect(events []mapping.Event, visits []mapping.Visit) {
	w.t.Helper()
	repeated, err := w.store.Add(context.Background(), events, visits)
	if err != nil {
		w.t.Fatalf("store refuses events: %v", err)
	}
	w.note(fmt.Sprintf("collected %v %v, %d repeated", events, visits, repeated))
	w.model.events = append(w.model.events, events...)
	w.model.visits = append(w.model.visits, visits...)
}

func (w *simWorld) addEvent(e mapping.Event) {
	w.t.Helper()
	w.collect([]mapping.Event{e}, nil)
}

// call creates a Task, as the telephony vendor does. Where fields name nobody it is a
// stranger's, unless calls are anonymous.
func (w *simWorld) call(visitor string, at time.Time, late time.Duration, fields map[string]any) string {
	w.t.Helper()
	all := map[string]any{"Subject": "Inbound call", "Type": "Call", "TaskSubtype": "Call", "CallType": "Inbound", "Status": "Completed"}
	if !at.IsZero() {
		all["bizible2__Bizible_Touchpoint_Date__c"] = simStamp(at)
	}
	if visitor != "" {
		all["bizible2__BizibleId__c"] = visitor
	}
	if _, named := fields["WhoId"]; !named && !w.anonymous {
		all["WhoId"] = w.stranger()
	}
	for k, v := range fields {
		all[k] = v
	}
	id, err := w.org.InsertLate("Task", all, late)
	if err != nil {
		w.t.Fatal(err)
	}
	w.note(fmt.Sprintf("task %s %v late %s", id, all, late))
	w.tasks = append(w.tasks, id)
	w.hadID[id] = visitor != ""
	return id
}

func simStamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05Z") }

// edit changes a Task, unless it was deleted meanwhile.
func (w *simWorld) edit(id string, late time.Duration, fields map[string]any) {
	err := w.org.UpdateLate("Task", id, fields, late)
	w.note(fmt.Sprintf("edit %s %v late %s: %v", id, fields, late, err))
	if v, _ := fields["bizible2__BizibleId__c"].(string); err == nil && v != "" {
		w.hadID[id] = true
	}
	if _, ok := fields["WhoId"]; ok {
		w.mayGo[store.CallKey(id)] = true // for a while it may have named nobody
	}
}

func (w *simWorld) remove(id string) {
	w.note(fmt.Sprintf("delete %s: %v", id, w.org.Delete("Task", id)))
}

// stranger is a Contact whose person the store knows: nothing need be looked up.
func (w *simWorld) stranger() string {
	w.t.Helper()
	id, err := w.org.Insert("Contact", map[string]any{"LastName": "Stranger"})
	if err != nil {
		w.t.Fatal(err)
	}
	person, err := w.org.Insert(orgsim.Person, map[string]any{"Name": "stranger", "bizible2__Contact__c": id, "bizible2__UniqueId__c": "Person_" + id})
	if err == nil {
		err = w.store.PutPersons(context.Background(), []store.Person{{Who: id, RecordID: person}})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *simWorld) lead(existing bool) string {
	w.t.Helper()
	id, err := w.org.Insert("Lead", map[string]any{"LastName": fmt.Sprint("Lead ", len(w.persons)), "Company": "Example"})
	if err == nil && existing {
		_, err = w.org.Insert(orgsim.Person, map[string]any{"Name": "known", "bizible2__Lead__c": id, "bizible2__UniqueId__c": "mm-" + id})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.persons = append(w.persons, id)
	return id
}

// convert makes a Lead a Contact, and where that is so its Tasks with it.
func (w *simWorld) convert(lead string, tasks bool) (contact string) {
	contact, err := w.org.Insert("Contact", map[string]any{"LastName": "of " + lead})
	if err == nil {
		err = w.org.Update("Lead", lead, map[string]any{"IsConverted": true, "ConvertedContactId": contact})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.note("convert " + lead + " to " + contact)
	if !tasks {
		return contact
	}
	for _, id := range w.tasks {
		if t, ok := w.org.Get("Task", id); ok && t["WhoId"] == lead && t["IsDeleted"] != true {
			w.edit(id, 0, map[string]any{"WhoId": contact})
		}
	}
	return contact
}

// view is a page view now.
func simView(visitor, url, referrer string) mapping.Event {
	return mapping.Event{Kind: mapping.View, Visitor: visitor, At: time.Now().UTC().Truncate(time.Millisecond), URL: url, Referrer: referrer}
}

const (
	simOwn      = "https://www.shop.example/p0"
	simGoogle   = "https://www.google.com/"
	simLinkedIn = "https://www.linkedin.com/"
	simSignIn   = "https://accounts.google.com/"
	simPartner  = "https://news.partner.example/"
)
