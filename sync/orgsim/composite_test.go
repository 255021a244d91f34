package orgsim_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"callpoint/sync/orgsim"
)

type subresult struct {
	Body           json.RawMessage
	HTTPStatusCode int
	ReferenceID    string `json:"referenceId"`
}

func (w *world) composite(allOrNone bool, subs ...m) []subresult {
	w.Helper()
	var out struct{ CompositeResponse []subresult }
	w.into(w.sendJSON("POST", data+"/composite", m{"allOrNone": allOrNone, "compositeRequest": subs}), 200, &out)
	if len(out.CompositeResponse) != len(subs) {
		w.Fatalf("%d answers to %d subrequests", len(out.CompositeResponse), len(subs))
	}
	return out.CompositeResponse
}

func (r subresult) rows(t *testing.T) (out []result) {
	t.Helper()
	if err := json.Unmarshal(r.Body, &out); err != nil || r.HTTPStatusCode != 200 {
		t.Fatalf("%d %s: %v", r.HTTPStatusCode, r.Body, err)
	}
	return out
}

func sub(ref, method, url string, body any) m {
	s := m{"method": method, "url": url, "referenceId": ref}
	if body != nil {
		s["body"] = body
	}
	return s
}

func keys(prefix string, n int) []m {
	out := make([]m, n)
	for i := range out {
		out[i] = m{extID: fmt.Sprint(prefix, i)}
	}
	return out
}

// Persons and the touchpoints that point to them travel in one call: a parent
// of an earlier subrequest is seen.
func TestCompositeOfCollections(t *testing.T) {
	w := newWorld(t, orgsim.Config{}).link()
	touches := keys("t", 200)
	for i := range touches {
		touches[i]["bizible2__Bizible_Person__r"] = m{extID: fmt.Sprint("p", i)}
	}
	personPath := strings.Replace(upsertPath, tp, orgsim.Person, 1)
	w.org.ResetRequests()
	out := w.composite(false, sub("p", "PATCH", personPath, rows(orgsim.Person, keys("p", 200)...)),
		sub("t0", "PATCH", upsertPath, rows(tp, touches...)),
		sub("t1", "PATCH", upsertPath, rows(tp, keys("u", 200)...)),
		sub("q", "GET", queryURL("SELECT COUNT() FROM "+tp), nil),
		sub("bad", "PATCH", upsertPath, rows(tp, m{extID: "x", "Nope__c": 1})))
	for _, r := range out[:3] {
		if got := r.rows(t); got[0].code() != "created" || got[199].code() != "created" {
			t.Errorf("%s: %+v", r.ReferenceID, got[0])
		}
	}
	if out[3].ReferenceID != "q" || !strings.Contains(string(out[3].Body), `"totalSize":400`) {
		t.Errorf("query in between: %s", out[3].Body)
	}
	if out[4].HTTPStatusCode != 400 || !strings.Contains(string(out[4].Body), "No such column 'Nope__c'") {
		t.Errorf("bad subrequest: %d %s", out[4].HTTPStatusCode, out[4].Body)
	}
	s := w.org.Requests()
	if s.APICalls != 1 || s.Composites != 1 || s.Collections != 4 || s.Queries != 1 || s.Created != 600 {
		t.Errorf("stats %+v", s)
	}
}

