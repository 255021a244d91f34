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
	pages, err := c.QueryMany(context.Background(), []string{"SELECT Id FROM Lead", "SELECT Id FROM Nothing__c", "SELECT Naem FROM Lead", "SELECT Id FROM User"}, salesforce.QueryOptions{})
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

	_, url = newOrg(t, orgsim.Config{TriggerCPUPerRecord: 100 * time.Millisecond})
	batch := salesforce.Batch{Object: orgsim.Attribution, ExternalID: key}
	for i := range 200 {
		batch.Records = append(batch.Records, salesforce.Row{Fields: map[string]any{key: fmt.Sprint(i)}})
	}
	results, err := connect(t, url, nil).Upsert(context.Background(), []salesforce.Batch{batch})
	if err != nil || salesforce.Classify(results[0][0].Err) != salesforce.Split {
		t.Errorf("CPU limit: %v, %v", err, results[0][0])
	}
}
