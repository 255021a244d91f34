package orgsim

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// standardSchema returns the objects of a Sales Cloud org with the Marketo Measure
// package, as far as a call sync uses them.
func standardSchema(mu *sync.Mutex) []*Object {
	return addPackage(mu, []*Object{
		accountObject(mu), contactObject(mu), leadObject(mu), opportunityObject(mu), contactRoleObject(mu), caseObject(mu),
		campaignObject(mu), campaignMemberObject(mu), taskObject(mu), eventObject(mu),
		userObject(mu), groupObject(mu), organizationObject(mu), permissionObject(mu), publisherObject(mu), invocaObject(mu),
	})
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
		Field{Name: "MasterRecordId", Type: "reference", ReferenceTo: []string{"Account"}, ReadOnly: true},
		Field{Name: "IsPersonAccount", Type: "boolean", ReadOnly: true, NotNillable: true,
			calc: func(_ *Org, r map[string]any) any { return r["PersonContactId"] != nil }},
		Field{Name: "PersonContactId", Type: "reference", ReferenceTo: []string{"Contact"}, ReadOnly: true})
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

// contactRoleObject has the Contacts of an Opportunity. One of them is primary.
func contactRoleObject(mu *sync.Mutex) *Object {
	parent := func(name, to string) Field {
		return Field{Name: name, Type: "reference", ReferenceTo: []string{to}, Required: true, NoUpdate: name == "OpportunityId",
			ChildRelationship: "OpportunityContactRoles", Cascade: true}
	}
	obj := newObject(mu, "OpportunityContactRole", "00K", parent("OpportunityId", "Opportunity"), parent("ContactId", "Contact"),
		Field{Name: "Role", Type: "picklist", Length: 40},
		Field{Name: "IsPrimary", Type: "boolean", NotNillable: true, Default: false})
	obj.follows = []string{"Opportunity", "Contact"}
	obj.afterSave = func(o *Org, t *table, r *row) {
		if r.fields["IsPrimary"] != true {
			return
		}
		for _, other := range slices.Clone(t.find(obj.Field("OpportunityId"), r.fields["OpportunityId"])) {
			if other != r && other.fields["IsPrimary"] == true {
				rec := maps.Clone(other.fields)
				rec["IsPrimary"], rec["SystemModstamp"] = false, o.now()
				o.put(t, other, rec)
			}
		}
	}
	return system(obj)
}

func caseObject(mu *sync.Mutex) *Object {
	return owned(newObject(mu, "Case", "500",
		Field{Name: "CaseNumber", Type: "string", Length: 30, AutoNumber: true, ReadOnly: true, NotNillable: true},
		lookup("ContactId", "Contact"), lookup("AccountId", "Account"), str("Subject", 255),
		Field{Name: "Description", Type: "textarea", Length: 32000}, Field{Name: "Origin", Type: "picklist", Length: 40},
		Field{Name: "Priority", Type: "picklist", Length: 40, Default: "Medium"}, Field{Name: "Type", Type: "picklist", Length: 40},
		Field{Name: "Status", Type: "picklist", Length: 40, NotNillable: true, Default: "New"},
		Field{Name: "IsClosed", Type: "boolean", ReadOnly: true, NotNillable: true,
			calc: func(_ *Org, r map[string]any) any { return r["Status"] == "Closed" }}))
}

func campaignObject(mu *sync.Mutex) *Object {
	return owned(newObject(mu, "Campaign", "701", Field{Name: "Name", Type: "string", Length: 80, Required: true},
		Field{Name: "Type", Type: "picklist", Length: 40}, Field{Name: "Status", Type: "picklist", Length: 40},
		Field{Name: "StartDate", Type: "date"}, Field{Name: "EndDate", Type: "date"},
		Field{Name: "IsActive", Type: "boolean", NotNillable: true, Default: false}))
}

func campaignMemberObject(mu *sync.Mutex) *Object {
	campaign := lookup("CampaignId", "Campaign")
	campaign.Required, campaign.NoUpdate, campaign.Cascade, campaign.ChildRelationship = true, true, true, "CampaignMembers"
	return system(newObject(mu, "CampaignMember", "00v", campaign, lookup("LeadId", "Lead"), lookup("ContactId", "Contact"),
		Field{Name: "Status", Type: "picklist", Length: 40}))
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
	obj.NoCreate, obj.NoDelete, obj.fixed = true, true, true
	return system(obj)
}

// permissionObject has one row: the permissions of the user who asks.
func permissionObject(mu *sync.Mutex) *Object {
	flag := func(name string) Field { return Field{Name: name, Type: "boolean", ReadOnly: true, NotNillable: true} }
	obj := newObject(mu, "UserPermissionAccess", "0Yu", flag(convertedLeads), flag("PermissionsApiEnabled"), flag("PermissionsViewAllData"))
	obj.NoCreate, obj.NoUpdate, obj.NoDelete, obj.fixed = true, true, true, true
	return system(obj)
}

// publisherObject has the installed packages with their versions.
func publisherObject(mu *sync.Mutex) *Object {
	obj := newObject(mu, "Publisher", "0PK", str("Name", 80), str("NamespacePrefix", 15),
		Field{Name: "MajorVersion", Type: "int"}, Field{Name: "MinorVersion", Type: "int"}, Field{Name: "IsSalesforce", Type: "boolean"})
	obj.NoCreate, obj.NoUpdate, obj.NoDelete, obj.fixed = true, true, true, true
	return system(obj)
}
