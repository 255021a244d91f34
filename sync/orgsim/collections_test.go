package orgsim_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"callpoint/sync/orgsim"
)

const upsertPath = data + "/composite/sobjects/" + tp + "/" + extID

func TestUpsertCreatesThenUpdates(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	first := w.upsert(tp, m{extID: "Key-1", "bizible2__Medium__c": "CPC"}, m{extID: "Key-2"})
	if codes(first) != "created created" || len(first[0].ID) != 18 || !strings.HasPrefix(first[0].ID, "a03") {
		t.Fatalf("%+v", first)
	}
	w.clock.advance(90 * time.Second)
	// A field that is not sent keeps its value.
	second := w.upsert(tp, m{extID: "Key-1", "bizible2__Browser__c": "Safari"})
	if codes(second) != "ok" || second[0].ID != first[0].ID || second[0].Created == nil || *second[0].Created {
		t.Fatalf("%+v", second)
	}
	rec, _ := w.org.Get(tp, first[0].ID)
	for name, want := range map[string]any{extID: "Key-1", "bizible2__Medium__c": "CPC", "bizible2__Browser__c": "Safari",
		"CreatedDate": "2026-11-23T17:00:00.000+0000", "LastModifiedDate": "2026-11-23T17:01:30.000+0000",
		"SystemModstamp": "2026-11-23T17:01:30.000+0000", "OwnerId": w.org.UserID(), "IsDeleted": false} {
		if !reflect.DeepEqual(rec[name], want) {
			t.Errorf("%s is %v, want %v", name, rec[name], want)
		}
	}
	// An update without a change moves the stamp all the same; null clears.
	w.clock.advance(time.Minute)
	w.upsert(tp, m{extID: "Key-1", "bizible2__Medium__c": nil})
	rec, _ = w.org.Get(tp, first[0].ID)
	if rec["bizible2__Medium__c"] != nil || rec["SystemModstamp"] != "2026-11-23T17:02:30.000+0000" {
		t.Errorf("after clearing: %v %v", rec["bizible2__Medium__c"], rec["SystemModstamp"])
	}
	s := w.org.Requests()
	if s.Created != 2 || s.Updated != 2 || s.Written != 4 || s.Failed != 0 || s.Collections != 3 || s.APICalls != 3 {
		t.Errorf("stats %+v", s)
	}
}

