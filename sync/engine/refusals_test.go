package engine_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

// people makes calls, each of a visitor and a Lead of its own.
func (r *rig) people(n int) (tasks []string) {
	r.t.Helper()
	r.visit("v", r.clock.now().Add(-3*time.Hour))
	for range n {
		tasks = append(tasks, r.call(fmt.Sprint("own", r.calls), r.lead(fmt.Sprint("Lead ", r.calls))))
	}
	return tasks
}

// refuse has Salesforce refuse the touchpoints of these calls, row by row.
func (r *rig) refuse(code, message string, tasks ...string) {
	for _, task := range tasks {
		r.org.Fault(orgsim.Fault{Op: orgsim.OpUpsert, Object: touchpoint, Times: -1,
			RowError: &orgsim.RowError{Code: code, Message: message, Key: store.CallKey(task)}})
	}
}

// try runs a cycle that may fail.
func (r *rig) try() engine.Summary {
	s, _ := r.engine.Cycle(r.t.Context())
	return s
}

// mustStand checks that the records of these calls are in the org, and that nothing is held
// against them.
func (r *rig) mustStand(tasks ...string) {
	r.t.Helper()
	missing := 0
	for _, task := range tasks {
		if r.record(task) == nil {
			missing++
			continue
		}
		if tp := r.touchpoint(task); tp.Code != "" {
			r.t.Errorf("%s says %s: %s", task, tp.Code, tp.Message)
		}
	}
	if missing > 0 {
		r.t.Errorf("%d of %d records are missing; paused: %+v", missing, len(tasks), r.engine.Last().Paused)
	}
}

func collections(size int) func(*engine.Config, *salesforce.Config) {
	return func(e *engine.Config, _ *salesforce.Config) { e.BatchSize = size }
}

// Every code that a record can be refused with: alone, among good neighbours, and for all
// records that are due. The good ones are written in the same cycle or the next, those that
// come later too, nothing is held against a record that was not sent, and once the refusal is
// over everything is made up for.
func TestEveryRefusal(t *testing.T) {
	t.Parallel()
	// What these say of one row stops the cycle: the neighbours that were not accepted with it
	// follow in the next one.
	codes := append(salesforce.Codes(), "A_CODE_OF_TOMORROW")
	if len(codes) < 60 {
		t.Fatalf("%d codes: %v", len(codes), codes)
	}
	for i, code := range codes {
		if testing.Short() && i%8 != 0 {
			continue
		}
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			for name, tt := range map[string]struct{ bad, good int }{"alone": {1, 0}, "among good ones": {2, 4}, "all": {26, 0}} {
				r := newRig(t, orgsim.Config{}, collections(25))
				bad, good := r.people(tt.bad), r.people(tt.good)
				r.refuse(code, "words", bad...)
				r.try()
				r.try()
				r.mustStand(good...)
				for _, task := range bad {
					if r.record(task) != nil {
						t.Fatalf("%s: %s was written", name, task)
					}
				}
				later := r.people(2)
				r.clock.advance(time.Minute)
				r.try()
				r.try()
				r.mustStand(later...)
				r.org.ClearFaults()
				if _, err := r.engine.RetryParked(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
				r.cycle()
				if b := r.backlog(); b.Due+b.Parked > 0 || len(r.engine.Last().Paused) > 0 {
					t.Errorf("%s: after the cure %+v, paused %+v", name, b, r.engine.Last().Paused)
				}
				r.agree()
			}
		})
	}
}

// A few refused records, however alike, keep nobody back: not those in other requests, not
// those that come later.
func TestRefusedRecordsKeepNobodyBack(t *testing.T) {
	t.Parallel()
	for code, message := range map[string]string{
		"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": "touchTrigger: execution of BeforeInsert caused by: System.NullPointerException",
		"INSUFFICIENT_ACCESS_OR_READONLY":      "insufficient access rights on object id",
		"INVALID_FIELD_FOR_INSERT_UPDATE":      "Unable to create/update fields: bizible2__Medium__c",
		"FIELD_CUSTOM_VALIDATION_EXCEPTION":    "no",
		"STORAGE_LIMIT_EXCEEDED":               "storage limit exceeded",
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			for _, n := range []int{2, 25, 60} { // more than requests of 25 records hold, too
				r := newRig(t, orgsim.Config{}, collections(5))
				bad := r.people(n)
				good := r.people(40)
				r.refuse(code, message, bad...)
				sent := r.org.Requests().APICalls
				r.try()
				r.mustStand(good...)
				if p := r.engine.Last().Paused; len(p) > 0 {
					t.Errorf("%d refused: paused %+v", n, p)
				}
				if calls := r.org.Requests().APICalls - sent; calls > 30 {
					t.Errorf("%d refused: %d API calls for %d records", n, calls, n+40)
				}
				if code != "STORAGE_LIMIT_EXCEEDED" {
					if b := r.backlog(); b.Parked != n {
						t.Errorf("%d refused: %+v", n, b)
					}
				}
				late := r.people(2)
				r.clock.advance(time.Minute)
				r.try()
				r.mustStand(late...)
			}
		})
	}
}

