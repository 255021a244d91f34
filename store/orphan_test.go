package store

import (
	"fmt"
	"testing"
	"time"

	"callpoint/mapping"
)

const personField = "Person__c"

// wanted resolves the call 00T1 to a touchpoint of a person; "" is nobody.
func wanted(t *testing.T, s *Store, who string) Touchpoint {
	t.Helper()
	applyFields(t, s, "00T1", map[string]any{"WhoId": who, "n": fmt.Sprint(time.Now().UnixNano())})
	dirty, err := s.NextDirty(t.Context(), goldenAt, 10)
	if err != nil || len(dirty) != 1 {
		t.Fatalf("%d journeys, %v", len(dirty), err)
	}
	r := answer{Resolved{Journey: dirty[0], Result: mapping.Result{
		Calls: []mapping.Resolution{{TaskID: "00T1", Reason: mapping.Matched}}}},
		[]mapping.Touchpoint{{Key: CallKey("00T1"), TaskID: "00T1", Who: who,
			Values: map[string]any{"Type__c": "Call", personField: mapping.PersonRef(who)}}},
	}
	if _, err := settle(t.Context(), s, goldenAt, []answer{r}); err != nil {
		t.Fatal(err)
	}
	return touchpointOf(t, s)
}

func touchpointOf(t *testing.T, s *Store) Touchpoint {
	t.Helper()
	_, tp, err := s.Call("00T1")
	if err != nil || tp == nil {
		t.Fatalf("no touchpoint, %v", err)
	}
	return *tp
}

// written records the answer to what is due.
func written(t *testing.T, s *Store, o Outcome) Touchpoint {
	t.Helper()
	due, err := s.Due(goldenAt, 10)
	if err != nil || len(due) != 1 {
		t.Fatalf("%d touchpoints due, %v", len(due), err)
	}
	if _, err := s.Begin(t.Context(), due); err != nil {
		t.Fatal(err)
	}
	o.Key, o.Hash, o.Delete = due[0].Key, due[0].Hash, due[0].Delete
	if err := s.Finish(t.Context(), goldenAt, []Outcome{o}); err != nil {
		t.Fatal(err)
	}
	return touchpointOf(t, s)
}

func TestTouchpointOfNobodyWaitsWithoutARecord(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	if tp := wanted(t, s, ""); tp.State != NoPerson || tp.Delete {
		t.Fatalf("state %s, delete %v", tp.State, tp.Delete)
	}
	if due, err := s.Due(goldenAt, 10); err != nil || len(due) != 0 {
		t.Errorf("due: %v %v", due, err)
	}
	if tp := wanted(t, s, ""); tp.State != NoPerson {
		t.Errorf("resolved again: %s", tp.State)
	}
	if tp := wanted(t, s, testLead); tp.State != Pending || tp.Nobody {
		t.Errorf("somebody is named: %s, nobody %v", tp.State, tp.Nobody)
	}
}

// A record whose call names nobody any more is deleted, and its touchpoint waits.
func TestRecordOfNobodyIsDeleted(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	wanted(t, s, testLead)
	written(t, s, Outcome{State: Written, RecordID: "a01", Master: "p01"})
	if tp := wanted(t, s, ""); tp.State != Pending || !tp.Delete || tp.RecordID != "a01" {
		t.Fatalf("%s, delete %v, record %q", tp.State, tp.Delete, tp.RecordID)
	}
	if tp := written(t, s, Outcome{State: Retrying, Next: goldenAt}); !tp.Delete || tp.Attempts != 1 {
		t.Errorf("the deletion failed: delete %v, attempts %d", tp.Delete, tp.Attempts)
	}
	if tp := wanted(t, s, ""); tp.Attempts != 1 {
		t.Errorf("resolved again: attempts %d", tp.Attempts)
	}
	if tp := written(t, s, Outcome{Gone: true}); tp.State != NoPerson || tp.Delete || tp.MayStand() || tp.Master != "" {
		t.Errorf("it was deleted: %+v", tp)
	}
	if tp := wanted(t, s, testLead); tp.State != Pending || tp.WrittenHash != "" {
		t.Errorf("named again: %s %q", tp.State, tp.WrittenHash)
	}
}

