package mapping

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const sourcesFile = `
# calls that are not Tasks
[invoca]
call_time  = INVOCA_FOR_SF__Start__c, CreatedDate-INVOCA_FOR_SF__Duration__c   # the start, else the end less the duration
bizible_id = INVOCA_FOR_SF__Customer_String_Value_*__c where INVOCA_FOR_SF__Customer_String_Name_*__c = "Bizible # Id"

[event]
filter = bizible2__BizibleId__c != null AND Type = 'Call'

[dialer]
object     = Dialer_Call__c
bizible_id = Cookie__c
type       = "Call"
subject    = Name
contact    = Contact__c
`

func TestParseSources(t *testing.T) {
	t.Parallel()
	all, err := ParseSources([]byte(sourcesFile))
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Others) != 3 || !all.ReadTasks {
		t.Fatalf("%d sources, Tasks %v", len(all.Others), all.ReadTasks)
	}
	invoca, event, dialer := all.Others[0], all.Others[1], all.Others[2]
	if diff := cmp.Diff([]string{"INVOCA_FOR_SF__Start__c", "CreatedDate-INVOCA_FOR_SF__Duration__c"}, invoca.CallTime); diff != "" {
		t.Error(diff)
	}
	if invoca.BizibleID.SlotKey != "Bizible # Id" || invoca.Object != "INVOCA_FOR_SF__Invoca_Call_Log__c" || invoca.Type.Constant != "Call" {
		t.Errorf("invoca: %+v", invoca)
	}
	if event.Object != "Event" || event.Filter != "bizible2__BizibleId__c != null AND Type = 'Call'" {
		t.Errorf("event: %+v", event)
	}
	if diff := cmp.Diff([]string{"CreatedDate"}, dialer.CallTime); diff != "" || dialer.Filter != "" || dialer.Lead != (SourceValue{}) {
		t.Errorf("dialer: %s %+v", diff, dialer)
	}
	tasks, err := ParseSources([]byte("[task]\nread = no\n[invoca]\n"))
	if err != nil || tasks.ReadTasks || len(tasks.Others) != 1 {
		t.Errorf("read = no: %+v, %v", tasks, err)
	}
}

// Each mistake is named with its line and what to write instead, all of them at once.
func TestParseSourcesNamesMistakes(t *testing.T) {
	t.Parallel()
	for text, wants := range map[string][]string{
		"object = X__c":                                           {"line 1: object comes before the first block"},
		"[Invoca]":                                                {"line 1: ", "lower-case"},
		"[invoca":                                                 {"line 1: ", "is not a block"},
		"[invoca]\n[invoca]":                                      {"line 2: the block [invoca] is there twice; the first is in line 1"},
		"[invoca]\nwhat":                                          {"line 2: ", "neither a block"},
		"[invoca]\nbizibleid = X__c":                              {`line 2: unknown key "bizibleid"`, "bizible_id"},
		"[invoca]\nlead = a b\nsubject = \"x":                     {"line 2: lead = a b", "line 3: subject"},
		"[invoca]\nlead = X__c\nlead = Y__c":                      {"line 3: lead is set twice; the first is in line 2"},
		"[invoca]\nlead = \"00Q\"":                                {"line 2: lead cannot be a constant"},
		"[invoca]\ncall_time = CreatedDate-":                      {"line 2: call_time"},
		"[invoca]\nbizible_id = V__c where N__c = \"x\"":          {"line 2: bizible_id: write a slot"},
		"[invoca]\nsubject = V_*__c where N_*__c = \"x\"":         {"line 2: subject: a slot can hold bizible_id alone"},
		"[dialer]\nbizible_id = X__c\nlead = L__c":                {"line 1: [dialer] needs an object"},
		"[dialer]\nobject = D__c\nlead = L__c":                    {"line 1: [dialer] needs bizible_id"},
		"[dialer]\nobject = D__c\nbizible_id = X__c":              {"line 1: [dialer] needs lead, contact or opportunity"},
		"[dialer]\nobject = task\nbizible_id = X__c\nlead = L__c": {"which the block [task] does"},
		"[invoca]\n[other]\nobject = INVOCA_FOR_SF__Invoca_Call_Log__c\nbizible_id=X\nlead=L": {"line 2: [other] reads INVOCA_FOR_SF__Invoca_Call_Log__c, which [invoca] does already"},
		"[task]\nread = maybe":   {"line 2: read = maybe"},
		"[task]\nread = no":      {"no source is left"},
		"[task]\nsubject = X":    {"line 2: [task] takes read, filter, bizible_id and call_time"},
		"[invoca]\nread = no":    {"line 2: read belongs to [task]"},
		"[invoca]\nfilter =":     {"line 2: filter is empty"},
		"[invoca]\nobject = a b": {"line 2: object = a b"},
	} {
		_, err := ParseSources([]byte(text))
		for _, want := range wants {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q", text, err, want)
			}
		}
	}
}

func fieldsOf(pairs ...string) (all []FieldInfo) {
	for _, p := range pairs {
		name, typ, _ := strings.Cut(p, ":")
		all = append(all, FieldInfo{Name: name, Type: typ})
	}
	return all
}

