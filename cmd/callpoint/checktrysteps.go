package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"callpoint/sync/salesforce"
)

// packageLengths are the fields of the package that hold less than one would expect.
var packageLengths = map[string]int{"Landing_Page_Raw": 255, "Referrer_Page_Raw": 255, "Form_URL_Raw": 255, "Marketing_Channel": 60, "Touchpoint_Source": 60,
	"Browser": 60, "Platform": 60, "Ad_Id": 60, "Ad_Group_Id": 60, "Ad_Campaign_Id": 60, "Keyword_MatchType": 15, "Ad_Content": 2048}

// shape compares what describe returns with the rows that public metadata confirms.
func (t *trial) shape(ctx context.Context) error {
	objects := map[string]salesforce.Object{}
	for _, name := range []string{t.cfg.TouchpointObject, personObject, attributionObject} {
		o, err := t.describe(ctx, name)
		if err != nil && salesforce.Classify(err) == salesforce.StopCalls {
			return err
		}
		objects[name] = o
	}
	point, person, attribution := objects[t.cfg.TouchpointObject], objects[personObject], objects[attributionObject]
	var keys, lengths, links, revenue []string
	for _, o := range []salesforce.Object{point, person, attribution} {
		if f, _ := o.Field(personKey); !f.ExternalID || !f.Unique || !f.CaseSensitive || f.Length != 255 {
			keys = append(keys, fmt.Sprintf("%s: External ID %v, unique %v, case-sensitive %v, length %d", cmp.Or(o.Name, "an object that is hidden"), f.ExternalID, f.Unique, f.CaseSensitive, f.Length))
		}
	}
	t.compared(1, keys)
	var master []string
	if f, ok := point.Field(personField); !ok || !f.Createable || f.Updateable || f.Nillable {
		master = append(master, fmt.Sprintf("visible %v, createable %v, updateable %v, nillable %v", ok, f.Createable, f.Updateable, f.Nillable))
	}
	t.compared(2, master)
	for _, name := range sortedKeys(packageLengths) {
		if f, ok := point.Field("bizible2__" + name + "__c"); ok && f.Length != packageLengths[name] {
			lengths = append(lengths, fmt.Sprintf("%s %d", f.Name, f.Length))
		}
	}
	t.compared(3, lengths)
	for field, o := range map[string]salesforce.Object{"Contact": point, "Case": point, "Account": point, "Lead": person} {
		if _, ok := o.Field("bizible2__" + field + "__c"); !ok {
			links = append(links, o.Name+" shows no "+field)
		}
	}
	t.compared(4, links)
	for _, name := range attributionFields {
		if f, ok := attribution.Field("bizible2__" + name + "__c"); strings.HasPrefix(name, "Revenue_") && (!ok || !f.Calculated) {
			revenue = append(revenue, fmt.Sprintf("%s: visible %v, computed %v", name, ok, f.Calculated))
		}
	}
	t.compared(5, revenue)
	return nil
}

// compared answers a row with what differs from it.
func (t *trial) compared(row int, differs []string) {
	if len(differs) == 0 {
		t.answer(row, "confirmed; so here")
		return
	}
	slices.Sort(differs)
	t.answer(row, "confirmed; otherwise here: %s", strings.Join(differs, ", "))
}

// points makes a batch of touchpoints.
func (t *trial) points(rows ...map[string]any) salesforce.Batch {
	b := salesforce.Batch{Object: t.cfg.TouchpointObject, ExternalID: t.cfg.ExternalIDField}
	for _, r := range rows {
		b.Records = append(b.Records, salesforce.Row{Fields: r})
	}
	return b
}

// point makes a touchpoint whose key ends with a suffix; person is the number of
// the person to link by external id, or -1 for none.
func (t *trial) pointRow(suffix string, person int) map[string]any {
	r := map[string]any{t.cfg.ExternalIDField: t.mark + suffix, typeField: "Call"}
	if person >= 0 {
		r["bizible2__Bizible_Person__r"] = map[string]any{personKey: t.personKey(person)}
	}
	return r
}

func (t *trial) personKey(n int) string { return fmt.Sprintf("%s-person-%d", t.mark, n) }

