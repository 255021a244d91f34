package orgsim

import (
	_ "embed"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
)

// The objects of the Marketo Measure package.
const (
	Touchpoint  = "bizible2__Bizible_Touchpoint__c"
	Person      = "bizible2__Bizible_Person__c"
	Attribution = "bizible2__Bizible_Attribution_Touchpoint__c"
)

const namespace = "bizible2__"

// packageTable lists every field of the package as the public metadata of real
// orgs describes it, one line a field.
//
//go:embed package.tsv
var packageTable string

// The columns of packageTable that the simulated org needs.
const (
	colObject = iota
	colField
	colLabel
	colType
	colLength
	colExternalID
	colUnique
	colCaseSensitive
	colRequired
	colReferenceTo
	colChildren
	colOnDelete
	colFormula
	colEditable
	colOrgs
	columns
)

var packagePrefixes = map[string]string{Person: "a01", Touchpoint: "a02", Attribution: "a03"}

// packageTypes maps the metadata's types to those of describe.
var packageTypes = map[string]string{"Text": "string", "TextArea": "textarea", "LongTextArea": "textarea", "Number": "double",
	"Percent": "percent", "Currency": "currency", "DateTime": "datetime", "Date": "date", "Picklist": "picklist",
	"Lookup": "reference", "MasterDetail": "reference"}

// addPackage adds the package's objects to a schema, and its fields to the
// standard objects. The custom fields of Activity go to Task and Event.
func addPackage(mu *sync.Mutex, objects []*Object) []*Object {
	byName := map[string]*Object{}
	for _, obj := range objects {
		byName[obj.Name] = obj
	}
	for line := range strings.Lines(packageTable) {
		cells := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(cells) != columns {
			panic(fmt.Sprintf("orgsim: package.tsv: %d columns, want %d: %s", len(cells), columns, line))
		}
		if cells[colObject] == "object" {
			continue // the header
		}
		names := []string{cells[colObject]}
		if cells[colObject] == "Activity" {
			names = []string{"Task", "Event"}
		}
		for _, name := range names {
			obj := byName[name]
			if obj == nil {
				obj = newObject(mu, name, packagePrefixes[name], Field{Name: "Name"})
				byName[name], objects = obj, append(objects, obj)
			}
			if cells[colField] == "(object) sharingModel" {
				if cells[colType] == "ControlledByParent" {
					system(obj)
				} else {
					owned(obj)
				}
				continue
			}
			obj.add(packageField(cells))
		}
	}
	return objects
}

func packageField(cells []string) Field {
	f := Field{Name: cells[colField], Label: cells[colLabel], ExternalID: cells[colExternalID] == "true",
		Unique: cells[colUnique] == "true", CaseSensitive: cells[colCaseSensitive] == "true"}
	if f.Name == "Name" {
		f.Type, f.Length, f.NotNillable = "string", atoi(cells[colLength]), true
		return f
	}
	if f.Type = packageTypes[cells[colType]]; f.Type == "" {
		panic("orgsim: package.tsv: unknown type " + cells[colType] + " of " + f.Name)
	}
	if precision, scale, ok := strings.Cut(cells[colLength], ","); ok {
		f.Precision, f.Scale = atoi(precision), atoi(scale)
	} else if cells[colLength] != "" {
		f.Length = atoi(cells[colLength])
	}
	if f.Type == "reference" {
		f.ReferenceTo = []string{cells[colReferenceTo]}
		f.ChildRelationship = namespace + cells[colChildren] + "__r"
		f.MasterDetail = cells[colType] == "MasterDetail"
		f.Cascade = f.MasterDetail
	}
	if cells[colFormula] == "yes" {
		f.calc, f.Formula = revenueOf(f), true
	}
	return f
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic("orgsim: package.tsv: " + err.Error())
	}
	return n
}

// revenueOf returns the formula of a Revenue field: its share of the
// Opportunity's amount.
func revenueOf(f Field) func(*Org, map[string]any) any {
	share := strings.Replace(f.Name, "Revenue_", "Attribution_", 1)
	if share == "bizible2__Attribution_Lead_Conversion__c" {
		share = "bizible2__Attribution_Lead_Conversion_Touch__c"
	}
	unit := math.Pow10(f.Scale)
	return func(o *Org, record map[string]any) any {
		percent, given := record[share].(float64)
		_, opportunity := o.target(record["bizible2__Opportunity__c"])
		amount, has := opportunity["Amount"].(float64)
		if !given || !has {
			return nil
		}
		return math.Round(percent/100*amount*unit) / unit
	}
}
