package salesforce

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// echo answers a collection by what its keys say: "bad…" rows fail.
func echo(raw []byte) string {
	var c struct {
		Records []map[string]any
	}
	json.Unmarshal(raw, &c)
	rows := []map[string]any{}
	for _, r := range c.Records {
		key, _ := r["Key__c"].(string)
		if strings.HasPrefix(key, "bad") {
			rows = append(rows, map[string]any{"success": false, "errors": []any{
				map[string]any{"statusCode": "STRING_TOO_LONG", "message": "Name: data value too large", "fields": []string{"Name"}},
				map[string]any{"statusCode": "REQUIRED_FIELD_MISSING", "message": "Required fields are missing: [Company]", "fields": []string{"Company"}}}})
			continue
		}
		rows = append(rows, map[string]any{"id": "id-" + key, "success": true, "errors": []any{}, "created": strings.HasPrefix(key, "new")})
	}
	body, _ := json.Marshal(rows)
	return string(body)
}

func TestUpsertOneBatch(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		io.WriteString(w, echo(body))
	})
	records := []Row{{Fields: map[string]any{"Key__c": "new1", "Name": "<a&b>"}}, {Fields: map[string]any{"Key__c": "bad2"}, Content: json.RawMessage(`{}`)},
		{Fields: map[string]any{"Key__c": "old3", "Parent__r": map[string]any{"Ext__c": "p9"}, "Gone__c": nil}, Content: json.RawMessage(`{"Page__c":"a\u0026b","Count__c":1}`)}}
	results, err := s.client(t).Upsert(context.Background(), []Batch{{"Touch__c", "Key__c", records}})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 1 || len(results[0]) != 3 || results[0][0] != (Result{ID: "id-new1", Created: true}) || results[0][2] != (Result{ID: "id-old3"}) {
		t.Errorf("results %+v", results)
	}
	e := results[0][1].Err
	if e == nil || e.Code != "STRING_TOO_LONG" || e.Status != 0 || e.Unknown || Classify(e) != Park || !reflect.DeepEqual(e.Fields, []string{"Name"}) {
		t.Errorf("row error %+v", e)
	}
	mustContain(t, e.Error(), "upsert Touch__c: STRING_TOO_LONG: Name: data value too large (fields Name)", "also REQUIRED_FIELD_MISSING")
	if got := s.requests(); !reflect.DeepEqual(got, []string{"PATCH /services/data/v62.0/composite/sobjects/Touch__c/Key__c"}) {
		t.Errorf("requests %v", got)
	}
	want := `{"allOrNone":false,"records":[{"Key__c":"new1","Name":"<a&b>","attributes":{"type":"Touch__c"}},{"Key__c":"bad2","attributes":{"type":"Touch__c"}},` +
		`{"Gone__c":null,"Key__c":"old3","Parent__r":{"Ext__c":"p9"},"attributes":{"type":"Touch__c"},"Page__c":"a\u0026b","Count__c":1}]}`
	if s.body(0) != want {
		t.Errorf("body %s, want %s", s.body(0), want)
	}
	if len(records[0].Fields) != 2 {
		t.Errorf("the caller's record was changed: %v", records[0])
	}
}

// Up to five batches are one API call; what fails stays where it is.
func TestUpsertComposite(t *testing.T) {
	t.Parallel()
	s := compositeServer(t, func(method, uri string, _ map[string]string, body json.RawMessage) (int, string) {
		if method != "PATCH" {
			t.Errorf("method %s", method)
		}
		if strings.Contains(uri, "Broken__c") {
			return 400, `[{"errorCode":"INVALID_FIELD","message":"No such column 'X__c' on sobject of type Broken__c"}]`
		}
		if strings.Contains(uri, "Short__c") {
			return 200, `[]`
		}
		return 200, echo(body)
	}, nil)
	batches := []Batch{batch("Person__c", "new1", "old1"), batch("Broken__c", "a", "b"), batch("Touch__c", "new2", "bad2", "old2"), batch("Short__c", "c"), batch("Touch__c", "old3")}
	results, err := s.client(t).Upsert(context.Background(), batches)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.requests()) != 1 {
		t.Errorf("requests %v, want one call", s.requests())
	}
	for i, want := range [][]string{{"id-new1", "id-old1"}, {"", ""}, {"id-new2", "", "id-old2"}, {""}, {"id-old3"}} {
		for j, id := range want {
			r := results[i][j]
			if r.ID != id || (r.Err == nil) != (id != "") || r.Created != strings.HasPrefix(id, "id-new") {
				t.Errorf("batch %d, record %d: %+v, want %q", i, j, r, id)
			}
		}
	}
	broken := results[1][0].Err
	if results[1][1].Err != broken || broken.Status != 400 || broken.Code != "INVALID_FIELD" || broken.Object != "Broken__c" || Classify(broken) != StopClass {
		t.Errorf("subrequest error %+v", broken)
	}
	if short := results[3][0].Err; !short.Unknown || Classify(short) != Split {
		t.Errorf("missing rows: %+v", short)
	}
	if row := results[2][1].Err; row.Object != "Touch__c" || row.ExternalID != "Key__c" {
		t.Errorf("row error %+v", row)
	}
}

