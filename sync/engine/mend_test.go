package engine_test

import (
	"testing"
	"time"

	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

func TestReconcileFindsAndMends(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{PageSize: 4}, func(e *engine.Config, _ *salesforce.Config) { e.Settings.RetractDelete = true })
	lead := r.lead("L")
	tasks := r.seen(12, func(int) string { return lead })
	r.theirs("mm-1")
	r.theirs("callpoint_stray")
	r.cycle()
	if d, err := r.engine.Reconcile(t.Context(), false); err != nil || d.Differs() || d.Stray != 1 || d.Records != 13 || d.Tasks != 12 {
		t.Fatalf("before anything happened: %+v %v", d, err)
	}
	id := func(i int) string { return r.record(tasks[i])["Id"].(string) }
	for _, err := range []error{
		r.org.Delete(touchpoint, id(1)),
		r.org.Update(touchpoint, id(2), map[string]any{"bizible2__Medium__c": "by hand"}),
		r.org.Delete(touchpoint, id(3)), // and made anew by hand, under another person
		r.org.Purge("Task", tasks[4]),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	right := r.record(tasks[5])[personField]
	r.theirs(store.CallKey(tasks[3]))
	d, err := r.engine.Reconcile(t.Context(), false)
	if err != nil || d.Gone != 1 || d.Edited != 2 || d.TasksPurged != 1 || d.Fixed {
		t.Fatalf("%+v %v", d, err)
	}
	for _, x := range d.Differences {
		if x.Kind == engine.RecordEdited && x.TaskID == tasks[2] && x.Fields["bizible2__Medium__c"] != (engine.FieldChange{From: "by hand", To: "Call"}) {
			t.Errorf("%+v", x)
		}
	}
	if r.record(tasks[2])["bizible2__Medium__c"] != "by hand" {
		t.Error("a comparison without --fix wrote")
	}
	if d, err = r.engine.Reconcile(t.Context(), true); err != nil || !d.Fixed {
		t.Fatalf("%+v %v", d, err)
	}
	if r.record(tasks[1]) == nil || r.record(tasks[2])["bizible2__Medium__c"] != "Call" || r.record(tasks[3])[personField] != right || r.record(tasks[4]) != nil {
		t.Error("not mended")
	}
	if d, err = r.engine.Reconcile(t.Context(), false); err != nil || d.Differs() {
		t.Errorf("after mending: %+v %v", d, err)
	}
}

// retract takes back what callpoint wrote and nothing else, and it stays away.
func TestRetractTakesBackOnlyItsOwn(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{})
	leads := []string{r.lead("A"), r.lead("B")}
	tasks := r.seen(6, func(i int) string { return leads[i%2] })
	r.cycle()
	// Marketo Measure linked a record of its own to a person that callpoint made.
	theirs := r.insert(touchpoint, map[string]any{uniqueID: "mm-1", personField: r.record(tasks[0])[personField]})
	plan, err := r.engine.Retract(t.Context(), time.Time{}, false)
	if err != nil || plan != (engine.Retracted{Touchpoints: 6, Persons: 1}) || len(r.org.Records(touchpoint)) != 7 {
		t.Fatalf("%+v %v", plan, err)
	}
	if did, err := r.engine.Retract(t.Context(), time.Time{}, true); err != nil || !did.Done {
		t.Fatalf("%+v %v", did, err)
	}
	if all := r.org.Records(touchpoint); len(all) != 1 || all[0]["Id"] != theirs || len(r.org.Records(person)) != 1 {
		t.Errorf("what stands: %d touchpoints, %d persons", len(all), len(r.org.Records(person)))
	}
	if err := r.org.Update("Task", tasks[0], map[string]any{"Type": "Meeting"}); err != nil {
		t.Fatal(err)
	}
	r.clock.advance(time.Minute)
	if s := r.cycle(); s.TouchpointsWritten != 0 {
		t.Errorf("written again: %+v", s)
	}
	if d, err := r.engine.Reconcile(t.Context(), true); err != nil || d.Gone != 0 {
		t.Errorf("%+v %v", d, err)
	}
	if n, err := r.engine.Restore(t.Context()); n != 6 || err != nil {
		t.Fatal(n, err)
	}
	if s := r.cycle(); s.TouchpointsWritten != 6 || r.record(tasks[0])["bizible2__Touchpoint_Type__c"] != "Meeting" {
		t.Errorf("after undo: %+v", s)
	}
	r.agree()
}

