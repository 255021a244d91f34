package orgsim

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// convertedLeads is the permission "View and Edit Converted Leads" as
// UserPermissionAccess has it.
const convertedLeads = "PermissionsAllowViewEditConvertedLeads"

// addAccess saves the API user's permissions and the installed package.
func (o *Org) addAccess() {
	major, minor, _ := strings.Cut(o.cfg.PackageVersion, ".")
	x, errX := strconv.ParseFloat(major, 64)
	y, errY := strconv.ParseFloat(minor, 64)
	if errX != nil || errY != nil {
		panic("orgsim: the package version " + o.cfg.PackageVersion + " is not of the form 6.19")
	}
	for object, rec := range map[string]map[string]any{
		"userpermissionaccess": {convertedLeads: true, "PermissionsApiEnabled": true, "PermissionsViewAllData": true},
		"publisher": {"Name": "Marketo Measure", "NamespacePrefix": strings.TrimSuffix(namespace, "__"),
			"MajorVersion": x, "MinorVersion": y, "IsSalesforce": false},
	} {
		t := o.tables[object]
		// The first record of its object, so that later ids stay as they are.
		rec["Id"] = To18(t.obj.KeyPrefix + "Hs0000000001")
		o.stamp(rec, nil)
		o.put(t, &row{id: rec["Id"].(string)}, rec)
	}
}

// ConvertedLeads grants or takes the permission to edit converted Leads and to
// refer to one.
func (o *Org) ConvertedLeads(granted bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.setConvertedLeads(granted)
}

func (o *Org) setConvertedLeads(granted bool) {
	t := o.tables["userpermissionaccess"]
	rec := maps.Clone(t.order[0].fields)
	rec[convertedLeads] = granted
	o.put(t, t.order[0], rec)
}

// checkConverted refuses to edit a converted Lead, and to make a record refer to
// one, for an API user without the permission.
func (o *Org) checkConverted(obj *Object, old, in map[string]any, by actor) *Error {
	if by != api || o.tables["userpermissionaccess"].order[0].fields[convertedLeads] == true {
		return nil
	}
	if obj.Name == "Lead" && old["IsConverted"] == true {
		return reject("CANNOT_UPDATE_CONVERTED_LEAD", "cannot update converted lead")
	}
	for _, name := range sortedKeys(in) {
		f := obj.Field(name)
		if f.Type != "reference" || in[name] == nil || in[name] == old[name] {
			continue
		}
		if target, rec := o.target(in[name]); target != nil && target.Name == "Lead" && rec["IsConverted"] == true {
			return reject("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", f.Name)
		}
	}
	return nil
}

// HideFieldOf takes read access to a field, as HideField does, but returns an error
// where that is not possible.
func (o *Org) HideFieldOf(object, field string) error {
	return o.secureField(object, field, (*Object).HideField)
}

// LockFieldOf takes edit access to a field, as LockField does, but returns an error
// where that is not possible.
func (o *Org) LockFieldOf(object, field string) error {
	return o.secureField(object, field, (*Object).LockField)
}

func (o *Org) secureField(object, field string, secure func(*Object, string)) error {
	obj := o.Schema(object)
	if obj == nil {
		return fmt.Errorf("no object %s", object)
	}
	switch f := obj.Field(field); {
	case f == nil:
		return fmt.Errorf("%s has no field %s", obj.Name, field)
	case f.MasterDetail:
		return fmt.Errorf("%s.%s is a master-detail field: it has no field-level security", obj.Name, f.Name)
	case f.Required || f.Name == "Id" || f.Name == "Name" && obj.custom():
		return fmt.Errorf("%s.%s is required: it has no field-level security", obj.Name, f.Name)
	}
	secure(obj, field)
	return nil
}

// HideObject takes all access to an object from the API user.
func (o *Org) HideObject(object string) error {
	return o.restrict(object, func(obj *Object) { obj.Hidden = true })
}

// LockObject takes create, edit and delete access to an object.
func (o *Org) LockObject(object string) error {
	return o.restrict(object, func(obj *Object) { obj.NoCreate, obj.NoUpdate, obj.NoDelete = true, true, true })
}

func (o *Org) restrict(object string, change func(*Object)) error {
	obj := o.Schema(object)
	if obj == nil {
		return fmt.Errorf("no object %s", object)
	}
	obj.Access(change)
	return nil
}

// RefuseGzip sets whether request bodies with Content-Encoding: gzip are
// refused with 415.
func (o *Org) RefuseGzip(refuse bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refuseGzip = refuse
}
