package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"callpoint/mapping"
	"callpoint/sync/engine"
	"callpoint/sync/monitor"
	"callpoint/sync/salesforce"
)

const (
	personObject = "bizible2__Bizible_Person__c"
	personField  = "bizible2__Bizible_Person__c" // of the touchpoint
	personKey    = "bizible2__UniqueId__c"
	idField      = "bizible2__BizibleId__c"

	attributionObject = monitor.AttributionObject
	// shortField is the length below which values of a field of the org's own are
	// likely to be cut.
	shortField = 40
	// clockTolerance is how far this machine's clock may be off the org's.
	clockTolerance = 30 * time.Second
)

const permissionSetCure = "Setup, Permission Sets: grant it to the integration user; callpoint check --permission-set prints one."

// org checks the org. What one check finds keeps no other from running, except
// for a login or an API that is refused as a whole.
func (k *checker) org(ctx context.Context) {
	k.wait("login")
	id, err := k.client.Login(ctx)
	if err != nil {
		if e, ok := errors.AsType[*salesforce.Error](err); ok {
			err = e.WithoutPause()
		}
		k.fail("login", salesforce.Cure(err), "%v", err)
		return
	}
	k.endLoginPause(ctx)
	k.ok("login", "org %s at %s, user %s", id.OrgID, id.InstanceURL, cmp.Or(id.UserID, "unknown (an access token does not name it)"))
	task, err := k.describe(ctx, "Task")
	if class := salesforce.Classify(err); class == salesforce.StopCalls || class == salesforce.Retry || class == salesforce.Canceled {
		k.fail("api_access", salesforce.Cure(err), "%v", err)
		return
	}
	k.ok("api_access", "the REST API answers")
	k.version(ctx, task)
	if k.cfg.sources.ReadTasks {
		k.task(ctx, task, err)
	}
	k.sources(ctx)
	k.touchpoint(ctx)
	k.person(ctx)
	k.parents(ctx)
	k.converted(ctx)
	k.double(ctx)
	k.doubled(ctx)
	k.attribution(ctx)
	k.budget()
	k.clock()
}

func (k *checker) describe(ctx context.Context, object string) (salesforce.Object, error) {
	k.wait("describe " + object)
	return k.client.Describe(ctx, object)
}

func (k *checker) query(ctx context.Context, soql string) (salesforce.Page, error) {
	k.wait("query " + soql[:min(len(soql), 40)])
	return k.client.Query(ctx, soql, salesforce.QueryOptions{})
}

// isHidden reports whether an error means that the object or field is not there
// for this user.
func isHidden(err error) bool {
	var e *salesforce.Error
	return errors.As(err, &e) && (e.Code == "NOT_FOUND" || e.Code == "INVALID_TYPE" || e.Code == "INVALID_FIELD")
}

// version checks the package: its version where the user may read it, else its
// fields.
func (k *checker) version(ctx context.Context, task salesforce.Object) {
	const name, upgrade = "package", "Upgrade the Marketo Measure package to 6.7 or later (Setup, Installed Packages)."
	page, err := k.query(ctx, "SELECT MajorVersion, MinorVersion FROM Publisher WHERE NamespacePrefix = 'bizible2'")
	if err == nil && len(page.Records) > 0 {
		major, minor := wholeNumber(page.Records[0]["MajorVersion"]), wholeNumber(page.Records[0]["MinorVersion"])
		if major > 0 {
			if major < 6 || major == 6 && minor < 7 {
				k.fail(name, upgrade, "Marketo Measure package %d.%d is installed", major, minor)
			} else {
				k.ok(name, "Marketo Measure package %d.%d", major, minor)
			}
			return
		}
	}
	switch _, has := task.Field(idField); {
	case has:
		k.ok(name, "6.7 or later: Task has %s; the version itself is not readable by this user", idField)
	case strings.EqualFold(k.settings.BizibleIDField, idField):
		k.fail(name, upgrade, "Task has no %s that this user may read: the package is older than 6.7, or the field is hidden", idField)
	default:
		k.ok(name, "the version is not readable by this user; %s holds the BizibleId", k.settings.BizibleIDField)
	}
}

// wholeNumber reads a whole number of a query's answer; anything else is 0.
func wholeNumber(v any) int {
	n, _ := strconv.ParseFloat(fmt.Sprint(v), 64)
	return int(n)
}