// Two persons that are refused, each with all of their calls.
func TestRefusedPersonsKeepNobodyBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{}, collections(5))
	whos := []string{r.lead("A"), r.lead("B")}
	bad := r.seen(12, func(i int) string { return whos[i%2] })
	good := r.people(30)
	for _, who := range whos {
		r.org.Fault(orgsim.Fault{Op: orgsim.OpUpsert, Object: person, Times: -1,
			RowError: &orgsim.RowError{Code: "INSUFFICIENT_ACCESS_OR_READONLY", Key: store.CallKey(who)}})
	}
	r.try()
	r.mustStand(good...)
	if b := r.backlog(); b.Parked != len(bad) || len(r.engine.Last().Paused) > 0 {
		t.Errorf("%+v, paused %+v", b, r.engine.Last().Paused)
	}
}

// Two calls that are refused a day apart are two parked calls.
func TestRefusalsADayApart(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{})
	for range 3 {
		bad := r.people(1)
		r.refuse("INSUFFICIENT_ACCESS_OR_READONLY", "no", bad...)
		r.cycle()
		if len(r.engine.Last().Paused) > 0 {
			t.Fatalf("paused %+v", r.engine.Last().Paused)
		}
		r.clock.advance(24*time.Hour + time.Minute)
		r.reopen()
	}
	good := r.people(1)
	r.cycle()
	r.mustStand(good...)
}

// An object that takes no record at all is paused after a few of them, and nothing is held
// against those that were not sent. The first that is accepted ends the pause for all.
func TestClosedObjectBlamesNobodyUntouched(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{}, collections(5))
	r.refuseAll("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id")
	tasks := r.people(300)
	failed := r.org.Requests().Failed
	var paused *engine.PausedError
	if err := r.fails(); !errors.As(err, &paused) {
		t.Fatalf("err = %v", err)
	}
	touched := 0
	for _, task := range tasks {
		if r.touchpoint(task).Code != "" {
			touched++
		}
	}
	if sent := r.org.Requests().Failed - failed; touched > sent || sent > 100 {
		t.Errorf("%d of 300 records say that they were refused, %d were", touched, sent)
	}
	// A probe is a record that was never refused, one at a time.
	r.clock.advance(16 * time.Minute)
	failed = r.org.Requests().Failed
	r.fails()
	if sent := r.org.Requests().Failed - failed; sent != 10 {
		t.Errorf("%d records tried, want 10 in one request", sent)
	}
	r.org.ClearFaults()
	r.clock.advance(time.Hour)
	if s := r.cycle(); s.Parked != 0 || r.backlog().Due != 0 {
		t.Errorf("%+v, %+v", s, r.backlog())
	}
	r.mustStand(tasks...)
	r.agree()
}

func (r *rig) refuseAll(code, message string) {
	r.org.Fault(orgsim.Fault{Op: orgsim.OpUpsert, Object: touchpoint, Times: -1, RowError: &orgsim.RowError{Code: code, Message: message}})
}