// What a composite call would take for a reference travels alone, in order.
func TestUpsertReference(t *testing.T) {
	t.Parallel()
	s := compositeServer(t, func(_, uri string, _ map[string]string, body json.RawMessage) (int, string) {
		if strings.Contains(string(body), "@{") {
			t.Errorf("a reference in a composite call: %s", body)
		}
		return 200, echo(body)
	}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		io.WriteString(w, echo(body))
	})
	const composite, plain = "POST /services/data/v62.0/composite", "PATCH /services/data/v62.0/composite/sobjects/"
	hostile := func(b Batch) Batch {
		b.Records[0].Fields["Landing__c"] = map[string]any{"deep": "https://www.example.com/?u=@{c0.id}"}
		return b
	}
	batches := []Batch{batch("A", "a"), batch("B", "b"), hostile(batch("C", "c1", "c2")), batch("D", "d"), hostile(batch("E", "e"))}
	results, err := s.client(t).Upsert(context.Background(), batches)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		for j := range r {
			if want := "id-" + batches[i].Records[j].Fields["Key__c"].(string); r[j].ID != want {
				t.Errorf("batch %d, record %d: %+v, want %s", i, j, r[j], want)
			}
		}
	}
	want := []string{composite, plain + "C/Key__c", plain + "D/Key__c", plain + "E/Key__c"}
	if got := s.requests(); !reflect.DeepEqual(got, want) {
		t.Errorf("requests %v, want %v", got, want)
	}
}

// Twelve batches are three calls. When the second fails the third is not made,
// and every row knows what is known of it.
func TestUpsertManyBatches(t *testing.T) {
	t.Parallel()
	s := compositeServer(t, func(_, uri string, _ map[string]string, body json.RawMessage) (int, string) { return 200, echo(body) }, nil)
	s.setAPI(sequence(s.api, status(500)))
	config := s.config()
	config.Retries = -1
	var batches []Batch
	for i := range 12 {
		batches = append(batches, batch("Lead", fmt.Sprintf("new%d", i)))
	}
	results, err := newClient(t, config).Upsert(context.Background(), batches)
	if e := mustError(t, err); e.Status != 500 || Classify(err) != Retry || !e.Unknown {
		t.Errorf("got %v", err)
	}
	if len(s.requests()) != 2 {
		t.Errorf("%d requests: the third must wait", len(s.requests()))
	}
	for i, r := range results {
		switch e := r[0].Err; {
		case i < 5:
			if e != nil || r[0].ID == "" {
				t.Errorf("batch %d was written: %+v", i, r)
			}
		case Classify(e) != Retry || e.Unknown != (i < 10) || strings.Contains(e.Error(), "not sent") != (i >= 10):
			t.Errorf("batch %d: %+v", i, e)
		}
	}
}