func TestFitSource(t *testing.T) {
	t.Parallel()
	all, err := ParseSources([]byte(sourcesFile))
	if err != nil {
		t.Fatal(err)
	}
	invoca := all.Others[0]
	good := fieldsOf("Id:id", "Name:string", "CreatedDate:datetime", "INVOCA_FOR_SF__Start__c:datetime", "INVOCA_FOR_SF__Duration__c:double",
		"INVOCA_FOR_SF__Lead__c:reference", "INVOCA_FOR_SF__Opportunity__c:reference",
		"INVOCA_FOR_SF__Customer_String_Name_1__c:string", "INVOCA_FOR_SF__Customer_String_Value_1__c:string",
		"INVOCA_FOR_SF__Customer_String_Name_2__c:string", "INVOCA_FOR_SF__Customer_String_Value_2__c:string",
		"INVOCA_FOR_SF__Customer_String_Value_3__c:string")
	if err := invoca.Fit(good); err != nil {
		t.Fatal(err)
	}
	names := strings.Join(invoca.Fields(), " ")
	if strings.Contains(names, "Value_3") || !strings.Contains(names, "Value_2") || !strings.Contains(names, "INVOCA_FOR_SF__Duration__c") {
		t.Errorf("fields %s", names)
	}
	for change, want := range map[string]string{
		"INVOCA_FOR_SF__Start__c:date":    "line 4: [invoca] call_time: INVOCA_FOR_SF__Invoca_Call_Log__c.INVOCA_FOR_SF__Start__c is of type date; want datetime",
		"INVOCA_FOR_SF__Duration__c:date": "want a number of seconds",
		"INVOCA_FOR_SF__Lead__c:gone":     "[invoca] lead (built in): INVOCA_FOR_SF__Invoca_Call_Log__c has no field INVOCA_FOR_SF__Lead__c",
		"INVOCA_FOR_SF__Lead__c:datetime": "want reference",
	} {
		name, typ, _ := strings.Cut(change, ":")
		var fields []FieldInfo
		for _, f := range good {
			if f.Name == name {
				if f.Type = typ; typ == "gone" {
					continue
				}
			}
			fields = append(fields, f)
		}
		if err := invoca.Fit(fields); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", change, err, want)
		}
	}
	if err := invoca.Fit(fieldsOf("Name:string")); err == nil || !strings.Contains(err.Error(), "line 5: [invoca] bizible_id: ") {
		t.Errorf("without slots: %v", err)
	}
}

func TestReadSourceCall(t *testing.T) {
	t.Parallel()
	all, err := ParseSources([]byte(sourcesFile))
	if err != nil {
		t.Fatal(err)
	}
	src := all.Others[0]
	err = src.Fit(fieldsOf("Name:string", "CreatedDate:datetime", "INVOCA_FOR_SF__Start__c:datetime", "INVOCA_FOR_SF__Duration__c:double",
		"INVOCA_FOR_SF__Lead__c:reference", "INVOCA_FOR_SF__Opportunity__c:reference", "N:string",
		"INVOCA_FOR_SF__Customer_String_Name_1__c:string", "INVOCA_FOR_SF__Customer_String_Value_1__c:string",
		"INVOCA_FOR_SF__Customer_String_Name_7__c:string", "INVOCA_FOR_SF__Customer_String_Value_7__c:string"))
	if err != nil {
		t.Fatal(err)
	}
	row := map[string]any{"Id": "a0X000000000001", "Name": "CALL-1", "CreatedDate": "2026-11-23T12:30:00.000+0000", "INVOCA_FOR_SF__Duration__c": 90.0,
		"INVOCA_FOR_SF__Lead__c": "00Q000000000001AAA", "INVOCA_FOR_SF__Opportunity__c": "006000000000001AAA", "IsDeleted": false,
		"INVOCA_FOR_SF__Customer_String_Name_1__c": "campaign", "INVOCA_FOR_SF__Customer_String_Value_1__c": "spring",
		"INVOCA_FOR_SF__Customer_String_Name_7__c": "BIZIBLE # ID", "INVOCA_FOR_SF__Customer_String_Value_7__c": " DDE5687119CC4928FBF94393ED9F5C35 "}
	s := Default()
	c, err := s.ReadSourceCall(&src, row)
	if err != nil {
		t.Fatal(err)
	}
	if c.TaskID != ID18("a0X000000000001") || c.Source != "invoca" || c.Visitor != "dde5687119cc4928fbf94393ed9f5c35" ||
		!c.At.Equal(time.Date(2026, 11, 23, 12, 28, 30, 0, time.UTC)) || c.WhoID() != "00Q000000000001AAA" || c.WhatID() != "006000000000001AAA" ||
		c.Fields["Type"] != "Call" || c.Fields["Subject"] != "CALL-1" {
		t.Errorf("%+v", c)
	}
	delete(row, "INVOCA_FOR_SF__Customer_String_Value_7__c")
	if c, err = s.ReadSourceCall(&src, row); err != nil || c.Visitor != "" {
		t.Errorf("without a value in the slot: %q, %v", c.Visitor, err)
	}
}