// A request that fails whole for one of its records is halved until that record is alone. It
// counts its attempts and is parked in the end; the others are written at once.
func TestPoisonousRecordIsFound(t *testing.T) {
	t.Parallel()
	quick := []string{"500", "400 HTML", "lacks rows", "503 every time"}
	for name, fault := range map[string]orgsim.Fault{
		"500":              {Status: 500, Code: "UNKNOWN_EXCEPTION"},
		"500, applied":     {Status: 500, Code: "UNKNOWN_EXCEPTION", Applied: true},
		"unknown 400":      {Status: 400, Code: "A_CODE_OF_TOMORROW"},
		"known 400":        {Status: 400, Code: "INVALID_FIELD", Message: "No such column 'X__c' on sobject of type Y"},
		"400 HTML":         {Status: 400, Body: "<html>bad request</html>"},
		"403 HTML":         {Status: 403, Body: "<html>firewall</html>"},
		"413":              {Status: 413, Body: "<html>too large</html>"},
		"200 HTML":         {Status: 200, Body: "<html>oops</html>"},
		"lacks rows":       {Status: 200, Body: "[]"},
		"no JSON array":    {Status: 200, Body: `{"a":1}`},
		"503 every time":   {Status: 503, Code: "SERVER_UNAVAILABLE"},
		"cut every time":   {Drop: orgsim.DropBefore},
		"half every time":  {Truncate: true},
		"502 without text": {Status: 502},
	} {
		if testing.Short() && !slices.Contains(quick, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, orgsim.Config{}, collections(25), func(_ *engine.Config, s *salesforce.Config) { s.Retries = -1 })
			tasks := r.people(160)
			bad := tasks[63]
			fault.Op, fault.Times = orgsim.OpWrite, -1
			fault.Match = func(q orgsim.Request) bool { return !q.Sub && strings.Contains(string(q.Body), store.CallKey(bad)) }
			r.org.Fault(fault)
			good := slices.DeleteFunc(slices.Clone(tasks), func(task string) bool { return task == bad })
			cycles, calls := 1, r.org.Requests().APICalls
			for r.try(); r.record(good[len(good)-1]) == nil || r.record(good[0]) == nil; cycles++ {
				r.clock.advance(time.Minute)
				if r.try(); cycles > 6 {
					break
				}
			}
			if calls = r.org.Requests().APICalls - calls; calls > 100 {
				t.Errorf("%d API calls to find one of 160 records", calls)
			}
			if passes := fault.Status >= 502 || fault.Drop != "" || fault.Truncate; !passes && cycles > 1 {
				t.Errorf("the good records needed %d cycles", cycles)
			}
			r.mustStand(good...)
			for range 24 { // days
				r.clock.advance(2 * time.Hour)
				r.try()
			}
			if b := r.backlog(); b.Parked != 1 || r.touchpoint(bad).State != store.Parked {
				t.Errorf("in the end %+v, %+v", b, r.touchpoint(bad))
			}
			late := r.people(1)
			r.clock.advance(time.Minute)
			r.try()
			r.mustStand(late...)
			r.org.ClearFaults()
			if _, err := r.engine.RetryParked(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			r.cycle()
			r.mustStand(bad)
			r.agree()
		})
	}
}

// A slow org goes on with a request after the client has given up. The same records do not
// go again before it must have ended, others do, in smaller requests, and in the end requests
// grow again.
func TestSlowOrgIsNotSentTheSameAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{}, collections(50), func(_ *engine.Config, s *salesforce.Config) {
		s.RequestTimeout = 500 * time.Millisecond
	})
	tasks := r.people(400)
	more := 0 // requests with more than 100 records are too slow
	r.org.Fault(orgsim.Fault{Op: orgsim.OpWrite, Times: -1, DelayAfter: time.Minute,
		Match: func(q orgsim.Request) bool {
			big := !q.Sub && strings.Count(string(q.Body), `"callpoint_00T`) > 100
			if big {
				more++
			}
			return big
		}})
	before := r.org.Requests().Written
	if err := r.fails(); salesforce.Classify(err) != salesforce.Split {
		t.Fatalf("err = %v", err)
	}
	for range 9 {
		r.clock.advance(time.Minute)
		r.try()
	}
	sent := r.org.Requests().Written - before
	if most := 2 * len(tasks); sent > most { // persons and touchpoints
		t.Errorf("%d records written within ten minutes: some were sent twice", sent)
	}
	for range 6 {
		r.clock.advance(11 * time.Minute)
		r.try()
	}
	r.cycle()
	r.mustStand(tasks...)
	if more > 4 {
		t.Errorf("%d requests of a size that the org does not answer in time", more)
	}
	if b := r.backlog(); b.Due+b.Parked > 0 {
		t.Errorf("%+v", b)
	}
	if r.org.ClearFaults(); !strings.Contains(r.log.String(), "request size halved") {
		t.Error("nothing was halved")
	}
	r.agree()
}

// What a query fails for does not hold up what is due.
func TestReadsThatFailHoldUpNoWrites(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]orgsim.Fault{
		"503":       {Status: http.StatusServiceUnavailable, Code: "SERVER_UNAVAILABLE"},
		"timeout":   {Status: http.StatusBadRequest, Code: "QUERY_TIMEOUT"},
		"malformed": {Status: http.StatusBadRequest, Code: "MALFORMED_QUERY"},
		"403 HTML":  {Status: http.StatusForbidden, Body: "<html>no</html>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, orgsim.Config{})
			tasks := r.people(3)
			r.refuse("UNABLE_TO_LOCK_ROW", "", tasks...)
			r.cycle()
			r.org.ClearFaults()
			fault.Op, fault.Times = orgsim.OpQuery, -1
			fault.Match = func(q orgsim.Request) bool { return strings.Contains(q.SOQL, "FROM Task") }
			r.org.Fault(fault)
			r.clock.advance(5 * time.Minute)
			r.fails()
			for _, task := range tasks {
				if r.record(task) == nil {
					t.Errorf("%s was not written", task)
				}
			}
		})
	}
}
