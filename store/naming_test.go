package store

import (
	"fmt"
	"testing"
	"time"

	"callpoint/mapping"
)

const (
	testLead    = "00QHs00000AAAAAMA5"
	testContact = "003Hs00000AAAAAMAA"
	testOther   = "003Hs00000AAAABMAA"
	testDeal    = "006Hs00000AAAAAMAA"
)

// applyFields stores a Task as read and gives back the person that it counts for.
func applyFields(t *testing.T, s *Store, id string, fields map[string]any) string {
	t.Helper()
	c := Call{Call: mapping.Call{TaskID: id, Visitor: "v", At: goldenAt, Fields: fields}, Hash: fmt.Sprint(fields), ReadAt: goldenAt}
	if _, err := s.ApplyCalls(t.Context(), []Call{c}); err != nil {
		t.Fatal(err)
	}
	return personOfCall(t, s, id)
}

func personOfCall(t *testing.T, s *Store, id string) string {
	t.Helper()
	c, _, err := s.Call(id)
	if err != nil {
		t.Fatal(err)
	}
	return c.Person
}

// settleAll takes the dirty marks away.
func settleAll(t *testing.T, s *Store) {
	t.Helper()
	all, err := s.NextDirty(t.Context(), goldenAt, 100)
	if err != nil {
		t.Fatal(err)
	}
	var resolved []answer
	for _, j := range all {
		resolved = append(resolved, answer{Resolved: Resolved{Journey: j}})
	}
	if _, err := settle(t.Context(), s, goldenAt, resolved); err != nil {
		t.Fatal(err)
	}
}

func isDirty(t *testing.T, s *Store) bool {
	t.Helper()
	b, err := s.Backlog()
	if err != nil {
		t.Fatal(err)
	}
	return b.Dirty > 0
}

func skipNone(string) bool { return false }

func TestCallCountsForTheLeadOrContactOfItsTask(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	for _, step := range []struct {
		fields map[string]any
		want   string
	}{
		{map[string]any{"WhoId": testLead}, testLead},
		{map[string]any{"WhoId": testLead[:15]}, testLead},
		{map[string]any{"WhoId": testContact, "WhatId": testDeal}, testContact},
		{map[string]any{"WhoId": nil}, ""},
		{map[string]any{"WhoId": "005Hs00000AAAAAMAA"}, ""},
	} {
		if got := applyFields(t, s, "00T1", step.fields); got != step.want {
			t.Errorf("%v counts for %q, want %q", step.fields, got, step.want)
		}
	}
}

// A Lead is asked about once. Its conversion moves the calls that are stored and those
// that name it later, and marks their journeys.
func TestConversionMovesCalls(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	applyFields(t, s, "00T1", map[string]any{"WhoId": testLead})
	applyFields(t, s, "00T2", map[string]any{"WhoId": testOther})
	settleAll(t, s)
	if leads, err := s.Unasked(10); err != nil || len(leads) != 1 || leads[0] != testLead {
		t.Fatalf("to ask about: %v %v", leads, err)
	}
	if n, err := s.PutConversions(t.Context(), []string{testLead}, nil); n != 0 || err != nil || isDirty(t, s) {
		t.Errorf("a Lead that is not converted changed %d calls, %v", n, err)
	}
	applyFields(t, s, "00T1", map[string]any{"WhoId": testLead, "Type": "Call"})
	if leads, err := s.Unasked(10); err != nil || len(leads) != 0 {
		t.Errorf("asked about again: %v %v", leads, err)
	}
	settleAll(t, s)
	const stranger = "00QHs00000AAAAZMAA"
	n, err := s.PutConversions(t.Context(), nil, map[string]string{testLead: testContact, stranger: testContact})
	if n != 1 || err != nil || !isDirty(t, s) || personOfCall(t, s, "00T1") != testContact || personOfCall(t, s, "00T2") != testOther {
		t.Errorf("%d calls moved, %v; %s %s", n, err, personOfCall(t, s, "00T1"), personOfCall(t, s, "00T2"))
	}
	if got := applyFields(t, s, "00T3", map[string]any{"WhoId": testLead}); got != testContact {
		t.Errorf("a later call of the converted Lead counts for %s", got)
	}
	if got := applyFields(t, s, "00T4", map[string]any{"WhoId": stranger}); got != stranger {
		t.Errorf("a Lead of which nothing was known counts as %s", got)
	}
	if leads, err := s.Unasked(10); err != nil || len(leads) != 1 || leads[0] != stranger {
		t.Errorf("to ask about: %v %v", leads, err)
	}
	var ids []string
	err = s.Callers(testContact, func(c Call) error { ids = append(ids, c.TaskID); return nil })
	if err != nil || fmt.Sprint(ids) != "[00T1 00T3]" {
		t.Errorf("calls of the Contact: %v %v", ids, err)
	}
}