// create makes a Lead, a Task, two persons and a touchpoint of the first.
func (t *trial) create(ctx context.Context) error {
	t.wait("create a Lead and a Task")
	lead, err := t.client.Create(ctx, "Lead", []map[string]any{{"LastName": t.mark, "Company": t.mark}})
	if err != nil && salesforce.Classify(err) == salesforce.StopCalls {
		return err
	}
	t.note("Lead", lead[0].Err)
	t.lead = lead[0].ID
	task := map[string]any{"Subject": t.mark}
	if t.lead != "" {
		task["WhoId"] = t.lead
	}
	tasks, err := t.client.Create(ctx, "Task", []map[string]any{task})
	if err != nil && salesforce.Classify(err) == salesforce.StopCalls {
		return err
	}
	t.note("Task", tasks[0].Err)
	t.task = tasks[0].ID
	t.visible(ctx)
	person := salesforce.Batch{Object: personObject, ExternalID: personKey}
	for n := range t.persons {
		row := map[string]any{personKey: t.personKey(n)}
		if t.lead != "" && n == 0 {
			row[leadField] = t.lead
		}
		person.Records = append(person.Records, salesforce.Row{Fields: row})
	}
	results, err := t.upsert(ctx, "create a person and a touchpoint", person, t.points(t.pointRow("-a", 0)))
	if err != nil {
		return err
	}
	for n := range t.persons {
		t.persons[n] = results[0][n].ID
	}
	t.note("person", results[0][0].Err)
	if e := results[1][0].Err; e != nil {
		t.note("touchpoint", e)
		t.answer(rowTogether, "no: %s", refusal(e))
		return nil
	}
	t.point = results[1][0].ID
	t.answer(rowTogether, "yes")
	t.names(ctx)
	return nil
}

// note records why a record that later steps need could not be created.
func (t *trial) note(what string, e *salesforce.Error) {
	if e != nil {
		t.notes = append(t.notes, fmt.Sprintf("The %s was refused: %s. callpoint check --try-write --permission-set prints the permissions that are needed.", what, refusal(e)))
	}
}

// visible answers whether a query finds what was created.
func (t *trial) visible(ctx context.Context) {
	if t.task == "" {
		return
	}
	page, err := t.query(ctx, "SELECT Id FROM Task WHERE Id = "+salesforce.Quote(t.task))
	switch {
	case err != nil:
		t.answer(rowVisible, "not answered: %v", err)
	case len(page.Records) == 1:
		t.answer(rowVisible, "yes")
	default:
		t.answer(rowVisible, "no: the query right after did not find the Task")
	}
}

// names answers what the Name of a record is that was created without.
func (t *trial) names(ctx context.Context) {
	page, err := t.query(ctx, fmt.Sprintf("SELECT Name FROM %s WHERE Id = %s", t.cfg.TouchpointObject, salesforce.Quote(t.point)))
	switch {
	case err != nil || len(page.Records) != 1:
		t.answer(rowName, "not answered: %d records, %v", len(page.Records), err)
	case page.Records[0]["Name"] == t.point:
		t.answer(rowName, "yes")
	default:
		t.answer(rowName, "no: a Name like %q", strings.ReplaceAll(fmt.Sprint(page.Records[0]["Name"]), t.point, "(record id)"))
	}
}

// without creates a touchpoint without a person.
func (t *trial) without(ctx context.Context) error {
	results, err := t.upsert(ctx, "create a touchpoint without a person", t.points(t.pointRow("-b", -1)))
	if err != nil {
		return err
	}
	t.refused(rowNoPerson, results[0][0].Err, "REQUIRED_FIELD_MISSING")
	return nil
}

// refused answers a row which expects a refusal by a certain code.
func (t *trial) refused(row int, e *salesforce.Error, code string) {
	switch {
	case e == nil:
		t.answer(row, "no: it is accepted")
	case e.Code == code:
		t.answer(row, "yes: %s", refusal(e))
	default:
		t.answer(row, "refused otherwise: %s", refusal(e))
	}
}

// update changes the touchpoint without, with the same and with another person.
func (t *trial) update(ctx context.Context) error {
	if t.point == "" || t.persons[1] == "" {
		return nil
	}
	change := func(row int, what string, fields map[string]any) (*salesforce.Error, error) {
		t.wait(what)
		fields["Id"], fields["bizible2__Medium__c"] = t.point, fmt.Sprint("try ", row)
		results, err := t.client.Update(ctx, t.cfg.TouchpointObject, []map[string]any{fields})
		if err != nil && salesforce.Classify(err) == salesforce.StopCalls {
			return nil, err
		}
		return results[0].Err, nil
	}
	e, err := change(rowWithout, "update a touchpoint", map[string]any{})
	if err != nil {
		return err
	}
	if t.answer(rowWithout, "yes"); e != nil {
		t.answer(rowWithout, "no: %s", refusal(e))
	}
	if e, err = change(rowEqual, "update with the same person", map[string]any{personField: t.persons[0]}); err != nil {
		return err
	}
	t.equal(rowEqual, e)
	results, err := t.upsert(ctx, "upsert with the same person", t.points(t.pointRow("-a", 0)))
	if err != nil {
		return err
	}
	t.equal(rowEqualKey, results[0][0].Err)
	if e, err = change(rowOther, "update with another person", map[string]any{personField: t.persons[1]}); err != nil {
		return err
	}
	t.refused(rowOther, e, "INVALID_FIELD_FOR_INSERT_UPDATE")
	return nil
}

func (t *trial) equal(row int, e *salesforce.Error) {
	if e == nil {
		t.answer(row, "it passes")
		return
	}
	t.answer(row, "refused: %s", refusal(e))
}

