package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

// seen makes calls, each of its own visitor, after the first visit of all, so that they
// are not left out.
func (r *rig) seen(n int, who func(i int) string) (tasks []string) {
	r.t.Helper()
	r.visit("v", r.clock.now().Add(-3*time.Hour))
	for i := range n {
		w := ""
		if who != nil {
			w = who(i)
		}
		tasks = append(tasks, r.call(fmt.Sprint("v", i), w))
	}
	return tasks
}

// The org's triggers take 40 records of a transaction: collections get smaller by
// themselves, stay so over a restart, and grow back.
func TestCollectionsHalveAndGrowBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{TriggerCPUPerRecord: 250 * time.Millisecond})
	r.seen(400, nil)
	if s := r.cycle(); s.TouchpointsWritten != 400 || s.Parked != 0 {
		t.Fatalf("%+v", s)
	}
	r.agree()
	if n := strings.Count(r.log.String(), "sending fewer"); n < 3 {
		t.Errorf("halved %d times: the org refused nothing", n)
	}
	r.reopen()
	r.seen(50, nil)
	failed := r.org.Requests().Failed
	if s := r.cycle(); s.TouchpointsWritten != 50 {
		t.Fatalf("%+v", s)
	}
	if now := r.org.Requests().Failed; now-failed >= 50 {
		t.Errorf("%d rows refused after a restart: the size was forgotten", now-failed)
	}
	r.seen(300, nil)
	if s := r.cycle(); s.TouchpointsWritten != 300 || !strings.Contains(r.log.String(), "sending more at once") {
		t.Errorf("%+v; it never grew back", s)
	}
	r.agree()
}

// A permission that is missing concerns every record: one alert, one record tried now and
// then, and all is made up for once it is granted.
func TestObjectThatRefusesEverythingIsPaused(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{})
	r.seen(1000, nil)
	r.org.Schema(touchpoint).Access(func(o *orgsim.Object) { o.NoCreate = true })
	var paused *engine.PausedError
	if err := r.fails(); !errors.As(err, &paused) || engine.Cure(err) == "" {
		t.Fatalf("err = %v", err)
	}
	if b := r.backlog(); b.Parked != 0 || b.Due != 1000 {
		t.Errorf("%+v: want 1000 due, none parked", b)
	}
	if p := r.engine.Last().Paused; len(p) != 1 || p[0].Object != touchpoint || p[0].Code != "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY" {
		t.Errorf("Last() shows %+v", p)
	}
	r.reopen()
	before := r.org.Requests()
	r.fails() // it is remembered: nothing is sent, the object is only described again
	if n := r.org.Requests().Failed - before.Failed; n != 0 {
		t.Errorf("%d rows sent while paused", n)
	}
	r.clock.advance(16 * time.Minute)
	before = r.org.Requests()
	r.fails()
	if n := r.org.Requests().Failed - before.Failed; n != 1 {
		t.Errorf("%d rows sent to see how it stands, want 1", n)
	}
	if n := strings.Count(r.log.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d alerts, want 1", n)
	}
	r.org.Schema(touchpoint).Access(func(o *orgsim.Object) { o.NoCreate = false })
	r.clock.advance(time.Hour)
	if s := r.cycle(); s.TouchpointsWritten != 1000 || len(r.engine.Last().Paused) != 0 {
		t.Errorf("after the cure: %+v", s)
	}
	r.agree()
}

// A refused record is parked with its cure and keeps nobody back; it is tried again
// daily, and when its content changes.
func TestParkedRecordKeepsNobodyBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{})
	tasks := r.seen(30, nil)
	bad := store.CallKey(tasks[7])
	remove := r.org.Fault(orgsim.Fault{Times: -1, RowError: &orgsim.RowError{Code: "FIELD_CUSTOM_VALIDATION_EXCEPTION", Message: "no", Key: bad}})
	if s := r.cycle(); s.TouchpointsWritten != 29 || s.Parked != 1 {
		t.Fatalf("%+v", s)
	}
	if tp := r.touchpoint(tasks[7]); tp.State != store.Parked || tp.Code != "FIELD_CUSTOM_VALIDATION_EXCEPTION" || tp.Message != "no" {
		t.Errorf("%+v", tp)
	}
	r.clock.advance(25 * time.Hour)
	failed := r.org.Requests().Failed
	if s := r.cycle(); s.Parked != 1 || r.org.Requests().Failed != failed+1 {
		t.Errorf("a day later: %+v", s)
	}
	remove()
	if err := r.org.Update("Task", tasks[7], map[string]any{"Type": "Meeting"}); err != nil {
		t.Fatal(err)
	}
	r.clock.advance(time.Minute)
	if s := r.cycle(); s.Parked != 0 || s.TouchpointsWritten != 1 {
		t.Errorf("after its Task changed: %+v", s)
	}
	r.agree()
}

