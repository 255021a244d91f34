package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/sync/engine"
	"callpoint/sync/salesforce"
)

const (
	personObject = "bizible2__Bizible_Person__c"
	personKey    = "bizible2__UniqueId__c"
	// shortField is the length below which a mapped text is likely to be cut.
	shortField = 255
	// clockTolerance is how far this machine's clock may be off the org's.
	clockTolerance = 30 * time.Second
)

// writable checks that an object takes records.
func (k *checker) writable(o salesforce.Object, create bool) bool {
	var lacks []string
	for what, has := range map[string]bool{"read": o.Queryable, "create": o.Createable || !create, "edit": o.Updateable} {
		if !has {
			lacks = append(lacks, what)
		}
	}
	if len(lacks) > 0 {
		k.fail(o.Name, permissionSetCure, "the user may not %s its records", strings.Join(lacks, ", "))
	}
	return len(lacks) == 0
}

// key checks the field that holds callpoint's key.
func (k *checker) key(o salesforce.Object, name, variable string) {
	what := o.Name + " key"
	own := fmt.Sprintf("Object Manager, %s, Fields: create a text field (255) marked External ID and Unique", o.Label)
	if variable != "" {
		own += " and name it in " + variable
	}
	f, ok := o.Field(name)
	switch {
	case !ok:
		k.fail(what, "Grant access to it in a permission set, or: "+own+".", "no field %s that this user may read", name)
	case !f.ExternalID:
		k.fail(what, own+".", "%s is no External ID", name)
	case !f.Createable:
		k.fail(what, permissionSetCure, "%s cannot be written by this user", name)
	case !f.Unique:
		k.warn(what, "Mark it Unique, or grant View All Data: without either Salesforce refuses upserts that meet records the user may not see.", "%s is an External ID, and not unique", name)
	default:
		k.ok(what, "%s is an External ID and unique", name)
	}
}

