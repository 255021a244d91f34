package orgsim_test

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"callpoint/sync/orgsim"
)

func (w *world) fault(line string) (remove func()) {
	w.Helper()
	f, err := orgsim.ParseFault(line)
	if err != nil {
		w.Fatal(err)
	}
	return w.org.Fault(f)
}

// step sends one upsert of a new key and names what came of it: the answer as
// the client sees it, and whether the record stands.
func (w *world) step(i int) string {
	w.Helper()
	key := fmt.Sprint("step", i)
	a := w.sendJSON("PATCH", upsertPath, rows(tp, m{extID: key}))
	var got string
	switch {
	case errors.Is(a.err, io.ErrUnexpectedEOF):
		got = "half"
	case a.err != nil:
		got = "cut"
	default:
		got = fmt.Sprint(a.status)
	}
	for _, r := range w.org.Records(tp) {
		if r[extID] == key {
			return got + "+"
		}
	}
	return got
}

func TestFaults(t *testing.T) {
	for _, tc := range []struct{ lines, want string }{
		{"", "200+ 200+ 200+ 200+"},
		{"drop=before", "cut 200+ 200+ 200+"},
		{"op=upsert,nth=3,drop=after", "200+ 200+ cut+ 200+"},
		{"op=write,drop=after,times=2", "cut+ cut+ 200+ 200+"},
		{"op=upsert,truncate,times=all", "half+ half+ half+ half+"},
		{"status=503", "503 200+ 200+ 200+"},
		{"status=503,applied,nth=2", "200+ 503+ 200+ 200+"},
		{"html", "503 200+ 200+ 200+"},
		{"html,status=200", "200 200+ 200+ 200+"},
		{"code=SERVER_UNAVAILABLE,status=503", "503 200+ 200+ 200+"},
		{"code=UNABLE_TO_LOCK_ROW", "400 200+ 200+ 200+"},
		{"object=" + tp + ",drop=before", "cut 200+ 200+ 200+"},
		{"object=" + strings.ToUpper(tp) + ",drop=before", "cut 200+ 200+ 200+"},
		{"object=Task,drop=before", "200+ 200+ 200+ 200+"},
		{"op=composite,drop=before", "200+ 200+ 200+ 200+"},
		{"op=read,drop=before", "200+ 200+ 200+ 200+"},
		{"op=query,drop=before", "200+ 200+ 200+ 200+"},
		{"expire,nth=3", "200+ 200+ 401 401"},
		{"row=X,key=step2", "200+ 200+ 200 200+"},
		{"row=X,every=2,times=all", "200+ 200 200+ 200"},
		{"row=X,times=2", "200 200 200+ 200+"},
		{"delay=1ns,delay-after=1ns", "200+ 200+ 200+ 200+"},
		// Two faults at the same request: the second waits.
		{"drop=before;status=503", "cut 503 200+ 200+"},
		{"status=503,nth=2;drop=after,nth=2", "200+ 503 cut+ 200+"},
	} {
		t.Run(tc.lines, func(t *testing.T) {
			w := newWorld(t, orgsim.Config{})
			for line := range strings.SplitSeq(tc.lines, ";") {
				if line != "" {
					w.fault(line)
				}
			}
			var got []string
			for i := range 4 {
				got = append(got, w.step(i))
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("got %v, want %s", got, tc.want)
			}
		})
	}
}

