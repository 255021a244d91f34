package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

// personFor makes a person of a Lead or Contact, with a key.
func (r *rig) personFor(field, who, key string) string {
	r.t.Helper()
	return r.insert(person, map[string]any{field: who, uniqueID: key})
}

// forget loses the store: the next cycles know nothing of what stands in the org.
func (r *rig) forget() {
	r.t.Helper()
	r.close()
	r.path += "x"
	r.open()
	r.collecting()
}

// collecting has an event before all calls: none of them lies before the collection.
func (r *rig) collecting() {
	r.t.Helper()
	r.visit("another", noon.Add(-24*time.Hour))
}

// records are the records of Tasks, by Task.
func (r *rig) records() map[string]map[string]any {
	all := map[string]map[string]any{}
	for _, rec := range r.org.Records(touchpoint) {
		all[strings.TrimPrefix(fmt.Sprint(rec[uniqueID]), store.CallKey(""))] = rec
	}
	return all
}

// hangs is the person that the record of a Task hangs from; empty where there is none.
func (r *rig) hangs(task string) any {
	r.t.Helper()
	if rec := r.record(task); rec != nil {
		return rec[personField]
	}
	return ""
}

func (r *rig) state(task string) store.State {
	r.t.Helper()
	_, t, err := r.store.Call(task)
	if err != nil || t == nil {
		return ""
	}
	return t.State
}

func (r *rig) update(object, id string, fields map[string]any) {
	r.t.Helper()
	if err := r.org.Update(object, id, fields); err != nil {
		r.t.Fatal(err)
	}
}

// writes counts the API calls of a cycle that must succeed with nothing parked.
func (r *rig) apiCalls() int {
	r.t.Helper()
	s := r.cycle()
	if s.Parked != 0 || len(r.engine.Last().Paused) != 0 {
		r.t.Errorf("parked or paused: %+v", s)
	}
	return s.APICalls
}

// TestRefusalTellsCreateFromUpdate: where the store does not know whether a record exists,
// the org's refusal says it, and the rows go the other way in the same cycle, with at most
// one API call more for each request. Also where an equal person passes.
func TestRefusalTellsCreateFromUpdate(t *testing.T) {
	t.Parallel()
	for _, equal := range []bool{false, true} {
		for _, n := range []int{1, 200, 1000} {
			t.Run(fmt.Sprintf("%d, equal passes %v", n, equal), func(t *testing.T) {
				t.Parallel()
				if testing.Short() && n == 1000 {
					t.Skip("long")
				}
				r := newRig(t, orgsim.Config{})
				r.org.EqualMasterPasses(equal)
				leads := []string{r.lead("A"), r.lead("B"), r.lead("C")}
				tasks := r.seen(n, func(i int) string { return leads[i%3] })
				first := r.apiCalls()
				before := r.standing()

				r.forget() // every record exists, and the store does not know
				if calls := r.apiCalls(); calls > first+1 {
					t.Errorf("records that exist: %d API calls, %d where they were created", calls, first)
				}
				r.agree()
				if got := r.standing(); len(got) != len(before) {
					t.Errorf("%d records, before %d", len(got), len(before))
				}

				// A third is deleted by hand, and all of them change.
				records := r.records()
				for i, task := range tasks {
					if i%3 == 0 {
						if err := r.org.Delete(touchpoint, records[task]["Id"].(string)); err != nil {
							t.Fatal(err)
						}
					}
					r.update("Task", task, map[string]any{"Type": "Meeting"})
				}
				r.clock.advance(time.Minute)
				requests := (n + 999) / 1000
				reads := 1 + (n-1)/2000
				if calls := r.apiCalls(); calls > reads+2*requests {
					t.Errorf("mixed: %d API calls, want at most %d", calls, reads+2*requests)
				}
				records = r.records()
				for _, task := range tasks {
					if rec := records[task]; rec == nil || rec["bizible2__Touchpoint_Type__c"] != "Meeting" {
						t.Fatalf("task %s: %v", task, rec)
					}
				}
				r.agree()
			})
		}
	}
}

