package salesforce

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func TestQuery(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"totalSize":3,"done":false,"nextRecordsUrl":"/services/data/v62.0/query/0r8xx0000000001AAA-2000","records":[
			{"attributes":{"type":"Task","url":"/x"},"Id":"00T1","WhoId":null,"Who":null,"Seconds":63,"Closed":true,
			 "What":{"attributes":{"type":"Name"},"Type":"Account","Owner":{"attributes":{"type":"User"},"Name":"O'Neil"}},
			 "Events":{"totalSize":1,"done":true,"records":[{"attributes":{"type":"Event"},"Id":"00U1"}]}}]}`)
		if q := r.URL.Query().Get("q"); q != "SELECT Id FROM Task WHERE Subject = 'a+b & \\'c\\''" {
			t.Errorf("q = %q", q)
		}
		if h := r.Header.Get("Sforce-Query-Options"); h != "batchSize=500" {
			t.Errorf("Sforce-Query-Options %q", h)
		}
		if h := r.Header.Get("User-Agent"); h != "callpoint" {
			t.Errorf("User-Agent %q", h)
		}
	})
	c := s.client(t)
	soql := "SELECT Id FROM Task WHERE Subject = " + Quote("a+b & 'c'")
	for _, all := range []bool{false, true} {
		page, err := c.Query(context.Background(), soql, QueryOptions{All: all, BatchSize: 500})
		if err != nil {
			t.Fatal(err)
		}
		want := []Record{{"Id": "00T1", "WhoId": nil, "Who": nil, "Seconds": 63.0, "Closed": true,
			"What":   Record{"Type": "Account", "Owner": Record{"Name": "O'Neil"}},
			"Events": Record{"totalSize": 1.0, "done": true, "records": []any{Record{"Id": "00U1"}}}}}
		if !reflect.DeepEqual(page.Records, want) {
			t.Errorf("records %v, want %v", page.Records, want)
		}
		if page.Total != 3 || page.Done || page.Next != "/services/data/v62.0/query/0r8xx0000000001AAA-2000" || page.ServerTime.IsZero() {
			t.Errorf("page %+v", page)
		}
	}
	if got, want := s.requests(), []string{"GET /services/data/v62.0/query", "GET /services/data/v62.0/queryAll"}; !reflect.DeepEqual(got, want) {
		t.Errorf("requests %v, want %v", got, want)
	}
}

func TestQueryNext(t *testing.T) {
	t.Parallel()
	s := newServer(t, answer(okQuery))
	c := s.client(t)
	nexts := []string{"/services/data/v62.0/query/0r8xx0000000001AAA-2000", "/services/data/v59.0/query/01gD0000002HU6KIAW-2000", "/services/data/v62.0/queryAll/01g-4000"}
	for _, next := range nexts {
		page, err := c.Query(context.Background(), "ignored", QueryOptions{Next: next, All: true})
		if err != nil || !page.Done || page.Next != "" {
			t.Errorf("%s: %+v, %v", next, page, err)
		}
	}
	for i, r := range s.requests() {
		if r != "GET "+nexts[i] {
			t.Errorf("request %q, want %q", r, nexts[i])
		}
	}
}

var hostileNext = []string{
	"//evil.example/services/data/v62.0/query/01g", "https://evil.example/services/data/v62.0/query/01g",
	"@evil.example/x", ".evil.example/x", "/services/data/v62.0/query/../../../oauth2/revoke", "/services/data/v62.0/query/01g?q=x",
	"/services/data/v62.0/query/01g#x", "/services/data/v62.0/query/01g/x", "/services/data/v62.0/query/01g\n", "/services/data/v62.0/query/",
	"/services/data/v62.0/sobjects/Task", "/services/oauth2/token", "/services/data/v62.0/query/%2e%2e", " /services/data/v62.0/query/01g",
	"\\\\evil.example\\x",
}

func TestHostileNextRecordsURL(t *testing.T) {
	t.Parallel()
	for _, next := range hostileNext {
		s := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
			json.NewEncoder(w).Encode(map[string]any{"totalSize": 2, "done": false, "nextRecordsUrl": next, "records": []any{}})
		})
		c := s.client(t)
		if e := mustError(t, query(c)); e.Code != codeUntrusted || Classify(e) != StopCalls {
			t.Errorf("%q from the server: %v", next, e)
		}
		_, err := c.Query(context.Background(), "", QueryOptions{Next: next})
		if e := mustError(t, err); e.Code != codeCaller || Classify(e) != Bug {
			t.Errorf("%q from the caller: %v", next, err)
		}
		if n := len(s.requests()); n != 1 {
			t.Errorf("%q: %d requests, want the first alone", next, n)
		}
	}
}

// Answers that would lose rows or read page one for ever.
func TestQueryAnswersWithoutSense(t *testing.T) {
	t.Parallel()
	for body, text := range map[string]string{
		`{"totalSize":2,"done":false,"records":[]}`:                     "without a nextRecordsUrl",
		`{"totalSize":2,"done":false,"nextRecordsUrl":"","records":[]}`: "without a nextRecordsUrl",
		`[]`:                          "does not parse",
		`{"id":"1"}`:                  "no query result",
		`{"done":true,"records":[1]}`: "does not parse",
	} {
		s := newServer(t, answer(body))
		err := query(s.client(t))
		if Classify(err) != Retry {
			t.Errorf("%s: %v, %v", body, err, Classify(err))
		}
		mustContain(t, err.Error(), text)
	}
}

// compositeServer answers composite calls, subrequest by subrequest.
func compositeServer(t *testing.T, sub func(method, uri string, headers map[string]string, body json.RawMessage) (int, string), plain http.HandlerFunc) *server {
	return newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/services/data/v62.0/composite" {
			plain(w, r)
			return
		}
		var request struct {
			AllOrNone, CollateSubrequests *bool
			CompositeRequest              []struct {
				Method, URL, ReferenceID string
				HTTPHeaders              map[string]string
				Body                     json.RawMessage
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil || r.Method != "POST" {
			t.Errorf("%s: %v", r.Method, err)
		}
		if request.AllOrNone == nil || *request.AllOrNone || request.CollateSubrequests == nil || *request.CollateSubrequests {
			t.Error("allOrNone and collateSubrequests must be false")
		}
		responses := []map[string]any{}
		for _, q := range request.CompositeRequest {
			status, body := sub(q.Method, q.URL, q.HTTPHeaders, q.Body)
			responses = append(responses, map[string]any{"body": json.RawMessage(body), "httpHeaders": map[string]string{}, "httpStatusCode": status, "referenceId": q.ReferenceID})
		}
		json.NewEncoder(w).Encode(map[string]any{"compositeResponse": responses})
	})
}

// A query too long for a URL travels in the body of a composite call.
func TestLongQuery(t *testing.T) {
	t.Parallel()
	soql := "SELECT Id FROM Task WHERE Id IN ('" + strings.Repeat("00T000000000001','", 500) + "00T000000000001')"
	s := compositeServer(t, func(method, uri string, headers map[string]string, _ json.RawMessage) (int, string) {
		u, err := url.Parse(uri)
		if err != nil || method != "GET" || u.Path != "/services/data/v62.0/queryAll" || u.Query().Get("q") != soql {
			t.Errorf("%s %.60s…, %v", method, uri, err)
		}
		if headers["Sforce-Query-Options"] != "batchSize=200" {
			t.Errorf("headers %v", headers)
		}
		return 200, `{"totalSize":1,"done":true,"records":[{"attributes":{},"Id":"00T1"}]}`
	}, nil)
	page, err := s.client(t).Query(context.Background(), soql, QueryOptions{All: true, BatchSize: 200})
	if err != nil || len(page.Records) != 1 || !page.Done || page.ServerTime.IsZero() {
		t.Errorf("%+v, %v", page, err)
	}
	for _, r := range s.requests() {
		if r != "POST /services/data/v62.0/composite" {
			t.Errorf("request %s", r)
		}
	}
	failing := compositeServer(t, func(string, string, map[string]string, json.RawMessage) (int, string) {
		return 400, `[{"errorCode":"QUERY_TIMEOUT","message":"Your query request was running for too long."}]`
	}, nil)
	_, err = failing.client(t).Query(context.Background(), soql, QueryOptions{})
	if e := mustError(t, err); e.Status != 400 || e.Code != "QUERY_TIMEOUT" || Classify(e) != NarrowQuery {
		t.Errorf("got %v", err)
	}
}

func TestQueryMany(t *testing.T) {
	t.Parallel()
	one := func(uri string) (int, string) {
		u, _ := url.Parse(uri)
		if strings.Contains(u.Query().Get("q"), "Nonsense") {
			return 400, `[{"errorCode":"INVALID_TYPE","message":"sObject type 'Nonsense' is not supported."}]`
		}
		body, _ := json.Marshal(map[string]any{"totalSize": 1, "done": true, "records": []any{map[string]any{"Q": u.Query().Get("q")}}})
		return 200, string(body)
	}
	s := compositeServer(t, func(_, uri string, _ map[string]string, _ json.RawMessage) (int, string) { return one(uri) },
		func(w http.ResponseWriter, r *http.Request) {
			_, body := one(r.URL.String())
			io.WriteString(w, body)
		})
	soqls := []string{}
	for i := range 7 {
		soqls = append(soqls, fmt.Sprintf("SELECT Id FROM Object%d", i))
	}
	soqls[2], soqls[4] = "SELECT Id FROM Nonsense", "SELECT Id FROM Task WHERE Bid__c = '@{q0.records[0].Id}'"
	pages, err := s.client(t).QueryMany(context.Background(), soqls, QueryOptions{})
	if e := mustError(t, err); e.Code != "INVALID_TYPE" || Classify(err) != StopClass {
		t.Errorf("got %v", err)
	}
	mustContain(t, err.Error(), "query 3 of 7")
	for i, p := range pages {
		switch {
		case i == 2 && p.Records != nil:
			t.Errorf("page %d: %+v", i, p)
		case i != 2 && (len(p.Records) != 1 || p.Records[0]["Q"] != soqls[i]):
			t.Errorf("page %d: %+v, want the answer to %q", i, p, soqls[i])
		}
	}
	want := []string{"GET /services/data/v62.0/query", "POST /services/data/v62.0/composite", "POST /services/data/v62.0/composite"}
	if got := s.requests(); !reflect.DeepEqual(got, want) {
		t.Errorf("requests %v, want %v", got, want)
	}
}

// Answers that do not belong to the questions must not be taken for theirs.
func TestCompositeAnswersWithoutSense(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{}`, `{"compositeResponse":[]}`, `[]`,
		`{"compositeResponse":[{"body":{},"httpStatusCode":200,"referenceId":"q1"},{"body":{},"httpStatusCode":200,"referenceId":"q0"}]}`} {
		s := newServer(t, answer(body))
		c := s.client(t)
		if _, err := c.QueryMany(context.Background(), []string{"a", "b"}, QueryOptions{}); Classify(err) != Retry || mustError(t, err).Unknown {
			t.Errorf("%s: %v", body, err)
		}
		results, err := c.Upsert(context.Background(), []Batch{batch("Lead", "a"), batch("Task", "b")})
		if e := mustError(t, err); Classify(e) != Split || !e.Unknown || results[1][0].Err != e {
			t.Errorf("%s: %v, %v", body, results, err)
		}
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	s := newServer(t, answer(`{"name":"Lead","label":"Lead","keyPrefix":"00Q","createable":true,"queryable":true,"fields":[
		{"name":"Key__c","label":"Key","type":"string","length":255,"createable":true,"externalId":true,"unique":true,"idLookup":true,"nillable":true,"filterable":true},
		{"name":"Company","type":"string","createable":true,"nillable":false,"defaultedOnCreate":false},
		{"name":"WhoId","type":"reference","referenceTo":["Contact","Lead"],"relationshipName":"Who","namePointing":true,
		 "restrictedPicklist":true,"picklistValues":[{"value":"v","label":"l","active":true}]}]}`))
	c := s.client(t)
	o, err := c.Describe(context.Background(), "Lead")
	if err != nil || o.Name != "Lead" || o.KeyPrefix != "00Q" || !o.Createable || o.Updateable || len(o.Fields) != 3 {
		t.Fatalf("%+v, %v", o, err)
	}
	key, ok := o.Field("KEY__C")
	if !ok || !key.ExternalID || !key.Unique || !key.IDLookup || key.Length != 255 || key.Required() {
		t.Errorf("%+v", key)
	}
	company, _ := o.Field("Company")
	who, _ := o.Field("WhoId")
	if !company.Required() || !reflect.DeepEqual(who.ReferenceTo, []string{"Contact", "Lead"}) || len(who.PicklistValues) != 1 || !who.RestrictedPicklist {
		t.Errorf("%+v, %+v", company, who)
	}
	if _, ok := o.Field("None__c"); ok {
		t.Error("found a field that is not there")
	}
	if got := s.requests(); got[0] != "GET /services/data/v62.0/sobjects/Lead/describe" {
		t.Errorf("requests %v", got)
	}
	for _, name := range []string{"", "Lead/x", "../limits", "a b", "Lead?x", "1"} {
		if _, err := c.Describe(context.Background(), name); Classify(err) != Bug {
			t.Errorf("%q: %v", name, err)
		}
	}
	if n := len(s.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	s := newServer(t, answer(`{"DailyApiRequests":{"Max":15000,"Remaining":14998,"App":{"Max":0,"Remaining":0}},"DataStorageMB":{"Max":"5","Remaining":"4"}}`))
	got, err := s.client(t).Limits(context.Background())
	if want := (Limits{"DailyApiRequests": {15000, 14998}, "DataStorageMB": {5, 4}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}