// A dry run shows what would be written, and writes nothing.
func TestDryRunShowsAndWritesNothing(t *testing.T) {
	t.Parallel()
	dry := false
	r := newRig(t, orgsim.Config{}, func(e *engine.Config, _ *salesforce.Config) { e.DryRun = dry })
	lead := r.lead("L")
	tasks := r.seen(3, func(int) string { return lead })
	r.cycle()
	dry = true
	r.reopen()
	if err := r.org.Update("Task", tasks[0], map[string]any{"Type": "Meeting"}); err != nil {
		t.Fatal(err)
	}
	task := r.call("v9", r.lead("M"))
	r.clock.advance(time.Minute)
	before := r.org.Requests().Written
	if s := r.cycle(); s.TouchpointsWritten != 0 {
		t.Errorf("%+v", s)
	}
	p, err := r.engine.Preview(t.Context())
	if err != nil || p.Create != 1 || p.Change != 1 || p.Delete != 0 || p.Persons != 1 || len(p.Records) != 2 {
		t.Fatalf("%+v %v", p, err)
	}
	for _, x := range p.Records {
		want := map[string]engine.FieldChange{"bizible2__Touchpoint_Type__c": {From: "Call", To: "Meeting"}, "bizible2__Medium__c": {From: "Call", To: "Meeting"}}
		if x.TaskID == task {
			if x.Action != engine.WouldCreate || x.Fields["bizible2__Touchpoint_Type__c"].To != "Call" {
				t.Errorf("%+v", x)
			}
		} else if len(x.Fields) != 2 || x.Fields["bizible2__Medium__c"] != want["bizible2__Medium__c"] {
			t.Errorf("%+v", x)
		}
	}
	if n := r.org.Requests().Written; n != before || r.record(task) != nil {
		t.Errorf("a dry run wrote %d records", n-before)
	}
	dry = false
	r.reopen()
	if s := r.cycle(); s.TouchpointsWritten != 2 {
		t.Errorf("afterwards: %+v", s)
	}
	r.agree()
}

func TestRetryParkedByID(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{})
	tasks := r.seen(4, nil)
	remove := r.org.Fault(orgsim.Fault{Times: -1, RowError: &orgsim.RowError{Code: "STRING_TOO_LONG"}})
	if s := r.cycle(); s.Parked != 4 {
		t.Fatalf("%+v", s)
	}
	remove()
	if n, err := r.engine.RetryParked(t.Context(), []string{tasks[0][:15], store.CallKey(tasks[1])}); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if s := r.cycle(); s.TouchpointsWritten != 2 || s.Parked != 2 {
		t.Errorf("%+v", s)
	}
	if n, err := r.engine.RetryParked(t.Context(), nil); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if s := r.cycle(); s.TouchpointsWritten != 2 || s.Parked != 0 {
		t.Errorf("%+v", s)
	}
}

// Where callpoint makes no persons, a call waits for one: no record is written, and one
// appears with the person, in the first day in the next cycle and after that once a day.
func TestCallWaitsForAPersonOfTheOrg(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{}, func(ec *engine.Config, _ *salesforce.Config) { ec.Persons = engine.PersonsReuse })
	r.visit("v", r.clock.now().Add(-3*time.Hour))
	early, late := r.lead("Ada"), r.lead("Ben")
	first, second := r.call("v1", early), r.call("v2", late)
	r.cycle()
	for _, task := range []string{first, second} {
		if tp := r.touchpoint(task); tp.State != store.NoPerson || r.record(task) != nil {
			t.Errorf("without a person: %s", tp.State)
		}
	}
	made := r.insert(person, map[string]any{"bizible2__Lead__c": early})
	r.clock.advance(time.Minute)
	if s := r.cycle(); s.TouchpointsWritten != 1 || r.record(first)[personField] != made {
		t.Errorf("with a person: %+v", s)
	}
	r.clock.advance(25 * time.Hour)
	r.cycle()
	made = r.insert(person, map[string]any{"bizible2__Lead__c": late})
	r.clock.advance(time.Hour)
	if s := r.cycle(); s.TouchpointsWritten != 0 {
		t.Errorf("after a day it is looked for once a day: %+v", s)
	}
	r.clock.advance(23 * time.Hour)
	if s := r.cycle(); s.TouchpointsWritten != 1 || r.record(second)[personField] != made {
		t.Errorf("a day later: %+v", s)
	}
	r.agree()
}
