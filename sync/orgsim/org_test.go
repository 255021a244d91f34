package orgsim_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"callpoint/sync/orgsim"
)

func TestTo18(t *testing.T) {
	for in, want := range map[string]string{
		"a01M00000062mPg":    "a01M00000062mPgIAI",
		"001Hs0000000001":    "001Hs0000000001IAA",
		"a01M00000062mPgIAI": "a01M00000062mPgIAI",
		"short":              "short",
	} {
		if got := orgsim.To18(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestInside(t *testing.T) {
	w := newWorld(t, orgsim.Config{OrgID: "00DHs0000000002"})
	if got := w.org.OrgID(); len(got) != 18 || !strings.HasPrefix(got, "00DHs0000000002") {
		t.Errorf("org id %s", got)
	}
	if p := w.query("SELECT Id, Name, IsSandbox FROM Organization"); p.Records[0]["Id"] != w.org.OrgID() || p.Records[0]["IsSandbox"] != false {
		t.Errorf("%v", p.Records)
	}
	// What the API may not write, the org may: old data and platform fields.
	old := time.Date(2026, 1, 2, 3, 4, 5, 600e6, time.UTC)
	id := w.insert("Lead", m{"LastName": "L", "Company": "C", "CreatedDate": old, "SystemModstamp": old, "IsConverted": true, "MasterRecordId": nil})
	rec, _ := w.org.Get("Lead", id)
	if rec["CreatedDate"] != "2026-01-02T03:04:05.000+0000" || rec["SystemModstamp"] != rec["CreatedDate"] || rec["LastModifiedDate"] != "2026-11-23T17:00:00.000+0000" || rec["IsConverted"] != true {
		t.Errorf("%v", rec)
	}
	// The rest is checked all the same.
	for _, tc := range []struct {
		object string
		fields m
		code   string
	}{
		{"Lead", m{"LastName": "L"}, "REQUIRED_FIELD_MISSING"},
		{"Lead", m{"LastName": "L", "Company": "C", "Nope": 1}, "INVALID_FIELD"},
		{"Lead", m{"LastName": strings.Repeat("L", 81), "Company": "C"}, "STRING_TOO_LONG"},
		{"Lead", m{"LastName": "L", "Company": "C", "Id": id}, "INVALID_FIELD_FOR_INSERT_UPDATE"},
		{"Lead", m{"LastName": "L", "Company": "C", "Name": "calculated"}, "INVALID_FIELD_FOR_INSERT_UPDATE"},
		{"Task", m{"TaskSubtype": "Fax"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"},
		{"Task", m{"CallDurationInSeconds": 1.5}, "JSON_PARSER_ERROR"},
		{"Task", m{"WhoId": w.org.UserID()}, "FIELD_INTEGRITY_EXCEPTION"},
		{"Nope", m{}, "INVALID_TYPE"},
		{"Organization", m{}, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"},
	} {
		_, err := w.org.Insert(tc.object, tc.fields)
		var e *orgsim.Error
		if !errors.As(err, &e) || e.Code != tc.code {
			t.Errorf("%s %v: got %v, want %s", tc.object, tc.fields, err, tc.code)
		}
	}
	for what, err := range map[string]error{
		"update": w.org.Update("Lead", "00QHs0000000zzz", m{}),
		"delete": w.org.Delete("Lead", "00QHs0000000zzz"),
		"purge":  w.org.Purge("Lead", "00QHs0000000zzz"),
	} {
		var e *orgsim.Error
		if !errors.As(err, &e) || e.Code != "INVALID_CROSS_REFERENCE_KEY" {
			t.Errorf("%s of a record that never was: %v", what, err)
		}
	}
	if err := w.org.Delete("Lead", id[:15]); err != nil {
		t.Fatal(err)
	}
	if rec, ok := w.org.Get("Lead", id); !ok || rec["IsDeleted"] != true || len(w.org.Records("Lead")) != 0 {
		t.Errorf("deleted: %v", rec)
	}
	if err := w.org.Update("Lead", id, m{"Title": "x"}); err == nil || !strings.Contains(err.Error(), "ENTITY_IS_DELETED") {
		t.Errorf("update of a deleted record: %v", err)
	}
	if err := w.org.Purge("Lead", id); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.org.Get("Lead", id); ok {
		t.Error("still there after purge")
	}
}

// What the platform derives on a Task.
func TestTaskFields(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	_, contact, account := seed(w)
	opp := w.insert("Opportunity", m{"Name": "O", "StageName": "Closed Won", "CloseDate": start, "AccountId": account})
	id := w.insert("Task", m{"WhoId": contact})
	check := func(want m) {
		t.Helper()
		rec, _ := w.org.Get("Task", id)
		for k, v := range want {
			if rec[k] != v {
				t.Errorf("%s is %v, want %v", k, rec[k], v)
			}
		}
	}
	change := func(fields m) {
		t.Helper()
		w.clock.advance(time.Minute)
		if err := w.org.Update("Task", id, fields); err != nil {
			t.Fatal(err)
		}
	}
	check(m{"Status": "Not Started", "Priority": "Normal", "TaskSubtype": "Task", "IsClosed": false, "CompletedDateTime": nil, "AccountId": account, "IsArchived": false})
	change(m{"Status": "Completed", "WhoId": nil})
	check(m{"IsClosed": true, "CompletedDateTime": "2026-11-23T17:06:00.000+0000", "AccountId": nil})
	change(m{"WhatId": opp})
	check(m{"CompletedDateTime": "2026-11-23T17:06:00.000+0000", "AccountId": account, "SystemModstamp": "2026-11-23T17:07:00.000+0000"})
	change(m{"Status": "In Progress"})
	check(m{"IsClosed": false, "CompletedDateTime": nil})
	if rec, _ := w.org.Get("Opportunity", opp); rec["IsWon"] != true || rec["IsClosed"] != true || rec["CloseDate"] != "2026-11-23" {
		t.Errorf("%v", rec)
	}
	// The API may set the subtype once.
	w.refused(w.sendJSON("PATCH", data+"/sobjects/Task/"+id, m{"TaskSubtype": "Call"}), 400, "INVALID_FIELD_FOR_INSERT_UPDATE", "TaskSubtype")
}

func TestAddObject(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	w.org.AddObject("Call__c", "a0Z", orgsim.Field{Name: "Key__c", ExternalID: true, Unique: true}, orgsim.Field{Name: "N__c", Type: "double"})
	var out []result
	w.into(w.sendJSON("PATCH", data+"/composite/sobjects/Call__c/Key__c", rows("Call__c", m{"Key__c": "a", "N__c": 2})), 200, &out)
	if codes(out) != "created" || !strings.HasPrefix(out[0].ID, "a0Z") {
		t.Errorf("%+v", out)
	}
	defer func() {
		if recover() == nil {
			t.Error("a second object took the same prefix")
		}
	}()
	w.org.AddObject("Other__c", "a0Z")
}

// The switches of demos and scripts need no login.
func TestAdmin(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	w.token = ""
	var made struct{ ID string }
	w.into(w.send("POST", "/sim/insert/Task", `{"Subject":"s","CallDurationInSeconds":5}`), 200, &made)
	w.into(w.send("POST", "/sim/update/Task/"+made.ID, `{"Type":"Call"}`), 200, &made)
	var rec m
	w.into(w.send("GET", "/sim/records/Task/"+made.ID, ""), 200, &rec)
	if rec["Type"] != "Call" || rec["CallDurationInSeconds"] != 5.0 {
		t.Errorf("%v", rec)
	}
	w.into(w.send("POST", "/sim/insert/Task?late=5m", `{"Subject":"late"}`), 200, &made)
	var recs []m
	if w.into(w.send("GET", "/sim/records/Task", ""), 200, &recs); len(recs) != 1 {
		t.Errorf("%d records before the late one", len(recs))
	}
	w.clock.advance(5 * time.Minute)
	if w.into(w.send("GET", "/sim/records/Task", ""), 200, &recs); len(recs) != 2 {
		t.Errorf("%d records after it", len(recs))
	}
	w.into(w.send("DELETE", "/sim/Task/"+made.ID, ""), 200, &rec)
	if rec, _ := w.org.Get("Task", made.ID); rec["IsDeleted"] != true {
		t.Errorf("not deleted: %v", rec)
	}
	w.into(w.send("DELETE", "/sim/Task/"+made.ID+"?purge=true", ""), 200, &rec)
	if _, ok := w.org.Get("Task", made.ID); ok {
		t.Error("not purged")
	}
	w.into(w.send("GET", "/sim/records/Lead", ""), 200, &recs)

	w.token = w.org.AccessToken()
	w.into(w.send("POST", "/sim/fault", "op=limits,status=503"), 200, &rec)
	w.into(w.send("POST", "/sim/fault", "op=limits,status=503"), 200, &rec)
	if a := w.send("GET", data+"/limits", ""); a.status != 503 {
		t.Errorf("no fault: %d", a.status)
	}
	w.into(w.send("DELETE", "/sim/fault", ""), 200, &rec)
	var stats orgsim.Stats
	if a := w.send("GET", data+"/limits", ""); a.status != 200 {
		t.Errorf("fault not cleared: %d", a.status)
	}
	if w.into(w.send("GET", "/sim/stats", ""), 200, &stats); stats.APICalls != 1 || stats.Faults != 1 || stats.Requests != 2 {
		t.Errorf("%+v", stats)
	}
	w.into(w.send("POST", "/sim/stats/reset", ""), 200, &rec)
	if s := w.org.Requests(); s != (orgsim.Stats{}) {
		t.Errorf("not reset: %+v", s)
	}
	w.into(w.send("POST", "/sim/expire", ""), 200, &rec)
	if a := w.send("GET", data+"/limits", ""); a.status != 401 {
		t.Errorf("not expired: %d", a.status)
	}
	for _, tc := range []struct {
		method, path, body string
		status             int
		message            string
	}{
		{"POST", "/sim/fault", "x=1", 400, "unknown setting"},
		{"POST", "/sim/insert/Nope", "{}", 400, "INVALID_TYPE"},
		{"POST", "/sim/insert/Lead", `[{"LastName":"a","Company":"c"},{}]`, 400, "record 1: Lead: REQUIRED_FIELD_MISSING"},
		{"POST", "/sim/insert/Lead", "[1]", 400, "number"},
		{"POST", "/sim/insert/Lead", "{}", 400, "REQUIRED_FIELD_MISSING"},
		{"POST", "/sim/insert/Task", "{", 400, "column"},
		{"POST", "/sim/insert/Task?late=soon", "{}", 400, "soon"},
		{"GET", "/sim/records/Nope", "", 404, "no such object"},
		{"GET", "/sim/records/Task/x", "", 404, "no such record"},
		{"DELETE", "/sim/Task/x", "", 400, "INVALID_CROSS_REFERENCE_KEY"},
		{"GET", "/sim/", "", 404, "no such switch"},
	} {
		if a := w.send(tc.method, tc.path, tc.body); a.status != tc.status || !strings.Contains(a.text, tc.message) {
			t.Errorf("%s %s: %d %s", tc.method, tc.path, a.status, a.text)
		}
	}
}