func TestWritesThatBreakTheRules(t *testing.T) {
	t.Parallel()
	s := newServer(t, answer(okUpsert))
	c := s.client(t)
	ctx := context.Background()
	many := Batch{Object: "Lead", ExternalID: "Key__c"}
	for range 201 {
		many.Records = append(many.Records, Row{Fields: map[string]any{"Key__c": "x"}})
	}
	unencodable := batch("Lead", "x")
	unencodable.Records[0].Fields["f"] = func() {}
	for name, b := range map[string]Batch{
		"201 records": many, "none": {Object: "Lead", ExternalID: "Key__c"}, "no key": {"Lead", "Key__c", []Row{{Fields: map[string]any{"Name": "x"}}}},
		"no fields": {"Lead", "Key__c", []Row{{Content: json.RawMessage(`{"Key__c":"x"}`)}}},
		"a list":    {"Lead", "Key__c", []Row{{map[string]any{"Key__c": "x"}, json.RawMessage("[1]")}}},
		"empty key": batch("Lead", ""), "no object": batch("", "x"), "a path": batch("Lead/../Task", "x"), "a function": unencodable,
		"field": {"Lead", "Key__c/x", []Row{{Fields: map[string]any{"Key__c/x": "x"}}}},
	} {
		if _, err := c.Upsert(ctx, []Batch{batch("Lead", "good"), b}); Classify(err) != Bug || mustError(t, err).Unknown {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, do := range map[string]func() error{
		"delete none":    func() error { _, err := c.Delete(ctx, nil); return err },
		"delete by path": func() error { _, err := c.Delete(ctx, []string{"00QHs0000000001MAA&x=1"}); return err },
		"delete 201":     func() error { _, err := c.Delete(ctx, make([]string, 201)); return err },
		"update no id":   func() error { _, err := c.Update(ctx, "Lead", []map[string]any{{"Name": "x"}}); return err },
		"update object": func() error {
			_, err := c.Update(ctx, "Le ad", []map[string]any{{"Id": "00QHs0000000001MAA"}})
			return err
		},
	} {
		if err := do(); Classify(err) != Bug {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(s.requests()) != 0 {
		t.Errorf("requests %v", s.requests())
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	ids := []string{"00QHs0000000001MAA", "00QHs0000000002MAA", "00QHs0000000003"}
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.Query().Get("ids"); got != strings.Join(ids, ",") || r.URL.Query().Get("allOrNone") != "false" {
			t.Errorf("query %s", r.URL.RawQuery)
		}
		if body, _ := io.ReadAll(r.Body); len(body) != 0 {
			t.Errorf("body %q", body)
		}
		io.WriteString(w, `[{"id":"00QHs0000000001MAA","success":true,"errors":[]},
			{"success":false,"errors":[{"statusCode":"ENTITY_IS_DELETED","message":"entity is deleted","fields":[]}]},
			{"success":false,"errors":[{"statusCode":"INSUFFICIENT_ACCESS_OR_READONLY","message":"insufficient access rights on object id","fields":[]}]}]`)
	})
	results, err := s.client(t).Delete(context.Background(), ids)
	if err != nil || len(results) != 3 || results[0].Err != nil || results[1] != (Result{ID: ids[1]}) || Classify(results[2].Err) != Park {
		t.Errorf("%+v, %v", results, err)
	}
	if got := s.requests(); got[0] != "DELETE /services/data/v62.0/composite/sobjects" {
		t.Errorf("requests %v", got)
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	s := newServer(t, sequence(answer(`[{"id":"00QHs0000000001MAA","success":true,"errors":[]}]`), status(503)))
	c := s.client(t)
	records := []map[string]any{{"Id": "00QHs0000000001MAA", "Name": "x"}}
	results, err := c.Update(context.Background(), "Lead", records)
	if err != nil || len(results) != 1 || results[0] != (Result{ID: "00QHs0000000001MAA"}) {
		t.Errorf("%+v, %v", results, err)
	}
	if want := `{"allOrNone":false,"records":[{"Id":"00QHs0000000001MAA","Name":"x","attributes":{"type":"Lead"}}]}`; s.body(0) != want {
		t.Errorf("body %s", s.body(0))
	}
	results, err = c.Update(context.Background(), "Lead", records)
	if e := mustError(t, err); e.Status != 503 || !e.Unknown || results[0].Err != e {
		t.Errorf("%+v, %v", results, err)
	}
}

// A refusal without reasons must not pass for success.
func TestRowsWithoutReasons(t *testing.T) {
	t.Parallel()
	s := newServer(t, answer(`[{"id":null,"success":false,"created":null,"errors":[]}]`))
	results, err := s.client(t).Upsert(context.Background(), []Batch{batch("Lead", "k")})
	if err != nil || results[0][0].Err == nil || Classify(results[0][0].Err) != Retry {
		t.Errorf("%+v, %v", results, err)
	}
}