// Locked rows are sent again at once, and alone.
func TestLockedRowsAreSentAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{})
	lead := r.lead("L")
	r.seen(50, func(int) string { return lead })
	r.org.Fault(orgsim.Fault{Op: orgsim.OpUpsert, RowError: &orgsim.RowError{Code: "UNABLE_TO_LOCK_ROW", Every: 7}})
	before := r.org.Requests()
	if s := r.cycle(); s.TouchpointsWritten != 50 || r.backlog().Due != 0 {
		t.Errorf("%+v", s)
	}
	if n := r.org.Requests().Written - before.Written; n != 51 {
		t.Errorf("%d rows written for 50 records and their person", n)
	}
	r.agree()
}

// A person that Salesforce refuses keeps only its own touchpoints back, and they say why.
func TestRefusedPersonHoldsOnlyItsOwnTouchpoints(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{})
	good, bad := r.lead("Good"), r.lead("Bad")
	tasks := r.seen(6, func(i int) string { return []string{good, bad}[i%2] })
	remove := r.org.Fault(orgsim.Fault{Times: -1, RowError: &orgsim.RowError{Code: "DUPLICATES_DETECTED", Message: "dup", Key: store.CallKey(bad)}})
	if s := r.cycle(); s.TouchpointsWritten != 3 || s.Parked != 3 {
		t.Fatalf("%+v", s)
	}
	if tp := r.touchpoint(tasks[1]); tp.Code != "DUPLICATES_DETECTED" || !strings.Contains(tp.Message, "Person") {
		t.Errorf("%s %s", tp.Code, tp.Message)
	}
	remove()
	r.clock.advance(25 * time.Hour)
	if s := r.cycle(); s.TouchpointsWritten != 3 || s.Parked != 0 {
		t.Errorf("a day later: %+v", s)
	}
	r.agree()
}

// A remembered person that was deleted or purged is forgotten and looked up again.
func TestPersonThatWentIsLookedUpAgain(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(*orgsim.Org, string) error{
		"deleted": func(o *orgsim.Org, id string) error { return o.Delete(person, id) },
		"purged":  func(o *orgsim.Org, id string) error { return o.Purge(person, id) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, orgsim.Config{})
			lead := r.lead("L")
			r.seen(1, func(int) string { return lead })
			r.cycle()
			if err := remove(r.org, r.org.Records(person)[0]["Id"].(string)); err != nil {
				t.Fatal(err)
			}
			merged := r.insert(person, map[string]any{"bizible2__Lead__c": lead, uniqueID: "mm"})
			task := r.call("v", lead)
			r.clock.advance(time.Minute)
			if s := r.cycle(); s.Parked != 0 || r.backlog().Due != 0 {
				t.Fatalf("%+v", s)
			}
			if got := r.record(task)["bizible2__Bizible_Person__c"]; got != merged {
				t.Errorf("linked to %v, want %s", got, merged)
			}
		})
	}
}