func TestCompositeRefused(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	get := func(n int) (subs []m) {
		for i := range n {
			subs = append(subs, sub(fmt.Sprint("r", i), "GET", data+"/limits", nil))
		}
		return subs
	}
	heavy := get(1)
	for i := range 6 {
		heavy = append(heavy, sub(fmt.Sprint("h", i), []string{"PATCH", "GET"}[i%2], []string{upsertPath, queryURL("SELECT Id FROM Task")}[i%2], nil))
	}
	for name, tc := range map[string]struct {
		subs          []m
		code, message string
	}{
		"none":      {nil, "JSON_PARSER_ERROR", "at least one"},
		"26":        {get(26), "LIMIT_EXCEEDED", "25 subrequests"},
		"six heavy": {heavy, "LIMIT_EXCEEDED", "more than 5"},
		"twice":     {append(get(1), get(1)...), "JSON_PARSER_ERROR", "Duplicate referenceId provided: r0"},
		"bad name":  {[]m{sub("a-b", "GET", data+"/limits", nil)}, "JSON_PARSER_ERROR", "Provided referenceId ('a-b') must start with a letter or a number, and it can contain only letters, numbers and underscores ('_')."},
		"no url":    {[]m{sub("a", "GET", "", nil)}, "JSON_PARSER_ERROR", "url"},
		"more keys": {[]m{{"method": "GET", "url": "/", "referenceId": "a", "rows": 1}}, "JSON_PARSER_ERROR", "rows"},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.sendJSON("POST", data+"/composite", m{"compositeRequest": tc.subs})
			(&world{T: t}).refused(a, 400, tc.code, tc.message)
		})
	}
	w.composite(false, get(25)...)
	w.composite(false, heavy[:6]...)
	w.refused(w.send("GET", data+"/composite", ""), 405, "METHOD_NOT_ALLOWED", "Allowed are POST")
}

func TestCompositeReferences(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	out := w.composite(false,
		sub("lead", "POST", data+"/sobjects/Lead", m{"LastName": "Ref", "Company": "X"}),
		sub("read", "GET", data+"/sobjects/Lead/@{lead.id}?fields=LastName", nil),
		sub("touch", "PATCH", upsertPath, rows(tp, m{extID: "k-@{read.LastName}"})),
		sub("person", "POST", data+"/sobjects/"+orgsim.Person, m{"bizible2__Lead__c": "@{lead.id}", "Name": "@{touch[0].id}"}),
		sub("found", "GET", queryURL("SELECT Id FROM Lead"), nil),
		sub("upd", "PATCH", data+"/sobjects/Lead/@{found.records[0].Id}", m{"Title": "Dr"}))
	for _, r := range out {
		if r.HTTPStatusCode >= 300 {
			t.Fatalf("%s: %d %s", r.ReferenceID, r.HTTPStatusCode, r.Body)
		}
	}
	lead, person, touch := w.org.Records("Lead")[0], w.org.Records(orgsim.Person)[0], w.org.Records(tp)[0]
	if person["bizible2__Lead__c"] != lead["Id"] || person["Name"] != touch["Id"] || touch[extID] != "k-Ref" || lead["Title"] != "Dr" {
		t.Errorf("lead %v\nperson %v\ntouch %v", lead, person, touch)
	}
	if string(out[5].Body) != "null" || out[5].HTTPStatusCode != 204 {
		t.Errorf("update answers %d %s", out[5].HTTPStatusCode, out[5].Body)
	}

	// A visitor's text that looks like a reference halts its whole collection,
	// and nothing else.
	for _, hostile := range []string{"@{x}", "https://a.example/?q=@{lead.id.x}", "@{lead.ID}", "@{}", "@{later.id}", "@{a-b.id}"} {
		out = w.composite(false,
			sub("lead", "POST", data+"/sobjects/Lead", m{"LastName": "Ref", "Company": "X"}),
			sub("bad", "PATCH", upsertPath, rows(tp, m{extID: "good"}, m{extID: "h", "bizible2__Landing_Page__c": hostile})),
			sub("later", "PATCH", upsertPath, rows(tp, m{extID: "neighbour" + hostile[:1] + fmt.Sprint(len(hostile))})))
		if out[1].HTTPStatusCode != 400 || !strings.Contains(string(out[1].Body), `"errorCode":"PROCESSING_HALTED"`) ||
			!strings.Contains(string(out[1].Body), "Invalid reference specified. No value for "+hostile[strings.Index(hostile, "@{")+2:len(hostile)-1]+" found in ") {
			t.Errorf("%s: %d %s", hostile, out[1].HTTPStatusCode, out[1].Body)
		}
		if out[2].rows(t)[0].code() != "created" {
			t.Errorf("%s: neighbour %s", hostile, out[2].Body)
		}
	}
	// Half a reference is text; so is a whole one outside a composite.
	out = w.composite(false, sub("half", "PATCH", upsertPath, rows(tp, m{extID: "half", "bizible2__Landing_Page__c": "a@{b"})))
	if out[0].rows(t)[0].code() != "created" || codes(w.upsert(tp, m{extID: "plain", "bizible2__Landing_Page__c": "@{x}"})) != "created" {
		t.Errorf("text with @{: %s", out[0].Body)
	}
}

