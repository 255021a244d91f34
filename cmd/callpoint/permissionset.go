package main

import (
	"encoding/xml"
	"fmt"
	"strings"

	"callpoint/mapping"
	"callpoint/sync/engine"
)

// permissionSetXML is the metadata of a permission set. Elements of a kind stand together,
// as the metadata API wants it.
type permissionSetXML struct {
	XMLName     xml.Name           `xml:"http://soap.sforce.com/2006/04/metadata PermissionSet"`
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

// permissionSet prints what callpoint needs and no more.
func (p *program) permissionSet(c Config) error {
	r, err := c.rules()
	if err != nil {
		return misconfigured(fmt.Errorf("configuration:\n%w", err))
	}
	set := permissionSetXML{
		Label:       "callpoint",
		Description: "Least privilege for callpoint: reads call Tasks, writes Bizible Touchpoints.",
		User:        []userPermission{{true, "ApiEnabled"}},
	}
	for _, name := range r.settings.TaskFields() {
		// Standard fields of Task are readable with the object, except for Type.
		if strings.HasSuffix(name, "__c") || name == "Type" {
			set.Fields = append(set.Fields, fieldPermission{false, "Task." + name, true})
		}
	}
	if name := c.taskReason(); name != "" {
		set.Fields = append(set.Fields, fieldPermission{true, "Task." + name, true})
		set.User = append(set.User, userPermission{true, "EditTask"})
	}
	fields := r.settings.Fields
	if fields == nil {
		fields = mapping.DefaultFields()
	}
	for _, name := range append(fields.Names(), c.ExternalIDField) {
		set.Fields = append(set.Fields, fieldPermission{true, c.TouchpointObject + "." + name, true})
	}
	remove := c.Retract == "delete"
	// A Task is seen by who sees its Lead or Contact.
	set.Objects = []objectPermission{
		{Read: true, Object: "Account"},
		{Read: true, ViewAll: true, Object: "Contact"},
		{Read: true, ViewAll: true, Object: "Lead"},
		{Create: true, Edit: true, Delete: remove, Read: true, ViewAll: true, Object: c.TouchpointObject},
	}
	if c.Persons != engine.PersonsOff {
		create := c.Persons == engine.PersonsCreate
		set.Objects = append(set.Objects, objectPermission{Create: create, Edit: true, Read: true, ViewAll: true, Object: personObject})
		for _, name := range []string{"bizible2__Contact__c", "bizible2__Lead__c", personKey} {
			set.Fields = append(set.Fields, fieldPermission{true, personObject + "." + name, true})
		}
	}
	out, err := xml.MarshalIndent(set, "", "    ")
	if err != nil {
		return failed(err)
	}
	_, err = fmt.Fprintf(p.stdout, "%s%s\n", xml.Header, out)
	return err
}
