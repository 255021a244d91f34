package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"callpoint/mapping"
	"callpoint/sync/monitor"
)

// The journey of a person as JSON, in explain, and in the sessions of a visitor.
func TestPersonsJourney(t *testing.T) {
	t.Parallel()
	b := listenBench(t, "CALLPOINT_START=1440h")
	d := b.daemon()
	lead := b.lead()
	form := view(visitorA, yesterday("09:10:00").AddDate(0, 0, -9), "https://www.example.com/contact", "")
	form["type"] = "form"
	ad := view(visitorA, yesterday("10:00:00").AddDate(0, 0, -10), "https://www.example.com/?gclid=x&utm_source=google&utm_medium=cpc", "https://www.google.com/")
	ad["user_agent"] = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_10) AppleWebKit/603.2.4 (KHTML, like Gecko) Version/10.1.1 Safari/603.2.4"
	d.send(ad, view(visitorA, yesterday("09:00:00").AddDate(0, 0, -9), "https://www.example.com/", ""), form,
		view(visitorB, yesterday("11:00:00"), "https://www.example.com/", ""))
	first := b.task(yesterday("10:05:00").AddDate(0, 0, -10), map[string]any{"bizible2__BizibleId__c": visitorA, "WhoId": lead})
	second := b.task(yesterday("11:05:00"), map[string]any{"bizible2__BizibleId__c": visitorB, "WhoId": lead})
	d.sync()

	var v monitor.PersonView
	status, answer := d.request(http.MethodGet, "/v1/persons/"+lead[:15], nil)
	if err := json.Unmarshal(answer, &v); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	if v.WhoID != lead || v.Person == nil || v.Person.ID == "" || v.Person.Key != "callpoint_"+lead || v.TooMany || !slices.Equal(v.BizibleIDs, []string{visitorB, visitorA}) {
		t.Errorf("person %s", answer)
	}
	var steps []string
	for _, x := range v.Journey {
		record := "-"
		if x.SalesforceID != "" {
			record = "record"
		}
		steps = append(steps, strings.Join([]string{x.Kind, x.ChannelPath, x.Position, x.TaskID, record}, " "))
	}
	want := []string{
		"session Paid Search.AdWords FT, LC " + first + " record", "call Paid Search.AdWords FT, LC " + first + " record",
		"session Direct PostLC  -", "form Direct PostLC  -",
		"session Direct PostLC " + second + " record", "call Direct PostLC " + second + " record",
	}
	if !slices.Equal(steps, want) {
		t.Errorf("journey\n%s\nwant\n%s", strings.Join(steps, "\n"), strings.Join(want, "\n"))
	}
	if v.Journey[0].Device != "Safari (603.2), Mac (10_10)" {
		t.Errorf("device %q", v.Journey[0].Device)
	}
	for _, id := range []string{"00QHs00000000ZZIAA", "nobody"} {
		if status, _ := d.request(http.MethodGet, "/v1/persons/"+id, nil); status != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", id, status)
		}
	}

	status, answer = d.request(http.MethodGet, "/v1/visitors/"+visitorB, nil)
	var visitor struct{ Sessions []mapping.Session }
	if err := json.Unmarshal(answer, &visitor); err != nil || status != http.StatusOK || len(visitor.Sessions) != 1 || visitor.Sessions[0].Position != "PostLC" {
		t.Errorf("visitor %d %s", status, answer)
	}
	if c := d.call(second); c.Session == nil || c.Session.Position != "PostLC" || c.Person == nil || len(c.Person.Journey) != 6 {
		t.Errorf("call %+v", c)
	}
	for task, words := range map[string][]string{
		first:  {"The person's journey", "2 BizibleIds", "FT: nothing in the journey is earlier.", "LC: no form and no call", "this call; Paid Search.AdWords", "Task " + second},
		second: {"Not FT: the first touch is the session of", "PostLC: the lead creation is the call of", "this call; Direct; BizibleId " + visitorB + "; position PostLC; record "},
	} {
		out := strings.Join(strings.Fields(b.answered(nil, "explain", task)), " ")
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("explain %s does not have %q:\n%s", task, w, out)
			}
		}
	}
	d.stop()
}