func TestCompositeAllOrNone(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	long := m{extID: "long", "bizible2__Medium__c": strings.Repeat("x", 256)}
	out := w.composite(true,
		sub("a", "PATCH", upsertPath, rows(tp, m{extID: "a"})),
		sub("b", "PATCH", upsertPath, rows(tp, m{extID: "b"}, long)),
		sub("c", "PATCH", upsertPath, rows(tp, m{extID: "c"})))
	for i, want := range []string{"PROCESSING_HALTED", "ALL_OR_NONE_OPERATION_ROLLED_BACK", "PROCESSING_HALTED"} {
		if out[i].HTTPStatusCode != 400 || !strings.Contains(string(out[i].Body), want) {
			t.Errorf("%s: %d %s", out[i].ReferenceID, out[i].HTTPStatusCode, out[i].Body)
		}
	}
	if n := len(w.org.Records(tp)); n != 0 {
		t.Errorf("%d records stand", n)
	}
	// Its deletions fail together, too.
	id := w.insert(tp, m{extID: "z"})
	out = w.composite(true, sub("d", "DELETE", data+"/composite/sobjects?ids="+id+",oops", nil))
	if !strings.Contains(string(out[0].Body), "ALL_OR_NONE_OPERATION_ROLLED_BACK") || len(w.org.Records(tp)) != 1 {
		t.Errorf("deletions: %s", out[0].Body)
	}
	if err := w.org.Purge(tp, id); err != nil {
		t.Fatal(err)
	}
	// Without it, the others stand.
	w.composite(false, sub("a", "PATCH", upsertPath, rows(tp, m{extID: "a"})), sub("b", "PATCH", upsertPath, rows(tp, m{extID: "b"}, long)))
	if n := len(w.org.Records(tp)); n != 2 {
		t.Errorf("%d records stand, want 2", n)
	}
}

func TestCompositeOddSubrequests(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	for _, url := range []string{"/services/data/v62.0/composite", "/services/oauth2/token", "https://evil.example/services/data/v62.0/limits", "/nowhere", "%zz"} {
		out := w.composite(false, sub("x", "POST", url, m{}))
		if out[0].HTTPStatusCode != 404 || !strings.Contains(string(out[0].Body), "NOT_FOUND") {
			t.Errorf("%s: %d %s", url, out[0].HTTPStatusCode, out[0].Body)
		}
	}
}

// The CPU of all subrequests adds up: the third collection passes the limit.
func TestCompositeCPU(t *testing.T) {
	w := newWorld(t, orgsim.Config{TriggerCPUPerRecord: 20 * time.Millisecond})
	var subs []m
	for i := range 5 {
		subs = append(subs, sub(fmt.Sprint("c", i), "PATCH", upsertPath, rows(tp, keys(fmt.Sprint(i, "-"), 200)...)))
	}
	out := w.composite(false, subs...)
	var got []string
	for _, r := range out {
		got = append(got, r.rows(t)[0].code())
	}
	want := "created created CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"
	if strings.Join(got, " ") != want {
		t.Errorf("got %v", got)
	}
	// The next request has its own.
	if rs := w.upsert(tp, keys("next", 200)...); rs[0].code() != "created" {
		t.Errorf("next request: %+v", rs[0])
	}
}
