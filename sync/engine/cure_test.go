package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

// Every message is about its cause: the cure of a cycle's error, whatever ended the cycle, and
// never the advice for another cause.
func TestCureIsAboutItsCause(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault    orgsim.Fault
		has, not string
	}{
		"expired password":    {orgsim.Fault{Op: orgsim.OpQuery, Status: 403, Code: "INVALID_OPERATION_WITH_EXPIRED_PASSWORD"}, "password has expired", "permission set"},
		"API disabled":        {orgsim.Fault{Op: orgsim.OpQuery, Status: 403, Code: "API_DISABLED_FOR_ORG"}, "API Enabled", "port 443"},
		"unknown 403":         {orgsim.Fault{Op: orgsim.OpQuery, Status: 403, Code: "A_CODE_OF_TOMORROW", Message: "words"}, "does not know this error (HTTP 403 A_CODE_OF_TOMORROW: words)", "permission set"},
		"unknown 404":         {orgsim.Fault{Op: orgsim.OpQuery, Status: 404, Code: "A_CODE_OF_TOMORROW"}, "HTTP 404 A_CODE_OF_TOMORROW", "permission set"},
		"retired version":     {orgsim.Fault{Op: orgsim.OpQuery, Status: 410}, "upgrade callpoint", "port 443"},
		"cannot be filtered":  {orgsim.Fault{Op: orgsim.OpQuery, Status: 400, Code: "INVALID_FIELD", Message: "field 'X__c' can not be filtered in a query call"}, "cannot be filtered", "does not exist"},
		"no such column":      {orgsim.Fault{Op: orgsim.OpQuery, Status: 400, Code: "INVALID_FIELD", Message: "No such column 'X__c' on entity 'Task'"}, "does not exist or is hidden", "port 443"},
		"firewall":            {orgsim.Fault{Op: orgsim.OpQuery, Status: 403, Body: "<html>no</html>"}, "proxy or firewall", "permission set"},
		"daily limit":         {orgsim.Fault{Op: orgsim.OpQuery, Status: 403, Code: "REQUEST_LIMIT_EXCEEDED"}, "24 hours", "port 443"},
		"unknown login error": {orgsim.Fault{Op: orgsim.OpLogin, Status: 400, Code: "oauth_of_tomorrow", Message: "words"}, "HTTP 400 oauth_of_tomorrow: words", "permission set"},
		"internal error":      {orgsim.Fault{Op: orgsim.OpQuery, Status: 500, Code: "UNKNOWN_EXCEPTION"}, "ErrorId", "port 443"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, orgsim.Config{}, func(_ *engine.Config, s *salesforce.Config) { s.Retries = -1 })
			r.people(1)
			if tt.fault.Op == orgsim.OpQuery {
				tt.fault.Match = func(q orgsim.Request) bool { return strings.Contains(q.SOQL, "FROM Task") }
			}
			tt.fault.Times = -1
			r.org.Fault(tt.fault)
			cure := engine.Cure(r.fails())
			if !strings.Contains(cure, tt.has) || strings.Contains(cure, tt.not) || strings.Contains(cure, "tried again") {
				t.Errorf("cure %q, want one with %q and without %q", cure, tt.has, tt.not)
			}
		})
	}
	// What is not of Salesforce's gets no advice about the network.
	for name, err := range map[string]error{
		"a missing field": errors.New("the Task object has no field X__c that this user may read: grant read access"),
		"a full disk":     fmt.Errorf("store: %w", errors.New("no space left on device")),
	} {
		if cure := engine.Cure(err); cure != "" {
			t.Errorf("%s: %q", name, cure)
		}
	}
	spent := &engine.BudgetError{Reason: "callpoint made 5000 calls", Until: time.Now()}
	if cure := engine.Cure(fmt.Errorf("poll: %w", spent)); !strings.Contains(cure, "CALLPOINT_API_BUDGET") {
		t.Errorf("a spent budget: %q", cure)
	}
}

// A parked record names what it was refused for, also where the answer had no code.
func TestParkedRecordNamesItsCause(t *testing.T) {
	t.Parallel()
	r := newRig(t, orgsim.Config{}, func(_ *engine.Config, s *salesforce.Config) { s.Retries = -1 })
	task := r.people(1)[0]
	r.org.Fault(orgsim.Fault{Op: orgsim.OpUpsert, Object: touchpoint, Times: -1, Status: 413, Body: "<html>too large</html>"})
	r.org.Fault(orgsim.Fault{Op: orgsim.OpComposite, Times: -1, Status: 413, Body: "<html>too large</html>",
		Match: func(q orgsim.Request) bool { return strings.Contains(string(q.Body), "PATCH") }})
	for range 3 {
		r.try()
		r.clock.advance(time.Hour)
	}
	tp := r.touchpoint(task)
	cure := salesforce.Cure(&salesforce.Error{Op: "upsert", Code: tp.Code, Message: tp.Message})
	if !strings.Contains(tp.Code, "413") || !strings.Contains(cure, "413") {
		t.Errorf("code %q, message %q, cure %q", tp.Code, tp.Message, cure)
	}
}
