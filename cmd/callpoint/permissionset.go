package main

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"

	"callpoint/mapping"
	"callpoint/sync/engine"
)

// permissionSetXML is the metadata of a permission set. Elements of a kind follow
// each other, as the metadata API requires.
type permissionSetXML struct {
	XMLName     xml.Name           `xml:"http://soap.sforce.com/2006/04/metadata PermissionSet"`
	Comment     string             `xml:",comment"`
	Description string             `xml:"description"`
	Fields      []fieldPermission  `xml:"fieldPermissions"`
	Activation  bool               `xml:"hasActivationRequired"`
	Label       string             `xml:"label"`
	Objects     []objectPermission `xml:"objectPermissions"`
	User        []userPermission   `xml:"userPermissions"`
}

type fieldPermission struct {
	Editable bool   `xml:"editable"`
	Field    string `xml:"field"`
	Readable bool   `xml:"readable"`
}

type objectPermission struct {
	Create    bool   `xml:"allowCreate"`
	Delete    bool   `xml:"allowDelete"`
	Edit      bool   `xml:"allowEdit"`
	Read      bool   `xml:"allowRead"`
	ModifyAll bool   `xml:"modifyAllRecords"`
	Object    string `xml:"object"`
	ViewAll   bool   `xml:"viewAllRecords"`
}

type userPermission struct {
	Enabled bool   `xml:"enabled"`
	Name    string `xml:"name"`
}

// rareFields are fields that not every version of the package has. A permission
// set that lists a field which the org lacks does not deploy.
var rareFields = map[string]bool{"bizible2__Account__c": true, "bizible2__Form_Name__c": true, "bizible2__User_Touchpoint_Id_V2__c": true}

// securedTaskFields are the standard fields of Task with field-level security
// among those that callpoint reads.
var securedTaskFields = []string{"Type", "WhoId", "WhatId"}

// attributionFields are the fields of attribution touchpoints that report --revenue
// and check read.
var attributionFields = []string{"Contact", "Marketing_Channel", "Revenue_Custom_Model", "Revenue_Custom_Model_2", "Revenue_First_Touch",
	"Revenue_Lead_Conversion", "Revenue_U_Shaped", "Revenue_W_Shaped", "Touchpoint_Date", "Touchpoint_Type", "UniqueId"}

const permissionComment = ` AllowViewEditConvertedLeads needs a full Salesforce licence: take it out for a user with an integration licence.%s `

// permissionSet prints the rights that callpoint needs and no more, or those that
// check --try-write needs. It lists no required field and no master-detail
// field, which a deployment refuses, and no object whose access follows from
// another's: Task, OpportunityContactRole.
func (p *program) permissionSet(c Config, tryWrite bool) error {
	r, err := c.rules()
	if err != nil {
		return misconfigured(fmt.Errorf("configuration:\n%w", err))
	}
	set := basicSet(c, r.settings)
	if tryWrite {
		set.tryWrite()
	}
	out, err := xml.MarshalIndent(set, "", "    ")
	if err != nil {
		return failed(err)
	}
	_, err = fmt.Fprintf(p.stdout, "%s%s\n", xml.Header, out)
	return err
}

func basicSet(c Config, settings *mapping.Settings) permissionSetXML {
	set := permissionSetXML{
		Label:       "callpoint",
		Description: "Least privilege for callpoint: reads calls and the people they name, writes Bizible Touchpoints.",
		User:        []userPermission{{true, "AllowViewEditConvertedLeads"}, {true, "ApiEnabled"}},
	}
	field := func(object, name string, edit bool) {
		set.Fields = append(set.Fields, fieldPermission{edit, object + "." + name, true})
	}
	for _, name := range append(settings.TaskFields(), "WhatId") {
		if strings.HasSuffix(name, "__c") || slices.Contains(securedTaskFields, name) {
			field("Task", name, false)
		}
	}
	if name := c.taskReason(); name != "" {
		field("Task", name, true)
		set.User = append(set.User, userPermission{true, "EditTask"})
	}
	for _, src := range c.sources.Others {
		for _, name := range src.SecuredFields() {
			field(src.Object, name, false)
		}
		if v := src.BizibleID; v.SlotValue != "" {
			set.Description += fmt.Sprintf(" Grant Read on the fields %s and %s of %s too: their numbers differ from org to org.", v.SlotName, v.SlotValue, src.Object)
		}
		if strings.HasSuffix(src.Object, "__c") {
			set.Objects = append(set.Objects, objectPermission{Read: true, ViewAll: true, Object: src.Object})
		}
	}
	field("Contact", "AccountId", false)
	field("Case", "ContactId", false)
	fields := settings.Fields
	if fields == nil {
		fields = mapping.DefaultFields()
	}
	var rare []string
	for _, name := range append(fields.Names(), c.ExternalIDField) {
		switch {
		case strings.EqualFold(name, personField): // a master-detail
		case rareFields[name]:
			rare = append(rare, c.TouchpointObject+"."+name)
		default:
			field(c.TouchpointObject, name, true)
		}
	}
	create := c.Persons == engine.PersonsCreate
	for _, name := range []string{leadField, contactField, personKey} {
		field(personObject, name, create)
	}
	for _, name := range attributionFields {
		field(attributionObject, "bizible2__"+name+"__c", false)
	}
	// A Task is visible to who sees its Lead, Contact, Account, Opportunity or Case.
	for _, name := range []string{"Account", "Case", "Contact", "Lead", "Opportunity"} {
		set.Objects = append(set.Objects, objectPermission{Read: true, ViewAll: true, Object: name})
	}
	set.Objects = append(set.Objects, objectPermission{Read: true, ViewAll: true, Object: attributionObject},
		objectPermission{Create: create, Delete: create, Edit: true, Read: true, ViewAll: true, Object: personObject},
		objectPermission{Create: true, Delete: true, Edit: true, Read: true, ViewAll: true, Object: c.TouchpointObject})
	also := ""
	if len(rare) > 0 {
		also = " Add " + strings.Join(rare, ", ") + " (edit) if your version of the package has it."
	}
	set.Comment = fmt.Sprintf(permissionComment, also)
	slices.SortFunc(set.Fields, func(a, b fieldPermission) int { return strings.Compare(a.Field, b.Field) })
	set.Fields = slices.CompactFunc(set.Fields, func(a, b fieldPermission) bool { return a.Field == b.Field })
	return set
}

// tryWrite adds the rights that check --try-write needs.
func (set *permissionSetXML) tryWrite() {
	set.Label = "callpoint try"
	set.Description = "For a sandbox only: what callpoint check --try-write needs to create a Lead, a Task, persons and touchpoints, and to delete them."
	for i := range set.Objects {
		if o := &set.Objects[i]; o.Object == "Lead" {
			o.Create, o.Edit, o.Delete = true, true, true
		}
	}
	for i := range set.Fields {
		if f := &set.Fields[i]; f.Field == "Task.WhoId" {
			f.Editable = true
		}
	}
	if edit := (userPermission{true, "EditTask"}); !slices.Contains(set.User, edit) {
		set.User = append(set.User, edit)
	}
}
