package orgsim

import (
	"fmt"
	"strings"
	"time"
)

const (
	maxRows    = 200
	cpuMessage = "TouchpointTrigger: System.LimitException: Apex CPU time limit exceeded"
)

type collectionBody struct {
	AllOrNone bool             `json:"allOrNone"`
	Records   []map[string]any `json:"records"`
}

// A pending row is a record of a write request on its way in.
type pending struct {
	t       *table
	rec     map[string]any // decoded, by canonical name
	parents []parentRef
	id      string // of an update
	key     string // external id of an upsert, as given
	err     *Error
	done    *row
	created bool
}

// collections is create (POST), update by Id (PATCH), upsert (PATCH with an
// object and its external id field) and delete.
func (o *Org) collections(c *call, object, field string) (answer, *Error) {
	if c.method == "DELETE" && object == "" {
		return o.deleteMany(c)
	}
	if c.method != "PATCH" && (c.method != "POST" || object != "") {
		return answer{}, notAllowed(c.method, "DELETE,PATCH,POST")
	}
	var body collectionBody
	if err := c.readJSON(&body); err != nil {
		return answer{}, err
	}
	if len(body.Records) > maxRows {
		return answer{}, refuse(400, "EXCEEDED_ID_LIMIT", "record limit reached. cannot submit more than 200 records into this call")
	}
	var key *Field
	if object != "" {
		var err *Error
		if key, err = o.upsertKey(object, field); err != nil {
			return answer{}, err
		}
	}
	rows, err := o.prepare(body.Records, object, key, c.method == "PATCH" && key == nil)
	if err != nil {
		return answer{}, err
	}
	for _, p := range rows {
		if p.err == nil {
			p.err = c.rowError(p.key, p.id)
		}
	}
	if key != nil {
		rejectRepeats(rows, key)
	}
	o.spendCPU(rows)
	o.resolveParents(rows)
	o.apply(rows, body.AllOrNone || o.tx.allOrNone, func(p *pending) *Error { return o.save(p, key) })
	return o.results(rows, key != nil), nil
}

