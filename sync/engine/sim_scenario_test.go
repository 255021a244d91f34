package engine_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"callpoint/store"
	"callpoint/sync/orgsim"
)

// simScenarios are small worlds, each built so that one kind of mistake in engine or
// store shows. simPlants names the mistakes.
var simScenarios = map[string]func(*simWorld){
	// A page is read, and the process dies before it is stored.
	"die-at-page-read": func(w *simWorld) {
		w.overlap = 0
		w.restart()
		w.cycle()
		time.Sleep(time.Hour)
		id := w.call("v", time.Now(), 0, nil)
		time.Sleep(time.Minute)
		w.dieAt = "page-read"
		w.cycle()
		w.later(time.Hour)
		w.mustStand(id)
	},
	// Rows of one second lie on both sides of a page's end, and the process dies there.
	"ties-across-pages": func(w *simWorld) {
		w.overlap = 0
		w.restart()
		w.cycle()
		time.Sleep(time.Hour)
		var ids []string
		for range 5 {
			ids = append(ids, w.call("v", time.Now(), 0, nil))
		}
		time.Sleep(time.Hour)
		w.dieAt = "page-stored"
		w.cycle()
		w.later(time.Minute)
		w.mustStand(ids...)
	},
	// A row becomes visible after polls that began later than its stamp.
	"late-row": func(w *simWorld) {
		w.cycle()
		id := w.call("v", time.Now(), 9*time.Minute, nil)
		for range 9 {
			w.later(time.Minute)
		}
		w.later(time.Minute)
		w.mustStand(id)
	},
	// The record stands, nobody knows, and its Task is deleted.
	"die-before-outcome": func(w *simWorld) {
		w.settings.RetractDelete = true
		w.restart()
		id := w.call("v", time.Now(), 0, nil)
		time.Sleep(time.Hour)
		w.dieAt = "answered"
		w.cycle()
		w.mustStand(id)
		w.remove(id)
		w.later(time.Hour)
		w.mustNotStand(id)
	},
	// What was written is not written again.
	"nothing-new": func(w *simWorld) {
		w.call("v", time.Now(), 0, nil)
		time.Sleep(time.Hour)
		w.cycle()
		w.mustWriteNothing()
	},
	// B never arrived; when it is wanted again, A stands still.
	"back-to-what-was-lost": func(w *simWorld) {
		id := w.call("v", time.Now(), 0, map[string]any{"Type": "Call"})
		w.later(time.Hour)
		w.edit(id, 0, map[string]any{"Type": "Meeting"})
		w.org.Fault(orgsim.Fault{Op: orgsim.OpUpsert, Drop: orgsim.DropBefore})
		time.Sleep(time.Second)
		w.cycle()
		w.edit(id, 0, map[string]any{"Type": "Other"})
		w.dieAt = "placement-stored"
		w.later(time.Second)
		w.edit(id, 0, map[string]any{"Type": "Meeting"})
		w.later(time.Second)
		w.later(time.Hour)
		w.mustHave(id, "Touchpoint_Type", "Meeting")
	},
	// The session arrives an hour after its call was written without one.
	"late-event": func(w *simWorld) {
		e := simView("v", "https://www.shop.example/p1", "")
		id := w.call("v", time.Now().Add(time.Minute), 0, nil)
		w.later(time.Hour)
		w.mustStand(id)
		w.addEvent(e)
		w.later(time.Minute)
		w.mustHave(id, "Landing_Page_Raw", "https://www.shop.example/p1")
	},
	// An event arrives between the reading of a journey and the storing of its answer.
	"event-during-resolve": func(w *simWorld) {
		e := simView("v", "https://www.shop.example/p1", "")
		id := w.call("v", time.Now().Add(time.Minute), 0, nil)
		time.Sleep(time.Hour)
		w.at = map[string]func(){"resolved": func() { w.addEvent(e) }}
		w.cycle()
		w.later(time.Minute)
		w.mustHave(id, "Landing_Page_Raw", "https://www.shop.example/p1")
	},
	// Two calls in one session; the one that has it turns out to be another visitor's.
	"id-corrected": func(w *simWorld) {
		w.addEvent(simView("v", "https://www.shop.example/p1", ""))
		first, second := w.call("v", time.Now().Add(time.Minute), 0, nil), w.call("v", time.Now().Add(2*time.Minute), 0, nil)
		w.later(time.Hour)
		w.mustHave(first, "Landing_Page_Raw", "https://www.shop.example/p1")
		w.edit(first, 0, map[string]any{"bizible2__BizibleId__c": "other"})
		w.later(time.Hour)
		w.mustHave(second, "Landing_Page_Raw", "https://www.shop.example/p1")
	},
	// A call is held for its session, which never comes.
	"hold-ends": func(w *simWorld) {
		id := w.call("v", time.Now(), 0, nil)
		w.later(time.Minute)
		w.mustNotStand(id)
		w.later(time.Hour)
		w.mustStand(id)
	},
	// A reload within the session changes nothing that is written.
	"equal-content": func(w *simWorld) {
		w.addEvent(simView("v", "https://www.shop.example/p1", ""))
		id := w.call("v", time.Now(), 0, nil)
		w.later(time.Minute)
		w.mustHave(id, "Landing_Page_Raw", "https://www.shop.example/p1")
		w.addEvent(simView("v", "https://www.shop.example/p1", ""))
		w.mustWriteNothing()
	},
	// A Lead calls twice, with two ids.
	"two-cookies": func(w *simWorld) {
		first, second := w.twoCookies()
		w.mustHave(first, "Touchpoint_Position", "FT, LC")
		w.mustHave(second, "Touchpoint_Position", "PostLC")
	},
	// A session of the second id turns out to be the first of all.
	"earlier-session-of-the-other-id": func(w *simWorld) {
		e := simView("second", "https://www.shop.example/p2", "")
		time.Sleep(2 * time.Hour)
		first, second := w.twoCookies()
		w.addEvent(e)
		w.later(time.Hour)
		w.mustHave(first, "Touchpoint_Position", "LC")
		w.mustHave(second, "Touchpoint_Position", "PostLC")
	},
	// The first call turns out to be of somebody else: the second is the lead creation.
	"call-of-somebody-else": func(w *simWorld) {
		first, second := w.twoCookies()
		w.edit(first, 0, map[string]any{"WhoId": w.lead(false)})
		w.later(time.Hour)
		w.mustHave(first, "Touchpoint_Position", "FT, LC")
		w.mustHave(second, "Touchpoint_Position", "FT, LC")
	},
	// The Lead of the first call was converted to the Contact of the second.
	"lead-converted": func(w *simWorld) {
		first, second := w.twoCookies()
		task, _ := w.org.Get("Task", first)
		lead := task["WhoId"].(string)
		contact, err := w.org.Insert("Contact", map[string]any{"LastName": "Converted"})
		if err != nil {
			w.t.Fatal(err)
		}
		w.edit(second, 0, map[string]any{"WhoId": contact})
		w.later(time.Hour)
		w.mustHave(second, "Touchpoint_Position", "FT, LC")
		if _, err := w.store.PutConversions(context.Background(), nil, map[string]string{lead: contact}); err != nil {
			w.t.Fatal(err)
		}
		w.later(time.Hour)
		w.mustHave(first, "Touchpoint_Position", "FT, LC")
		w.mustHave(second, "Touchpoint_Position", "PostLC")
	},
	// The process dies between the matching of calls and the positions of persons.
	"die-at-placed": func(w *simWorld) {
		w.dieAt = "placed"
		first, second := w.twoCookies()
		w.later(time.Minute)
		w.mustHave(first, "Touchpoint_Position", "FT, LC")
		w.mustHave(second, "Touchpoint_Position", "PostLC")
	},
	// A deleted Task's record goes, and its session is free for the next call.
	"task-deleted": func(w *simWorld) {
		w.settings.RetractDelete = true
		w.restart()
		w.addEvent(simView("v", "https://www.shop.example/p1", ""))
		first, second := w.call("v", time.Now().Add(time.Minute), 0, nil), w.call("v", time.Now().Add(2*time.Minute), 0, nil)
		w.later(time.Hour)
		w.remove(first)
		w.later(time.Hour)
		w.mustNotStand(first)
		w.mustHave(second, "Landing_Page_Raw", "https://www.shop.example/p1")
	},
	// Two edits within a second, one poll between them: one stamp, two contents.
	"edited-twice-in-a-second": func(w *simWorld) {
		id := w.call("v", time.Now(), 0, nil)
		w.later(time.Hour)
		w.edit(id, 0, map[string]any{"Type": "Other"})
		w.cycle()
		w.edit(id, 0, map[string]any{"Type": "Meeting"})
		w.later(time.Minute)
		w.mustHave(id, "Touchpoint_Type", "Meeting")
	},
	// A locked row is tried again.
	"locked-row": func(w *simWorld) {
		id := w.call("v", time.Now(), 0, nil)
		w.org.Fault(orgsim.Fault{Times: 4, RowError: &orgsim.RowError{Code: "UNABLE_TO_LOCK_ROW"}})
		for range 6 {
			w.later(time.Hour)
		}
		w.mustStand(id)
	},
	// A query that is too large is read in spans shorter than the overlap, to its end.
	"narrow-spans": func(w *simWorld) {
		var ids []string
		for range 6 {
			ids = append(ids, w.call("v", time.Now(), 0, nil))
			time.Sleep(time.Minute)
		}
		w.org.Fault(orgsim.Fault{Op: orgsim.OpQuery, Status: 400, Code: "OPERATION_TOO_LARGE", MinRows: 2, Times: -1})
		w.later(time.Minute)
		w.later(20 * time.Minute)
		w.mustStand(ids...)
	},
	// A long poll in spans: a row comes late to one of them, long before the poll ends.
	"late-row-in-spans": func(w *simWorld) {
		late := ""
		w.spans(func() {}, func() { late = w.call("late", time.Now(), 9*time.Minute, nil) })
		w.mustStand(late)
	},
	// A call leaves the filter, and the next poll is one in spans.
	"left-before-spans": func(w *simWorld) {
		w.settings.RetractDelete = true
		w.restart()
		id := w.call("v", time.Now(), 0, nil)
		w.later(time.Hour)
		w.mustStand(id)
		w.spans(func() { w.edit(id, 0, map[string]any{"bizible2__BizibleId__c": nil, "CallType": "Outbound"}) }, func() {})
		w.mustNotStand(id)
	},
	// Many calls of few people: what one call has under way no other may need.
	"few-people": func(w *simWorld) {
		w.batch = 4
		w.restart()
		leads := []string{w.lead(true), w.lead(false), w.lead(false)}
		var ids []string
		for i := range 150 {
			ids = append(ids, w.call(fmt.Sprint("v", i), time.Now(), 0, map[string]any{"WhoId": leads[i%3]}))
		}
		w.later(time.Hour)
		w.mustStand(ids...)
	},
	// The person of a converted Lead is locked when its Contact is to be set.
	"person-locked-at-conversion": func(w *simWorld) {
		lead := w.lead(true)
		id := w.call("v", time.Now(), 0, map[string]any{"WhoId": lead})
		w.later(time.Hour)
		w.convert(lead, true)
		w.org.Fault(orgsim.Fault{Op: orgsim.OpUpdate, RowError: &orgsim.RowError{Code: "UNABLE_TO_LOCK_ROW"}})
		w.later(time.Minute)
		w.later(time.Hour)
		task, _ := w.org.Get("Task", id)
		w.comparePerson(store.CallKey(id), task["WhoId"].(string), w.record(id))
		if p, _ := w.org.Get(orgsim.Person, fmt.Sprint(w.record(id)[personField])); p["bizible2__Contact__c"] != task["WhoId"] {
			w.t.Errorf("the Contact of the person is %v, want %v", p["bizible2__Contact__c"], task["WhoId"])
		}
	},
}

