package orgsim_test

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"callpoint/sync/orgsim"
)

func TestConvertedLeadsNeedAPermission(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	contact := w.insert("Contact", m{"LastName": "Byron"})
	lead := w.insert("Lead", m{"LastName": "Byron", "Company": "A", "IsConverted": true, "ConvertedContactId": contact})
	linked := w.insert(orgsim.Person, m{extID: "old", "bizible2__Lead__c": lead})
	permitted := func() any {
		return w.query("SELECT PermissionsAllowViewEditConvertedLeads FROM UserPermissionAccess").Records[0]["PermissionsAllowViewEditConvertedLeads"]
	}
	if got := w.upsert(orgsim.Person, m{extID: "a", "bizible2__Lead__c": lead}); codes(got) != "created" || permitted() != true {
		t.Errorf("with the permission: %+v, %v", got, permitted())
	}
	w.org.ConvertedLeads(false)
	got := w.upsert(orgsim.Person, m{extID: "b", "bizible2__Lead__c": lead}, m{extID: "a", "bizible2__Lead__c": nil}, m{extID: "old", "bizible2__Lead__c": lead})
	if codes(got) != "CANNOT_UPDATE_CONVERTED_LEAD ok ok" || got[0].Errors[0].Message != "cannot reference converted lead" || permitted() != false {
		t.Errorf("without the permission: %+v, %v", got, permitted())
	}
	w.refused(w.sendJSON("PATCH", data+"/sobjects/Lead/"+lead, m{"Title": "x"}), 400, "CANNOT_UPDATE_CONVERTED_LEAD", "cannot update converted lead")
	if rec, _ := w.org.Get(orgsim.Person, linked); rec["bizible2__Lead__c"] != lead {
		t.Errorf("the org's own link: %v", rec)
	}
}

