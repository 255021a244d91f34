package engine_test

import (
	"fmt"
	"testing"
	"time"

	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"

	"github.com/google/go-cmp/cmp"
)

// faults are what can become of any request. Without retries of the client, each of them
// reaches the engine.
var faults = map[string]orgsim.Fault{
	"lost":               {Drop: orgsim.DropBefore},
	"applied, no answer": {Drop: orgsim.DropAfter},
	"applied but error":  {Status: 500, Code: "UNKNOWN_EXCEPTION", Applied: true},
	"applied but 503":    {Status: 503, Body: "<html>down</html>", Applied: true},
	"slow":               {DelayAfter: time.Minute},
	"429":                {Status: 429, Body: "[]", Header: map[string]string{"Retry-After": "1"}},
	"503":                {Status: 503, Code: "SERVER_UNAVAILABLE", Header: map[string]string{"Retry-After": "7200"}},
	"HTML":               {Status: 200, Body: "<html>maintenance</html>"},
	"truncated":          {Truncate: true},
	"token expired":      {Expire: true},
}

// life is a story in two parts in which callpoint makes every kind of request: pages of
// Tasks, persons looked up, taken over after a lead conversion and created, touchpoints
// written and deleted, a Task that leaves the filter.
type life struct {
	*rig
	deleted, cleared, who string
}

func newLife(t *testing.T) *life {
	l := &life{rig: newRig(t, orgsim.Config{PageSize: 10}, func(e *engine.Config, s *salesforce.Config) {
		e.Settings.RetractDelete = true
		s.Retries = -1
		s.RequestTimeout = 300 * time.Millisecond
	})}
	for i := range 5 {
		l.visit(fmt.Sprint("v", i), l.clock.now().Add(-70*time.Minute))
	}
	contact := l.insert("Contact", map[string]any{"LastName": "Converted"})
	lead := l.lead("Converted")
	l.insert(person, map[string]any{"bizible2__Lead__c": lead, uniqueID: "mm-1"})
	if err := l.org.Update("Lead", lead, map[string]any{"IsConverted": true, "ConvertedContactId": contact}); err != nil {
		t.Fatal(err)
	}
	whos := []string{l.lead("A"), l.lead("B"), l.insert("Contact", map[string]any{"LastName": "C"}), contact, ""}
	for i := range 25 {
		l.call(fmt.Sprint("v", i%5), whos[i%5])
	}
	l.deleted, l.who = l.call("v0", whos[0]), whos[0]
	l.cleared = l.call("v9", whos[1], map[string]any{"TaskSubtype": "Task"})
	return l
}

// change is the second part.
func (l *life) change() {
	l.t.Helper()
	l.clock.set(time.Hour)
	if err := l.org.Delete("Task", l.deleted); err != nil {
		l.t.Fatal(err)
	}
	if err := l.org.Update("Task", l.cleared, map[string]any{"bizible2__BizibleId__c": nil}); err != nil {
		l.t.Fatal(err)
	}
	l.call("v1", l.who)
}

// settle cycles until all is done, and opens the store anew after every failure.
func (l *life) settle() {
	l.t.Helper()
	for range 12 {
		_, err := l.engine.Cycle(l.t.Context())
		if err == nil && l.backlog().Due == 0 {
			return
		}
		if err != nil {
			l.reopen()
		}
		l.clock.advance(2 * time.Minute)
	}
	l.t.Fatalf("it does not settle: %+v", l.backlog())
}

// TestEveryRequestAgainstEveryFault lets each request of the story meet each fault. In the
// end the org must hold what it holds after a calm run.
func TestEveryRequestAgainstEveryFault(t *testing.T) {
	t.Parallel()
	calm := newLife(t)
	var requests []string
	calm.org.Fault(orgsim.Fault{Times: -1, Match: func(r orgsim.Request) bool {
		if !r.Sub {
			requests = append(requests, r.Op)
		}
		return false
	}})
	calm.settle()
	calm.change()
	calm.settle()
	calm.agree()
	want := calm.standing()
	if len(want) != 31 { // 25 + 1 touchpoints, 5 persons
		t.Fatalf("%d records after a calm run", len(want))
	}
	t.Logf("requests: %v", requests)
	for _, op := range []string{orgsim.OpLogin, orgsim.OpDescribe, orgsim.OpQuery, orgsim.OpMore, orgsim.OpComposite, orgsim.OpUpdate, orgsim.OpUpsert, orgsim.OpDelete} {
		seen := false
		for _, r := range requests {
			seen = seen || r == op
		}
		if !seen {
			t.Errorf("the story has no %s: the table tests less than it says", op)
		}
	}
	for name, fault := range faults {
		for nth, op := range requests {
			t.Run(fmt.Sprintf("%s/%02d %s", name, nth+1, op), func(t *testing.T) {
				t.Parallel()
				l := newLife(t)
				f := fault
				f.Match, f.Nth = func(r orgsim.Request) bool { return !r.Sub }, nth+1
				l.org.Fault(f)
				l.settle()
				l.change()
				l.settle()
				if got := l.org.Requests().Faults; got != 1 {
					t.Errorf("%d faults fired, want 1", got)
				}
				if diff := cmp.Diff(want, l.standing()); diff != "" {
					t.Errorf("org differs (-calm +faulty):\n%s", diff)
				}
				l.agree()
				l.clock.set(2 * time.Hour) // beyond the overlap: one page
				l.cycle()                  // asks about converted Leads
				before := l.org.Requests()
				l.cycle()
				after := l.org.Requests()
				if after.Written != before.Written || after.Deleted != before.Deleted || after.APICalls-before.APICalls != 1 {
					t.Errorf("an idle cycle made %d calls, wrote %d", after.APICalls-before.APICalls, after.Written-before.Written)
				}
			})
		}
	}
}