// TestAnswerLostBeforeThePersonChanged: a record was created for one person, nobody knows,
// and the Task comes to name another: it ends under that one, also from a store that is
// older than the org.
func TestAnswerLostBeforeThePersonChanged(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{true, false} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("answer lost %v, keys freed late %v", lost, late), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, orgsim.Config{}, func(_ *engine.Config, s *salesforce.Config) { s.Retries = -1 })
				r.org.KeysFreedLate(late)
				a, b := r.lead("A"), r.lead("B")
				task := r.seen(1, func(int) string { return a })[0]
				if lost {
					r.org.Fault(orgsim.Fault{Op: orgsim.OpComposite, Match: simWrites, Drop: orgsim.DropAfter})
					r.fails()
				} else {
					r.cycle()
					r.forget()
				}
				if r.record(task) == nil {
					t.Fatal("it was not created")
				}
				r.update("Task", task, map[string]any{"WhoId": b})
				r.clock.advance(time.Minute)
				r.cycle()
				if p, _ := r.org.Get(person, fmt.Sprint(r.hangs(task))); p["bizible2__Lead__c"] != b {
					t.Errorf("it hangs from %v, want the person of %s", p, b)
				}
				r.agree()
			})
		}
	}
}

// TestPersonCreatedInTheSameCall: a record that exists under a person that is gone from the
// store, whose Lead has none any more, is written under a new one.
func TestDeletedPersonIsMadeAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{})
	lead := r.lead("A")
	tasks := r.seen(4, func(int) string { return lead })
	r.cycle()
	old := r.hangs(tasks[0])
	if err := r.org.Delete(person, fmt.Sprint(old)); err != nil {
		t.Fatal(err)
	}
	if r.record(tasks[1]) != nil {
		t.Fatal("the records did not go with their person")
	}
	r.update("Task", tasks[0], map[string]any{"Type": "Meeting"}) // one call shows it
	r.clock.advance(time.Minute)
	r.cycle()
	r.clock.advance(time.Minute)
	r.cycle()
	for _, task := range tasks {
		if p := r.hangs(task); p == "" || p == old {
			t.Errorf("task %s hangs from %v", task, p)
		}
	}
	r.agree()
}

// TestCallOfNobody: no record, the match stays, and one appears with whoever is named; it
// goes when nobody is named any more, in either mode.
func TestCallOfNobody(t *testing.T) {
	t.Parallel()
	for _, remove := range []bool{false, true} {
		t.Run(fmt.Sprint("retract delete ", remove), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, orgsim.Config{}, func(e *engine.Config, _ *salesforce.Config) { e.Settings.RetractDelete = remove })
			r.visit("v", r.clock.now().Add(-70*time.Minute))
			theirs := r.theirs("Person_1")
			task := r.call("v", noOne)
			if s := r.cycle(); s.Matched != 1 || s.TouchpointsWritten != 0 || s.Parked != 0 || r.state(task) != store.NoPerson {
				t.Fatalf("%+v, state %s", s, r.state(task))
			}
			if b := r.backlog(); b.NoPerson != 1 || b.Due != 0 {
				t.Errorf("%+v", b)
			}
			r.update("Task", task, map[string]any{"WhoId": r.lead("A")})
			r.clock.advance(time.Minute)
			if s := r.cycle(); s.TouchpointsWritten != 1 || r.record(task) == nil {
				t.Errorf("somebody is named: %+v", s)
			}
			r.update("Task", task, map[string]any{"WhoId": nil})
			r.clock.advance(time.Minute)
			if r.cycle(); r.record(task) != nil || r.state(task) != store.NoPerson {
				t.Errorf("nobody is named any more: %s", r.state(task))
			}
			if _, ok := r.org.Get(touchpoint, theirs); !ok {
				t.Error("another record went")
			}
		})
	}
}