// access checks an object that callpoint writes.
func (k *checker) access(o salesforce.Object, create, remove bool) {
	var lacks []string
	for _, right := range []struct {
		name string
		has  bool
	}{{"read", o.Queryable}, {"create", o.Createable || !create}, {"edit", o.Updateable}, {"delete", o.Deletable || !remove}} {
		if !right.has {
			lacks = append(lacks, right.name)
		}
	}
	if len(lacks) > 0 {
		k.fail(o.Name, permissionSetCure, "the user may not %s its records", strings.Join(lacks, ", "))
		return
	}
	k.ok(o.Name, "the user has every right that is needed")
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
		k.fail(what, own+".", "%s is not an External ID", name)
	case !f.Createable:
		k.fail(what, permissionSetCure, "%s cannot be written by this user", name)
	case !f.Unique:
		k.warn(what, "Mark it Unique, or grant View All Data: without either, Salesforce refuses upserts that find records the user may not see.", "%s is an External ID, but not unique", name)
	default:
		k.ok(what, "%s is an External ID and unique", name)
	}
}

// touchpoint checks the object that is written: access, key, the person, each
// mapped field, and required fields without a value.
func (k *checker) touchpoint(ctx context.Context) {
	o, err := k.describe(ctx, k.cfg.TouchpointObject)
	if err != nil {
		k.fail(k.cfg.TouchpointObject, salesforce.Cure(err), "%v", err)
		return
	}
	k.access(o, true, true)
	k.key(o, k.cfg.ExternalIDField, "CALLPOINT_EXTERNAL_ID_FIELD")
	k.master(o)
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
		field, _, _ := strings.Cut(d, ":")
		if _, there := o.Field(field); !there && rareFields[field] {
			k.ok("field", "%s is left out: not every version of the package has it", field)
			continue
		}
		k.warn("field", "Grant read and edit on it in a permission set; until then the field is left out.", "%s", d)
	}
	mapped := map[string]bool{strings.ToLower(k.cfg.ExternalIDField): true, strings.ToLower(personField): true}
	for _, name := range fitted.Names() {
		mapped[strings.ToLower(name)] = true
		if f, _ := o.Field(name); f.Type == "string" && f.Length < shortField && !packaged(name) {
			k.warn("field", "Increase its length in Object Manager, or leave it: longer values are truncated.", "%s holds %d characters", name, f.Length)
		}
	}
	for _, f := range o.Fields {
		if f.Required() && !mapped[strings.ToLower(f.Name)] && f.Name != "OwnerId" {
			k.fail("field", "Fill it in CALLPOINT_FIELDS, or make it optional in Object Manager.", "%s is required, and no value is mapped to it", f.Name)
		}
	}
	k.ok("field_map", "%d fields are written", len(fitted.Names()))
}

// packaged reports whether a field belongs to a managed package, so that the
// org's administrator cannot change it.
func packaged(name string) bool {
	return strings.Count(strings.TrimSuffix(name, "__c"), "__") > 0
}

// master checks the field by which a touchpoint belongs to its person.
func (k *checker) master(o salesforce.Object) {
	const name = "person_field"
	f, ok := o.Field(personField)
	switch {
	case !ok && !packaged(o.Name):
		k.ok(name, "%s has no field %s: its records belong to no person", o.Name, personField)
	case !ok:
		k.fail(name, "A master-detail field has no field-level security: grant Read on Bizible Persons, its master.", "%s has no field %s that this user may read", o.Name, personField)
	case !f.Createable:
		k.fail(name, "Grant Create on Bizible Touchpoints and Read on Bizible Persons, the master.", "%s cannot be set by this user", personField)
	case !f.Updateable && !f.Nillable:
		k.ok(name, "%s is a master-detail: set when a touchpoint is created, never changed", personField)
	default:
		k.ok(name, "%s may be set", personField)
	}
}

// person checks the Bizible Persons, from which touchpoints hang.
func (k *checker) person(ctx context.Context) {
	o, err := k.describe(ctx, personObject)
	if err != nil {
		k.fail(personObject, salesforce.Cure(err), "%v", err)
		return
	}
	create := k.cfg.Persons == engine.PersonsCreate
	k.access(o, create, create)
	for _, name := range []string{"bizible2__Lead__c", "bizible2__Contact__c"} {
		if f, ok := o.Field(name); !ok || create && !f.Createable {
			k.fail(o.Name, permissionSetCure, "the user may not read and write its field %s", name)
		}
	}
	if create {
		k.key(o, personKey, "")
	}
}

// A parent is an object through which a call finds its person.
type parent struct {
	object, what string
	fields       map[string]string // and what is missing without them
}