// A call that names nobody waits for a look-up of its WhatId, keeps the person that was
// found while the Task names the same record, and loses it with that record.
func TestCallIsNamedThroughItsWhat(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	deal := map[string]any{"WhatId": testDeal}
	if got := applyFields(t, s, "00T1", deal); got != "" {
		t.Fatalf("counts for %q before anybody was asked", got)
	}
	applyFields(t, s, "00T2", map[string]any{"WhatId": "a00Hs00000AAAAAMAA"})
	settleAll(t, s)
	calls, err := s.Unnamed(goldenAt, 10, skipNone)
	if err != nil || len(calls) != 1 || calls[0].TaskID != "00T1" {
		t.Fatalf("to look up: %v %v", calls, err)
	}
	tomorrow := goldenAt.Add(24 * time.Hour)
	if n, err := s.NameCalls(t.Context(), []Named{{TaskID: "00T1", What: testDeal, Next: tomorrow}}); n != 0 || err != nil || isDirty(t, s) {
		t.Errorf("nobody was found: %d %v", n, err)
	}
	if calls, err := s.Unnamed(goldenAt, 10, skipNone); err != nil || len(calls) != 0 {
		t.Errorf("looked up again at once: %v %v", calls, err)
	}
	if n, err := s.NameCalls(t.Context(), []Named{{TaskID: "00T1", What: "006Hs00000AAAAZMAA", Person: testOther}}); n != 0 || err != nil {
		t.Errorf("the person of another opportunity was taken: %d %v", n, err)
	}
	if n, err := s.NameCalls(t.Context(), []Named{{TaskID: "00T1", What: testDeal, Person: testContact}}); n != 1 || err != nil || !isDirty(t, s) {
		t.Errorf("somebody was found: %d %v", n, err)
	}
	if calls, err := s.Unnamed(tomorrow, 10, skipNone); err != nil || len(calls) != 0 {
		t.Errorf("looked up although it has a person: %v %v", calls, err)
	}
	deal["Type"] = "Call"
	if got := applyFields(t, s, "00T1", deal); got != testContact {
		t.Errorf("after an edit it counts for %q", got)
	}
	deal["WhatId"] = "500Hs00000AAAAAMAA"
	if got := applyFields(t, s, "00T1", deal); got != testContact {
		t.Errorf("the Task names a case that was not looked up yet, and counts for %q", got)
	}
	if _, err := s.NameCalls(t.Context(), []Named{{TaskID: "00T1", What: "500Hs00000AAAAAMAA", Next: goldenAt}}); err != nil || personOfCall(t, s, "00T1") != "" {
		t.Errorf("the case leads to nobody, and the call counts for %q, %v", personOfCall(t, s, "00T1"), err)
	}
	deal["WhoId"] = testOther
	if got := applyFields(t, s, "00T1", deal); got != testOther {
		t.Errorf("the Task names a Contact now, and counts for %q", got)
	}
	delete(deal, "WhoId")
	delete(deal, "WhatId")
	if got := applyFields(t, s, "00T1", deal); got != "" {
		t.Errorf("the Task names nobody now, and counts for %q", got)
	}
	if calls, err := s.Unnamed(tomorrow, 10, skipNone); err != nil || len(calls) != 0 {
		t.Errorf("looked up without a WhatId: %v %v", calls, err)
	}
}