// TestCallIsNamedByItsWhat: the primary contact role of an opportunity, else the only one;
// the Contact of a case; that of a person account.
func TestCallIsNamedByItsWhat(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{})
	r.collecting()
	contact := func(name string) string { return r.insert("Contact", map[string]any{"LastName": name}) }
	deal := func() string {
		return r.insert("Opportunity", map[string]any{"Name": "D", "StageName": "New", "CloseDate": "2030-01-01"})
	}
	role := func(deal, who string, primary bool) {
		r.insert("OpportunityContactRole", map[string]any{"OpportunityId": deal, "ContactId": who, "IsPrimary": primary})
	}
	one, two, three, four := contact("1"), contact("2"), contact("3"), contact("4")
	primary, only, several, empty := deal(), deal(), deal(), deal()
	role(primary, two, false)
	role(primary, one, true)
	role(only, two, false)
	role(several, one, false)
	role(several, two, false)
	ticket := r.insert("Case", map[string]any{"ContactId": three})
	account := r.insert("Account", map[string]any{"Name": "P", "PersonContactId": four})
	want := map[string]string{}
	for what, who := range map[string]string{primary: one, only: two, ticket: three, account: four, several: "", empty: ""} {
		want[r.call("v"+what, noOne, map[string]any{"WhatId": what})] = who
	}
	r.cycle()
	check := func() {
		t.Helper()
		for task, who := range want {
			rec := r.record(task)
			if who == "" {
				if rec != nil || r.state(task) != store.NoPerson {
					t.Errorf("task %s of nobody: %v, %s", task, rec, r.state(task))
				}
			} else if rec == nil || rec["bizible2__Contact__c"] != who {
				t.Errorf("task %s: %v, want that of %s", task, rec, who)
			}
		}
	}
	check()
	// A role that comes within the first day is found by the next cycle, later ones once a day.
	for task, who := range want {
		if call, _, err := r.store.Call(task); err == nil && who == "" && call.WhatID() == empty {
			role(empty, four, false)
			want[task] = four
		}
	}
	r.clock.advance(time.Minute)
	r.cycle()
	check()
	r.clock.advance(25 * time.Hour)
	before := r.cycle().APICalls
	r.clock.advance(time.Hour)
	if after := r.cycle().APICalls; after > before {
		t.Errorf("a call of nobody that is a day old is asked for in each cycle: %d API calls, %d before", after, before)
	}
}

// TestHiddenObjectsKeepNothingElseBack: without access to contact roles, Leads or converted
// Contacts the calls that need none of it are written.
func TestHiddenObjectsKeepNothingElseBack(t *testing.T) {
	t.Parallel()
	for name, hide := range map[string]func(*orgsim.Org){
		"contact roles":      func(o *orgsim.Org) { o.HideObject("OpportunityContactRole") },
		"leads":              func(o *orgsim.Org) { o.HideObject("Lead") },
		"converted contacts": func(o *orgsim.Org) { o.HideFieldOf("Lead", "ConvertedContactId") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, orgsim.Config{})
			r.collecting()
			hide(r.org)
			contact := r.insert("Contact", map[string]any{"LastName": "C"})
			deal := r.insert("Opportunity", map[string]any{"Name": "D", "StageName": "New", "CloseDate": "2030-01-01"})
			task := r.call("v1", contact)
			r.call("v2", noOne, map[string]any{"WhatId": deal})
			for range 3 {
				r.cycle()
				r.clock.advance(time.Hour)
			}
			if r.record(task) == nil {
				t.Error("the Contact's call was not written")
			}
		})
	}
}

