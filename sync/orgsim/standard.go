package orgsim

import (
	"strings"
	"sync"
	"time"
)

// standardSchema is what a Sales Cloud org with the Marketo Measure package
// has, as far as a call sync can meet it.
func standardSchema(mu *sync.Mutex) []*Object {
	return []*Object{
		accountObject(mu), contactObject(mu), leadObject(mu), opportunityObject(mu), taskObject(mu),
		userObject(mu), groupObject(mu), organizationObject(mu),
		personObject(mu), touchpointObject(mu), attributionObject(mu),
	}
}

func str(name string, length int) Field { return Field{Name: name, Type: "string", Length: length} }
func lookup(name string, to ...string) Field {
	return Field{Name: name, Type: "reference", ReferenceTo: to}
}

// system adds the fields that every record has.
func system(obj *Object) *Object {
	fixed := func(name, typ string, to ...string) {
		f := Field{Name: name, Type: typ, ReadOnly: true, NotNillable: true, ReferenceTo: to}
		obj.add(f)
	}
	fixed("Id", "id")
	fixed("IsDeleted", "boolean")
	fixed("CreatedDate", "datetime")
	fixed("CreatedById", "reference", "User")
	fixed("LastModifiedDate", "datetime")
	fixed("LastModifiedById", "reference", "User")
	fixed("SystemModstamp", "datetime")
	return obj
}

func owned(obj *Object) *Object {
	f := lookup("OwnerId", "Group", "User")
	f.NotNillable = true
	obj.add(f)
	return system(obj)
}

// person is the compound name and the ways to reach somebody.
func person(required ...string) []Field {
	fields := []Field{
		str("FirstName", 40), str("LastName", 80),
		{Name: "Name", Type: "string", Length: 121, ReadOnly: true, NotNillable: true, calc: fullName},
		str("Title", 128), {Name: "Email", Type: "email"}, {Name: "Phone", Type: "phone"}, {Name: "MobilePhone", Type: "phone"},
	}
	for i := range fields {
		for _, name := range required {
			fields[i].Required = fields[i].Required || fields[i].Name == name
		}
	}
	return fields
}

func fullName(_ *Org, record map[string]any) any {
	first, _ := record["FirstName"].(string)
	last, _ := record["LastName"].(string)
	return strings.TrimSpace(first + " " + last)
}

func accountObject(mu *sync.Mutex) *Object {
	obj := newObject(mu, "Account", "001", Field{Name: "Name", Type: "string", Length: 255, Required: true},
		Field{Name: "Type", Type: "picklist"}, Field{Name: "Phone", Type: "phone"}, Field{Name: "Website", Type: "url"},
		Field{Name: "MasterRecordId", Type: "reference", ReferenceTo: []string{"Account"}, ReadOnly: true})
	obj.add(Field{Name: "Description", Type: "textarea", Length: 32000})
	return owned(obj)
}

func contactObject(mu *sync.Mutex) *Object {
	obj := newObject(mu, "Contact", "003", person("LastName")...)
	obj.add(lookup("AccountId", "Account"))
	obj.add(Field{Name: "MasterRecordId", Type: "reference", ReferenceTo: []string{"Contact"}, ReadOnly: true})
	return owned(obj)
}

func leadObject(mu *sync.Mutex) *Object {
	obj := newObject(mu, "Lead", "00Q", person("LastName")...)
	obj.add(Field{Name: "Company", Type: "string", Length: 255, Required: true})
	obj.add(Field{Name: "Status", Type: "picklist", NotNillable: true, Default: "Open - Not Contacted",
		Values: []string{"Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted"}})
	obj.add(Field{Name: "LeadSource", Type: "picklist"})
	obj.add(Field{Name: "IsConverted", Type: "boolean", ReadOnly: true, NotNillable: true})
	obj.add(Field{Name: "ConvertedDate", Type: "date", ReadOnly: true})
	for _, to := range []string{"Account", "Contact", "Opportunity"} {
		obj.add(Field{Name: "Converted" + to + "Id", Type: "reference", ReferenceTo: []string{to}, ReadOnly: true})
	}
	obj.add(Field{Name: "MasterRecordId", Type: "reference", ReferenceTo: []string{"Lead"}, ReadOnly: true})
	return owned(obj)
}

func opportunityObject(mu *sync.Mutex) *Object {
	return owned(newObject(mu, "Opportunity", "006",
		Field{Name: "Name", Type: "string", Length: 120, Required: true},
		Field{Name: "StageName", Type: "picklist", Required: true},
		Field{Name: "CloseDate", Type: "date", Required: true},
		Field{Name: "Amount", Type: "currency"}, lookup("AccountId", "Account"),
		Field{Name: "IsWon", Type: "boolean", ReadOnly: true, calc: func(_ *Org, r map[string]any) any { return r["StageName"] == "Closed Won" }},
		Field{Name: "IsClosed", Type: "boolean", ReadOnly: true, calc: func(_ *Org, r map[string]any) any {
			s, _ := r["StageName"].(string)
			return strings.HasPrefix(s, "Closed")
		}}))
}