func TestRestrictionsByName(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	for _, err := range []error{w.org.HideFieldOf("task", "bizible2__bizibleid__c"), w.org.LockFieldOf(touchpoint, "bizible2__Medium__c"),
		w.org.LockObject(orgsim.Person), w.org.HideObject("Opportunity")} {
		if err != nil {
			t.Error(err)
		}
	}
	if a := w.send("GET", queryURL("SELECT bizible2__BizibleId__c FROM Task"), ""); a.status != 400 {
		t.Errorf("a hidden field is read: %s", a.text)
	}
	if d := w.described(touchpoint); d.field("bizible2__Medium__c").Updateable {
		t.Error("a read-only field is updateable")
	}
	if got := w.upsert(orgsim.Person, m{extID: "a"}); codes(got) != "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY" {
		t.Errorf("a read-only object: %+v", got)
	}
	// Contact roles follow from their Opportunity.
	for _, name := range []string{"Opportunity", "OpportunityContactRole"} {
		if a := w.send("GET", data+"/sobjects/"+name+"/describe", ""); a.status != 404 {
			t.Errorf("%s is described: %d", name, a.status)
		}
	}
	for want, err := range map[string]error{
		"master-detail":        w.org.HideFieldOf(touchpoint, personField),
		"is required":          w.org.LockFieldOf("Lead", "Company"),
		"has no field Nothing": w.org.HideFieldOf("Lead", "Nothing"),
		"no object Nothing":    w.org.HideObject("Nothing"),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestGzipBodies(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	body := `{"LastName":"` + strings.Repeat("x", 70) + `"}`
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	zw.Write([]byte(body))
	zw.Close()
	path := data + "/sobjects/Contact"
	if a := w.send("POST", path, zipped.String(), "Content-Encoding", "gzip"); a.status != 201 {
		t.Fatalf("gzip: %d %s", a.status, a.text)
	}
	s := w.org.Requests()
	if s.BodyBytes != zipped.Len() || s.BodyInflated != len(body) || s.GzipBodies != 1 || s.AnswerBytes == 0 {
		t.Errorf("counts: %+v, %d bytes compressed", s, zipped.Len())
	}
	w.refused(w.send("POST", path, "no gzip", "Content-Encoding", "gzip"), 400, "JSON_PARSER_ERROR", "not gzip")
	w.refused(w.send("POST", path, body, "Content-Encoding", "br"), 415, "UNSUPPORTED_MEDIA_TYPE", "br")
	w.org.RefuseGzip(true)
	w.refused(w.send("POST", path, zipped.String(), "Content-Encoding", "gzip"), 415, "UNSUPPORTED_MEDIA_TYPE", "gzip")
	if a := w.send("POST", path, body); a.status != 201 {
		t.Errorf("plain: %d %s", a.status, a.text)
	}
	if s = w.org.Requests(); s.GzipRefused != 2 || s.Created != 2 {
		t.Errorf("counts: %+v", s)
	}
}

func TestCallLogSlots(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	lead := w.insert("Lead", m{"LastName": "Byron", "Company": "A"})
	const p = "INVOCA_FOR_SF__"
	w.insert(orgsim.CallLog, m{p + "transaction_id__c": "t-1", p + "Lead__c": lead, p + "Customer_String_Name_2__c": "bizible_id", p + "Customer_String_Value_2__c": "b-1"})
	got := w.query("SELECT Name, " + p + "Customer_String_Value_2__c, " + p + "pool_referrer_param10_value__c, " + p + "Lead__r.LastName FROM " + orgsim.CallLog +
		" WHERE " + p + "Customer_String_Name_2__c = 'bizible_id'")
	if len(got.Records) != 1 || got.Records[0][p+"Customer_String_Value_2__c"] != "b-1" {
		t.Errorf("got %v", got.Records)
	}
}

func TestPermissionSets(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	lead := w.insert("Lead", m{"LastName": "Byron", "Company": "A"})
	object := func(name, rights string) string {
		s := "<objectPermissions>"
		for _, r := range []struct{ letter, name string }{{"C", "allowCreate"}, {"D", "allowDelete"}, {"E", "allowEdit"}, {"R", "allowRead"}, {"+", "viewAllRecords"}} {
			if strings.Contains(rights, r.letter) {
				s += "<" + r.name + ">true</" + r.name + ">"
			}
		}
		return s + "<object>" + name + "</object></objectPermissions>"
	}
	field := func(name, editable string) string {
		return "<fieldPermissions><editable>" + editable + "</editable><field>" + name + "</field><readable>true</readable></fieldPermissions>"
	}
	deploy := func(parts ...string) error {
		return w.org.DeployPermissionSet([]byte(`<?xml version="1.0"?><PermissionSet xmlns="http://soap.sforce.com/2006/04/metadata"><label>x</label>` + strings.Join(parts, "") + "</PermissionSet>"))
	}
	for want, parts := range map[string][]string{
		"You cannot deploy to a required field: " + touchpoint + "." + personField:                   {field(touchpoint+"."+personField, "true")},
		"You cannot deploy to a required field: Lead.Company":                                        {field("Lead.Company", "true")},
		"You cannot deploy to a required field: " + touchpoint + ".Name":                             {field(touchpoint+".Name", "true")},
		"no CustomField named Lead.Nothing found":                                                    {field("Lead.Nothing", "true")},
		"no CustomObject named Nothing found":                                                        {object("Nothing", "R")},
		"Object permissions cannot be set for OpportunityContactRole":                                {object("OpportunityContactRole", "R")},
		"Permission Read " + touchpoint + " depends on permission(s): Read " + orgsim.Person:         {object(touchpoint, "R")},
		"Permission Read All " + touchpoint + " depends on permission(s): Read All " + orgsim.Person: {object(touchpoint, "R+"), object(orgsim.Person, "R")},
		"Permission Delete Lead depends on permission(s): Edit Lead":                                 {object("Lead", "RD")},
		"Permission Read Contact depends on permission(s): Read Account":                             {object("Contact", "R")},
		"Field " + orgsim.Attribution + ".bizible2__Revenue_U_Shaped__c is not editable":             {field(orgsim.Attribution+".bizible2__Revenue_U_Shaped__c", "true")},
		"Unknown user permission: Fly":                                                               {"<userPermissions><enabled>true</enabled><name>Fly</name></userPermissions>"},
		"Field Task.CallDurationInSeconds has no field-level security":                               {field("Task.CallDurationInSeconds", "false")},
	} {
		if err := deploy(parts...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if a := w.send("GET", data+"/sobjects/Lead/"+lead, ""); a.status != 200 {
		t.Errorf("a refused set changed the rights: %d", a.status)
	}
	if err := deploy(object(orgsim.Person, "RC"), object(touchpoint, "RCE"), field("Task.bizible2__BizibleId__c", "false"), field(touchpoint+".bizible2__Medium__c", "true")); err != nil {
		t.Fatal(err)
	}
	d := w.described(touchpoint)
	if d.field("bizible2__Browser__c") != nil || !d.field("bizible2__Medium__c").Updateable || !d.field(personField).Createable {
		t.Error("the touchpoint's fields are not those of the set")
	}
	if w.described("Task").field("bizible2__BizibleId__c").Updateable || w.described("Task").field("WhoId") != nil {
		t.Error("the Task's fields are not those of the set")
	}
	if a := w.send("GET", data+"/sobjects/Lead/"+lead, ""); a.status != 404 {
		t.Errorf("Leads are visible: %d", a.status)
	}
	// The rights bind the API user alone, not the people in the org.
	task := w.insert("Task", m{"Subject": "Call", "WhoId": lead})
	if err := w.org.Update("Task", task, m{"Type": "Call"}); err != nil {
		t.Errorf("a user in the org: %v", err)
	}
	w.refused(w.sendJSON("PATCH", data+"/sobjects/Task/"+task, m{"Subject": "x"}), 400, "INSUFFICIENT_ACCESS_OR_READONLY", "")
	if a := w.send("POST", "/sim/permission-set", "nonsense"); a.status != 400 {
		t.Errorf("nonsense was deployed: %d", a.status)
	}
}