var parents = []parent{
	{"Lead", "a converted Lead is not followed to its Contact", map[string]string{
		"IsConverted":        "a converted Lead is not noticed",
		"ConvertedContactId": "a converted Lead does not count as its Contact",
	}},
	{"Contact", "calls of Contacts may be incomplete", map[string]string{
		"AccountId": "the touchpoint's Account is left empty",
	}},
	{"Account", "calls of person accounts without a WhoId have no touchpoint", nil},
	{"Opportunity", "calls that name only an Opportunity have no touchpoint", nil},
	{"OpportunityContactRole", "calls that name only an Opportunity have no touchpoint", map[string]string{
		"IsPrimary": "the primary contact of an Opportunity is not known",
	}},
	{"Case", "calls that name only a Case have no touchpoint", map[string]string{
		"ContactId": "calls that name only a Case have no touchpoint",
	}},
}

// parents checks the objects that lead from a call to a person. Calls that need
// none of a missing one are written all the same.
func (k *checker) parents(ctx context.Context) {
	for _, p := range parents {
		o, err := k.describe(ctx, p.object)
		switch {
		case err != nil && !isHidden(err):
			k.warn(p.object, salesforce.Cure(err), "%v", err)
			continue
		case err != nil || !o.Queryable:
			k.warn(p.object, "Grant Read on "+cmp.Or(follows[p.object], p.object)+" in a permission set; callpoint check --permission-set prints one.",
				"the user may not read its records: %s", p.what)
			continue
		}
		missing := false
		for _, name := range sortedKeys(p.fields) {
			if _, ok := o.Field(name); !ok {
				missing = true
				k.warn(p.object, "Grant Read on the field in a permission set.", "%s is hidden from this user: %s", name, p.fields[name])
			}
		}
		if !missing {
			k.ok(p.object, "may be read")
		}
	}
}

// follows names the objects on which access to another depends: it cannot be
// granted by itself.
var follows = map[string]string{"OpportunityContactRole": "Opportunity and Contact"}

// converted checks the permission to refer to converted Leads.
func (k *checker) converted(ctx context.Context) {
	const name = "converted_leads"
	page, err := k.query(ctx, "SELECT PermissionsAllowViewEditConvertedLeads FROM UserPermissionAccess")
	switch {
	case isHidden(err) || err == nil && len(page.Records) == 0:
		k.ok(name, "not checked: the org does not show this user's permissions")
	case err != nil:
		k.warn(name, salesforce.Cure(err), "%v", err)
	case page.Records[0]["PermissionsAllowViewEditConvertedLeads"] != true:
		k.warn(name, `Grant the system permission "View and Edit Converted Leads" in a permission set; an integration licence cannot hold it, a full Salesforce licence can.`,
			"the user may not refer to converted Leads: Salesforce refuses the person of one whose Contact is not known")
	default:
		k.ok(name, "the user may refer to converted Leads")
	}
}

// budget compares the org's limit with what callpoint may use of it.
func (k *checker) budget() {
	u := k.client.Usage()
	stop := u.Max - int(float64(u.Max)*float64(k.cfg.APIReserve))
	polls := int(24 * time.Hour / k.cfg.PollInterval)
	switch {
	case polls > k.cfg.APIBudget:
		k.fail("api_budget", "Raise CALLPOINT_API_BUDGET or CALLPOINT_POLL_INTERVAL.", "polling every %s takes %d API calls a day, CALLPOINT_API_BUDGET allows %d", k.cfg.PollInterval, polls, k.cfg.APIBudget)
	case u.Max == 0:
		k.ok("api_budget", "polling takes %d API calls a day; the org does not report how many it has left", polls)
	case u.Used >= stop:
		k.fail("api_budget", "Wait, find the integration that uses them, buy more, or lower CALLPOINT_API_RESERVE.", "the org used %d of %d API calls; callpoint stops at %d", u.Used, u.Max, stop)
	default:
		k.ok("api_budget", "the org used %d of %d API calls; polling takes %d a day, callpoint's own budget is %d", u.Used, u.Max, polls, k.cfg.APIBudget)
	}
}

func (k *checker) clock() {
	ahead, known := k.client.ServerClock()
	switch {
	case !known:
		k.ok("clock", "not checked: the org's answers carry no time")
	case ahead.Abs() > clockTolerance:
		k.fail("clock", "Set this machine's clock, for instance with timedatectl set-ntp true: sessions are matched to calls by the minute.", "this machine's clock is off the org's by %s", ahead.Round(time.Second))
	default:
		k.ok("clock", "agrees with the org's to %s", max(time.Second, ahead.Abs().Round(time.Second)))
	}
}
