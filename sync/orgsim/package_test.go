package orgsim_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"callpoint/sync/orgsim"
)

type described struct {
	Name, Label, KeyPrefix string
	Fields                 []describedField
	ChildRelationships     []struct {
		ChildSObject, Field string
		RelationshipName    *string
		CascadeDelete       bool
	}
}

type describedField struct {
	Name, Label, Type                                                               string
	Length, Precision, Scale                                                        int
	ExternalID, IDLookup, Unique, CaseSensitive, Filterable, Calculated             bool
	Createable, Updateable, Nillable, DefaultedOnCreate                             bool
	ReferenceTo                                                                     []string
	RelationshipName                                                                *string
	RelationshipOrder                                                               *int
	CascadeDelete, RestrictedDelete, WriteRequiresMasterRead, PolymorphicForeignKey bool
}

func (d described) field(name string) *describedField {
	for i := range d.Fields {
		if d.Fields[i].Name == name {
			return &d.Fields[i]
		}
	}
	return nil
}

func (w *world) described(object string) described {
	w.Helper()
	var d described
	w.into(w.send("GET", data+"/sobjects/"+object+"/describe", ""), 200, &d)
	return d
}

// TestPackageShape compares what describe returns with every line of the table.
func TestPackageShape(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	table, err := os.ReadFile("package.tsv")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(table)), "\n")
	head := strings.Split(lines[0], "\t")
	seen := map[string]map[string]bool{}
	cache := map[string]described{}
	describe := func(name string) described {
		if _, ok := cache[name]; !ok {
			cache[name] = w.described(name)
		}
		return cache[name]
	}
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, cell := range strings.Split(line, "\t") {
			row[head[i]] = cell
		}
		names := []string{row["object"]}
		if row["object"] == "Activity" {
			names = []string{"Task", "Event"}
		}
		for _, name := range names {
			if seen[name] == nil {
				seen[name] = map[string]bool{}
			}
			if row["field"] == "(object) sharingModel" {
				if got := describe(name).field("OwnerId") == nil; got != (row["type"] == "ControlledByParent") {
					t.Errorf("%s: no OwnerId is %v, sharing %s", name, got, row["type"])
				}
				continue
			}
			seen[name][row["field"]] = true
			f := describe(name).field(row["field"])
			if f == nil {
				t.Errorf("%s has no field %s", name, row["field"])
				continue
			}
			comparePackageField(t, name, row, f)
			if row["reference_to"] != "" {
				compareChild(t, name, row, describe(row["reference_to"]))
			}
		}
	}
	for name, fields := range seen {
		for _, f := range describe(name).Fields {
			if strings.HasSuffix(f.Name, "__c") && !fields[f.Name] {
				t.Errorf("%s has the field %s, which is not in the table", name, f.Name)
			}
		}
	}
	if len(lines) < 160 || len(seen) < 12 {
		t.Errorf("%d lines, %d objects", len(lines), len(seen))
	}
}

func comparePackageField(t *testing.T, object string, row map[string]string, f *describedField) {
	t.Helper()
	type shape struct {
		label, typ, length              string
		external, unique, cased         bool
		create, update, nillable        bool
		calculated, filterable, cascade bool
		reference, relationship         string
		masterRead                      bool
	}
	types := map[string]string{"Text": "string", "TextArea": "textarea", "LongTextArea": "textarea", "Number": "double", "Percent": "percent",
		"Currency": "currency", "DateTime": "datetime", "Date": "date", "Picklist": "picklist", "Lookup": "reference", "MasterDetail": "reference",
		"Text name field (not AutoNumber)": "string"}
	formula, master := row["formula"] == "yes", row["type"] == "MasterDetail"
	want := shape{label: row["label"], typ: types[row["type"]], length: row["length"], external: row["external_id"] == "true",
		unique: row["unique"] == "true", cased: row["case_sensitive"] == "true", create: !formula, update: !formula && !master,
		nillable: !master && row["field"] != "Name", calculated: formula, filterable: row["type"] != "LongTextArea", cascade: master,
		reference: row["reference_to"], masterRead: master}
	if want.reference != "" {
		want.relationship = strings.TrimSuffix(row["field"], "__c") + "__r"
	}
	got := shape{label: f.Label, typ: f.Type, external: f.ExternalID, unique: f.Unique, cased: f.CaseSensitive, create: f.Createable,
		update: f.Updateable, nillable: f.Nillable, calculated: f.Calculated, filterable: f.Filterable, cascade: f.CascadeDelete,
		reference: strings.Join(f.ReferenceTo, ","), masterRead: f.WriteRequiresMasterRead}
	switch {
	case strings.Contains(row["length"], ","):
		got.length = fmt.Sprintf("%d,%d", f.Precision, f.Scale)
	case row["length"] != "":
		got.length = fmt.Sprint(f.Length)
	}
	if f.RelationshipName != nil {
		got.relationship = *f.RelationshipName
	}
	if got != want || f.ExternalID != f.IDLookup {
		t.Errorf("%s.%s:\n got %+v\nwant %+v", object, row["field"], got, want)
	}
}

