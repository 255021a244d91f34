package salesforce_test

import (
	"context"
	"fmt"
	"testing"

	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

// A thousand records, persons before the touchpoints that refer to them, are
// one API call.
func row(fields map[string]any) salesforce.Row { return salesforce.Row{Fields: fields} }

func TestOrgUpsert(t *testing.T) {
	t.Parallel()
	org, url := newOrg(t, orgsim.Config{})
	c := connect(t, url, nil)
	write := func(create bool) [][]salesforce.Result {
		t.Helper()
		batches := []salesforce.Batch{{Object: orgsim.Person, ExternalID: key}}
		for i := range 200 {
			batches[0].Records = append(batches[0].Records, row(map[string]any{key: fmt.Sprintf("p%d", i), "Name": fmt.Sprintf("Person %d", i)}))
		}
		for b := range 4 {
			batch := salesforce.Batch{Object: orgsim.Touchpoint, ExternalID: key}
			for i := range 200 {
				fields := map[string]any{key: fmt.Sprintf("t%d-%d", b, i), "bizible2__Touchpoint_Type__c": "Call"}
				if create {
					fields["bizible2__Bizible_Person__r"] = map[string]any{key: fmt.Sprintf("p%d", i)}
				}
				batch.Records = append(batch.Records, row(fields))
			}
			batches = append(batches, batch)
		}
		results, err := c.Upsert(context.Background(), batches)
		if err != nil {
			t.Fatal(err)
		}
		return results
	}
	for round, created := range []bool{true, false} {
		before := org.Requests().APICalls
		for b, results := range write(created) {
			for i, r := range results {
				if r.Err != nil || r.ID == "" || r.Created != created {
					t.Fatalf("round %d, batch %d, record %d: %+v", round, b, i, r)
				}
			}
		}
		if calls := org.Requests().APICalls - before; calls != 1 {
			t.Errorf("round %d: %d API calls", round, calls)
		}
	}
	if n := len(org.Records(orgsim.Touchpoint)); n != 800 {
		t.Errorf("%d touchpoints", n)
	}
	for _, r := range org.Records(orgsim.Touchpoint) {
		if r["bizible2__Bizible_Person__c"] == nil {
			t.Fatalf("not linked: %v", r)
		}
	}
}

func TestOrgRowErrors(t *testing.T) {
	t.Parallel()
	org, url := newOrg(t, orgsim.Config{})
	c := connect(t, url, nil)
	record := func(k string, fields ...any) map[string]any {
		r := map[string]any{key: k, "bizible2__Bizible_Person__r": map[string]any{key: "p"}}
		for i := 0; i < len(fields); i += 2 {
			r[fields[i].(string)] = fields[i+1]
		}
		return r
	}
	tooLong := make([]byte, 300)
	for i := range tooLong {
		tooLong[i] = 'x'
	}
	org.Fault(orgsim.Fault{Op: orgsim.OpUpsert, RowError: &orgsim.RowError{Code: "UNABLE_TO_LOCK_ROW", Key: "locked"}})
	org.Fault(orgsim.Fault{Op: orgsim.OpUpsert, RowError: &orgsim.RowError{Code: "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", Key: "cpu"}})
	rows := []struct {
		record map[string]any
		want   salesforce.Class
	}{
		{record("good"), salesforce.None},
		{record("long", "bizible2__Medium__c", string(tooLong)), salesforce.Park},
		{record("orphan", "bizible2__Bizible_Person__r", map[string]any{key: "nobody"}), salesforce.WaitParent},
		{record("locked"), salesforce.Retry},
		{record("twice"), salesforce.Bug},
		{record("twice"), salesforce.Bug},
		{record("cpu"), salesforce.Split},
		{record("hostile", "bizible2__Landing_Page_Raw__c", "https://example.com/?x=@{c0.id}"), salesforce.None},
	}
	batch := salesforce.Batch{Object: orgsim.Touchpoint, ExternalID: key}
	for _, r := range rows {
		batch.Records = append(batch.Records, row(r.record))
	}
	neighbour := salesforce.Batch{Object: orgsim.Person, ExternalID: key, Records: []salesforce.Row{row(map[string]any{key: "p", "Name": "P"})}}
	results, err := c.Upsert(context.Background(), []salesforce.Batch{neighbour, batch})
	if err != nil || results[0][0].Err != nil {
		t.Fatalf("%+v, %v", results, err)
	}
	for i, r := range rows {
		got := results[1][i]
		var class salesforce.Class
		if got.Err != nil {
			class = salesforce.Classify(got.Err)
		}
		if class != r.want || (got.ID != "") != (r.want == salesforce.None) {
			t.Errorf("%v: %v, %+v, want %v", r.record[key], class, got, r.want)
		}
	}
	// An unknown field fails its whole batch, and only that.
	bad := salesforce.Batch{Object: orgsim.Touchpoint, ExternalID: key, Records: []salesforce.Row{row(record("x")), row(record("y", "No_Such__c", 1))}}
	results, err = c.Upsert(context.Background(), []salesforce.Batch{neighbour, bad})
	if err != nil || results[0][0].Err != nil || salesforce.Classify(results[1][1].Err) != salesforce.StopClass {
		t.Errorf("unknown field: %+v, %v", results, err)
	}
}

// Every misfortune of a write, with or without the org having applied it,
// ends with each record there once.
func TestOrgWriteFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]orgsim.Fault{
		"dropped before":  {Drop: orgsim.DropBefore, Times: 2},
		"dropped after":   {Drop: orgsim.DropAfter, Times: 2},
		"truncated":       {Truncate: true, Times: 2},
		"503":             {Status: 503, Header: map[string]string{"Retry-After": "3600"}, Times: 2},
		"503 but applied": {Status: 503, Code: "SERVER_UNAVAILABLE", Applied: true},
		"HTML":            {Status: 503, Body: "<html>maintenance</html>"},
		"HTML with 200":   {Status: 200, Body: "<html>maintenance</html>", Applied: true},
		"429":             {Status: 429},
		"token expired":   {Expire: true},
		"500":             {Status: 500, Code: "UNKNOWN_EXCEPTION"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, batches := range []int{1, 3} {
				org, url := newOrg(t, orgsim.Config{})
				c := connect(t, url, nil)
				fault.Op = orgsim.OpWrite
				org.Fault(fault)
				var all []salesforce.Batch
				for b := range batches {
					all = append(all, salesforce.Batch{Object: orgsim.Attribution, ExternalID: key, Records: []salesforce.Row{
						row(map[string]any{key: fmt.Sprintf("a%d", b)}), row(map[string]any{key: fmt.Sprintf("b%d", b)})}})
				}
				results, err := c.Upsert(context.Background(), all)
				if err != nil {
					t.Fatal(err)
				}
				for _, rs := range results {
					for _, r := range rs {
						if r.Err != nil {
							t.Error(r.Err)
						}
					}
				}
				if n := len(org.Records(orgsim.Attribution)); n != 2*batches {
					t.Errorf("%d records, want %d", n, 2*batches)
				}
				if org.Requests().Faults == 0 {
					t.Error("the fault never fired")
				}
			}
		})
	}
}

