package orgsim

import "strings"

// deleteMany is DELETE composite/sobjects?ids=a,b&allOrNone=true.
func (o *Org) deleteMany(c *call) (answer, *Error) {
	var rows []*pending
	for id := range strings.SplitSeq(c.query.Get("ids"), ",") {
		if id != "" {
			rows = append(rows, &pending{id: id, err: c.rowError(id)})
		}
	}
	switch {
	case len(rows) == 0:
		return answer{}, refuse(400, "REQUIRED_FIELD_MISSING", "The ids parameter is required")
	case len(rows) > maxRows:
		return answer{}, refuse(400, "EXCEEDED_ID_LIMIT", "record limit reached. cannot submit more than 200 records into this call")
	}
	o.apply(rows, strings.EqualFold(c.query.Get("allOrNone"), "true") || o.tx.allOrNone, o.deleteRow)
	out := make([]object, len(rows))
	for i, p := range rows {
		if p.err != nil {
			out[i] = o.result(p, false)
			continue
		}
		o.stats.Deleted++
		out[i] = object{{"id", p.done.id}, {"success", true}, {"errors", []int{}}}
	}
	return jsonAnswer(200, out), nil
}

func (o *Org) deleteRow(p *pending) (err *Error) {
	full, ok := parseID(p.id)
	if !ok {
		return reject("MALFORMED_ID", "malformed id "+p.id)
	}
	if p.t = o.byPrefix[full[:3]]; p.t == nil || o.visibleTable(p.t.obj.Name) == nil {
		return noSuchID()
	}
	if p.done, err = o.live(p.t, full); err != nil {
		return err
	}
	if p.t.obj.NoDelete {
		return reject("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id")
	}
	if err := o.checkMaster(p.t.obj, api); err != nil {
		return err
	}
	o.delete(p.t, p.done)
	return nil
}