// TestConvertedLeadCountsAsItsContact: at most an hour after the conversion, though no Task
// was touched; its person is the Contact's from then on, or the records move to the one that
// the Contact has.
func TestConvertedLeadCountsAsItsContact(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{false, true} {
		t.Run(fmt.Sprint("contact has a person ", own), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, orgsim.Config{})
			r.collecting()
			lead := r.lead("A")
			contact := r.insert("Contact", map[string]any{"LastName": "A"})
			task := r.call("v", lead)
			r.cycle()
			want, id := r.hangs(task), r.record(task)["Id"]
			if own {
				want = r.personFor("bizible2__Contact__c", contact, "Person_"+contact)
			}
			r.update("Lead", lead, map[string]any{"IsConverted": true, "ConvertedContactId": contact})
			r.clock.advance(time.Hour)
			r.cycle()
			rec := r.record(task)
			if rec == nil || rec[personField] != want || rec["bizible2__Contact__c"] != contact || (rec["Id"] == id) == own {
				t.Errorf("record %v, want person %v and Contact %s; it was %v", rec, want, contact, id)
			}
			if p, _ := r.org.Get(person, fmt.Sprint(want)); p["bizible2__Contact__c"] != contact {
				t.Errorf("its person: %v", p)
			}
			later := r.call("v2", lead) // a Task of the converted Lead
			r.clock.advance(time.Minute)
			if r.cycle(); r.hangs(later) != want {
				t.Errorf("a later call hangs from %v, want %v", r.hangs(later), want)
			}
			r.agree()
		})
	}
}

// TestPreferredPerson: Marketo Measure's own goes before the oldest, and that before others.
// Where it makes one later, the comparison moves the records and deletes ours.
func TestPreferredPerson(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{})
	r.collecting()
	lead, other := r.lead("A"), r.lead("B")
	oldest := r.personFor("bizible2__Lead__c", lead, "x-1")
	r.personFor("bizible2__Lead__c", lead, "x-2")
	first, second := r.call("v1", lead), r.call("v2", other)
	r.cycle()
	if r.hangs(first) != oldest {
		t.Errorf("of two persons %v was taken, want the oldest, %s", r.hangs(first), oldest)
	}
	ours := r.hangs(second)
	theirs := []string{r.personFor("bizible2__Lead__c", lead, "Person_"+lead), r.personFor("bizible2__Lead__c", other, "Person_"+other)}
	seen, err := r.engine.Reconcile(t.Context(), false)
	if err != nil || seen.PersonsChanged != 2 || r.hangs(second) != ours {
		t.Errorf("looked: %+v %v", seen, err)
	}
	done, err := r.engine.Reconcile(t.Context(), true)
	if err != nil || !done.Fixed || done.PersonsRemoved != 1 {
		t.Errorf("mended: %+v %v", done, err)
	}
	if r.hangs(first) != theirs[0] || r.hangs(second) != theirs[1] {
		t.Errorf("they hang from %v and %v, want %v", r.hangs(first), r.hangs(second), theirs)
	}
	if p, ok := r.org.Get(person, fmt.Sprint(ours)); ok && p["IsDeleted"] != true {
		t.Error("our person is still there, and nothing hangs from it")
	}
	if p, _ := r.org.Get(person, oldest); p == nil || p["IsDeleted"] == true {
		t.Error("a person of somebody else was deleted")
	}
	if again, err := r.engine.Reconcile(t.Context(), true); err != nil || again.Differs() {
		t.Errorf("again: %+v %v", again, err)
	}
	r.agree()
}

// TestMapWithoutThePersonIsRefused: no touchpoint can be created without its person.
func TestMapWithoutThePersonIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{}, func(e *engine.Config, _ *salesforce.Config) {
		fields, err := mapping.ParseFields([]byte("bizible2__Bizible_Person__c = -\n"))
		if err != nil {
			t.Fatal(err)
		}
		e.Settings.Fields = fields
	})
	if err := r.fails(); !strings.Contains(err.Error(), personField+" = person") {
		t.Errorf("%v", err)
	}
}