// upsertKey finds the field that a URL names as key.
func (o *Org) upsertKey(object, field string) (*Field, *Error) {
	t := o.visibleTable(object)
	if t == nil {
		return nil, notFound()
	}
	f := t.obj.visible(field)
	if f == nil || !f.ExternalID && f.Name != "Id" {
		return nil, refuse(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: "+field)
	}
	return f, nil
}

// prepare decodes the records. Unknown objects, fields and wrong types refuse
// the request as a whole.
func (o *Org) prepare(records []map[string]any, object string, key *Field, update bool) ([]*pending, *Error) {
	rows := make([]*pending, len(records))
	chunks, last := 0, ""
	for i, record := range records {
		attrs, _ := record["attributes"].(map[string]any)
		typ, _ := attrs["type"].(string)
		switch {
		case typ == "":
			return nil, refuse(400, "INVALID_TYPE", "Must specify the type of each record in attributes.type")
		case object != "" && !strings.EqualFold(typ, object):
			return nil, refuse(400, "INVALID_TYPE", fmt.Sprintf("record type %s does not match the type %s of the request", typ, object))
		case !strings.EqualFold(typ, last):
			if chunks, last = chunks+1, typ; chunks > 10 {
				return nil, refuse(400, "LIMIT_EXCEEDED", "Cannot have more than 10 chunks in a single operation. Please rearrange the data to reduce chunking.")
			}
		}
		t := o.visibleTable(typ)
		if t == nil {
			return nil, unsupportedType(typ)
		}
		p, err := o.prepareRow(t, record)
		if err != nil {
			return nil, err
		}
		if err := p.takeKey(key, update); err != nil {
			return nil, err
		}
		rows[i] = p
	}
	return rows, nil
}

// prepareRow splits a record into plain fields, parents by external id and Id.
func (o *Org) prepareRow(t *table, record map[string]any) (*pending, *Error) {
	p := &pending{t: t, rec: map[string]any{}}
	for _, name := range sortedKeys(record) {
		v := record[name]
		if name == "attributes" {
			continue
		}
		f := t.obj.visible(name)
		if f == nil {
			ref := t.obj.relation(name)
			if ref == nil {
				return nil, noSuchColumn(t.obj, name)
			}
			parent, ok := v.(map[string]any)
			if !ok && v != nil {
				return nil, unparsable(&Field{Type: "reference"}, jsonKind(v), fmt.Sprint(v))
			}
			if ok {
				p.parents = append(p.parents, parentRef{ref, parent})
			}
			continue
		}
		if f.Name == "Id" {
			s, ok := v.(string)
			if !ok && v != nil {
				return nil, unparsable(f, jsonKind(v), fmt.Sprint(v))
			}
			p.id = s
			continue
		}
		d, err := decode(f, v)
		if err != nil {
			return nil, err
		}
		p.rec[f.Name] = d
	}
	return p, nil
}

// takeKey sets what identifies the row: the key of an upsert, the Id of an update, nothing for a create.
func (p *pending) takeKey(key *Field, update bool) *Error {
	switch {
	case key == nil && update, key != nil && key.Name == "Id":
		if key != nil {
			p.key = p.id
		} else if p.id == "" {
			p.err = reject("MISSING_ARGUMENT", "Id not specified in an update call")
		}
		return nil
	case p.id != "":
		return refuse(400, "INVALID_FIELD", "The Id field should not be specified in the sobject data.")
	case key != nil:
		if v := p.rec[key.Name]; v != nil {
			p.key = fmt.Sprint(v)
		}
	}
	return nil
}

// rejectRepeats refuses every row whose key another row of the request has.
func rejectRepeats(rows []*pending, key *Field) {
	seen := map[string]int{}
	for _, p := range rows {
		seen[key.key(p.key)]++
	}
	for _, p := range rows {
		if p.key != "" && seen[key.key(p.key)] > 1 && p.err == nil {
			p.err = reject("DUPLICATE_VALUE", "Duplicate external id specified: "+p.key, key.Name)
		}
	}
}

// spendCPU charges the org's automation for the rows that get as far as it. It
// runs over all of them at once, so that one limit fails them all.
func (o *Org) spendCPU(rows []*pending) {
	n := 0
	for _, p := range rows {
		if p.err == nil {
			n++
		}
	}
	o.tx.cpu += time.Duration(n) * o.cfg.TriggerCPUPerRecord
	if o.tx.cpu <= o.cfg.CPULimit {
		return
	}
	for _, p := range rows {
		if p.err == nil {
			p.err = reject("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", cpuMessage)
		}
	}
}

// apply saves the rows that are still good, in order, and takes all back where
// one failed and all-or-none was asked for.
func (o *Org) apply(rows []*pending, allOrNone bool, save func(*pending) *Error) {
	mark := len(o.tx.undo)
	failed := false
	for _, p := range rows {
		if p.err == nil {
			p.err = save(p)
		}
		failed = failed || p.err != nil
	}
	if !failed || !allOrNone {
		return
	}
	o.tx.rollback(mark)
	for _, p := range rows {
		if p.err == nil {
			p.err = reject("ALL_OR_NONE_OPERATION_ROLLED_BACK",
				"Record rolled back because not all records were valid and the request was using AllOrNone header")
		}
	}
}

// save writes one row: by key for an upsert, by Id for an update, else new.
func (o *Org) save(p *pending, key *Field) (err *Error) {
	switch {
	case key != nil && key.Name != "Id":
		if p.key == "" {
			return reject("MISSING_ARGUMENT", key.Name+" not specified")
		}
		found := o.findKey(p.t, key, p.rec[key.Name])
		if len(found) > 1 {
			return ambiguous(key, found)
		}
		if len(found) == 1 {
			delete(p.rec, key.Name) // it matched, perhaps in other case: it stays
			p.done = found[0]
			return o.update(p.t, p.done, p.rec, api)
		}
	case p.id != "":
		if p.done, err = o.byID(p.t, p.id); err != nil {
			return err
		}
		return o.update(p.t, p.done, p.rec, api)
	}
	p.created = true
	p.done, err = o.insert(p.t, p.rec, api)
	return err
}

// byID returns the row that a write names, if it is not deleted.
func (o *Org) byID(t *table, id string) (*row, *Error) {
	full, ok := parseID(id)
	if !ok || t.obj.KeyPrefix != full[:3] {
		return nil, reject("MALFORMED_ID", fmt.Sprintf("%s ID: id value of incorrect type: %s", t.obj.Label, id), "Id")
	}
	return o.live(t, full)
}

func (o *Org) results(rows []*pending, upsert bool) answer {
	out := make([]object, len(rows))
	for i, p := range rows {
		out[i] = o.result(p, upsert)
	}
	return jsonAnswer(200, out)
}

// result is one row of the answer, and its place in the counts.
func (o *Org) result(p *pending, upsert bool) object {
	if p.err != nil {
		o.stats.Failed++
		fields := p.err.Fields
		if fields == nil {
			fields = []string{}
		}
		return object{{"success", false}, {"errors", []object{{{"statusCode", p.err.Code}, {"message", p.err.Message}, {"fields", fields}}}}}
	}
	o.stats.Written++
	if p.created {
		o.stats.Created++
	} else {
		o.stats.Updated++
	}
	ok := object{{"id", p.done.id}, {"success", true}, {"errors", []int{}}}
	if upsert {
		ok = append(ok, member{"created", p.created})
	}
	return ok
}
