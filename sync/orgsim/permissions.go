package orgsim

import (
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// permissionSet is the metadata of a permission set, as far as it grants access.
type permissionSet struct {
	XMLName xml.Name `xml:"http://soap.sforce.com/2006/04/metadata PermissionSet"`
	Label   string   `xml:"label"`
	Objects []struct {
		Object    string `xml:"object"`
		Read      bool   `xml:"allowRead"`
		Create    bool   `xml:"allowCreate"`
		Edit      bool   `xml:"allowEdit"`
		Delete    bool   `xml:"allowDelete"`
		ViewAll   bool   `xml:"viewAllRecords"`
		ModifyAll bool   `xml:"modifyAllRecords"`
	} `xml:"objectPermissions"`
	Fields []struct {
		Field    string `xml:"field"`
		Readable bool   `xml:"readable"`
		Editable bool   `xml:"editable"`
	} `xml:"fieldPermissions"`
	User []struct {
		Name    string `xml:"name"`
		Enabled bool   `xml:"enabled"`
	} `xml:"userPermissions"`
}

// noObjectPermissions are the objects that have none of their own: access
// follows from other records, or everybody has it.
var noObjectPermissions = []string{"Task", "Event", "OpportunityContactRole", "CampaignMember", "User", "Group", "Organization", "UserPermissionAccess", "Publisher"}

// securedFields are the standard fields with field-level security that matter to a
// call sync. Custom fields have it unless they are required or a master-detail.
var securedFields = []string{"Task.Type", "Task.WhoId", "Task.WhatId", "Task.Description", "Event.Type", "Event.WhoId", "Event.WhatId",
	"Event.Description", "Contact.AccountId", "Case.ContactId", "Case.AccountId", "Opportunity.AccountId", "Opportunity.Amount"}

// masters are the objects whose Read another object's Read depends on.
var masters = map[string]string{"Contact": "Account", "Opportunity": "Account"}

var userPermissions = []string{"ApiEnabled", "AllowViewEditConvertedLeads", "EditTask", "EditEvent", "ViewAllData", "ModifyAllData"}

// secured reports whether a field has field-level security.
func (f *Field) secured(obj *Object) bool {
	return f.custom() && !f.Required && !f.MasterDetail || slices.Contains(securedFields, obj.Name+"."+f.Name)
}

// DeployPermissionSet gives the API user the rights of a permission set, and no
// others. As Salesforce does, it refuses unknown names, required and master-detail
// fields, objects without permissions of their own, and permissions without those
// that they depend on; then nothing changes.
func (o *Org) DeployPermissionSet(metadata []byte) error {
	var set permissionSet
	if err := xml.Unmarshal(metadata, &set); err != nil {
		return fmt.Errorf("not the metadata of a permission set: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := errors.Join(o.checkSet(&set)...); err != nil {
		return err
	}
	o.grant(&set)
	return nil
}

func (o *Org) checkSet(set *permissionSet) (problems []error) {
	refuse := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if set.Label == "" {
		refuse("Required field is missing: label")
	}
	read, all := map[string]bool{}, map[string]bool{}
	for _, p := range set.Objects {
		read[p.Object], all[p.Object] = p.Read, p.ViewAll
	}
	for _, p := range set.Objects {
		t := o.tables[fold(p.Object)]
		switch {
		case t == nil:
			refuse("In field: object - no CustomObject named %s found", p.Object)
			continue
		case slices.Contains(noObjectPermissions, t.obj.Name):
			refuse("Object permissions cannot be set for %s", p.Object)
			continue
		}
		depends := func(permission string, granted bool, on string, has bool) {
			if granted && !has {
				refuse("Permission %s %s depends on permission(s): %s", permission, p.Object, on)
			}
		}
		depends("Create", p.Create, "Read "+p.Object, p.Read)
		depends("Edit", p.Edit, "Read "+p.Object, p.Read)
		depends("Delete", p.Delete, "Edit "+p.Object, p.Edit)
		depends("Read All", p.ViewAll, "Read "+p.Object, p.Read)
		depends("Modify All", p.ModifyAll, "Read All "+p.Object, p.ViewAll)
		master := masters[t.obj.Name]
		if f := t.obj.master(); f != nil {
			master = f.ReferenceTo[0]
		}
		if master != "" {
			depends("Read", p.Read, "Read "+master, read[master])
			depends("Read All", p.ViewAll, "Read All "+master, all[master])
		}
	}
	for _, p := range set.Fields {
		object, name, _ := strings.Cut(p.Field, ".")
		t := o.tables[fold(object)]
		if t == nil || t.obj.Field(name) == nil {
			refuse("In field: field - no CustomField named %s found", p.Field)
			continue
		}
		switch f := t.obj.Field(name); {
		case f.Required || f.MasterDetail || f.Name == "Name":
			refuse("You cannot deploy to a required field: %s", p.Field)
		case !f.secured(t.obj):
			refuse("Field %s has no field-level security", p.Field)
		case p.Editable && (f.ReadOnly || f.calc != nil):
			refuse("Field %s is not editable", p.Field)
		case p.Editable && !p.Readable:
			refuse("Field %s cannot be editable without being readable", p.Field)
		}
	}
	for _, p := range set.User {
		if !slices.Contains(userPermissions, p.Name) {
			refuse("Unknown user permission: %s", p.Name)
		}
	}
	return problems
}

// grant makes the set's rights those of the API user.
func (o *Org) grant(set *permissionSet) {
	user := map[string]bool{}
	for _, p := range set.User {
		user[p.Name] = p.Enabled
	}
	for _, t := range o.tables {
		if slices.Contains(noObjectPermissions, t.obj.Name) {
			continue
		}
		t.obj.Hidden, t.obj.NoCreate, t.obj.NoUpdate, t.obj.NoDelete = true, true, true, true
	}
	for _, p := range set.Objects {
		obj := o.tables[fold(p.Object)].obj
		obj.Hidden, obj.NoCreate, obj.NoUpdate, obj.NoDelete = !p.Read, !p.Create, !p.Edit, !p.Delete
	}
	task := o.tables["task"].obj
	task.NoCreate, task.NoUpdate = !user["EditTask"], !user["EditTask"]
	event := o.tables["event"].obj
	event.NoCreate, event.NoUpdate = !user["EditEvent"], !user["EditEvent"]
	for _, t := range o.tables {
		for _, f := range t.obj.fields {
			if f.secured(t.obj) {
				f.Hidden, f.Locked = true, true
			}
		}
	}
	for _, p := range set.Fields {
		object, name, _ := strings.Cut(p.Field, ".")
		f := o.tables[fold(object)].obj.Field(name)
		f.Hidden, f.Locked = !p.Readable, !p.Editable
	}
	o.setConvertedLeads(user["AllowViewEditConvertedLeads"])
}