// Rows are refused one by one; their neighbours go through.
func TestRowErrors(t *testing.T) {
	w := newWorld(t, orgsim.Config{}).link()
	lead, contact, account := seed(w)
	w.org.Schema(tp).AddField(orgsim.Field{Name: "bizible2__Kind__c", Type: "picklist", Restricted: true, Values: []string{"A"}})
	w.org.Schema(tp).AddField(orgsim.Field{Name: "bizible2__Must__c", Required: true})
	w.org.Schema(tp).AddRule(orgsim.Rule{Field: "bizible2__Medium__c", Message: "No fax please",
		Fails: func(r map[string]any) bool { return r["bizible2__Medium__c"] == "fax" }})
	w.org.Schema(tp).LockField("bizible2__Platform__c")
	deleted := w.insert("Contact", m{"LastName": "Gone"})
	if err := w.org.Delete("Contact", deleted); err != nil {
		t.Fatal(err)
	}
	purged := w.insert("Contact", m{"LastName": "Purged"})
	if err := w.org.Purge("Contact", purged); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 254)
	for i, tc := range []struct {
		row           m
		code, message string
		field         string
	}{
		{m{"bizible2__Medium__c": long + "é"}, "created", "", ""},
		{m{"bizible2__Medium__c": long + "😀"}, "STRING_TOO_LONG", "Medium: data value too large: xxx", "bizible2__Medium__c"},
		{m{"bizible2__Landing_Page_Raw__c": strings.Repeat("x", 255)}, "created", "", ""},
		{m{"bizible2__Landing_Page_Raw__c": strings.Repeat("x", 256)}, "STRING_TOO_LONG", "Landing Page - Raw: data value too large", "bizible2__Landing_Page_Raw__c"},
		{m{"bizible2__Keyword_MatchType__c": strings.Repeat("x", 16)}, "STRING_TOO_LONG", "(max length=15)", "bizible2__Keyword_MatchType__c"},
		{m{"bizible2__Ad_Content__c": strings.Repeat("x", 2049)}, "STRING_TOO_LONG", "(max length=2048)", "bizible2__Ad_Content__c"},
		{m{"bizible2__Kind__c": "A"}, "created", "", ""},
		{m{"bizible2__Kind__c": "B"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Kind: bad value for restricted picklist field: B", "bizible2__Kind__c"},
		{m{"bizible2__Must__c": nil}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [bizible2__Must__c]", "bizible2__Must__c"},
		{m{"bizible2__Must__c": " "}, "REQUIRED_FIELD_MISSING", "", "bizible2__Must__c"},
		{m{"bizible2__Medium__c": "fax"}, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "No fax please", "bizible2__Medium__c"},
		{m{"Name": "x"}, "created", "", ""},
		{m{"bizible2__Revenue_U_Shaped__c": 1}, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: bizible2__Revenue_U_Shaped__c. Please check the security settings", "bizible2__Revenue_U_Shaped__c"},
		{m{"bizible2__Platform__c": "x"}, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: bizible2__Platform__c", "bizible2__Platform__c"},
		{m{"CreatedDate": "2020-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE", "CreatedDate", "CreatedDate"},
		{m{"bizible2__Count_U_Shaped__c": 1e17}, "NUMBER_OUTSIDE_VALID_RANGE", "value outside of valid range on numeric field", "bizible2__Count_U_Shaped__c"},
		{m{"bizible2__Touchpoint_Date__c": "0001-01-01T00:00:00Z"}, "INVALID_TYPE_ON_FIELD_IN_RECORD", "Touchpoint Date: value not of required type", "bizible2__Touchpoint_Date__c"},
		{m{"bizible2__Contact__c": contact}, "created", "", ""},
		{m{"bizible2__Contact__c": contact[:15]}, "created", "", ""},
		{m{"bizible2__Contact__c": "nonsense"}, "MALFORMED_ID", "Contact: id value of incorrect type: nonsense", "bizible2__Contact__c"},
		{m{"bizible2__Contact__c": contact[:15] + "ZZZ"}, "MALFORMED_ID", "", "bizible2__Contact__c"}, // the suffix of another id
		{m{"bizible2__Contact__c": contact[:17] + "?"}, "MALFORMED_ID", "", "bizible2__Contact__c"},
		{m{"bizible2__Contact__c": lead}, "FIELD_INTEGRITY_EXCEPTION", "Contact: id value of incorrect type: " + lead, "bizible2__Contact__c"},
		{m{"bizible2__Contact__c": deleted}, "ENTITY_IS_DELETED", "entity is deleted", "bizible2__Contact__c"},
		{m{"bizible2__Contact__c": purged}, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", "bizible2__Contact__c"},
		{m{extID: nil}, "MISSING_ARGUMENT", extID + " not specified", ""},
		{m{extID: "  "}, "MISSING_ARGUMENT", extID + " not specified", ""},
		{m{"bizible2__Contact__r": m{"Id": contact}}, "created", "", ""},
		{m{"bizible2__Contact__r": nil}, "created", "", ""},
		{m{"bizible2__Bizible_Person__r": m{extID: "p9"}}, "INVALID_FIELD", "Foreign key external ID: p9 not found for field " + extID + " in entity " + orgsim.Person, ""},
		{m{"bizible2__Bizible_Person__r": m{extID: "p9", "Name": "x"}}, "INVALID_FIELD", "More than 1 field present in the external foreign key reference in entity: " + orgsim.Person, ""},
		{m{"bizible2__Bizible_Person__r": m{"Name": "x"}}, "INVALID_FIELD", "Field name provided, Name does not match an External ID, Salesforce Id, or indexed field for " + orgsim.Person, ""},
		{m{"bizible2__Contact__r": m{"attributes": m{"type": "Account"}, "Id": account}}, "INVALID_FIELD", "does not reference a valid entity: bizible2__Contact__r", ""},
	} {
		for name, v := range map[string]any{extID: fmt.Sprint("k", i), "bizible2__Must__c": "x"} {
			if _, given := tc.row[name]; !given {
				tc.row[name] = v
			}
		}
		before := len(w.org.Records(tp))
		rs := w.upsert(tp, tc.row, m{extID: fmt.Sprint("neighbour", i), "bizible2__Must__c": "x"})
		if codes(rs) != tc.code+" created" {
			t.Errorf("%v: got %s, want %s", tc.row, codes(rs), tc.code)
			continue
		}
		added := len(w.org.Records(tp)) - before
		if tc.code == "created" {
			if added != 2 {
				t.Errorf("%v: %d records added, want 2", tc.row, added)
			}
			continue
		}
		e := rs[0].Errors[0]
		if !strings.Contains(e.Message, tc.message) || strings.Join(e.Fields, ",") != tc.field || rs[0].ID != "" || rs[0].Created != nil || added != 1 {
			t.Errorf("%v: got %+v, %d records added", tc.row, rs[0], added)
		}
	}
}

// What the JSON parser or the URL cannot make sense of refuses the request, and
// no row of it is saved.
func TestUpsertRequestErrors(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	w.org.Schema(tp).HideField("bizible2__Platform__c")
	many := make([]m, 201)
	for i := range many {
		many[i] = m{extID: fmt.Sprint(i)}
	}
	good := m{extID: "good"}
	for _, tc := range []struct {
		path          string
		body          any
		status        int
		code, message string
	}{
		{upsertPath, rows(tp, good, m{extID: "k", "Nope__c": 1}), 400, "INVALID_FIELD", "No such column 'Nope__c' on sobject of type " + tp},
		{upsertPath, rows(tp, good, m{extID: "k", "bizible2__Platform__c": "Mac"}), 400, "INVALID_FIELD", "No such column 'bizible2__Platform__c'"},
		{upsertPath, rows(tp, good, m{extID: "k", "Nope__r": m{extID: "x"}}), 400, "INVALID_FIELD", "No such column 'Nope__r'"},
		{upsertPath, rows(tp, good, m{extID: "k", "Id": "a02"}), 400, "INVALID_FIELD", "The Id field should not be specified in the sobject data."},
		{upsertPath, rows(tp, many...), 400, "EXCEEDED_ID_LIMIT", "record limit reached. cannot submit more than 200 records into this call"},
		{upsertPath, m{"records": []m{good, {extID: "k"}}}, 400, "INVALID_TYPE", "type"},
		{upsertPath, rows(orgsim.Person, m{extID: "k"}), 400, "INVALID_TYPE", "does not match"},
		{upsertPath, m{"records": "x"}, 400, "JSON_PARSER_ERROR", ""},
		{upsertPath, m{"rows": []m{}}, 400, "JSON_PARSER_ERROR", "rows"},
		{upsertPath, rows(tp, good, m{extID: "k", "bizible2__Touchpoint_Date__c": "2026-11-23"}), 400, "JSON_PARSER_ERROR",
			"Cannot deserialize instance of datetime from VALUE_STRING value 2026-11-23 or request may be missing a required field at [line:1, column:"},
		{upsertPath, rows(tp, m{extID: "k", "bizible2__Touchpoint_Date__c": "2026-11-23 17:00:00"}), 400, "JSON_PARSER_ERROR", "datetime"},
		{upsertPath, rows(tp, m{extID: "k", "bizible2__Touchpoint_Date__c": 1700000000}), 400, "JSON_PARSER_ERROR", "datetime from VALUE_NUMBER_INT"},
		{upsertPath, rows(tp, m{extID: "k", "bizible2__Count_U_Shaped__c": "half"}), 400, "JSON_PARSER_ERROR", "double from VALUE_STRING value half"},
		{upsertPath, rows(tp, m{extID: "k", "bizible2__Medium__c": 5}), 400, "JSON_PARSER_ERROR", "string from VALUE_NUMBER_INT value 5"},
		{upsertPath, rows(tp, m{extID: "k", "bizible2__Medium__c": true}), 400, "JSON_PARSER_ERROR", "string from VALUE_TRUE"},
		{upsertPath, rows(tp, m{extID: "k", "bizible2__Medium__c": []int{1}}), 400, "JSON_PARSER_ERROR", "START_ARRAY"},
		{data + "/composite/sobjects/Nope__c/X__c", rows("Nope__c", m{"X__c": "k"}), 404, "NOT_FOUND", "The requested resource does not exist"},
		{data + "/composite/sobjects/" + tp + "/bizible2__Medium__c", rows(tp, good), 404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: bizible2__Medium__c"},
		{data + "/composite/sobjects/" + tp + "/bizible2__Nope__c", rows(tp, good), 404, "NOT_FOUND", "Provided external ID field does not exist"},
	} {
		a := w.sendJSON("PATCH", tc.path, tc.body)
		t.Run(tc.code+" "+tc.message, func(t *testing.T) { (&world{T: t}).refused(a, tc.status, tc.code, tc.message) })
	}
	if n := len(w.org.Records(tp)); n != 0 {
		t.Errorf("%d records saved by refused requests", n)
	}
	if codes(w.upsert(tp, many[:200]...)) != strings.TrimSpace(strings.Repeat("created ", 200)) {
		t.Error("200 rows were not all created")
	}
}

func TestValuesTaken(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	for i, tc := range []struct {
		field       string
		given, want any
	}{
		{"bizible2__Touchpoint_Date__c", "2026-11-23T17:00:00Z", "2026-11-23T17:00:00.000+0000"},
		{"bizible2__Touchpoint_Date__c", "2026-11-23T17:00:00.999Z", "2026-11-23T17:00:00.000+0000"},
		{"bizible2__Touchpoint_Date__c", "2026-11-23T18:00:00+01:00", "2026-11-23T17:00:00.000+0000"},
		{"bizible2__Touchpoint_Date__c", "2026-11-23T17:00:00.000+0000", "2026-11-23T17:00:00.000+0000"},
		{"bizible2__Count_U_Shaped__c", 0.5, 0.5},
		{"bizible2__Count_U_Shaped__c", "0.25", 0.25},
		{"bizible2__Count_U_Shaped__c", 0.666, 0.67},
		{"bizible2__Medium__c", "  CPC \n", "CPC"},
		{"bizible2__Medium__c", "", nil},
		{"bizible2__Medium__c", nil, nil},
		{"BIZIBLE2__MEDIUM__C", "x", "x"}, // names in any case
	} {
		id := w.upsert(tp, m{extID: fmt.Sprint(i), tc.field: tc.given})[0].ID
		rec, _ := w.org.Get(tp, id)
		got := rec[w.org.Schema(tp).Field(tc.field).Name]
		if !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: given %v, stands %v, want %v", tc.field, tc.given, got, tc.want)
		}
	}
}

func TestDuplicateKeys(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	// All rows of one key fail, the first too.
	rs := w.upsert(tp, m{extID: "a"}, m{extID: "b"}, m{extID: "a"})
	if codes(rs) != "DUPLICATE_VALUE created DUPLICATE_VALUE" || rs[2].Errors[0].Message != "Duplicate external id specified: a" {
		t.Errorf("%+v", rs)
	}
	// A row that is not visible yet is not found, and still in the way.
	late, err := w.org.InsertLate(tp, m{extID: "late"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	rs = w.upsert(tp, m{extID: "late"})
	if codes(rs) != "DUPLICATE_VALUE" || rs[0].Errors[0].Message != "duplicate value found: "+extID+" duplicates value on record with id: "+late[:15] {
		t.Errorf("%+v", rs)
	}
	w.clock.advance(time.Minute)
	if rs = w.upsert(tp, m{extID: "late"}); codes(rs) != "ok" || rs[0].ID != late {
		t.Errorf("after it is visible: %+v", rs)
	}
	// A record in the recycle bin is neither found nor in the way.
	if err := w.org.Delete(tp, late); err != nil {
		t.Fatal(err)
	}
	if rs = w.upsert(tp, m{extID: "late"}); codes(rs) != "created" || rs[0].ID == late {
		t.Errorf("after deletion: %+v", rs)
	}
	// Without Unique, a key may stand on several records.
	w.org.Schema(tp).Change(extID, func(f *orgsim.Field) { f.Unique = false })
	one, two := w.insert(tp, m{extID: "twin"}), w.insert(tp, m{extID: "twin"})
	rs = w.upsert(tp, m{extID: "twin"})
	if codes(rs) != "DUPLICATE_EXTERNAL_ID" || rs[0].Errors[0].Message != "UniqueId: more than one record found for external id field: ["+one+", "+two+"]" {
		t.Errorf("%+v", rs)
	}
	// Case-sensitive keys differ by case; others do not.
	if rs = w.upsert(orgsim.Person, m{extID: "p"}, m{extID: "P"}); codes(rs) != "created created" {
		t.Errorf("case-sensitive: %+v", rs)
	}
	if got := w.query("SELECT Id FROM " + orgsim.Person + " WHERE " + extID + " = 'P'"); got.TotalSize != 1 {
		t.Errorf("a filter on a case-sensitive key finds %d", got.TotalSize)
	}
	w.org.Schema(orgsim.Person).Change(extID, func(f *orgsim.Field) { f.CaseSensitive = false })
	if rs = w.upsert(orgsim.Person, m{extID: "q"}, m{extID: "Q"}); codes(rs) != "DUPLICATE_VALUE DUPLICATE_VALUE" {
		t.Errorf("case-insensitive: %+v", rs)
	}
}

func TestParents(t *testing.T) {
	w := newWorld(t, orgsim.Config{}).link()
	lead, contact, _ := seed(w)
	w.upsert(orgsim.Person, m{extID: "p1", "bizible2__Lead__c": lead})
	rs := w.upsert(tp, m{extID: "t1", "bizible2__Bizible_Person__r": m{extID: "p1"}})
	if codes(rs) != "created" {
		t.Fatalf("%+v", rs)
	}
	rec, _ := w.org.Get(tp, rs[0].ID)
	if person := w.org.Records(orgsim.Person)[0]["Id"]; rec["bizible2__Bizible_Person__c"] != person {
		t.Errorf("person is %v, want %v", rec["bizible2__Bizible_Person__c"], person)
	}
	// A polymorphic parent needs its type, and an external id field there.
	w.org.Schema("Contact").AddField(orgsim.Field{Name: "Ref__c", ExternalID: true})
	w.org.Schema("Task").AddField(orgsim.Field{Name: "Ref__c", ExternalID: true, Unique: true})
	if err := w.org.Update("Contact", contact, m{"Ref__c": "c1"}); err != nil {
		t.Fatal(err)
	}
	var out []result
	w.into(w.sendJSON("PATCH", data+"/composite/sobjects/Task/Ref__c", rows("Task",
		m{"Ref__c": "1", "Who": m{"Ref__c": "c1"}},
		m{"Ref__c": "2", "Who": m{"attributes": m{"type": "Contact"}, "Ref__c": "c1"}},
		m{"Ref__c": "3", "Who": m{"attributes": m{"type": "Account"}, "Ref__c": "c1"}})), 200, &out)
	if codes(out) != "INVALID_FIELD created INVALID_FIELD" || out[0].Errors[0].Message != "The external foreign key reference does not reference a valid entity: Who" {
		t.Errorf("%+v", out)
	}
	if rec, _ := w.org.Get("Task", out[1].ID); rec["WhoId"] != contact {
		t.Errorf("WhoId is %v, want %v", rec["WhoId"], contact)
	}
	// Parents of the same request are not seen.
	w.org.Schema(tp).AddField(orgsim.Field{Name: "Prior__c", Type: "reference", ReferenceTo: []string{tp}})
	if got := codes(w.upsert(tp, m{extID: "new"}, m{extID: "child", "Prior__r": m{extID: "new"}})); got != "created INVALID_FIELD" {
		t.Errorf("parent in the same request: %s", got)
	}
}

func TestAllOrNone(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	w.upsert(tp, m{extID: "old", "bizible2__Medium__c": "before"})
	body := rows(tp, m{extID: "new"}, m{extID: "old", "bizible2__Medium__c": "after"}, m{extID: "bad", "bizible2__Medium__c": strings.Repeat("x", 256)})
	body["allOrNone"] = true
	var rs []result
	w.into(w.sendJSON("PATCH", upsertPath, body), 200, &rs)
	if codes(rs) != "ALL_OR_NONE_OPERATION_ROLLED_BACK ALL_OR_NONE_OPERATION_ROLLED_BACK STRING_TOO_LONG" ||
		rs[0].Errors[0].Message != "Record rolled back because not all records were valid and the request was using AllOrNone header" {
		t.Errorf("%+v", rs)
	}
	recs := w.org.Records(tp)
	if len(recs) != 1 || recs[0]["bizible2__Medium__c"] != "before" {
		t.Errorf("stands: %v", recs)
	}
	old := recs[0]["Id"]
	w.into(w.sendJSON("PATCH", data+"/composite/sobjects", m{"allOrNone": true, "records": []m{
		{"attributes": m{"type": tp}, "Id": old, extID: "renamed"},
		{"attributes": m{"type": tp}, "Id": old, "bizible2__Medium__c": strings.Repeat("x", 256)}}}), 200, &rs)
	if codes(rs) != "ALL_OR_NONE_OPERATION_ROLLED_BACK STRING_TOO_LONG" {
		t.Errorf("update: %+v", rs)
	}
	// The indexes were rolled back, too.
	if got := codes(w.upsert(tp, m{extID: "new"}, m{extID: "old"}, m{extID: "renamed"})); got != "created ok created" {
		t.Errorf("afterwards: %s", got)
	}
}

func TestCreateUpdateDeleteMany(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	var rs []result
	w.into(w.sendJSON("POST", data+"/composite/sobjects", m{"records": []m{
		{"attributes": m{"type": "Lead"}, "LastName": "A", "Company": "X"},
		{"attributes": m{"type": "Lead"}, "LastName": "B"},
		{"attributes": m{"type": tp}, extID: "t"}}}), 200, &rs)
	if codes(rs) != "ok REQUIRED_FIELD_MISSING ok" || rs[0].Created != nil {
		t.Fatalf("%+v", rs)
	}
	lead, touch := rs[0].ID, rs[2].ID
	w.into(w.sendJSON("PATCH", data+"/composite/sobjects", m{"records": []m{
		{"attributes": m{"type": "Lead"}, "id": lead, "LastName": "C"},
		{"attributes": m{"type": "Lead"}, "LastName": "D"},
		{"attributes": m{"type": "Lead"}, "Id": "00Q", "LastName": "E"},
		{"attributes": m{"type": "Lead"}, "Id": touch, "LastName": "E"}}}), 200, &rs)
	if codes(rs) != "ok MISSING_ARGUMENT MALFORMED_ID MALFORMED_ID" {
		t.Errorf("%+v", rs)
	}
	if rec, _ := w.org.Get("Lead", lead); rec["Name"] != "C" {
		t.Errorf("name is %v", rec["Name"])
	}
	// Id serves as the key of an upsert, too.
	w.into(w.sendJSON("PATCH", data+"/composite/sobjects/Lead/Id", rows("Lead",
		m{"Id": lead[:15], "Title": "Dr"}, m{"LastName": "New", "Company": "Y"}, m{"Id": "00QHs0000000zzz"})), 200, &rs)
	if codes(rs) != "ok created INVALID_CROSS_REFERENCE_KEY" || rs[0].ID != lead {
		t.Errorf("by Id: %+v", rs)
	}
	w.refused(w.sendJSON("POST", data+"/composite/sobjects", rows("Nope__c", m{})), 400, "INVALID_TYPE", "sObject type 'Nope__c' is not supported")
	var mixed []m
	for i := range 11 {
		mixed = append(mixed, m{"attributes": m{"type": []string{"Lead", tp}[i%2]}, "LastName": "A", "Company": "X"})
		if i%2 == 1 {
			mixed[i] = m{"attributes": m{"type": tp}}
		}
	}
	w.refused(w.sendJSON("POST", data+"/composite/sobjects", m{"records": mixed}), 400, "LIMIT_EXCEEDED", "Cannot have more than 10 chunks in a single operation")

	purged := w.insert("Lead", m{"LastName": "P", "Company": "X"})
	if err := w.org.Purge("Lead", purged); err != nil {
		t.Fatal(err)
	}
	del := func(ids, more string) string {
		w.into(w.send("DELETE", data+"/composite/sobjects?ids="+ids+more, ""), 200, &rs)
		return codes(rs)
	}
	if got := del(touch+","+purged+",oops", "&allOrNone=true"); got != "ALL_OR_NONE_OPERATION_ROLLED_BACK INVALID_CROSS_REFERENCE_KEY MALFORMED_ID" {
		t.Errorf("all or none: %s", got)
	}
	if got := del(touch[:15]+","+lead, ""); got != "ok ok" || rs[0].ID != touch {
		t.Errorf("delete: %s", got)
	}
	if got := del(touch, ""); got != "ENTITY_IS_DELETED" {
		t.Errorf("again: %s", got)
	}
	w.refused(w.send("DELETE", data+"/composite/sobjects?ids="+strings.Repeat(touch+",", 201), ""), 400, "EXCEEDED_ID_LIMIT", "200")
	if s := w.org.Requests(); s.Deleted != 2 {
		t.Errorf("deleted %d", s.Deleted)
	}
}