func TestFaultAnswers(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	get := func() answer { return w.send("GET", data+"/limits", "") }
	w.fault("op=limits,status=503,html,retry-after=7")
	a := get()
	if a.status != 503 || a.header.Get("Content-Type") != "text/html" || a.header.Get("Retry-After") != "7" || !strings.HasPrefix(a.text, "<html>") || a.header.Get("Sforce-Limit-Info") != "" {
		t.Errorf("html: %d %v %s", a.status, a.header, a.text)
	}
	w.fault("op=limits,code=QUERY_TIMEOUT")
	w.refused(get(), 400, "QUERY_TIMEOUT", "Your query request was running for too long.")
	w.fault("op=limits,status=403,code=REQUEST_LIMIT_EXCEEDED,message=ConcurrentRequests (Concurrent API Requests) Limit exceeded., really")
	w.refused(get(), 403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded., really")
	w.fault("op=login,code=invalid_grant,message=user is locked")
	if a := w.login(clientForm()); a.status != 400 || a.text != `{"error":"invalid_grant","error_description":"user is locked"}` {
		t.Errorf("login: %d %s", a.status, a.text)
	}
	w.org.Fault(orgsim.Fault{Status: 420, Body: `{"a":1}`, Header: map[string]string{"X-A": "b"}})
	if a := get(); a.status != 420 || a.header.Get("Content-Type") != "application/json;charset=UTF-8" || a.header.Get("X-A") != "b" {
		t.Errorf("own body: %d %v", a.status, a.header)
	}
	// A header alone leaves the answer as it is.
	w.org.Fault(orgsim.Fault{Header: map[string]string{"Sforce-Limit-Info": "api-usage=1/2; per-app-api-usage=17/250(appName=x)"}})
	if a := get(); a.status != 200 || a.header.Get("Sforce-Limit-Info") != "api-usage=1/2; per-app-api-usage=17/250(appName=x)" {
		t.Errorf("header: %d %v", a.status, a.header)
	}
	if s := w.org.Requests(); s.Faults != 6 || s.APICalls != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestFaultRows(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	w.fault("object=" + tp + ",row=UNABLE_TO_LOCK_ROW,every=2,times=2")
	if got := codes(w.upsert(tp, keys("a", 5)...)); got != "created UNABLE_TO_LOCK_ROW created UNABLE_TO_LOCK_ROW created" {
		t.Errorf("every second: %s", got)
	}
	// In a composite, too; the count goes on: the fifth row was the first of three.
	out := w.composite(false, sub("c", "PATCH", upsertPath, rows(tp, keys("b", 3)...)), sub("d", "PATCH", upsertPath, rows(tp, keys("c", 3)...)))
	if got := codes(out[0].rows(t)) + " | " + codes(out[1].rows(t)); got != "UNABLE_TO_LOCK_ROW created UNABLE_TO_LOCK_ROW | created created created" {
		t.Errorf("composite: %s", got)
	}
	w.fault("row=UNABLE_TO_LOCK_ROW") // the composite around does not count
	out = w.composite(false, sub("c", "PATCH", upsertPath, rows(tp, keys("b", 1)...)))
	if got := codes(out[0].rows(t)); got != "UNABLE_TO_LOCK_ROW" {
		t.Errorf("composite, any object: %s", got)
	}
	w.fault("row=INACTIVE_OWNER_OR_USER,key=C1,message=a, b")
	w.upsert(tp, m{extID: "other"}) // has no such key, does not count
	rs := w.upsert(tp, m{extID: "c0"}, m{extID: "c1"})
	if codes(rs) != "ok INACTIVE_OWNER_OR_USER" || rs[1].Errors[0].Message != "a, b" {
		t.Errorf("by key: %+v", rs)
	}
	id := w.org.Records(tp)[0]["Id"].(string)
	w.fault("op=delete,row=UNABLE_TO_LOCK_ROW")
	if w.into(w.send("DELETE", data+"/composite/sobjects?ids="+id, ""), 200, &rs); codes(rs) != "UNABLE_TO_LOCK_ROW" || rs[0].Errors[0].Message != "unable to obtain exclusive access to this record" {
		t.Errorf("delete: %+v", rs)
	}
	w.fault("op=delete,row=UNABLE_TO_LOCK_ROW,key=" + id)
	w.refused(w.send("DELETE", data+"/sobjects/"+tp+"/"+id, ""), 400, "UNABLE_TO_LOCK_ROW", "exclusive access")
	other := w.org.Records(tp)[1]["Id"].(string)
	w.fault("op=delete,row=UNABLE_TO_LOCK_ROW,key=" + id)
	if w.into(w.send("DELETE", data+"/composite/sobjects?ids="+other+","+id, ""), 200, &rs); codes(rs) != "ok UNABLE_TO_LOCK_ROW" {
		t.Errorf("delete by key: %+v", rs)
	}
	w.fault("row=UNABLE_TO_LOCK_ROW")
	w.refused(w.sendJSON("PATCH", data+"/sobjects/"+tp+"/"+id, m{}), 400, "UNABLE_TO_LOCK_ROW", "exclusive access")
}

// Inside a composite a fault can answer for one subrequest.
func TestFaultSubrequests(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	w.fault("op=upsert,nth=2,status=503,code=SERVER_UNAVAILABLE")
	w.fault("op=upsert,drop=before") // concerns connections; never a subrequest
	out := w.composite(false, sub("a", "PATCH", upsertPath, rows(tp, keys("a", 1)...)), sub("b", "PATCH", upsertPath, rows(tp, keys("b", 1)...)))
	if out[0].HTTPStatusCode != 200 || out[1].HTTPStatusCode != 503 || !strings.Contains(string(out[1].Body), "SERVER_UNAVAILABLE") {
		t.Errorf("%+v", out)
	}
	if n := len(w.org.Records(tp)); n != 1 {
		t.Errorf("%d records", n)
	}
	w.fault("op=upsert,nth=1,status=500,applied")
	out = w.composite(false, sub("c", "PATCH", upsertPath, rows(tp, keys("c", 1)...)))
	if n := len(w.org.Records(tp)); n != 2 || out[0].HTTPStatusCode != 500 || string(out[0].Body) != "null" {
		t.Errorf("applied, then 500: %d records, %+v", n, out)
	}
	if a := w.sendJSON("PATCH", upsertPath, rows(tp, m{extID: "x"})); a.err == nil {
		t.Errorf("not dropped: %d", a.status)
	}
}

// A query over too many rows fails until the client narrows it.
func TestFaultMinRows(t *testing.T) {
	w := newWorld(t, orgsim.Config{})
	fill(w, 20)
	remove := w.fault("op=query,rows=10,code=OPERATION_TOO_LARGE,times=all")
	for range 2 {
		w.refused(w.send("GET", queryURL("SELECT Id FROM Task"), ""), 400, "OPERATION_TOO_LARGE", "")
	}
	if got := w.query("SELECT Id FROM Task WHERE Subject < '00010'").TotalSize; got != 10 {
		t.Errorf("narrowed: %d", got)
	}
	remove()
	if got := w.query("SELECT Id FROM Task").TotalSize; got != 20 {
		t.Errorf("removed: %d", got)
	}
	w.fault("drop=before,times=all")
	w.org.ClearFaults()
	w.query("SELECT Id FROM Task")
	w.org.Fault(orgsim.Fault{Match: func(r orgsim.Request) bool { return strings.Contains(r.SOQL, "FROM Lead") }, Status: 500})
	w.query("SELECT Id FROM Task")
	if a := w.send("GET", queryURL("SELECT Id FROM Lead"), ""); a.status != 500 {
		t.Errorf("matched by function: %d", a.status)
	}
}

// A client that gives up on a slow answer is not waited for.
func TestFaultDelay(t *testing.T) {
	for _, line := range []string{"delay=1h", "delay-after=1h"} {
		w := newWorld(t, orgsim.Config{})
		w.fault(line)
		w.srv.Client().Timeout = 20 * time.Millisecond
		if _, err := w.srv.Client().Get(w.srv.URL + data + "/limits"); err == nil {
			t.Errorf("%s: answered", line)
		}
		w.srv.Close() // waits for the request to end
		wantCalls := 0
		if line == "delay-after=1h" {
			wantCalls = 1 // unauthorized, but worked on
		}
		if s := w.org.Requests(); s.Unauthorized != wantCalls {
			t.Errorf("%s: %+v", line, s)
		}
	}
}

func TestParseFault(t *testing.T) {
	for _, tc := range []struct {
		line string
		want orgsim.Fault
	}{
		{"op=upsert,nth=3,drop=after", orgsim.Fault{Op: "upsert", Nth: 3, Drop: "after"}},
		{" op=read , times=all , delay=1.5s", orgsim.Fault{Op: "read", Times: -1, Delay: 1500 * time.Millisecond}},
		{"object=Task,rows=500,code=QUERY_TIMEOUT,times=4", orgsim.Fault{Object: "Task", MinRows: 500, Code: "QUERY_TIMEOUT", Times: 4}},
		{"status=503,applied,retry-after=30", orgsim.Fault{Status: 503, Applied: true, Header: map[string]string{"Retry-After": "30"}}},
		{"row=X,every=7,key=k,message=a=b, c", orgsim.Fault{RowError: &orgsim.RowError{Code: "X", Every: 7, Key: "k", Message: "a=b, c"}}},
		{"code=C,message=m", orgsim.Fault{Code: "C", Message: "m"}},
		{"truncate,delay-after=1s,expire", orgsim.Fault{Truncate: true, DelayAfter: time.Second, Expire: true}},
		{"status=420", orgsim.Fault{Status: 420}},
	} {
		if got, err := orgsim.ParseFault(tc.line); err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%q: got %+v, %v", tc.line, got, err)
		}
	}
	for line, want := range map[string]string{
		"":                      `fault "" does nothing: give one of drop, delay,`,
		"op=upsert":             "does nothing",
		"op=upserts,drop=after": `op: "upserts" is none of login, `,
		"dorp=after":            `unknown setting "dorp"`,
		"drop=during":           `drop: "during" is neither before nor after`,
		"drop":                  "drop needs a value, as in drop=...",
		"truncate=yes":          "truncate takes no value",
		"drop=after,nth=0":      `nth: "0" is not a number from 1 up`,
		"drop=after,times=many": `times: "many" is not a number from 1 up`,
		"delay=5":               "delay: time: missing unit",
		"status=99":             `status: "99" is no HTTP status`,
		"status=abc":            "status: ",
		"every=2":               "key and every need row=CODE",
		"drop=after,key=k":      "key and every need row=CODE",
		"drop=after,message=x":  "message needs code or row",
		"code=X,html":           "code and html exclude each other",
		"row=X,status=500":      "exclude each other",
		"drop=after,applied":    "applied needs status, code or html",
		"drop=after,rows=5":     "rows needs status, code or html",
		"drop=after,,truncate":  `unknown setting ""`,
	} {
		if _, err := orgsim.ParseFault(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", line, err, want)
		}
	}
}