func TestScenario(t *testing.T) {
	t.Parallel()
	for name, play := range simScenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newSimWorld(t, 1, orgsim.Config{PageSize: 2})
				w.acting = true // time goes by only where the scenario says so
				w.addEvent(simView("somebody", "https://www.shop.example/p1", ""))
				time.Sleep(time.Hour) // nothing here lies before collection
				play(w)
				if problems, err := w.store.Check(); err != nil || len(problems) > 0 {
					t.Errorf("store: %v %v", problems, err)
				}
			})
		})
	}
}

// spans has two calls read in a poll of several spans, which rests after the second of
// them. first acts in the first span, last a minute before the poll.
func (w *simWorld) spans(first, last func()) {
	w.cycle()
	time.Sleep(5 * time.Minute)
	w.call("a", time.Now(), 0, nil)
	w.call("b", time.Now(), 0, nil)
	first()
	time.Sleep(35 * time.Minute)
	last()
	w.org.Fault(orgsim.Fault{Op: orgsim.OpQuery, Status: 400, Code: "OPERATION_TOO_LARGE", MinRows: 1})
	w.at = map[string]func(){"page-stored": func() {
		w.at = map[string]func(){"page-stored": func() { time.Sleep(20 * time.Minute) }}
	}}
	w.later(time.Minute)
	w.later(time.Hour)
	w.later(time.Hour)
}

