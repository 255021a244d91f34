package main

import (
	"net/http"
	"strings"
	"testing"
)

// What health says of the last record survives a kill right after it was written.
func TestHealthSurvivesAKill(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", ""))
	lead, err := b.org.Insert("Lead", map[string]any{"LastName": "Ada", "Company": "Example"})
	if err != nil {
		t.Fatal(err)
	}
	b.task(yesterday("12:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA, "WhoId": lead})
	d.sync()
	if n := len(b.org.Records(touchpoints)); n != 1 {
		t.Fatalf("%d records were written: no proof", n)
	}
	d.kill()
	d = b.daemon()
	d.sync()
	if _, answer := d.request(http.MethodGet, "/healthz", nil); !strings.Contains(string(answer), "last record written") || strings.Contains(string(answer), "no event since the start") {
		t.Errorf("after a kill: %s", answer)
	}
	d.stop()
}