// touchpoint checks the object that is written: access, key, each mapped field, and what
// the org demands beyond them.
func (k *checker) touchpoint(o salesforce.Object) {
	if k.writable(o, true) {
		k.ok(o.Name, "may be read, created and edited")
	}
	if k.cfg.Retract == "delete" && !o.Deletable {
		k.fail(o.Name+" delete", permissionSetCure, "CALLPOINT_RETRACT=delete, and the user may not delete its records")
	}
	k.key(o, k.cfg.ExternalIDField, "CALLPOINT_EXTERNAL_ID_FIELD")
	fields := k.settings.Fields
	if fields == nil {
		fields = mapping.DefaultFields()
	}
	infos := make([]mapping.FieldInfo, len(o.Fields))
	for i, f := range o.Fields {
		infos[i] = mapping.FieldInfo{Name: f.Name, Type: f.Type, Length: f.Length, Createable: f.Createable, Updateable: f.Updateable, Nillable: f.Nillable}
	}
	fitted, dropped, err := fields.Fit(infos)
	if err != nil {
		k.fail("field_map", "Correct CALLPOINT_FIELDS, or grant the fields in a permission set.", "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
		return
	}
	for _, d := range dropped {
		k.warn("field", "Grant create and edit in a permission set, or leave it so: the field is left out.", "%s", d)
	}
	mapped := map[string]bool{strings.ToLower(k.cfg.ExternalIDField): true}
	for _, name := range fitted.Names() {
		mapped[strings.ToLower(name)] = true
		if f, _ := o.Field(name); f.Type == "string" && f.Length < shortField {
			k.warn("field", "Lengthen it in Object Manager, or leave it so: longer values are cut.", "%s holds only %d characters", name, f.Length)
		}
	}
	for _, f := range o.Fields {
		if f.Required() && !mapped[strings.ToLower(f.Name)] && f.Name != "OwnerId" {
			k.fail("field", "Fill it in CALLPOINT_FIELDS, or make it optional in Object Manager.", "%s is required, and no value is mapped to it", f.Name)
		}
	}
	k.ok("field_map", "%d fields are written", len(fitted.Names()))
}

func (k *checker) person(o salesforce.Object) {
	create := k.cfg.Persons == engine.PersonsCreate
	if k.writable(o, create) {
		k.ok(o.Name, "may be used")
	}
	for _, name := range []string{"bizible2__Lead__c", "bizible2__Contact__c"} {
		if f, ok := o.Field(name); !ok || create && !f.Createable {
			k.fail(o.Name, permissionSetCure, "%s cannot be used by this user", name)
		}
	}
	if create {
		k.key(o, personKey, "")
	}
}

// reason checks the field of Task that takes a call's reason, where one is named.
func (k *checker) reason(task salesforce.Object) {
	const what = "Task reason"
	name := k.cfg.taskReason()
	f, ok := task.Field(name)
	switch {
	case name == "":
	case !ok:
		k.fail(what, "Object Manager, Activity, Fields: create a text field (40), and grant Edit in a permission set; or correct CALLPOINT_REASON_FIELD.",
			"no field %s that this user may read", name)
	case !task.Updateable || !f.Updateable:
		k.fail(what, "Setup, Permission Sets: grant Edit Tasks, and Edit on the field, to the integration user.", "%s may not be edited by this user", name)
	case f.Length < len(mapping.SessionAlreadyUsed):
		k.fail(what, "Object Manager, Activity, Fields: make it a text field of length 40.", "%s holds %d characters, a reason up to %d", name, f.Length, len(mapping.SessionAlreadyUsed))
	default:
		k.ok(what, "%s takes each call's reason", name)
	}
}

// double looks for records that Marketo Measure writes for the same calls: both would
// count.
func (k *checker) double(ctx context.Context) {
	const typeField, adField = "bizible2__Touchpoint_Type__c", "bizible2__Ad_Id__c"
	month := salesforce.DateTime(time.Now().AddDate(0, -1, 0))
	page, err := k.client.Query(ctx, "SELECT Id, Type FROM Task WHERE "+k.settings.BizibleIDField+" != null AND CreatedDate >= "+month+" ORDER BY CreatedDate DESC LIMIT 200", salesforce.QueryOptions{})
	if err != nil {
		k.warn("double_credit", salesforce.Cure(err), "not looked for: %v", err)
		return
	}
	ids, types := []string{}, map[string]bool{}
	for _, r := range page.Records {
		id, _ := r["Id"].(string)
		ids = append(ids, salesforce.Quote(id))
		if kind, _ := r["Type"].(string); kind != "" {
			types[salesforce.Quote(kind)] = true
		}
	}
	if len(ids) == 0 {
		k.ok("double_credit", "there are no calls with a BizibleId yet")
		return
	}
	or := []string{adField + " IN (" + strings.Join(ids, ",") + ")"}
	if len(types) > 0 {
		or = append(or, typeField+" IN ("+strings.Join(sortedNames(types), ",")+")")
	}
	soql := fmt.Sprintf(`SELECT Id FROM %s WHERE (NOT %s LIKE 'callpoint\_%%') AND CreatedDate >= %s AND (%s) LIMIT 200`,
		k.cfg.TouchpointObject, k.cfg.ExternalIDField, month, strings.Join(or, " OR "))
	page, err = k.client.Query(ctx, soql, salesforce.QueryOptions{})
	switch n := len(page.Records); {
	case err != nil:
		k.warn("double_credit", salesforce.Cure(err), "not looked for: %v", err)
	case n > 0:
		k.fail("double_credit", "Switch off the call tracking integration and activity rules for calls in Marketo Measure (Settings, Integrations; Settings, Activities), or do not run callpoint beside it.",
			"another program wrote %s touchpoints for calls within a month: they would get credit twice", atLeast(n, 200))
	default:
		k.ok("double_credit", "nobody else writes touchpoints for these calls")
	}
}

func atLeast(n, limit int) string {
	if n >= limit {
		return fmt.Sprintf("%d or more", n)
	}
	return fmt.Sprint(n)
}

func sortedNames(set map[string]bool) []string {
	m := map[string]any{}
	for name := range set {
		m[name] = nil
	}
	return sortedKeys(m)
}

// budget compares the org's limit with what callpoint may use of it.
func (k *checker) budget() {
	u := k.client.Usage()
	stop := u.Max - int(float64(u.Max)*float64(k.cfg.APIReserve))
	polls := int(24 * time.Hour / k.cfg.PollInterval)
	switch {
	case u.Max == 0:
		k.warn("api_budget", "", "the org does not say how many API calls it has left")
	case u.Used >= stop:
		k.fail("api_budget", "Wait, find the integration that uses them, buy more, or lower CALLPOINT_API_RESERVE.", "the org used %d of %d API calls; callpoint stops at %d", u.Used, u.Max, stop)
	case polls > k.cfg.APIBudget:
		k.fail("api_budget", "Raise CALLPOINT_API_BUDGET or CALLPOINT_POLL_INTERVAL.", "polling every %s takes %d calls a day, CALLPOINT_API_BUDGET allows %d", k.cfg.PollInterval, polls, k.cfg.APIBudget)
	default:
		k.ok("api_budget", "the org used %d of %d API calls; polling takes %d a day, callpoint's own budget is %d", u.Used, u.Max, polls, k.cfg.APIBudget)
	}
}

func (k *checker) clock() {
	ahead, known := k.client.ServerClock()
	switch {
	case !known:
		k.warn("clock", "", "the org does not tell the time")
	case ahead.Abs() > clockTolerance:
		k.fail("clock", "Set this machine's clock, for instance with timedatectl set-ntp true: sessions are matched to calls by the minute.", "this machine's clock is off the org's by %s", ahead.Round(time.Second))
	default:
		k.ok("clock", "agrees with the org's to %s", max(time.Second, ahead.Abs().Round(time.Second)))
	}
}
