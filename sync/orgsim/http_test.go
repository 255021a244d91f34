package orgsim_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"callpoint/sync/orgsim"
)

func TestRequestErrors(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	id := w.insert("Lead", m{"LastName": "L", "Company": "C"})
	for _, tc := range []struct {
		method, path, body, contentType string
		status                          int
		code, message                   string
	}{
		{"GET", "/", "", "", 404, "NOT_FOUND", "The requested resource does not exist"},
		{"GET", data + "/nowhere", "", "", 404, "NOT_FOUND", "The requested resource does not exist"},
		{"GET", data + "/query/a/b", "", "", 404, "NOT_FOUND", ""},
		{"GET", "/services/data/v99.0/limits", "", "", 404, "NOT_FOUND", ""},
		{"GET", "/services/data/62.0/limits", "", "", 404, "NOT_FOUND", ""},
		{"POST", data + "/limits", "{}", "", 405, "METHOD_NOT_ALLOWED", "HTTP Method 'POST' not allowed. Allowed are GET,HEAD"},
		{"PUT", upsertPath, "{}", "", 405, "METHOD_NOT_ALLOWED", "HTTP Method 'PUT' not allowed."},
		{"PATCH", upsertPath, "{}", "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE", "text/plain"},
		{"PATCH", upsertPath, "{}", "application/x-www-form-urlencoded", 415, "UNSUPPORTED_MEDIA_TYPE", ""},
		{"PATCH", upsertPath, " ", "", 400, "JSON_PARSER_ERROR", "The HTTP entity body is required, but this request has no entity body."},
		{"PATCH", upsertPath, "{", "", 400, "JSON_PARSER_ERROR", "[line:1, column:"},
		{"PATCH", upsertPath, "{}{}", "", 400, "JSON_PARSER_ERROR", "after the end"},
		{"PATCH", upsertPath, "[]", "", 400, "JSON_PARSER_ERROR", ""},
		{"GET", data + "/sobjects/Nope__c/describe", "", "", 404, "NOT_FOUND", ""},
		{"GET", data + "/sobjects/Lead/nonsense", "", "", 404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: nonsense"},
		{"GET", data + "/sobjects/Lead/" + id + "?fields=Nope", "", "", 400, "INVALID_FIELD", "No such column 'Nope' on sobject of type Lead"},
		{"GET", data + "/sobjects/" + tp + "/" + extID + "/none", "", "", 404, "NOT_FOUND", ""},
		{"POST", data + "/sobjects/Lead/describe", "{}", "", 405, "METHOD_NOT_ALLOWED", ""},
		{"POST", data + "/sobjects/Lead", `{"LastName":"x"}`, "", 400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Company]"},
		{"POST", data + "/sobjects/Lead", `{"Id":"x"}`, "", 400, "INVALID_FIELD", "The Id field should not be specified"},
		{"POST", data + "/sobjects/Lead", `{"LastName":"x","Company":"y","Email":"nobody"}`, "", 400, "INVALID_EMAIL_ADDRESS", "Email: invalid email address: nobody"},
		{"PATCH", data + "/sobjects/Lead/" + id, `{"Status":null}`, "", 400, "REQUIRED_FIELD_MISSING", "[Status]"},
		{"DELETE", data + "/sobjects/Lead/00QHs0000000zzzAAA", "", "", 404, "NOT_FOUND", ""},
	} {
		var header []string
		if tc.contentType != "" {
			header = []string{"Content-Type", tc.contentType}
		}
		a := w.send(tc.method, tc.path, tc.body, header...)
		t.Run(tc.method+" "+tc.path, func(t *testing.T) { (&world{T: t}).refused(a, tc.status, tc.code, tc.message) })
	}
}

func TestHeadersAndLimits(t *testing.T) {
	w := newWorld(t, orgsim.Config{DailyLimit: 5})
	a := w.send("GET", data+"/limits", "")
	if got := a.header.Get("Sforce-Limit-Info"); got != "api-usage=1/5" {
		t.Errorf("limit info %q", got)
	}
	if got := a.header.Get("Date"); got != start.Format(http.TimeFormat) {
		t.Errorf("date %q", got)
	}
	if got := a.header.Get("Content-Type"); got != "application/json;charset=UTF-8" {
		t.Errorf("content type %q", got)
	}
	if !strings.Contains(a.text, `"DailyApiRequests":{"Max":5,"Remaining":4}`) {
		t.Errorf("limits: %s", a.text)
	}
	if a = w.send("GET", "/services/data", "", "Authorization", ""); a.status != 200 || a.header.Get("Sforce-Limit-Info") != "" || !strings.Contains(a.text, `"version":"62.0"`) {
		t.Errorf("versions: %d %s", a.status, a.text)
	}
	w.send("GET", data, "")
	w.clock.advance(time.Hour)
	w.send("GET", data+"/nowhere", "") // a refused call is a call
	w.org.UseCalls(2)                  // by others
	a = w.send("GET", data+"/limits", "")
	w.refused(a, 403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
	if got := a.header.Get("Sforce-Limit-Info"); got != "api-usage=5/5" {
		t.Errorf("limit info at the limit: %q", got)
	}
	if s := w.org.Requests(); s.APICalls != 3 || s.OverLimit != 1 || s.Requests != 5 {
		t.Errorf("stats %+v", s)
	}
	// The window rolls: 24 hours after the first two calls there is room for two.
	w.clock.advance(23 * time.Hour)
	w.token = w.org.AccessToken()
	for i, want := range []int{200, 200, 403} {
		if a = w.send("GET", data+"/limits", ""); a.status != want {
			t.Errorf("call %d a day later: %d, want %d", i, a.status, want)
		}
	}
	w.org.ResetRequests()
	if s := w.org.Requests(); s != (orgsim.Stats{}) {
		t.Errorf("after reset: %+v", s)
	}
}

func TestSingleRecords(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	var created result
	w.into(w.sendJSON("POST", data+"/sobjects/Lead", m{"LastName": "L", "Company": "C"}), 201, &created)
	path := data + "/sobjects/Lead/" + created.ID
	if a := w.sendJSON("PATCH", path, m{"Title": "Dr"}); a.status != 204 || a.text != "" {
		t.Errorf("update: %d %s", a.status, a.text)
	}
	a := w.send("GET", path+"?fields=title,Name,Email", "")
	want := `{"attributes":{"type":"Lead","url":"` + path + `"},"Name":"L","Title":"Dr","Email":null,"Id":"` + created.ID + `"}`
	if a.text != want {
		t.Errorf("got  %s\nwant %s", a.text, want)
	}
	var whole map[string]any
	w.into(w.send("GET", path[:len(path)-3], ""), 200, &whole) // 15 characters
	if whole["Status"] != "Open - Not Contacted" || whole["IsConverted"] != false || whole["Company"] != "C" {
		t.Errorf("%v", whole)
	}
	// Upsert by external id in the URL, where a slash and a blank are escaped.
	key := data + "/sobjects/" + tp + "/" + extID + "/a%2Fb%20c"
	var up result
	w.into(w.sendJSON("PATCH", key, m{"bizible2__Medium__c": "CPC"}), 201, &up)
	first := up.ID
	if w.into(w.sendJSON("PATCH", key, m{"bizible2__Medium__c": "Call"}), 200, &up); up.ID != first || *up.Created {
		t.Errorf("second: %+v", up)
	}
	if w.into(w.send("GET", key, ""), 200, &whole); whole[extID] != "a/b c" || whole["bizible2__Medium__c"] != "Call" {
		t.Errorf("by key: %v", whole)
	}
	w.org.Schema(tp).Change(extID, func(f *orgsim.Field) { f.Unique = false })
	twin := w.insert(tp, m{extID: "a/b c"})
	both := fmt.Sprintf(`["%s/sobjects/%s/%s","%s/sobjects/%s/%s"]`, data, tp, first, data, tp, twin)
	for _, a := range []answer{w.sendJSON("PATCH", key, m{}), w.send("GET", key, "")} {
		if a.status != 300 || a.text != both {
			t.Errorf("ambiguous key: %d %s, want %s", a.status, a.text, both)
		}
	}

	if a := w.send("DELETE", path, ""); a.status != 204 {
		t.Errorf("delete: %d %s", a.status, a.text)
	}
	for _, method := range []string{"GET", "DELETE"} {
		w.refused(w.send(method, path, ""), 404, "ENTITY_IS_DELETED", "entity is deleted")
	}
}

func TestDescribe(t *testing.T) {
	w := newWorld(t, orgsim.Config{}).link()
	w.org.Schema(tp).HideField("bizible2__Browser__c")
	w.org.Schema(tp).LockField("bizible2__Medium__c")
	w.org.Schema(tp).RemoveField("bizible2__Platform__c")
	type field struct {
		Name, Label, Type, RelationshipName                               string
		Length, Precision, Scale                                          int
		Nillable, DefaultedOnCreate, Createable, Updateable               bool
		ExternalID, IDLookup, Unique, CaseSensitive, Filterable, Sortable bool
		NamePointing, RestrictedPicklist, AutoNumber                      bool
		ReferenceTo                                                       []string
		PicklistValues                                                    []struct{ Value string }
	}
	describe := func(object string) (string, map[string]field) {
		var out struct {
			Name, KeyPrefix string
			Custom          bool
			Fields          []field
		}
		w.into(w.send("GET", data+"/sobjects/"+object+"/describe", ""), 200, &out)
		fields := map[string]field{}
		for _, f := range out.Fields {
			fields[f.Name] = f
		}
		return fmt.Sprintf("%s %s %v", out.Name, out.KeyPrefix, out.Custom), fields
	}
	head, fields := describe(strings.ToLower(tp))
	if head != tp+" a03 true" {
		t.Errorf("head %q", head)
	}
	for _, gone := range []string{"bizible2__Browser__c", "bizible2__Platform__c"} {
		if _, ok := fields[gone]; ok {
			t.Errorf("%s is described", gone)
		}
	}
	key := fields[extID]
	if !key.ExternalID || !key.IDLookup || !key.Unique || !key.CaseSensitive || key.Length != 255 || key.Type != "string" || !key.Nillable {
		t.Errorf("%+v", key)
	}
	if f := fields["bizible2__Medium__c"]; f.Createable || f.Updateable {
		t.Errorf("locked: %+v", f)
	}
	if f := fields["bizible2__Ad_Content__c"]; f.Type != "textarea" || f.Length != 2048 || f.Filterable || f.Sortable || !f.Createable {
		t.Errorf("%+v", f)
	}
	if f := fields["bizible2__Bizible_Person__c"]; f.Type != "reference" || f.RelationshipName != "bizible2__Bizible_Person__r" || len(f.ReferenceTo) != 1 || f.ReferenceTo[0] != orgsim.Person || f.NamePointing {
		t.Errorf("%+v", f)
	}
	if f := fields["bizible2__Count_U_Shaped__c"]; f.Type != "double" || f.Scale != 2 || f.Precision != 18 || f.Label != "Count - U-Shaped" {
		t.Errorf("%+v", f)
	}
	if f := fields["Name"]; f.AutoNumber || !f.Createable || !f.Updateable || !f.DefaultedOnCreate {
		t.Errorf("%+v", f)
	}
	_, fields = describe("Task")
	if f := fields["TaskSubtype"]; !f.Createable || f.Updateable || !f.RestrictedPicklist || len(f.PicklistValues) != 6 || f.Length != 40 {
		t.Errorf("%+v", f)
	}
	if f := fields["WhoId"]; !f.NamePointing || f.RelationshipName != "Who" || len(f.ReferenceTo) != 2 {
		t.Errorf("%+v", f)
	}
	if f := fields["SystemModstamp"]; f.Createable || f.Updateable || f.Nillable || !f.Filterable {
		t.Errorf("%+v", f)
	}
	var list struct{ Sobjects []struct{ Name string } }
	if w.into(w.send("GET", data+"/sobjects", ""), 200, &list); len(list.Sobjects) != 19 {
		t.Errorf("%d objects", len(list.Sobjects))
	}
}

// What field-level security hides is not there for any operation.
func TestHiddenField(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	id := w.insert("Task", m{"Subject": "s", "Type": "Call"})
	w.org.Schema("Task").HideField("Type")
	w.refused(w.send("GET", queryURL("SELECT Type FROM Task"), ""), 400, "INVALID_FIELD", "No such column 'Type' on entity 'Task'")
	w.refused(w.send("GET", queryURL("SELECT Id FROM Task WHERE Type = 'Call'"), ""), 400, "INVALID_FIELD", "No such column 'Type'")
	w.refused(w.sendJSON("PATCH", data+"/sobjects/Task/"+id, m{"Type": "x"}), 400, "INVALID_FIELD", "No such column 'Type' on sobject of type Task")
	if a := w.send("GET", data+"/sobjects/Task/"+id, ""); strings.Contains(a.text, `"Type":`) || !strings.Contains(a.text, `"Subject":"s"`) {
		t.Errorf("read: %s", a.text)
	}
	if rec, _ := w.org.Get("Task", id); rec["Type"] != "Call" {
		t.Errorf("inside the org it is still there: %v", rec["Type"])
	}
}

// Clients call in parallel; what they send must all arrive. Run with -race.
func TestParallel(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	var wg sync.WaitGroup
	failed := make(chan string, 200)
	for i := range 20 {
		wg.Go(func() {
			for j := range 5 {
				body := fmt.Sprintf(`{"records":[{"attributes":{"type":%q},%q:"k%d"}]}`, tp, extID, i%10*5+j)
				if a := w.send("PATCH", upsertPath, body); a.status != 200 || !strings.Contains(a.text, `"success":true`) {
					failed <- a.text
				}
				w.org.Requests()
				if a := w.send("GET", queryURL("SELECT COUNT() FROM "+tp), ""); a.status != 200 {
					failed <- a.text
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	for f := range failed {
		t.Error(f)
	}
	if n := len(w.org.Records(tp)); n != 50 {
		t.Errorf("%d records, want 50", n)
	}
}