// twoCookies has a Lead call from two sessions with an id each, an hour apart, and syncs.
func (w *simWorld) twoCookies() (first, second string) {
	w.t.Helper()
	lead := map[string]any{"WhoId": w.lead(false)}
	w.addEvent(simView("first", "https://www.shop.example/p1", simGoogle))
	first = w.call("first", time.Now().Add(time.Minute), 0, lead)
	time.Sleep(time.Hour)
	w.addEvent(simView("second", "https://www.shop.example/p1", ""))
	second = w.call("second", time.Now().Add(time.Minute), 0, lead)
	w.later(time.Hour)
	return first, second
}

// later lets time go by, and then runs a cycle.
func (w *simWorld) later(d time.Duration) {
	time.Sleep(d)
	_, _ = w.cycle() // what it did is looked at in the org
}

func (w *simWorld) record(id string) map[string]any {
	for _, r := range w.org.Records(orgsim.Touchpoint) {
		if r["bizible2__UniqueId__c"] == store.CallKey(id) {
			return r
		}
	}
	return nil
}

func (w *simWorld) mustStand(ids ...string) {
	w.t.Helper()
	for _, id := range ids {
		if w.record(id) == nil {
			w.t.Errorf("the touchpoint of %s is missing", id)
		}
	}
}

func (w *simWorld) mustNotStand(id string) {
	w.t.Helper()
	if w.record(id) != nil {
		w.t.Errorf("the touchpoint of %s stands", id)
	}
}

func (w *simWorld) mustHave(id, field string, want any) {
	w.t.Helper()
	w.mustStand(id)
	if got := w.record(id)["bizible2__"+field+"__c"]; got != want {
		w.t.Errorf("%s: %s = %v, want %v", id, field, got, want)
	}
}

func (w *simWorld) mustWriteNothing() {
	w.t.Helper()
	before := w.org.Requests().Written
	w.later(time.Minute)
	if n := w.org.Requests().Written - before; n != 0 {
		w.t.Errorf("a cycle with nothing to do wrote %d records", n)
	}
}
