package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"callpoint/mapping"
)

// The named cases of the domain, through the real program: events in over HTTP, Tasks
// in the org, records compared there.

const visitorA = "dde5687119cc4928fbf94393ed9f5c35"

func TestCaseAdClick1217(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:17:00"), "https://www.example.com/?gclid=x&utm_source=google&utm_medium=cpc", "https://www.google.com/"))
	id := b.task(yesterday("13:05:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	d.sync()
	v := d.call(id)
	if v.Reason != mapping.OutsideWindow || v.Distance != 18*60 {
		t.Errorf("reason %s by %d s, want outside_window by 1080 s (18 min)", v.Reason, v.Distance)
	}
	b.expect(id, map[string]any{"Touchpoint_Type": "Call", "Touchpoint_Source": "CRM Activity", "Medium": "Call",
		"Marketing_Channel": "Phone Call", "Ad_Campaign_Name": "Phone Call", "Landing_Page": nil})
	d.stop()
}

func TestCaseInWindow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	const visitorB = "0000687119cc4928fbf94393ed9f5c35"
	for _, v := range []string{visitorA, visitorB} {
		d.send(view(v, yesterday("12:00:00"), "https://www.example.com/", "https://www.google.com/"),
			view(v, yesterday("12:05:00"), "https://www.example.com/prices", "https://www.example.com/"))
	}
	in := b.task(yesterday("12:34:59"), map[string]any{"bizible2__BizibleId__c": visitorA})
	out := b.task(yesterday("12:35:00"), map[string]any{"bizible2__BizibleId__c": visitorB})
	d.sync()
	if got := d.call(in).Reason; got != mapping.Matched {
		t.Errorf("12:34:59: %s, want matched", got)
	}
	if got := d.call(out).Reason; got != mapping.OutsideWindow {
		t.Errorf("12:35:00: %s, want outside_window", got)
	}
	b.expect(in, map[string]any{"Marketing_Channel": "Organic Search", "Landing_Page": "www.example.com/"})
	b.expect(out, map[string]any{"Touchpoint_Source": "CRM Activity"})
	d.stop()
}

func TestCaseTwoSessions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", "https://www.google.com/"),
		view(visitorA, yesterday("12:10:00"), "https://www.example.com/", "https://www.linkedin.com/"))
	id := b.task(yesterday("12:20:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	d.sync()
	v := d.call(id)
	if v.Session == nil || v.Session.Referrer != "https://www.linkedin.com/" {
		t.Fatalf("session %+v, want the one from linkedin", v.Session)
	}
	b.expect(id, map[string]any{"Marketing_Channel_Path": "Social.LinkedIn", "Touchpoint_Position": "LC"})
	d.stop()
}

func TestCaseBlankType(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", "https://www.google.com/"))
	id := b.task(yesterday("12:20:00"), map[string]any{"bizible2__BizibleId__c": visitorA, "Type": nil})
	d.sync()
	b.expect(id, map[string]any{"Touchpoint_Type": "Web Visit", "Medium": "Search"})
	before := b.touchpoint(id)["Id"]
	b.update(id, map[string]any{"Type": "Call"})
	d.sync()
	b.expect(id, map[string]any{"Touchpoint_Type": "Call", "Medium": "Call"})
	if after := b.touchpoint(id)["Id"]; after != before {
		t.Errorf("record %v, want the same record %v", after, before)
	}
	d.stop()
}

func TestCaseNoID(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/", "https://www.google.com/"))
	id := b.task(yesterday("12:20:00"), nil)
	d.sync()
	if got := d.call(id).Reason; got != mapping.NoBizibleID {
		t.Errorf("reason %s, want no_bizible_id", got)
	}
	if n := len(b.org.Records(touchpoints)); n != 0 {
		t.Errorf("%d touchpoints, want none", n)
	}
	b.update(id, map[string]any{"bizible2__BizibleId__c": "  " + visitorA + " "})
	d.sync()
	if got := d.call(id).Reason; got != mapping.Matched {
		t.Errorf("reason %s, want matched", got)
	}
	b.expect(id, map[string]any{"Marketing_Channel": "Organic Search"})
	d.stop()
}

func TestCaseLateSession(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	// Someone else's event: collection had begun before the call.
	d.send(view("another", yesterday("08:00:00"), "https://www.example.com/", ""))
	id := b.task(yesterday("12:20:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	d.sync()
	if got := d.call(id).Reason; got != mapping.UnknownVisitor {
		t.Errorf("reason %s, want unknown_visitor", got)
	}
	b.expect(id, map[string]any{"Touchpoint_Source": "CRM Activity", "Touchpoint_Position": "FT, LC"})
	before := b.touchpoint(id)["Id"]

	d.send(view(visitorA, yesterday("12:10:00"), "https://www.example.com/?utm_source=bing&utm_medium=cpc&msclkid=1", "https://www.bing.com/"))
	d.sync()
	b.expect(id, map[string]any{"Touchpoint_Source": "Bing Ads", "Marketing_Channel_Path": "Paid Search.Bing", "Touchpoint_Type": "Call"})
	if after := b.touchpoint(id)["Id"]; after != before {
		t.Errorf("record %v, want the same record %v", after, before)
	}
	d.stop()
}

func TestCaseScreenshot(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	agent := "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_10_5) AppleWebKit/603.2.5 (KHTML, like Gecko) Version/10.1.1 Safari/603.2.5"
	first := view(visitorA, yesterday("09:00:00"), "https://www.example.com/", "")
	ad := view(visitorA, yesterday("12:00:00"),
		"http://info.example.com/demo?_bt=195329631301&_bk=bizible%20attribution&_bm=p&_bg=16750166675&gclid=EAIa", "https://www.google.com/")
	ad["user_agent"] = agent
	ad["geo"] = map[string]any{"city": "Seattle", "region": "Washington", "country": "United States"}
	d.send(first, ad)
	id := b.task(yesterday("12:20:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	d.sync()
	b.expect(id, map[string]any{
		"Touchpoint_Type": "Call", "Marketing_Channel": "Paid Search", "Marketing_Channel_Path": "Paid Search.AdWords",
		"Landing_Page": "info.example.com/demo", "Ad_Id": "195329631301", "Ad_Group_Id": "16750166675",
		"Keyword_Text": "bizible attribution", "Keyword_MatchType": "Phrase", "Search_Phrase": "(not provided)",
		"Browser": "Safari (603.2)", "Platform": "Mac (10_10)", "Touchpoint_Position": "LC",
		"Count_First_Touch": 0, "Count_Lead_Creation_Touch": 1, "Count_U_Shaped": 0.5,
		"Geo_City": "Seattle", "Geo_Region": "Washington", "Geo_Country": "United States",
		"Referrer_Page": "www.google.com/", "Touchpoint_Source": "Google AdWords", "Medium": "Call",
	})
	d.stop()
}

// The visitor's page says what the call's page says.
func TestVisitorShowsSessionsAndCalls(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.daemon()
	d.send(view(visitorA, yesterday("12:00:00"), "https://www.example.com/?utm_source=google&utm_medium=cpc&gclid=1", "https://www.google.com/"))
	agreed := view(visitorA, yesterday("12:01:00"), "https://www.example.com/b", "")
	agreed["consent"] = true
	d.send(agreed)
	id := b.task(yesterday("12:20:00"), map[string]any{"bizible2__BizibleId__c": visitorA})
	d.sync()
	status, answer := d.request(http.MethodGet, "/v1/visitors/"+visitorA, nil)
	var v struct {
		Events   int
		Agreed   int `json:"events_with_consent"`
		Sessions []mapping.Session
		Calls    []struct {
			TaskID string `json:"task_id"`
		}
	}
	if err := json.Unmarshal(answer, &v); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	if v.Events != 2 || v.Agreed != 1 || len(v.Sessions) != 1 || v.Sessions[0].TaskID != id || len(v.Calls) != 1 || v.Calls[0].TaskID != id {
		t.Errorf("visitor %s", answer)
	}
	if !v.Sessions[0].StartedAt.Equal(yesterday("12:00:00")) {
		t.Errorf("session starts %s", v.Sessions[0].StartedAt)
	}
	if status, _ := d.request(http.MethodGet, "/v1/visitors/nobody", nil); status != http.StatusNotFound {
		t.Errorf("unknown visitor: %d, want 404", status)
	}
	d.stop()
}

func TestCaseJourney(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CALLPOINT_TOUCHPOINTS=journey", "CALLPOINT_START=1440h")
	d := b.daemon()
	day := func(back int, clock string) time.Time { return yesterday(clock).AddDate(0, 0, -back) }
	form := view(visitorA, day(2, "15:05:00"), "https://www.example.com/contact", "")
	form["type"] = "form"
	d.send(
		view(visitorA, day(14, "10:00:00"), "https://www.example.com/?gclid=x&utm_source=google&utm_medium=cpc", "https://www.google.com/"),
		view(visitorA, day(7, "11:00:00"), "https://www.example.com/", ""),
		view(visitorA, day(2, "15:00:00"), "https://www.example.com/", ""), form)
	id := b.task(day(7, "11:10:00"), map[string]any{"bizible2__BizibleId__c": visitorA, "WhoId": b.lead()})
	d.sync()
	want := []map[string]any{
		{"Touchpoint_Position": "FT", "Touchpoint_Type": "Web Visit", "Touchpoint_Source": "Google AdWords", "Marketing_Channel": "Paid Search"},
		{"Touchpoint_Position": "LC", "Touchpoint_Type": "Call", "Touchpoint_Source": "Web Direct", "Marketing_Channel": "Direct"},
		{"Touchpoint_Position": "PostLC", "Touchpoint_Type": "Web Form", "Touchpoint_Source": "Web Direct", "Marketing_Channel": "Direct"},
	}
	b.expectJourney(want)
	b.expect(id, want[1])

	// A session before the first arrives late: it is the first touch now.
	d.send(view(visitorA, day(20, "10:00:00"), "https://www.example.com/", "https://www.bing.com/"))
	d.sync()
	first := map[string]any{"Touchpoint_Position": "FT", "Touchpoint_Type": "Web Visit", "Touchpoint_Source": "Organic - Bing", "Marketing_Channel": "Organic Search"}
	b.expectJourney([]map[string]any{first, want[1], want[2]})
	d.stop()
}

// A Lead visits on a phone and calls, and ten days later calls again with a new cookie. Late
// data about either id, and a correction of the second call's Lead, move the positions.
func TestCaseTwoCookies(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CALLPOINT_START=1440h")
	d := b.daemon()
	day := func(back int, clock string) time.Time { return yesterday(clock).AddDate(0, 0, -back) }
	lead := b.lead()
	d.send(
		view(visitorA, day(14, "10:00:00"), "https://www.example.com/?gclid=x&utm_source=google&utm_medium=cpc", "https://www.google.com/"),
		view(visitorB, day(4, "11:00:00"), "https://www.example.com/", ""))
	first := b.task(day(14, "10:05:00"), map[string]any{"bizible2__BizibleId__c": visitorA, "WhoId": lead})
	second := b.task(day(4, "11:05:00"), map[string]any{"bizible2__BizibleId__c": visitorB, "WhoId": lead})
	position := func(text string, ft, lc, u float64) map[string]any {
		return map[string]any{"Touchpoint_Position": text, "Count_First_Touch": ft, "Count_Lead_Creation_Touch": lc, "Count_U_Shaped": u}
	}
	d.sync()
	b.expect(first, position("FT, LC", 1, 1, 1))
	b.expect(second, position("PostLC", 0, 0, 0))

	// The second cookie visited before the first one did.
	d.send(view(visitorB, day(15, "09:00:00"), "https://www.example.com/", ""))
	d.sync()
	b.expect(first, position("LC", 0, 1, 0.5))
	b.expect(second, position("PostLC", 0, 0, 0))

	// The second call was somebody else's: both have a journey of their own.
	if err := b.org.Update("Task", second, map[string]any{"WhoId": b.lead()}); err != nil {
		t.Fatal(err)
	}
	d.sync()
	b.expect(first, position("FT, LC", 1, 1, 1))
	b.expect(second, position("LC", 0, 1, 0.5))
	d.stop()
}

// lead creates a Lead.
func (b *bench) lead() string {
	b.t.Helper()
	return b.insert("Lead", map[string]any{"LastName": "Caller", "Company": "Example"})
}

// expectJourney compares all touchpoints, by date.
func (b *bench) expectJourney(want []map[string]any) {
	b.t.Helper()
	stand := b.org.Records(touchpoints)
	slices.SortFunc(stand, func(x, y map[string]any) int {
		return strings.Compare(x["bizible2__Touchpoint_Date__c"].(string), y["bizible2__Touchpoint_Date__c"].(string))
	})
	if len(stand) != len(want) {
		b.t.Fatalf("%d touchpoints, want %d", len(stand), len(want))
	}
	for i, w := range want {
		for name, v := range w {
			if got := stand[i]["bizible2__"+name+"__c"]; got != v {
				b.t.Errorf("touchpoint %d: %s = %v, want %v", i+1, name, got, v)
			}
		}
	}
}
