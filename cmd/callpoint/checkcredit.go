package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"callpoint/sync/salesforce"
)

const (
	typeField    = "bizible2__Touchpoint_Type__c"
	adField      = "bizible2__Ad_Id__c"
	dateField    = "bizible2__Touchpoint_Date__c"
	leadField    = "bizible2__Lead__c"
	contactField = "bizible2__Contact__c"
	// sampleCalls and sampleRecords are how many of the newest Tasks and records
	// the checks of credit look at.
	sampleCalls   = 200
	sampleRecords = 1000
)

// recentCalls are the ids, types and WhoIds of Tasks.
type recentCalls struct{ ids, types, who map[string]bool }

// recent reads the newest calls with a BizibleId.
func (k *checker) recent(ctx context.Context, since time.Time) (recentCalls, error) {
	c := recentCalls{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	page, err := k.query(ctx, fmt.Sprintf("SELECT Id, Type, WhoId FROM Task WHERE %s != null AND CreatedDate >= %s ORDER BY CreatedDate DESC LIMIT %d",
		k.settings.BizibleIDField, salesforce.DateTime(since), sampleCalls))
	for _, r := range page.Records {
		for field, set := range map[string]map[string]bool{"Id": c.ids, "Type": c.types, "WhoId": c.who} {
			if s, _ := r[field].(string); s != "" {
				set[s] = true
			}
		}
	}
	return c, err
}

// double looks for touchpoints that Marketo Measure wrote for the same calls.
// Its keys begin with TP2_ and name the person. Both records would count.
func (k *checker) double(ctx context.Context) {
	const name = "double_credit"
	month := time.Now().AddDate(0, -1, 0)
	calls, err := k.recent(ctx, month)
	if err != nil {
		k.warn(name, salesforce.Cure(err), "not checked: %v", err)
		return
	}
	if len(calls.ids) == 0 {
		k.ok(name, "there are no calls with a BizibleId yet")
		return
	}
	or := []string{adField + " IN " + inList(calls.ids)}
	if len(calls.types) > 0 {
		or = append(or, typeField+" IN "+inList(calls.types))
	}
	page, err := k.query(ctx, fmt.Sprintf(`SELECT %s, %s, %s, bizible2__Bizible_Person__r.%s, bizible2__Bizible_Person__r.%s FROM %s WHERE %s LIKE 'TP2\_%%' AND CreatedDate >= %s AND (%s) ORDER BY CreatedDate DESC LIMIT %d`,
		personKey, adField, contactField, leadField, contactField, k.cfg.TouchpointObject, personKey, salesforce.DateTime(month), strings.Join(or, " OR "), sampleRecords))
	if err != nil {
		k.warn(name, salesforce.Cure(err), "not checked: %v", err)
		return
	}
	n := 0
	for _, r := range page.Records {
		if calls.share(r) {
			n++
		}
	}
	if n == 0 {
		k.ok(name, "Marketo Measure wrote no touchpoints for these calls")
		return
	}
	k.warn(name, "Switch off call tracking and the activity rules for calls in Marketo Measure (Settings, Integrations, Call Tracking; Settings, Activities), or stop callpoint and run callpoint retract.",
		"Marketo Measure wrote %s touchpoints (keys TP2_…) for the same calls within a month: the calls get credit twice", atLeast(n, sampleRecords))
}

// share reports whether a touchpoint of Marketo Measure is of one of the calls'
// persons, or names one of the calls.
func (c recentCalls) share(r salesforce.Record) bool {
	if ad, _ := r[adField].(string); c.ids[salesforce.ID18(ad)] {
		return true
	}
	person, _ := r["bizible2__Bizible_Person__r"].(map[string]any)
	for _, v := range []any{r[contactField], person[leadField], person[contactField]} {
		if id, _ := v.(string); c.who[id] {
			return true
		}
	}
	key, _ := r[personKey].(string)
	return slices.ContainsFunc(strings.Split(key, "_"), func(part string) bool { return c.who[salesforce.ID18(part)] })
}

func inList(set map[string]bool) string {
	var quoted []string
	for _, s := range sortedKeys(set) {
		quoted = append(quoted, salesforce.Quote(s))
	}
	return "(" + strings.Join(quoted, ",") + ")"
}

func atLeast(n, limit int) string {
	if n >= limit {
		return fmt.Sprintf("%d or more", n)
	}
	return fmt.Sprint(n)
}

// doubled looks for Leads and Contacts that have a person of Marketo Measure
// beside the one that callpoint made.
func (k *checker) doubled(ctx context.Context) {
	const name = "doubled_persons"
	ours, err := k.query(ctx, fmt.Sprintf(`SELECT %s, %s FROM %s WHERE %s LIKE 'callpoint\_%%' ORDER BY CreatedDate DESC LIMIT %d`,
		leadField, contactField, personObject, personKey, sampleRecords))
	if err != nil {
		k.warn(name, salesforce.Cure(err), "not checked: %v", err)
		return
	}
	who := map[string]map[string]bool{leadField: {}, contactField: {}}
	for _, r := range ours.Records {
		for field, set := range who {
			if id, _ := r[field].(string); id != "" {
				set[id] = true
			}
		}
	}
	var or []string
	for _, field := range sortedKeys(who) {
		if len(who[field]) > 0 {
			or = append(or, field+" IN "+inList(who[field]))
		}
	}
	if len(or) == 0 {
		k.ok(name, "callpoint has made no persons yet")
		return
	}
	others, err := k.query(ctx, fmt.Sprintf(`SELECT Id FROM %s WHERE (NOT %s LIKE 'callpoint\_%%') AND (%s) LIMIT %d`,
		personObject, personKey, strings.Join(or, " OR "), sampleRecords))
	switch n := len(others.Records); {
	case err != nil:
		k.warn(name, salesforce.Cure(err), "not checked: %v", err)
	case n > 0:
		k.warn(name, "callpoint reconcile --fix moves the touchpoints to the other person and deletes callpoint's; the daemon does it weekly.",
			"%s Leads and Contacts have a person of Marketo Measure beside the one that callpoint made", atLeast(n, sampleRecords))
	default:
		k.ok(name, "no Lead or Contact has two persons because of callpoint")
	}
}

// attribution counts the touchpoints of callpoint's for which Marketo Measure
// made attribution touchpoints. That it does is not documented.
func (k *checker) attribution(ctx context.Context) {
	const name = "attribution"
	page, err := k.query(ctx, fmt.Sprintf(`SELECT %s, %s, %s FROM %s WHERE %s LIKE 'callpoint\_%%' ORDER BY %s DESC LIMIT %d`,
		k.cfg.ExternalIDField, contactField, dateField, k.cfg.TouchpointObject, k.cfg.ExternalIDField, dateField, sampleRecords))
	if err != nil {
		k.warn(name, salesforce.Cure(err), "not checked: %v", err)
		return
	}
	contacts, points, oldest := map[string]bool{}, map[string]bool{}, ""
	for _, r := range page.Records {
		contact, _ := r[contactField].(string)
		if date, _ := r[dateField].(string); contact != "" && date != "" {
			contacts[contact], points[contact+" "+date] = true, true
			oldest = date
		}
	}
	if len(page.Records) == 0 || len(contacts) == 0 {
		k.ok(name, "callpoint has written no touchpoints of Contacts yet")
		return
	}
	at, err := time.Parse("2006-01-02T15:04:05.000-0700", oldest)
	if err != nil {
		k.ok(name, "not counted: the org's answer has the time %q", oldest)
		return
	}
	page, err = k.query(ctx, fmt.Sprintf("SELECT %s, %s FROM %s WHERE %s >= %s AND %s IN %s LIMIT 2000",
		contactField, dateField, attributionObject, dateField, salesforce.DateTime(at), contactField, inList(contacts)))
	switch {
	case isHidden(err):
		k.ok(name, "not counted: the user may not read %s", attributionObject)
		return
	case err != nil:
		k.warn(name, salesforce.Cure(err), "not checked: %v", err)
		return
	}
	found := map[string]bool{}
	for _, r := range page.Records {
		contact, _ := r[contactField].(string)
		date, _ := r[dateField].(string)
		if points[contact+" "+date] {
			found[contact+" "+date] = true
		}
	}
	k.ok(name, "%d of the newest %d touchpoints of Contacts that callpoint wrote have attribution touchpoints", len(found), len(points))
}
