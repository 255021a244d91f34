package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"callpoint/sync/engine"
	"callpoint/sync/salesforce"
)

// AttributionObject holds what Marketo Measure attributes to touchpoints, once it runs
// in the org.
const AttributionObject = "bizible2__Bizible_Attribution_Touchpoint__c"

// Revenue is the revenue of the org's attribution touchpoints of the types that
// callpoint wrote. An attribution touchpoint names no Task, so it covers all touchpoints
// of these types, whoever wrote them.
type Revenue struct {
	Types  []string     `json:"touchpoint_types"`
	Models []string     `json:"models"` // the org's labels of the fields
	Fields []string     `json:"fields"` // in the order of Models
	Rows   []RevenueRow `json:"rows"`   // by channel
}

// RevenueRow is the revenue of one channel, by model, in the org's currency.
type RevenueRow struct {
	Channel     string             `json:"channel"`
	Touchpoints int                `json:"touchpoints"`
	Revenue     map[string]float64 `json:"revenue"`
}

// An Org answers what AskRevenue asks.
type Org interface {
	Describe(ctx context.Context, object string) (salesforce.Object, error)
	Query(ctx context.Context, soql string, o salesforce.QueryOptions) (salesforce.Page, error)
}

var _ Org = engine.Org(nil)

const revenuePrefix = "bizible2__Revenue_"

// AskRevenue sums revenue by channel for touchpoints of the given types dated in [from,
// to). Two API calls: which models the package has differs by its release, so the
// object is described first.
func AskRevenue(ctx context.Context, org Org, types []string, from, to time.Time) (*Revenue, error) {
	r := &Revenue{Types: types, Models: []string{}, Fields: []string{}, Rows: []RevenueRow{}}
	if len(types) == 0 {
		return r, nil
	}
	o, err := org.Describe(ctx, AttributionObject)
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", AttributionObject, err)
	}
	var sums []string
	var scales []int // digits of each field's amounts
	for _, f := range o.Fields {
		if strings.HasPrefix(f.Name, revenuePrefix) && (f.Type == "currency" || f.Type == "double") {
			r.Fields = append(r.Fields, f.Name)
			scales = append(scales, f.Scale)
			r.Models = append(r.Models, model(f, r.Models))
		}
	}
	if len(r.Fields) == 0 {
		return nil, errors.New(AttributionObject + " has no revenue field that this user may read: grant read access to its fields")
	}
	for i, f := range r.Fields {
		sums = append(sums, fmt.Sprintf("SUM(%s) r%d", f, i))
	}
	quoted := make([]string, len(types))
	for i, t := range types {
		quoted[i] = salesforce.Quote(t)
	}
	page, err := org.Query(ctx, fmt.Sprintf("SELECT bizible2__Marketing_Channel__c, COUNT(Id) n, %s FROM %s WHERE bizible2__Touchpoint_Type__c IN (%s) AND bizible2__Touchpoint_Date__c >= %s AND bizible2__Touchpoint_Date__c < %s GROUP BY bizible2__Marketing_Channel__c",
		strings.Join(sums, ", "), AttributionObject, strings.Join(quoted, ", "), salesforce.DateTime(from), salesforce.DateTime(to)), salesforce.QueryOptions{})
	if err != nil {
		return nil, err
	}
	for _, record := range page.Records {
		row := RevenueRow{Channel: cmp.Or(text(record["bizible2__Marketing_Channel__c"]), "(none)"), Revenue: map[string]float64{}}
		n, err := number(record["n"])
		if err != nil {
			return nil, err
		}
		row.Touchpoints = int(n)
		for i, m := range r.Models {
			sum, err := number(record[fmt.Sprintf("r%d", i)])
			if err != nil {
				return nil, err
			}
			row.Revenue[m] = round(sum, scales[i])
		}
		r.Rows = append(r.Rows, row)
	}
	slices.SortFunc(r.Rows, func(a, b RevenueRow) int {
		return cmp.Or(cmp.Compare(b.Touchpoints, a.Touchpoints), cmp.Compare(a.Channel, b.Channel))
	})
	return r, nil
}

// model returns the org's label of a revenue field without the word that all
// of them begin with, such as Lead Creation or Full Path. Where two fields have
// one label, the second is called by its name.
func model(f salesforce.Field, taken []string) string {
	label := strings.TrimSpace(strings.TrimLeft(strings.TrimPrefix(f.Label, "Revenue"), " -"))
	if label == "" || slices.Contains(taken, label) {
		return f.Name
	}
	return label
}

// round rounds an amount to the digits of its field: a sum of amounts can have more, and a
// binary fraction nearly always has.
func round(amount float64, digits int) float64 {
	text := strconv.FormatFloat(amount, 'f', digits, 64)
	rounded, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return amount
	}
	return rounded
}

// number reads a sum; of no values it is null.
func number(v any) (float64, error) {
	switch n := v.(type) {
	case nil:
		return 0, nil
	case float64:
		return n, nil
	case interface{ Float64() (float64, error) }:
		return n.Float64()
	}
	return 0, fmt.Errorf("revenue: %v is not a number", v)
}