// A lead that becomes a contact takes its person along.
func TestConvertedLeadKeepsItsPerson(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{})
	lead := r.lead("L")
	task := r.seen(1, func(int) string { return lead })[0]
	r.cycle()
	p := r.record(task)["bizible2__Bizible_Person__c"]
	contact := r.insert("Contact", map[string]any{"LastName": "L"})
	for object, change := range map[string]map[string]any{
		"Lead": {"IsConverted": true, "ConvertedContactId": contact}, "Task": {"WhoId": contact},
	} {
		id := map[string]string{"Lead": lead, "Task": task}[object]
		if err := r.org.Update(object, id, change); err != nil {
			t.Fatal(err)
		}
	}
	r.clock.advance(time.Minute)
	r.cycle()
	rec := r.record(task)
	if rec["bizible2__Bizible_Person__c"] != p || rec["bizible2__Contact__c"] != contact {
		t.Errorf("touchpoint: %v of %v, want person %v", rec["bizible2__Bizible_Person__c"], rec["bizible2__Contact__c"], p)
	}
	if persons := r.org.Records(person); len(persons) != 1 || persons[0]["bizible2__Contact__c"] != contact {
		t.Errorf("persons: %v", persons)
	}
}

// A record that refuses its whole request is found, and the others are written.
func TestRecordThatNobodyUnderstandsIsFound(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{})
	tasks := r.seen(64, nil)
	bad := store.CallKey(tasks[40])
	r.org.Fault(orgsim.Fault{Op: orgsim.OpUpsert, Times: -1, Status: 400, Code: "JSON_PARSER_ERROR",
		Match: func(q orgsim.Request) bool { return strings.Contains(string(q.Body), bad) }})
	if s := r.cycle(); s.TouchpointsWritten != 63 || s.Parked != 1 {
		t.Errorf("%+v", s)
	}
}

// The price of a first run: query pages, persons looked up and created, touchpoints.
func TestAPICallsOfAFirstRun(t *testing.T) {
	t.Parallel()
	calls, people := 20000, 2000
	if testing.Short() {
		calls, people = 2000, 200
	}
	r := newRig(t, orgsim.Config{})
	leads := make([]string, people)
	for i := range leads {
		leads[i] = r.lead(fmt.Sprint("L", i))
	}
	tasks := r.seen(calls, func(i int) string { return leads[i%people] })
	s := r.cycle()
	if len(r.org.Records(touchpoint)) != calls || len(r.org.Records(person)) != people || s.Parked != 0 {
		t.Fatalf("%+v", s)
	}
	t.Logf("%d calls of %d people: %d API calls", calls, people, s.APICalls)
	if most := max(8, calls/500); s.APICalls > most || r.org.Requests().APICalls != s.APICalls {
		t.Errorf("%d API calls by our count, %d by the org's, want at most %d", s.APICalls, r.org.Requests().APICalls, most)
	}
	r.agree()
	// A later change of all of them takes the pages to read and a call for each thousand records.
	for _, task := range tasks {
		r.update("Task", task, map[string]any{"Type": "Meeting"})
	}
	r.clock.advance(time.Hour / 2)
	s = r.cycle()
	t.Logf("all of them changed: %d API calls", s.APICalls)
	if most := calls/2000 + calls/1000; s.APICalls > most || s.TouchpointsWritten != calls {
		t.Errorf("all of them changed: %d API calls, want at most %d; %+v", s.APICalls, most, s)
	}
	r.agree()
}

// With CALLPOINT_RETRACT=delete a record goes with its basis, and no other does.
func TestDeletedBasisDeletesItsRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{}, func(e *engine.Config, _ *salesforce.Config) { e.Settings.RetractDelete = true })
	tasks := r.seen(3, nil)
	theirs := r.theirs("mm-1")
	r.cycle()
	if err := r.org.Delete("Task", tasks[0]); err != nil {
		t.Fatal(err)
	}
	if err := r.org.Update("Task", tasks[1], map[string]any{"bizible2__BizibleId__c": nil}); err != nil {
		t.Fatal(err)
	}
	// Somebody was faster: that counts as done.
	if err := r.org.Purge(touchpoint, r.record(tasks[1])["Id"].(string)); err != nil {
		t.Fatal(err)
	}
	r.clock.advance(time.Minute)
	if s := r.cycle(); s.Parked != 0 || r.backlog().Due != 0 {
		t.Errorf("%+v", s)
	}
	if r.record(tasks[0]) != nil || r.record(tasks[1]) != nil || r.record(tasks[2]) == nil {
		t.Error("the wrong records stand")
	}
	if _, ok := r.org.Get(touchpoint, theirs); !ok {
		t.Error("a record of Marketo Measure went")
	}
	r.agree()
}