func TestOrgDelete(t *testing.T) {
	t.Parallel()
	org, url := newOrg(t, orgsim.Config{})
	c := connect(t, url, nil)
	results, err := c.Upsert(context.Background(), []salesforce.Batch{{Object: orgsim.Attribution, ExternalID: key, Records: []salesforce.Row{row(map[string]any{key: "a"}), row(map[string]any{key: "b"})}}})
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{results[0][0].ID, results[0][1].ID}
	if _, err := c.Update(context.Background(), orgsim.Attribution, []map[string]any{{"Id": ids[0], "bizible2__Medium__c": "cpc"}}); err != nil {
		t.Fatal(err)
	}
	if r, _ := org.Get(orgsim.Attribution, ids[0]); r["bizible2__Medium__c"] != "cpc" {
		t.Errorf("after the update: %v", r)
	}
	for range 2 { // the second time they lie in the recycle bin
		deleted, err := c.Delete(context.Background(), ids)
		if err != nil || len(deleted) != 2 || deleted[0].Err != nil || deleted[1].Err != nil {
			t.Fatalf("%+v, %v", deleted, err)
		}
	}
	page, err := c.Query(context.Background(), "SELECT Id FROM "+orgsim.Attribution, salesforce.QueryOptions{})
	if err != nil || len(page.Records) != 0 {
		t.Errorf("%+v, %v", page, err)
	}
}

// TestOrgCreate creates records that have no external id; one that is refused keeps
// no other back.
func TestOrgCreate(t *testing.T) {
	t.Parallel()
	org, url := newOrg(t, orgsim.Config{})
	c := connect(t, url, nil)
	results, err := c.Create(context.Background(), "Lead", []map[string]any{{"LastName": "Byron", "Company": "A"}, {"LastName": "Lovelace"}})
	if err != nil || results[0].Err != nil || results[1].Err == nil || results[1].Err.Code != "REQUIRED_FIELD_MISSING" {
		t.Fatalf("%+v, %v", results, err)
	}
	if r, _ := org.Get("Lead", results[0].ID); r["LastName"] != "Byron" || len(org.Records("Lead")) != 1 {
		t.Errorf("the Lead is %v", r)
	}
	if _, err := c.Create(context.Background(), "no object", nil); err == nil {
		t.Error("an invalid name was sent")
	}
}