// Where callpoint creates no persons, a touchpoint waits for one and keeps the time of the next look-up.
func TestTouchpointWaitsForAPersonOfTheOrg(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	key, ctx := CallKey("00T1"), t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	waits := func(now time.Time) int {
		t.Helper()
		all, err := s.Personless(now, 10)
		must(err)
		return len(all)
	}
	wanted(t, s, testLead)
	must(s.Orphan(ctx, goldenAt, []string{key}))
	if tp := touchpointOf(t, s); tp.State != NoPerson || waits(goldenAt) != 1 {
		t.Fatalf("%s, %d wait", tp.State, waits(goldenAt))
	}
	wanted(t, s, testLead)
	must(s.LookLater(ctx, goldenAt.Add(time.Hour), []string{key}))
	if waits(goldenAt) != 0 || waits(goldenAt.Add(time.Hour)) != 1 {
		t.Errorf("%d wait now, %d in an hour", waits(goldenAt), waits(goldenAt.Add(time.Hour)))
	}
	must(s.Adopt(ctx, goldenAt, []string{key}))
	if tp := touchpointOf(t, s); tp.State != Pending || tp.Nobody || waits(goldenAt.Add(time.Hour)) != 0 {
		t.Errorf("%s, nobody %v", tp.State, tp.Nobody)
	}
	// What was written under another person goes.
	written(t, s, Outcome{State: Written, RecordID: "a01", Master: "p01"})
	wanted(t, s, testContact)
	must(s.Orphan(ctx, goldenAt, []string{key}))
	if tp := touchpointOf(t, s); !tp.Delete || tp.State != Pending {
		t.Errorf("%s, delete %v", tp.State, tp.Delete)
	}
	if tp := written(t, s, Outcome{Gone: true}); tp.State != NoPerson || waits(goldenAt) != 1 {
		t.Errorf("%s, %d wait", tp.State, waits(goldenAt))
	}
	// Anything that changes how persons are made makes it due.
	if _, err := s.MakeAllDue(ctx, goldenAt); err != nil {
		t.Fatal(err)
	}
	if tp := touchpointOf(t, s); tp.State != Pending || tp.Nobody {
		t.Errorf("released: %s, nobody %v", tp.State, tp.Nobody)
	}
}

// A person that the org has no more takes its records along.
func TestLostPersonTakesItsRecords(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	ctx := t.Context()
	if err := s.PutPersons(ctx, []Person{{Who: testLead, RecordID: "p01"}, {Who: testOther, RecordID: "p02"}}); err != nil {
		t.Fatal(err)
	}
	wanted(t, s, testLead)
	written(t, s, Outcome{State: Written, RecordID: "a01", Master: "p01"})
	if n, err := s.LosePersons(ctx, goldenAt, map[string]bool{"p03": true}); n != 0 || err != nil {
		t.Errorf("another person: %d %v", n, err)
	}
	n, err := s.LosePersons(ctx, goldenAt, map[string]bool{"p01": true})
	tp := touchpointOf(t, s)
	if n != 1 || err != nil || tp.State != Pending || tp.MayStand() || tp.Master != "" || tp.WrittenHash != "" {
		t.Errorf("%d %v %+v", n, err, tp)
	}
	known, err := s.Persons([]string{testLead, testOther})
	if err != nil || len(known) != 1 || known[testOther].RecordID != "p02" {
		t.Errorf("persons known: %v %v", known, err)
	}
}

// A record whose person is not known is listed until somebody looked.
func TestUnplacedRecordIsLooked(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	wanted(t, s, testLead)
	tp := written(t, s, Outcome{State: Written, RecordID: "a01"})
	all, err := s.Unplaced(10)
	if err != nil || len(all) != 1 || tp.State != Written {
		t.Fatalf("%v %v %s", all, err, tp.State)
	}
	place := Place{Key: tp.Key, RecordID: "a01", Master: "p01"}
	if err := s.PutPlaces(t.Context(), goldenAt, []Place{place}); err != nil {
		t.Fatal(err)
	}
	if tp := touchpointOf(t, s); tp.Master != "p01" || tp.State != Written {
		t.Errorf("found in its place: %q %s", tp.Master, tp.State)
	}
	if all, err := s.Unplaced(10); err != nil || len(all) != 0 {
		t.Errorf("still listed: %v %v", all, err)
	}
	place.Wrong = true
	if err := s.PutPlaces(t.Context(), goldenAt, []Place{place}); err != nil {
		t.Fatal(err)
	}
	if tp := touchpointOf(t, s); tp.State != Pending || tp.Master != "p01" {
		t.Errorf("found under another person: %q %s", tp.Master, tp.State)
	}
	if err := s.PutPlaces(t.Context(), goldenAt, []Place{{Key: tp.Key}}); err != nil {
		t.Fatal(err)
	}
	if tp := touchpointOf(t, s); tp.MayStand() || tp.Master != "" {
		t.Errorf("not found: %+v", tp)
	}
}