// otherCase upserts under a key that differs from an existing one by case alone.
func (t *trial) otherCase(ctx context.Context) error {
	if t.point == "" {
		return nil
	}
	results, err := t.upsert(ctx, "upsert under the key in another case", t.points(t.pointRow("-A", 0)))
	if err != nil {
		return err
	}
	switch r := results[0][0]; {
	case r.Err == nil && r.ID != t.point:
		t.answer(rowCase, "yes")
	case r.Err == nil:
		t.answer(rowCase, "no: it updates the record")
	case r.Err.Code == "INVALID_FIELD_FOR_INSERT_UPDATE": // an update that carries the person
		t.answer(rowCase, "no: it finds the record, %s", refusal(r.Err))
	default:
		t.answer(rowCase, "refused: %s", refusal(r.Err))
	}
	return nil
}

// five sends five collections in one request.
func (t *trial) five(ctx context.Context) error {
	if t.persons[0] == "" {
		return nil
	}
	const each = 10
	var batches []salesforce.Batch
	for n := range 5 {
		var rows []map[string]any
		for i := range each {
			rows = append(rows, t.pointRow(fmt.Sprintf("-five-%d-%d", n, i), 0))
		}
		batches = append(batches, t.points(rows...))
	}
	before := t.client.Usage()
	results, err := t.upsert(ctx, "create five collections in one request", batches...)
	if err != nil {
		return err
	}
	written, why := 0, ""
	for _, rs := range results {
		for _, r := range rs {
			if r.Err == nil {
				written++
			} else {
				why = refusal(r.Err)
			}
		}
	}
	after := t.client.Usage()
	switch {
	case written < 5*each:
		t.answer(rowFive, "no: %d of %d records were written; %s", written, 5*each, why)
	case before.Max == 0 || after.Max == 0:
		t.answer(rowFive, "%d records in five collections; the org does not count API calls", written)
	default:
		t.answer(rowFive, "yes: %d records in five collections; the org counted %d API calls", written, after.Used-before.Used)
	}
	return nil
}

// move gives the touchpoint to the other person: its deletion and its creation
// under the same key in one all-or-none request.
func (t *trial) move(ctx context.Context) error {
	if t.point == "" || t.persons[1] == "" {
		return nil
	}
	t.wait("move the touchpoint to another person")
	deleted, created, err := t.client.Replace(ctx, []string{t.point}, t.points(t.pointRow("-a", 1)))
	if err != nil && salesforce.Classify(err) == salesforce.StopCalls {
		return err
	}
	if created[0].Err == nil && deleted[0].Err == nil {
		t.answer(rowMove, "yes")
		t.point = created[0].ID
		return nil
	}
	left, err := t.left(ctx, "-a")
	t.answer(rowMove, "no: delete %q, create %q; %s", refusal(deleted[0].Err), refusal(created[0].Err), describeLeft(left, err))
	if len(left) == 1 {
		t.point = left[0]
	}
	return nil
}

// rollback makes the create of such a request fail.
func (t *trial) rollback(ctx context.Context) error {
	if t.point == "" {
		return nil
	}
	t.wait("move the touchpoint to nobody")
	row := t.pointRow("-a", -1)
	row["bizible2__Bizible_Person__r"] = map[string]any{personKey: t.mark + "-nobody"}
	_, created, err := t.client.Replace(ctx, []string{t.point}, t.points(row))
	if err != nil && salesforce.Classify(err) == salesforce.StopCalls {
		return err
	}
	left, err := t.left(ctx, "-a")
	switch {
	case created[0].Err == nil:
		t.answer(rowRollback, "not answered: the create was accepted")
	case err == nil && len(left) == 1 && left[0] == t.point:
		t.answer(rowRollback, "yes")
	default:
		t.answer(rowRollback, "no: %s", describeLeft(left, err))
	}
	return nil
}

// left returns the ids of the touchpoints under a key.
func (t *trial) left(ctx context.Context, suffix string) ([]string, error) {
	page, err := t.query(ctx, fmt.Sprintf("SELECT Id FROM %s WHERE %s = %s", t.cfg.TouchpointObject, t.cfg.ExternalIDField, salesforce.Quote(t.mark+suffix)))
	return idsOf(page), err
}

func idsOf(page salesforce.Page) (ids []string) {
	for _, r := range page.Records {
		if id, _ := r["Id"].(string); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

func describeLeft(ids []string, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d records have the key", len(ids))
}

// cascade deletes the persons and looks for their touchpoints.
func (t *trial) cascade(ctx context.Context) error {
	if t.point == "" {
		return nil
	}
	t.wait("delete the persons")
	results, err := t.client.Delete(ctx, t.persons[:])
	if err != nil && salesforce.Classify(err) == salesforce.StopCalls {
		return err
	}
	for _, r := range results {
		if r.Err != nil {
			t.answer(rowCascade, "not answered: %s", refusal(r.Err))
			return nil
		}
	}
	switch left, err := t.left(ctx, "-a"); {
	case err != nil:
		t.answer(rowCascade, "not answered: %v", err)
	case len(left) == 0:
		t.answer(rowCascade, "yes")
	default:
		t.answer(rowCascade, "no: %s", describeLeft(left, nil))
	}
	return nil
}
