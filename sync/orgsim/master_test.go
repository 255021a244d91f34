package orgsim_test

import (
	"fmt"
	"strings"
	"testing"

	"callpoint/sync/orgsim"
)

func TestMasterIsRequiredOnCreate(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	got := w.upsert(touchpoint, m{extID: "callpoint_1"})
	if len(got[0].Errors) != 1 || got[0].Errors[0].StatusCode != "REQUIRED_FIELD_MISSING" ||
		got[0].Errors[0].Message != "Required fields are missing: ["+personField+"]" || fmt.Sprint(got[0].Errors[0].Fields) != "["+personField+"]" {
		t.Errorf("got %+v", got[0])
	}
	if _, err := w.org.Insert(touchpoint, m{extID: "callpoint_1"}); err == nil {
		t.Error("the org itself makes a detail without a master")
	}
}

// TestMasterIsRefusedOnUpdate sends the field by id and by relationship, with
// the same value and another, in every way in which a record can be changed.
func TestMasterIsRefusedOnUpdate(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	one, two := w.insert(orgsim.Person, m{extID: "p1"}), w.insert(orgsim.Person, m{extID: "p2"})
	id := w.insert(touchpoint, m{extID: "callpoint_1", personField: one})
	const code, text = "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: " + personField + ". Please check the security settings of this field"
	rel := strings.TrimSuffix(personField, "__c") + "__r"
	for name, person := range map[string]m{"same": {personField: one}, "other": {personField: two}, "null": {personField: nil},
		"same by relationship": {rel: m{extID: "p1"}}, "other by relationship": {rel: m{extID: "p2"}}} {
		row := func(more m) m {
			r := m{"bizible2__Medium__c": "Call"}
			for k, v := range person {
				r[k] = v
			}
			for k, v := range more {
				r[k] = v
			}
			return r
		}
		up := w.upsert(touchpoint, row(m{extID: "callpoint_1"}))[0]
		if up.code() != code || !strings.HasPrefix(up.Errors[0].Message, text) || fmt.Sprint(up.Errors[0].Fields) != "["+personField+"]" {
			t.Errorf("%s: upsert: %+v", name, up)
		}
		var byID []result
		w.into(w.sendJSON("PATCH", data+"/composite/sobjects", rows(touchpoint, row(m{"Id": id}))), 200, &byID)
		if byID[0].code() != code {
			t.Errorf("%s: update by id: %+v", name, byID)
		}
		w.refused(w.sendJSON("PATCH", data+"/sobjects/"+touchpoint+"/"+id, row(nil)), 400, code, text)
		w.refused(w.sendJSON("PATCH", data+"/sobjects/"+touchpoint+"/"+extID+"/callpoint_1", row(nil)), 400, code, text)
	}
	if err := w.org.Update(touchpoint, id, m{personField: two}); err == nil {
		t.Error("the org itself moves a detail to another master")
	}
	if rec, _ := w.org.Get(touchpoint, id); rec[personField] != one || rec["bizible2__Medium__c"] != nil {
		t.Errorf("a refused update changed the record: %v", rec)
	}
	if got := w.upsert(touchpoint, m{extID: "callpoint_1", "bizible2__Medium__c": "Call"}); codes(got) != "ok" {
		t.Errorf("an update without the person: %v", got)
	}
	w.org.EqualMasterPasses(true)
	got := w.upsert(touchpoint, m{extID: "callpoint_1", rel: m{extID: "p1"}, "bizible2__Medium__c": "Web"})
	other := w.upsert(touchpoint, m{extID: "callpoint_1", rel: m{extID: "p2"}})
	if rec, _ := w.org.Get(touchpoint, id); codes(got) != "ok" || rec["bizible2__Medium__c"] != "Web" || codes(other) != code {
		t.Errorf("equal values pass: %v, %v, %v", got, other, rec)
	}
}

func TestMasterCascade(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	person, other := w.insert(orgsim.Person, m{extID: "p1"}), w.insert(orgsim.Person, m{extID: "p2"})
	early := w.insert(touchpoint, m{extID: "a", personField: person})
	detail := w.insert(touchpoint, m{extID: "b", personField: person})
	w.insert(touchpoint, m{extID: "c", personField: other})
	left := func() string {
		var keys []string
		for _, r := range w.org.Records(touchpoint) {
			keys = append(keys, r[extID].(string))
		}
		return strings.Join(keys, " ")
	}
	if a := w.send("DELETE", data+"/sobjects/"+touchpoint+"/"+early, ""); a.status != 204 {
		t.Fatalf("delete: %+v", a)
	}
	if a := w.send("DELETE", data+"/composite/sobjects?ids="+person, ""); a.status != 200 || left() != "c" {
		t.Fatalf("cascade: %+v, left %q", a, left())
	}
	w.refused(w.sendJSON("PATCH", data+"/sobjects/"+touchpoint+"/"+detail, m{}), 404, "ENTITY_IS_DELETED", "")
	if got := w.query("SELECT Id FROM " + touchpoint); got.TotalSize != 1 {
		t.Errorf("query shows %d", got.TotalSize)
	}
	if err := w.org.Undelete(touchpoint, detail); err == nil {
		t.Error("a detail was undeleted without its master")
	}
	if a := w.send("POST", "/sim/undelete/"+orgsim.Person+"/"+person, ""); a.status != 200 || left() != "b c" {
		t.Errorf("undelete: %+v, left %q", a, left())
	}
	if err := w.org.Purge(orgsim.Person, person); err != nil || left() != "c" {
		t.Errorf("purge: %v, left %q", err, left())
	}
	if _, ok := w.org.Get(touchpoint, detail); ok {
		t.Error("a detail outlived its purged master")
	}
	if err := w.org.Undelete(orgsim.Person, person); err == nil {
		t.Error("a purged master was undeleted")
	}
}

