package salesforce_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

const key = "bizible2__UniqueId__c"

func newOrg(t *testing.T, config orgsim.Config) (*orgsim.Org, string) {
	t.Helper()
	org := orgsim.New(config)
	s := httptest.NewServer(org)
	t.Cleanup(s.Close)
	return org, s.URL
}

func connect(t *testing.T, url string, set func(*salesforce.Config)) *salesforce.Client {
	t.Helper()
	config := salesforce.Config{
		Domain: url, ConsumerKey: orgsim.DefaultClientID, ConsumerSecret: salesforce.NewSecret(orgsim.DefaultClientSecret),
		Retries: 2, RetryWait: time.Millisecond, RetryWaitMax: time.Millisecond, LoginRetryWait: time.Millisecond,
	}
	if set != nil {
		set(&config)
	}
	c, err := salesforce.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestOrgLogin(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	byJWT := func(c *salesforce.Config) {
		c.ConsumerSecret, c.Username, c.PrivateKey = salesforce.Secret{}, orgsim.DefaultUsername, salesforce.NewSecret(text)
	}
	for name, tt := range map[string]struct {
		sandbox bool
		set     func(*salesforce.Config)
	}{
		"client credentials": {},
		"JWT":                {false, byJWT},
		"JWT of a sandbox":   {true, func(c *salesforce.Config) { byJWT(c); c.Audience = "https://test.salesforce.com" }},
		"password": {false, func(c *salesforce.Config) {
			c.Username, c.Password = orgsim.DefaultUsername, salesforce.NewSecret(orgsim.DefaultPassword)
			c.SecurityToken = salesforce.NewSecret(orgsim.DefaultSecurityToken)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			org, url := newOrg(t, orgsim.Config{JWTKey: &rsaKey.PublicKey, Sandbox: tt.sandbox})
			id, err := connect(t, url, tt.set).Login(context.Background())
			if want := (salesforce.Identity{OrgID: org.OrgID(), UserID: org.UserID(), InstanceURL: url}); err != nil || id != want {
				t.Errorf("%+v, %v, want %+v", id, err, want)
			}
			if n := org.Requests(); n.Logins != 1 || n.APICalls != 0 {
				t.Errorf("%+v", n)
			}
		})
	}
	org, url := newOrg(t, orgsim.Config{})
	c := connect(t, url, func(c *salesforce.Config) {
		c.ConsumerKey, c.ConsumerSecret, c.AccessToken = "", salesforce.Secret{}, salesforce.NewSecret(org.AccessToken())
	})
	if id, err := c.Login(context.Background()); err != nil || id.OrgID != org.OrgID() || org.Requests().APICalls != 1 {
		t.Errorf("access token: %+v, %v, %+v", id, err, org.Requests())
	}
	org.ExpireTokens()
	if _, err := c.Limits(context.Background()); salesforce.Classify(err) != salesforce.StopCalls {
		t.Errorf("expired access token: %v", err)
	}
}

func TestOrgRead(t *testing.T) {
	t.Parallel()
	org, url := newOrg(t, orgsim.Config{PageSize: 40})
	lead, err := org.Insert("Lead", map[string]any{"LastName": "O'Neil", "Company": "Acme"})
	if err != nil {
		t.Fatal(err)
	}
	const n = 100
	for i := range n {
		id, err := org.Insert("Task", map[string]any{"Subject": fmt.Sprintf("Call %d", i), "WhoId": lead})
		if err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			if err := org.Delete("Task", id); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := connect(t, url, nil)
	soql := "SELECT Id, Subject, IsDeleted, Who.Type, Who.Name FROM Task WHERE SystemModstamp >= " +
		salesforce.DateTime(time.Now().Add(-time.Hour)) + " AND Who.Name = " + salesforce.Quote("O'Neil") + " ORDER BY SystemModstamp, Id"
	for all, want := range map[bool]int{false: 90, true: 100} {
		seen, pages := map[string]bool{}, 0
		for o := (salesforce.QueryOptions{All: all}); ; pages++ {
			page, err := c.Query(context.Background(), soql, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Records {
				who, _ := r["Who"].(salesforce.Record)
				if len(r) != 4 || len(who) != 2 || who["Type"] != "Lead" || who["Name"] != "O'Neil" {
					t.Fatalf("record %v", r)
				}
				seen[r["Id"].(string)] = true
			}
			if page.Total != want {
				t.Fatalf("total %d, want %d", page.Total, want)
			}
			if o.Next = page.Next; page.Done {
				break
			}
		}
		if len(seen) != want || pages != (want-1)/40 {
			t.Errorf("all %t: %d rows in %d pages more, want %d", all, len(seen), pages, want)
		}
	}

	// A locator that has expired asks for a new beginning.
	page, err := c.Query(context.Background(), soql, salesforce.QueryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	org.ExpireLocators()
	_, err = c.Query(context.Background(), "", salesforce.QueryOptions{Next: page.Next})
	if salesforce.Classify(err) != salesforce.RestartQuery {
		t.Errorf("expired locator: %v, %v", err, salesforce.Classify(err))
	}

	before := org.Requests().APICalls
	pages, err := c.QueryMany(context.Background(), []string{"SELECT Id FROM Lead", "SELECT Id FROM Nothing__c", "SELECT Naem FROM Lead", "SELECT Id FROM User"})
	if len(pages[0].Records) != 1 || len(pages[3].Records) != 1 || salesforce.Classify(err) != salesforce.StopClass || org.Requests().APICalls != before+1 {
		t.Errorf("QueryMany: %+v, %v, %d calls", pages, err, org.Requests().APICalls-before)
	}
	if u := c.Usage(); u.Max != 15000 || u.Used == 0 {
		t.Errorf("usage %+v", u)
	}
	object, err := c.Describe(context.Background(), orgsim.Touchpoint)
	if f, _ := object.Field(key); err != nil || !f.ExternalID || !f.Unique || !f.IDLookup || f.Length != 255 || object.KeyPrefix != "a02" {
		t.Errorf("describe: %+v, %v", f, err)
	}
	if limits, err := c.Limits(context.Background()); err != nil || limits["DailyApiRequests"].Max != 15000 {
		t.Errorf("limits: %v, %v", limits, err)
	}
}

// A thousand records, persons before the touchpoints that refer to them, are
// one API call.
func TestOrgUpsert(t *testing.T) {
	t.Parallel()
	org, url := newOrg(t, orgsim.Config{})
	c := connect(t, url, nil)
	write := func() [][]salesforce.Result {
		t.Helper()
		batches := []salesforce.Batch{{Object: orgsim.Person, ExternalID: key}}
		for i := range 200 {
			batches[0].Records = append(batches[0].Records, map[string]any{key: fmt.Sprintf("p%d", i), "Name": fmt.Sprintf("Person %d", i)})
		}
		for b := range 4 {
			batch := salesforce.Batch{Object: orgsim.Touchpoint, ExternalID: key}
			for i := range 200 {
				batch.Records = append(batch.Records, map[string]any{
					key: fmt.Sprintf("t%d-%d", b, i), "bizible2__Touchpoint_Type__c": "Call",
					"bizible2__Bizible_Person__r": map[string]any{key: fmt.Sprintf("p%d", i)},
				})
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
		for b, results := range write() {
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
		r := map[string]any{key: k}
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
		batch.Records = append(batch.Records, r.record)
	}
	neighbour := salesforce.Batch{Object: orgsim.Person, ExternalID: key, Records: []map[string]any{{key: "p", "Name": "P"}}}
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
	bad := salesforce.Batch{Object: orgsim.Touchpoint, ExternalID: key, Records: []map[string]any{record("x"), record("y", "No_Such__c", 1)}}
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
					all = append(all, salesforce.Batch{Object: orgsim.Touchpoint, ExternalID: key, Records: []map[string]any{
						{key: fmt.Sprintf("a%d", b)}, {key: fmt.Sprintf("b%d", b)}}})
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
				if n := len(org.Records(orgsim.Touchpoint)); n != 2*batches {
					t.Errorf("%d records, want %d", n, 2*batches)
				}
				if org.Requests().Faults == 0 {
					t.Error("the fault never fired")
				}
			}
		})
	}
}

func TestOrgExpiryInParallel(t *testing.T) {
	t.Parallel()
	org, url := newOrg(t, orgsim.Config{})
	c := connect(t, url, nil)
	if _, err := c.Login(context.Background()); err != nil {
		t.Fatal(err)
	}
	org.ExpireTokens()
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := c.Query(context.Background(), "SELECT Id FROM Task", salesforce.QueryOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := org.Requests(); n.Logins != 2 {
		t.Errorf("%d logins, want 2", n.Logins)
	}
}

func TestOrgLimitsAndRefusals(t *testing.T) {
	t.Parallel()
	org, url := newOrg(t, orgsim.Config{DailyLimit: 10})
	org.UseCalls(10)
	_, err := connect(t, url, nil).Query(context.Background(), "SELECT Id FROM Task", salesforce.QueryOptions{})
	if salesforce.Classify(err) != salesforce.StopCalls || org.Requests().OverLimit != 1 {
		t.Errorf("daily limit: %v, %+v", err, org.Requests())
	}

	org, url = newOrg(t, orgsim.Config{})
	c := connect(t, url, func(c *salesforce.Config) { c.ConsumerSecret = salesforce.NewSecret("wrong") })
	for range 5 {
		_, err = c.Query(context.Background(), "SELECT Id FROM Task", salesforce.QueryOptions{})
		var e *salesforce.Error
		if !errors.As(err, &e) || e.Code != "invalid_client" || salesforce.Classify(err) != salesforce.StopCalls {
			t.Fatalf("wrong secret: %v", err)
		}
	}
	if n := org.Requests().LoginsFailed; n != 1 {
		t.Errorf("%d refused logins", n)
	}

	org, url = newOrg(t, orgsim.Config{TriggerCPUPerRecord: 100 * time.Millisecond})
	batch := salesforce.Batch{Object: orgsim.Touchpoint, ExternalID: key}
	for i := range 200 {
		batch.Records = append(batch.Records, map[string]any{key: fmt.Sprint(i)})
	}
	results, err := connect(t, url, nil).Upsert(context.Background(), []salesforce.Batch{batch})
	if err != nil || salesforce.Classify(results[0][0].Err) != salesforce.Split {
		t.Errorf("CPU limit: %v, %v", err, results[0][0])
	}
}

func TestOrgDelete(t *testing.T) {
	t.Parallel()
	org, url := newOrg(t, orgsim.Config{})
	c := connect(t, url, nil)
	results, err := c.Upsert(context.Background(), []salesforce.Batch{{Object: orgsim.Touchpoint, ExternalID: key, Records: []map[string]any{{key: "a"}, {key: "b"}}}})
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{results[0][0].ID, results[0][1].ID}
	if _, err := c.Update(context.Background(), orgsim.Touchpoint, []map[string]any{{"Id": ids[0], "bizible2__Medium__c": "cpc"}}); err != nil {
		t.Fatal(err)
	}
	if r, _ := org.Get(orgsim.Touchpoint, ids[0]); r["bizible2__Medium__c"] != "cpc" {
		t.Errorf("after the update: %v", r)
	}
	for range 2 { // the second time they lie in the recycle bin
		deleted, err := c.Delete(context.Background(), ids)
		if err != nil || len(deleted) != 2 || deleted[0].Err != nil || deleted[1].Err != nil {
			t.Fatalf("%+v, %v", deleted, err)
		}
	}
	page, err := c.Query(context.Background(), "SELECT Id FROM "+orgsim.Touchpoint, salesforce.QueryOptions{})
	if err != nil || len(page.Records) != 0 {
		t.Errorf("%+v, %v", page, err)
	}
}
