package main

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// The demo's visitors. Their times are minutes before the demo runs.
type demoEvent map[string]any

const (
	chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
	safari = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15"
	iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"
)

func demoEvents(now time.Time) []demoEvent {
	event := func(kind, who string, minutesAgo int, url, referrer, agent string) demoEvent {
		e := demoEvent{"type": kind, "bizible_id": visitor(who), "at": now.Add(-time.Duration(minutesAgo) * time.Minute).Format(time.RFC3339),
			"url": url, "user_agent": agent}
		if referrer != "" {
			e["referrer"] = referrer
		}
		return e
	}
	const site = "https://www.harborroofing.example"
	return []demoEvent{
		// An earlier visit of Ada's: her phone call will be her second session.
		event("view", "ada", 3*24*60, site+"/guides/hail-damage", "https://www.google.com/", safari),
		event("view", "ada", 184, site+"/quote?gclid=EAIaIQobChMI&utm_source=google&utm_medium=cpc&utm_campaign=hail-season&utm_term=roof+repair+near+me&_bk=roof%20repair%20near%20me&_bm=p&_bt=195329631301&_bg=16750166675", "https://www.google.com/", safari),
		event("view", "ada", 180, site+"/quote/materials", site+"/quote", safari),
		// Ben clicks an ad, reads nothing more, and phones 48 minutes later.
		event("view", "ben", 300, site+"/?utm_source=linkedin&utm_medium=cpc&utm_campaign=property-managers", "https://www.linkedin.com/", chrome),
		// Cleo comes by search and, ten minutes later, by an e-mail: the call is the e-mail's.
		event("view", "cleo", 150, site+"/", "https://www.bing.com/", chrome),
		event("view", "cleo", 140, site+"/spring-offer?utm_source=newsletter&utm_medium=email&utm_campaign=spring-offer", "", chrome),
		// Dan types the address, and sends a form before he phones.
		event("view", "dan", 95, site+"/", "", iphone),
		event("form", "dan", 92, site+"/contact", "", iphone),
		// Eve comes from a review site, and phones twice.
		event("view", "eve", 70, site+"/reviews", "https://www.trustedroofers.example/best-of/", iphone),
		event("view", "eve", 66, site+"/contact", site+"/reviews", iphone),
		// Gil reads through Facebook ads.
		event("view", "gil", 50, site+"/financing?utm_source=facebook&utm_medium=paid_social&utm_campaign=financing&fbclid=IwAR0", "https://l.facebook.com/", iphone),
	}
}

func visitor(who string) string {
	return fmt.Sprintf("%032x", []byte("harbor-"+who))[:32]
}

func countVisitors(events []demoEvent) int {
	seen := map[any]bool{}
	for _, e := range events {
		seen[e["bizible_id"]] = true
	}
	return len(seen)
}

// demoCall is a Task as a call-tracking vendor creates it.
type demoCall struct {
	who, kind, bizibleID string
	minutesAgo           int
	person               string // Lead, Contact, or none; calls with one BizibleId are of one person
}

func demoCalls(time.Time) []demoCall {
	return []demoCall{
		{"Ada", "Call", visitor("ada"), 172, "Contact"},
		{"Ben", "Call", visitor("ben"), 252, "Lead"},
		{"Cleo", "Call", visitor("cleo"), 131, "Lead"},
		{"Dan", "", visitor("dan"), 88, "Lead"},
		{"Eve", "Call", visitor("eve"), 60, "Lead"},
		{"Eve again", "Call", visitor("eve"), 52, "Lead"},
		{"Fay", "Call", "", 45, "Lead"},
		{"Gil", "Inbound Call", visitor("gil"), 31, "Contact"},
		{"Hal", "Call", visitor("hal"), 20, ""},
		{"Ivy", "Call", visitor("ivy"), 2, "Lead"},
	}
}

type insertedCall struct {
	id, who string
}

// insertCalls creates the Tasks, with the Leads and Contacts that they belong to.
func (d *demonstration) insertCalls(calls []demoCall) ([]insertedCall, error) {
	var all []insertedCall
	persons := map[string]string{} // by BizibleId
	for _, c := range calls {
		task := map[string]any{
			"Subject": "Call from " + c.who, "TaskSubtype": "Call", "CallType": "Inbound", "Status": "Completed",
			"bizible2__Bizible_Touchpoint_Date__c": d.now.Add(-time.Duration(c.minutesAgo) * time.Minute).Format("2006-01-02T15:04:05Z"),
			"CallDurationInSeconds":                180,
		}
		if c.kind != "" {
			task["Type"] = c.kind
		}
		if c.bizibleID != "" {
			task["bizible2__BizibleId__c"] = c.bizibleID
		}
		if id := persons[c.bizibleID]; id != "" {
			task["WhoId"] = id
		} else if c.person != "" {
			who := map[string]any{"LastName": c.who}
			if c.person == "Lead" {
				who["Company"] = "(unknown)"
			}
			id, err := d.org.Insert(c.person, who)
			if err != nil {
				return nil, err
			}
			task["WhoId"] = id
			if c.bizibleID != "" {
				persons[c.bizibleID] = id
			}
		}
		id, err := d.org.Insert("Task", task)
		if err != nil {
			return nil, err
		}
		all = append(all, insertedCall{id, c.who})
	}
	return all, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