func TestUndeleteRestoresLookups(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	contact, other := w.insert("Contact", m{"LastName": "Byron"}), w.insert("Contact", m{"LastName": "Lovelace"})
	kept, moved := w.insert(orgsim.Person, m{"bizible2__Contact__c": contact}), w.insert(orgsim.Person, m{"bizible2__Contact__c": contact})
	if err := w.org.Delete("Contact", contact); err != nil {
		t.Fatal(err)
	}
	look := func(id string) any { rec, _ := w.org.Get(orgsim.Person, id); return rec["bizible2__Contact__c"] }
	if look(kept) != nil || look(moved) != nil {
		t.Error("the lookups are not cleared")
	}
	if err := w.org.Update(orgsim.Person, moved, m{"bizible2__Contact__c": other}); err != nil {
		t.Fatal(err)
	}
	if err := w.org.Undelete("Contact", contact); err != nil || look(kept) != contact || look(moved) != other {
		t.Errorf("%v: lookups %v, %v", err, look(kept), look(moved))
	}
}

func TestMasterMustBeReadable(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	person := w.insert(orgsim.Person, m{extID: "p1"})
	id := w.insert(touchpoint, m{extID: "a", personField: person})
	w.org.Schema(orgsim.Person).Access(func(obj *orgsim.Object) { obj.Hidden = true })
	const code, text = "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "insufficient access rights on cross-reference id"
	got := w.upsert(touchpoint, m{extID: "a", "bizible2__Medium__c": "Call"}, m{extID: "b", personField: person})
	if codes(got) != code+" "+code {
		t.Errorf("writes: %+v", got)
	}
	w.refused(w.send("DELETE", data+"/sobjects/"+touchpoint+"/"+id, ""), 400, code, text)
	if a := w.send("GET", queryURL("SELECT bizible2__Bizible_Person__r.Name FROM "+touchpoint), ""); a.status != 400 || !strings.Contains(a.text, "Didn't understand relationship") {
		t.Errorf("the hidden master is read through the detail: %+v", a)
	}
}

func TestMasterHasNoFieldSecurity(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	defer func() {
		if r := fmt.Sprint(recover()); !strings.Contains(r, "no field-level security") {
			t.Errorf("recovered %s", r)
		}
	}()
	w.org.Schema(touchpoint).HideField(personField)
}

// TestMoveInOneComposite deletes a record and creates it anew under another
// master, together or not at all.
func TestMoveInOneComposite(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	one, two := w.insert(orgsim.Person, m{extID: "p1"}), w.insert(orgsim.Person, m{extID: "p2"})
	first := w.insert(touchpoint, m{extID: "a", personField: one})
	move := func(id string, row m) answer {
		return w.sendJSON("POST", data+"/composite", m{"allOrNone": true, "compositeRequest": []m{
			{"method": "DELETE", "url": data + "/composite/sobjects?ids=" + id + "&allOrNone=true", "referenceId": "d"},
			{"method": "PATCH", "url": data + "/composite/sobjects/" + touchpoint + "/" + extID, "referenceId": "c", "body": rows(touchpoint, row)}}})
	}
	state := func() string {
		var all []string
		for _, r := range w.org.Records(touchpoint) {
			all = append(all, fmt.Sprint(r[extID], " of ", r[personField]))
		}
		return strings.Join(all, ", ")
	}
	a := move(first, m{extID: "a", personField: two, "bizible2__Medium__c": strings.Repeat("x", 256)})
	if a.status != 200 || !strings.Contains(a.text, "PROCESSING_HALTED") || state() != "a of "+one {
		t.Errorf("a refused create: %s\nleft: %s", a.text, state())
	}
	if rec, _ := w.org.Get(touchpoint, first); rec["IsDeleted"] != false {
		t.Error("the deletion was not rolled back")
	}
	w.org.KeysFreedLate(true)
	if a = move(first, m{extID: "a", personField: two}); !strings.Contains(a.text, "DUPLICATE_VALUE") || state() != "a of "+one {
		t.Errorf("a key that is freed late: %s\nleft: %s", a.text, state())
	}
	w.org.KeysFreedLate(false)
	if a = move(first, m{extID: "a", personField: two}); a.status != 200 || state() != "a of "+two {
		t.Errorf("the move: %s\nleft: %s", a.text, state())
	}
	if a = move(first, m{extID: "b", personField: two}); !strings.Contains(a.text, "ENTITY_IS_DELETED") || state() != "a of "+two {
		t.Errorf("a move of a record that is gone: %s\nleft: %s", a.text, state())
	}
}

func TestRolesHaveOnePrimary(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	opp := w.insert("Opportunity", m{"Name": "Deal", "StageName": "New", "CloseDate": "2026-12-01"})
	a, b := w.insert("Contact", m{"LastName": "A"}), w.insert("Contact", m{"LastName": "B"})
	w.insert("OpportunityContactRole", m{"OpportunityId": opp, "ContactId": a, "IsPrimary": true})
	w.insert("OpportunityContactRole", m{"OpportunityId": opp, "ContactId": b, "IsPrimary": true})
	got := w.query("SELECT ContactId FROM OpportunityContactRole WHERE IsPrimary = true AND OpportunityId = '" + opp + "'")
	if len(got.Records) != 1 || got.Records[0]["ContactId"] != b {
		t.Errorf("primary: %v", got.Records)
	}
	if err := w.org.Delete("Contact", b); err != nil {
		t.Fatal(err)
	}
	if left := w.org.Records("OpportunityContactRole"); len(left) != 1 || left[0]["ContactId"] != a {
		t.Errorf("roles after the contact's deletion: %v", left)
	}
}