func taskObject(mu *sync.Mutex) *Object {
	obj := newObject(mu, "Task", "00T",
		Field{Name: "Subject", Type: "combobox"},
		Field{Name: "Type", Type: "picklist", Length: 40, Values: []string{"Call", "Email", "Meeting", "Other"}},
		Field{Name: "TaskSubtype", Type: "picklist", Length: 40, NoUpdate: true, Restricted: true, Default: "Task",
			Values: []string{"Task", "Email", "ListEmail", "Cadence", "Call", "LinkedIn"}},
		Field{Name: "Status", Type: "picklist", NotNillable: true, Default: "Not Started",
			Values: []string{"Not Started", "In Progress", "Completed", "Waiting on someone else", "Deferred"}},
		Field{Name: "Priority", Type: "picklist", NotNillable: true, Default: "Normal", Values: []string{"High", "Normal", "Low"}},
		Field{Name: "ActivityDate", Type: "date"},
		Field{Name: "CompletedDateTime", Type: "datetime", ReadOnly: true},
		lookup("WhoId", "Contact", "Lead"), lookup("WhatId", "Account", "Opportunity"),
		Field{Name: "AccountId", Type: "reference", ReferenceTo: []string{"Account"}, ReadOnly: true, calc: taskAccount},
		Field{Name: "CallType", Type: "picklist", Length: 40, Values: []string{"Internal", "Inbound", "Outbound"}},
		Field{Name: "CallDurationInSeconds", Type: "int"},
		str("CallObject", 255), str("CallDisposition", 255),
		Field{Name: "Description", Type: "textarea", Length: 32000},
		Field{Name: "IsClosed", Type: "boolean", ReadOnly: true, NotNillable: true,
			calc: func(_ *Org, r map[string]any) any { return closed(r) }},
		Field{Name: "IsArchived", Type: "boolean", ReadOnly: true, NotNillable: true, calc: taskArchived},
		str("bizible2__BizibleId__c", 255),
		Field{Name: "bizible2__Bizible_Touchpoint_Date__c", Type: "datetime"})
	obj.beforeSave = func(o *Org, old, r map[string]any) {
		if !closed(r) {
			delete(r, "CompletedDateTime")
		} else if !closed(old) && r["CompletedDateTime"] == nil {
			r["CompletedDateTime"] = o.now()
		}
	}
	return owned(obj)
}

func closed(task map[string]any) bool { return task["Status"] == "Completed" }

// archiveAge is how old a closed activity gets before "query" no longer shows it.
const archiveAge = 365 * 24 * time.Hour

func taskArchived(o *Org, r map[string]any) any {
	limit := o.now().Add(-archiveAge)
	if day, ok := r["ActivityDate"].(string); ok {
		return closed(r) && day <= limit.Format(time.DateOnly)
	}
	created, _ := r["CreatedDate"].(time.Time)
	return closed(r) && !created.After(limit)
}

func taskAccount(o *Org, r map[string]any) any {
	what, _ := r["WhatId"].(string)
	if strings.HasPrefix(what, "001") {
		return what
	}
	for _, id := range []any{r["WhatId"], r["WhoId"]} {
		if _, target := o.target(id); target != nil && target["AccountId"] != nil {
			return target["AccountId"]
		}
	}
	return nil
}

func userObject(mu *sync.Mutex) *Object {
	obj := newObject(mu, "User", "005", person("LastName")...)
	obj.add(Field{Name: "Username", Type: "string", Length: 80, Required: true})
	obj.add(Field{Name: "IsActive", Type: "boolean", NotNillable: true, Default: true})
	return system(obj)
}

func groupObject(mu *sync.Mutex) *Object {
	return system(newObject(mu, "Group", "00G", Field{Name: "Name", Type: "string", Length: 40, Required: true},
		Field{Name: "Type", Type: "picklist", Default: "Queue", NotNillable: true}))
}

func organizationObject(mu *sync.Mutex) *Object {
	obj := newObject(mu, "Organization", "00D", str("Name", 80), Field{Name: "IsSandbox", Type: "boolean", ReadOnly: true},
		Field{Name: "OrganizationType", Type: "picklist", ReadOnly: true}, Field{Name: "InstanceName", Type: "string", Length: 5, ReadOnly: true},
		Field{Name: "TimeZoneSidKey", Type: "picklist"}, Field{Name: "NamespacePrefix", Type: "string", Length: 15, ReadOnly: true})
	obj.NoCreate, obj.NoDelete = true, true
	return system(obj)
}
