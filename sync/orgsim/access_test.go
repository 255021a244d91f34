package orgsim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"callpoint/sync/orgsim"
)

func TestObjectAccess(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	w.upsert(tp, m{extID: "k"})
	id := w.org.Records(tp)[0]["Id"].(string)
	w.org.Schema(tp).Access(func(o *orgsim.Object) { o.NoCreate, o.NoUpdate, o.NoDelete = true, true, true })
	if got := codes(w.upsert(tp, m{extID: "k"}, m{extID: "l"})); got != "INSUFFICIENT_ACCESS_OR_READONLY CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY" {
		t.Errorf("no access: %s", got)
	}
	var rs []result
	if w.into(w.send("DELETE", data+"/composite/sobjects?ids="+id, ""), 200, &rs); codes(rs) != "INSUFFICIENT_ACCESS_OR_READONLY" {
		t.Errorf("delete: %s", codes(rs))
	}
	w.org.Schema(tp).Access(func(o *orgsim.Object) { o.Hidden = true })
	w.refused(w.send("GET", queryURL("SELECT Id FROM "+tp), ""), 400, "INVALID_TYPE", "sObject type '"+tp+"' is not supported")
	w.refused(w.send("GET", data+"/sobjects/"+tp+"/describe", ""), 404, "NOT_FOUND", "The requested resource does not exist")
}

func TestTriggerCPU(t *testing.T) {
	w := newWorld(t, orgsim.Config{TriggerCPUPerRecord: 100 * time.Millisecond})
	some := func(n int) []m {
		out := make([]m, n)
		for i := range out {
			out[i] = m{extID: fmt.Sprint(i)}
		}
		return out
	}
	if rs := w.upsert(tp, some(101)...); rs[0].code() != "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY" || rs[100].code() != rs[0].code() ||
		!strings.Contains(rs[0].Errors[0].Message, "System.LimitException: Apex CPU time limit exceeded") {
		t.Errorf("10.1 s: %+v", rs[0])
	}
	if n := len(w.org.Records(tp)); n != 0 {
		t.Errorf("%d records saved over the limit", n)
	}
	if rs := w.upsert(tp, some(100)...); rs[0].code() != "created" || rs[99].code() != "created" {
		t.Errorf("10 s: %+v", rs[0])
	}
}