func compareChild(t *testing.T, object string, row map[string]string, parent described) {
	t.Helper()
	want := "bizible2__" + row["child_relationship"] + "__r"
	for _, c := range parent.ChildRelationships {
		if c.ChildSObject == object && c.Field == row["field"] {
			if c.RelationshipName == nil || *c.RelationshipName != want || c.CascadeDelete != (row["type"] == "MasterDetail") {
				t.Errorf("%s.%s: child relationship %v, cascade %v, want %s", object, row["field"], c.RelationshipName, c.CascadeDelete, want)
			}
			return
		}
	}
	t.Errorf("%s has no child relationship for %s.%s", row["reference_to"], object, row["field"])
}

func TestRevenueIsComputed(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	opp := w.insert("Opportunity", m{"Name": "Deal", "StageName": "Closed Won", "CloseDate": "2026-11-01", "Amount": 2001})
	p := "bizible2__"
	id := w.insert(orgsim.Attribution, m{p + "Opportunity__c": opp, p + "Attribution_Lead_Conversion_Touch__c": 33.3333, p + "Attribution_Custom_Model_2__c": 50})
	rec, _ := w.org.Get(orgsim.Attribution, id)
	if rec[p+"Revenue_Lead_Conversion__c"] != 667.0 || rec[p+"Revenue_Custom_Model_2__c"] != 1000.5 || rec[p+"Revenue_U_Shaped__c"] != nil || rec["Name"] != id {
		t.Errorf("revenue: %v", rec)
	}
	got := w.query("SELECT SUM(bizible2__Revenue_Lead_Conversion__c) total FROM " + orgsim.Attribution)
	if len(got.Records) != 1 || got.Records[0]["total"] != 667.0 {
		t.Errorf("sum: %v", got.Records)
	}
	if _, err := w.org.Insert(orgsim.Attribution, m{p + "Revenue_U_Shaped__c": 1}); err == nil {
		t.Error("a formula took a value")
	}
}

// TestEventTimes completes an Event's start, end and duration, as Salesforce does.
func TestEventTimes(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	lead := w.insert("Lead", m{"LastName": "Byron", "Company": "A"})
	id := w.insert("Event", m{"Subject": "Call", "Type": "Call", "WhoId": lead, "StartDateTime": "2026-11-20T10:00:00Z", "DurationInMinutes": 15,
		"bizible2__BizibleId__c": "b-1"})
	look := func() string {
		r := w.query("SELECT StartDateTime, EndDateTime, DurationInMinutes, ActivityDate, Who.Type FROM Event WHERE bizible2__BizibleId__c = 'b-1'").Records[0]
		return fmt.Sprint(r["StartDateTime"], " ", r["EndDateTime"], " ", r["DurationInMinutes"], " ", r["ActivityDate"], " ", r["Who"].(m)["Type"])
	}
	if got := look(); got != "2026-11-20T10:00:00.000+0000 2026-11-20T10:15:00.000+0000 15 2026-11-20 Lead" {
		t.Error(got)
	}
	if err := w.org.Update("Event", id, m{"DurationInMinutes": 30}); err != nil || !strings.Contains(look(), "T10:30:00.000+0000 30 ") {
		t.Errorf("%v: %s", err, look())
	}
	if err := w.org.Update("Event", id, m{"EndDateTime": "2026-11-20T11:00:00Z"}); err != nil || !strings.Contains(look(), "T11:00:00.000+0000 60 ") {
		t.Errorf("%v: %s", err, look())
	}
}
