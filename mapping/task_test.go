package mapping

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

const created = "2026-11-23T17:00:00.000+0000"

func TestReadCallTime(t *testing.T) {
	t.Parallel()
	const touch = "bizible2__Bizible_Touchpoint_Date__c"
	for _, test := range []struct {
		name     string
		task     map[string]any
		at, from string
	}{
		{"first of the list", map[string]any{touch: "2026-11-23T16:00:00.250+0000", "CallDurationInSeconds": 60.0}, "16:00:00.25", touch},
		{"the org's zone", map[string]any{touch: "2026-11-23T11:00:00.000-0500"}, "16:00:00", touch},
		{"RFC 3339", map[string]any{touch: "2026-11-23T16:00:00Z"}, "16:00:00", touch},
		{"created minus duration", map[string]any{"CallDurationInSeconds": 90.0}, "16:58:30", "CreatedDate-CallDurationInSeconds"},
		{"json.Number", map[string]any{"CallDurationInSeconds": json.Number("90")}, "16:58:30", "CreatedDate-CallDurationInSeconds"},
		{"duration as text", map[string]any{"CallDurationInSeconds": "90"}, "16:58:30", "CreatedDate-CallDurationInSeconds"},
		{"no duration", map[string]any{"CallDurationInSeconds": nil}, "17:00:00", "CreatedDate"},
		{"absurd duration", map[string]any{"CallDurationInSeconds": -5.0}, "17:00:00", "CreatedDate"},
		{"endless duration", map[string]any{"CallDurationInSeconds": 1e12}, "17:00:00", "CreatedDate"},
		{"whole milliseconds", map[string]any{touch: "2026-11-23T16:00:00.1239Z"}, "16:00:00.123", touch},
		{"a bare date is no time", map[string]any{touch: "2026-11-23", "CallDurationInSeconds": 60.0}, "16:59:00", "CreatedDate-CallDurationInSeconds"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.task["Id"], test.task["CreatedDate"] = "00T000000000001", created
			call, err := Default().ReadCall(test.task)
			if err != nil {
				t.Fatal(err)
			}
			if got := call.At.Format("15:04:05.999999"); got != test.at || call.AtFrom != test.from || call.At.Location() != time.UTC {
				t.Errorf("call at %s %s from %s; want %s from %s", got, call.At.Location(), call.AtFrom, test.at, test.from)
			}
		})
	}
}

func TestReadCall(t *testing.T) {
	t.Parallel()
	s := Default()
	s.BizibleIDField = "Owner.Visitor__c"
	call, err := s.ReadCall(map[string]any{
		"id": "00T000000000001", "CreatedDate": created, "IsDeleted": true,
		"Owner": map[string]any{"attributes": map[string]any{"type": "User"}, "Visitor__c": " ABC "},
	})
	if err != nil {
		t.Fatal(err)
	}
	if call.TaskID != "00T000000000001EAA" || call.Visitor != "abc" || !call.Deleted {
		t.Errorf("got %+v", call)
	}
	for name, task := range map[string]map[string]any{
		"no id":       {"CreatedDate": created},
		"no time":     {"Id": "00T000000000001"},
		"broken time": {"Id": "00T000000000001", "CreatedDate": "yesterday"},
	} {
		if _, err := s.ReadCall(task); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	call, err = s.ReadCall(map[string]any{"Id": "00T000000000001", "CreatedDate": created, "Owner": map[string]any{"Visitor__c": "a\x00"}})
	if err != nil || call.Visitor != "" {
		t.Errorf("an unbelievable id became %q, %v", call.Visitor, err)
	}
}

func TestTaskFields(t *testing.T) {
	t.Parallel()
	s := Default()
	s.CallCampaign = "Phone Call {Owner.Name} {type}"
	s.CallTime = append(s.CallTime, "Vendor_Start__c - Ring_Seconds__c")
	var err error
	if s.Fields, err = ParseFields([]byte("Result__c = {CallDisposition}\nNote__c = \"{Subject}, {CallType}\"\n")); err != nil {
		t.Fatal(err)
	}
	want := "AccountId bizible2__Bizible_Touchpoint_Date__c bizible2__BizibleId__c CallDisposition CallDurationInSeconds CallType CreatedDate Id IsDeleted " +
		"Owner.Name Ring_Seconds__c Subject SystemModstamp Type Vendor_Start__c WhatId WhoId"
	if got := strings.Join(s.TaskFields(), " "); got != want {
		t.Errorf("fields\n%s\nwant\n%s", got, want)
	}
	if got := strings.Join(s.Fields.TaskFields(), " "); got != "CallDisposition Subject CallType" || DefaultFields().TaskFields() != nil {
		t.Errorf("the map's own lines read %s", got)
	}
	lacks := []string{"bizible2__Bizible_Touchpoint_Date__c", "CallDurationInSeconds", "owner.name", "bizible2__BizibleId__c", "CreatedDate"}
	dropped := s.DropTaskFields(func(name string) bool {
		return slices.ContainsFunc(lacks, func(lack string) bool { return strings.EqualFold(lack, name) })
	})
	if got, want := strings.Join(dropped, " "), "bizible2__Bizible_Touchpoint_Date__c CallDurationInSeconds Owner.Name"; got != want {
		t.Errorf("dropped %s, want %s", got, want)
	}
	if got, want := strings.Join(s.CallTime, ","), "CreatedDate,Vendor_Start__c - Ring_Seconds__c"; got != want {
		t.Errorf("call time %s, want %s", got, want)
	}
	if got := strings.Join(s.TaskFields(), " "); strings.Contains(got, "Owner.Name") || !strings.Contains(got, "bizible2__BizibleId__c") {
		t.Errorf("fields after the drop: %s", got)
	}
	if again := s.DropTaskFields(func(name string) bool { return strings.EqualFold(name, "Owner.Name") }); again != nil {
		t.Errorf("dropped twice: %v", again)
	}
}

func TestFillIn(t *testing.T) {
	t.Parallel()
	task := map[string]any{"Type": "Call", "Seconds": 61.0, "Done": true, "Owner": map[string]any{"Name": "Ann"}}
	for in, want := range map[string]string{
		"Phone Call":                  "Phone Call",
		"{Type} by {Owner.Name}":      "Call by Ann",
		"{seconds} {Done} {Missing}!": "61 true !",
		"{not a field} {Owner}":       "{not a field} ",
	} {
		if got := fillIn(in, task); got != want {
			t.Errorf("fillIn(%q) = %q, want %q", in, got, want)
		}
	}
}
