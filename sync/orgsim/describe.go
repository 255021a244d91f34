package orgsim

import "net/http"

func (o *Org) versions(c *call) answer {
	var list []object
	for _, v := range []struct{ label, version string }{{"Spring '24", "60.0"}, {"Summer '24", "61.0"}, {"Winter '25", "62.0"}} {
		list = append(list, object{{"label", v.label}, {"url", "/services/data/v" + v.version}, {"version", v.version}})
	}
	return jsonAnswer(200, list)
}

func (o *Org) resources(c *call) (answer, *Error) {
	base := "/services/data/v" + c.version
	var out object
	for _, name := range []string{"composite", "limits", "query", "queryAll", "sobjects"} {
		out = append(out, member{name, base + "/" + name})
	}
	return jsonAnswer(200, out), nil
}

func (o *Org) limits(c *call) (answer, *Error) {
	if c.method != "GET" {
		return answer{}, notAllowed(c.method, "GET,HEAD")
	}
	pair := func(max, remaining int) object { return object{{"Max", max}, {"Remaining", remaining}} }
	return jsonAnswer(200, object{
		{"DailyApiRequests", pair(o.cfg.DailyLimit, max(0, o.cfg.DailyLimit-o.used()))},
		{"DailyBulkApiBatches", pair(15000, 15000)}, {"DailyBulkV2QueryJobs", pair(10000, 10000)},
		{"DataStorageMB", pair(5, 4)}, {"FileStorageMB", pair(20, 20)},
	}), nil
}

// summary returns the properties of an object without its fields.
func (o *Org) summary(c *call, obj *Object) object {
	base := "/services/data/v" + c.version + "/sobjects/" + obj.Name
	return object{{"name", obj.Name}, {"label", obj.Label}, {"labelPlural", obj.Label + "s"}, {"keyPrefix", obj.KeyPrefix},
		{"custom", obj.custom()}, {"customSetting", false}, {"createable", !obj.NoCreate}, {"updateable", !obj.NoUpdate},
		{"deletable", !obj.NoDelete}, {"undeletable", !obj.NoDelete}, {"mergeable", false}, {"queryable", true},
		{"replicateable", true}, {"retrieveable", true}, {"searchable", true}, {"triggerable", true},
		{"urls", object{{"sobject", base}, {"describe", base + "/describe"}, {"rowTemplate", base + "/{ID}"}}}}
}

func (o *Org) globalDescribe(c *call) answer {
	var list []object
	for _, name := range sortedKeys(o.tables) {
		if t := o.visibleTable(name); t != nil {
			list = append(list, o.summary(c, t.obj))
		}
	}
	return jsonAnswer(http.StatusOK, object{{"encoding", "UTF-8"}, {"maxBatchSize", maxRows}, {"sobjects", list}})
}

// describe shows an object to the API user: a field that field-level security
// hides is not there, one that it locks is neither createable nor updateable.
func (o *Org) describe(c *call, obj *Object) answer {
	var fields []object
	for _, f := range obj.fields {
		if !f.Hidden {
			fields = append(fields, describeField(obj, f))
		}
	}
	out := append(o.summary(c, obj), member{"fields", fields}, member{"childRelationships", o.children(obj)},
		member{"recordTypeInfos", []object{{{"active", true}, {"available", true}, {"defaultRecordTypeMapping", true},
			{"master", true}, {"name", "Master"}, {"recordTypeId", "012000000000000AAA"}}}})
	return jsonAnswer(http.StatusOK, out)
}

var soapTypes = map[string]string{"id": "tns:ID", "reference": "tns:ID", "boolean": "xsd:boolean", "int": "xsd:int",
	"double": "xsd:double", "percent": "xsd:double", "currency": "xsd:double", "date": "xsd:date", "datetime": "xsd:dateTime"}

func describeField(obj *Object, f *Field) object {
	soap := soapTypes[f.Type]
	if soap == "" {
		soap = "xsd:string"
	}
	values := []object{}
	for _, v := range f.Values {
		values = append(values, object{{"active", true}, {"defaultValue", v == f.Default}, {"label", v}, {"validFor", nil}, {"value", v}})
	}
	digits, precision := 0, f.Precision
	if f.Type == "int" {
		digits, precision = 8, 0
	}
	references := f.ReferenceTo
	if references == nil {
		references = []string{}
	}
	var relationship any
	if f.RelationshipName != "" {
		relationship = f.RelationshipName
	}
	filterable := !f.NotFilterable
	nillable := !f.required() && !f.NotNillable && f.Type != "id"
	var order any
	if f.MasterDetail {
		order = 0
	}
	defaulted := f.Default != nil || f.Name == "OwnerId" || f.AutoNumber || f.Type == "boolean" ||
		obj.custom() && f.Name == "Name" || f.ReadOnly && f.NotNillable
	return object{{"name", f.Name}, {"label", f.Label}, {"type", f.Type}, {"soapType", soap},
		{"length", f.Length}, {"byteLength", f.Length * 3}, {"precision", precision}, {"scale", f.Scale}, {"digits", digits},
		{"nillable", nillable}, {"defaultedOnCreate", defaulted}, {"createable", f.createable() && f.Type != "id"},
		{"updateable", f.updateable() && f.Type != "id"}, {"calculated", f.Formula}, {"autoNumber", f.AutoNumber},
		{"custom", f.custom()}, {"externalId", f.ExternalID}, {"idLookup", f.ExternalID || f.Type == "id"},
		{"unique", f.Unique}, {"caseSensitive", f.CaseSensitive}, {"filterable", filterable}, {"sortable", filterable},
		{"groupable", filterable && f.Type != "datetime" && (!f.number() || f.Type == "int")}, {"aggregatable", filterable},
		{"nameField", f.Name == "Name"}, {"namePointing", f.polymorphic()}, {"polymorphicForeignKey", f.polymorphic()},
		{"referenceTo", references}, {"relationshipName", relationship},
		{"cascadeDelete", f.Cascade}, {"relationshipOrder", order}, {"writeRequiresMasterRead", f.MasterDetail}, {"restrictedPicklist", f.Restricted},
		{"dependentPicklist", false}, {"controllerName", nil}, {"picklistValues", values}}
}

// children lists the references of other objects to this one.
func (o *Org) children(obj *Object) []object {
	list := []object{}
	for _, name := range sortedKeys(o.tables) {
		for _, f := range o.tables[name].obj.fields {
			if o.visibleTable(name) == nil {
				continue
			}
			for _, to := range f.ReferenceTo {
				if to == obj.Name && !f.Hidden {
					var relationship any
					if f.ChildRelationship != "" {
						relationship = f.ChildRelationship
					}
					list = append(list, object{{"childSObject", o.tables[name].obj.Name}, {"field", f.Name},
						{"relationshipName", relationship}, {"cascadeDelete", f.Cascade}, {"restrictedDelete", false}})
				}
			}
		}
	}
	return list
}
