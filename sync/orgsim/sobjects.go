package orgsim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// sobjects routes sobjects, sobjects/X, sobjects/X/describe, sobjects/X/<id>
// and sobjects/X/<field>/<value>.
func (o *Org) sobjects(c *call) (answer, *Error) {
	path := c.rest[1:]
	if len(path) == 0 {
		if c.method != "GET" {
			return answer{}, notAllowed(c.method, "GET,HEAD")
		}
		return o.globalDescribe(c), nil
	}
	t := o.visibleTable(path[0])
	if t == nil {
		return answer{}, notFound()
	}
	switch {
	case len(path) == 1 && c.method == "POST":
		return o.create(c, t)
	case len(path) == 1 && c.method == "GET":
		return jsonAnswer(200, object{{"objectDescribe", o.summary(c, t.obj)}, {"recentItems", []int{}}}), nil
	case len(path) == 1:
		return answer{}, notAllowed(c.method, "GET,HEAD,POST")
	case path[1] == "describe" && len(path) == 2:
		if c.method != "GET" {
			return answer{}, notAllowed(c.method, "GET,HEAD")
		}
		return o.describe(c, t.obj), nil
	case len(path) > 3:
		return answer{}, notFound()
	case len(path) == 3 && c.method == "PATCH":
		return o.upsertOne(c, t, path[1], path[2])
	}
	if c.method != "GET" && c.method != "PATCH" && c.method != "DELETE" {
		return answer{}, notAllowed(c.method, "DELETE,GET,HEAD,PATCH")
	}
	r, err := o.locate(t, path[1:])
	if err != nil {
		return answer{}, err
	}
	switch c.method {
	case "GET":
		return o.getOne(c, t, r)
	case "DELETE":
		err := c.rowError(r.id)
		if err == nil {
			err = o.deleteRow(&pending{id: r.id})
		}
		if err != nil {
			return answer{}, err
		}
		o.stats.Deleted++
		return answer{status: http.StatusNoContent}, nil
	}
	p, err := o.bodyRow(c, t, "")
	if err != nil {
		return answer{}, err
	}
	p.id = r.id
	return o.saveOne(p, nil, http.StatusNoContent)
}

// locate returns a record that is not deleted, by Id or by an external id field and value.
func (o *Org) locate(t *table, path []string) (*row, *Error) {
	if len(path) == 1 {
		id, ok := parseID(path[0])
		if r := t.rows[id]; ok && r != nil && o.view(r) != nil {
			if r.fields["IsDeleted"] == true {
				return nil, refuse(404, "ENTITY_IS_DELETED", "entity is deleted")
			}
			return r, nil
		}
		return nil, refuse(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: "+path[0])
	}
	f, err := o.upsertKey(t.obj.Name, path[0])
	if err != nil {
		return nil, err
	}
	v, err := decode(f, path[1])
	if err != nil {
		return nil, err
	}
	switch found := o.findKey(t, f, v); len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, notFound()
	default:
		return nil, ambiguous(f, found)
	}
}

func (o *Org) getOne(c *call, t *table, r *row) (answer, *Error) {
	rec := o.view(r)
	out := object{attributes(c, t.obj.Name, t.obj, rec)}
	var wanted []string
	if c.query.Get("fields") != "" {
		wanted = strings.Split(c.query.Get("fields"), ",")
	}
	for _, name := range wanted {
		if t.obj.visible(strings.TrimSpace(name)) == nil {
			return answer{}, noSuchColumn(t.obj, name)
		}
	}
	for _, f := range t.obj.fields {
		named := wanted == nil || slices.ContainsFunc(wanted, func(n string) bool { return strings.EqualFold(strings.TrimSpace(n), f.Name) })
		if !f.Hidden && (named || f.Name == "Id") {
			out = append(out, member{f.Name, encode(f, o.value(f, rec))})
		}
	}
	return jsonAnswer(200, out), nil
}

// bodyRow reads the one record of a request. keyName may not be in it.
func (o *Org) bodyRow(c *call, t *table, keyName string) (*pending, *Error) {
	var record map[string]any
	if err := c.readJSON(&record); err != nil {
		return nil, err
	}
	for name := range record {
		if strings.EqualFold(name, "Id") || keyName != "" && strings.EqualFold(name, keyName) {
			return nil, refuse(400, "INVALID_FIELD", fmt.Sprintf("The %s field should not be specified in the sobject data.", name))
		}
	}
	p, err := o.prepareRow(t, record)
	if err == nil {
		p.err = c.rowError(p.id)
	}
	return p, err
}

// saveOne runs one record through the same steps as a collection.
func (o *Org) saveOne(p *pending, key *Field, emptyStatus int) (answer, *Error) {
	rows := []*pending{p}
	o.spendCPU(rows)
	o.resolveParents(rows)
	o.apply(rows, true, func(p *pending) *Error { return o.save(p, key) })
	result := o.result(p, key != nil)
	switch {
	case p.err != nil:
		return answer{}, p.err
	case p.created:
		return jsonAnswer(http.StatusCreated, result), nil
	case emptyStatus != 0:
		return answer{status: emptyStatus}, nil
	}
	return jsonAnswer(200, result), nil
}

func (o *Org) create(c *call, t *table) (answer, *Error) {
	p, err := o.bodyRow(c, t, "")
	if err != nil {
		return answer{}, err
	}
	return o.saveOne(p, nil, 0)
}

func (o *Org) upsertOne(c *call, t *table, field, value string) (answer, *Error) {
	key, err := o.upsertKey(t.obj.Name, field)
	if err != nil {
		return answer{}, err
	}
	p, err := o.bodyRow(c, t, key.Name)
	if err != nil {
		return answer{}, err
	}
	v, err := decode(key, value)
	if err != nil {
		return answer{}, err
	}
	p.key = value
	if key.Name == "Id" {
		p.id = value
	} else {
		p.rec[key.Name] = v
	}
	if p.err == nil {
		p.err = c.rowError(value)
	}
	return o.saveOne(p, key, 0)
}
