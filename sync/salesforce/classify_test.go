package salesforce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
)

// Every code that Salesforce is known to send here, with its own words where
// they decide.
func TestClassify(t *testing.T) {
	t.Parallel()
	row := func(code, message string) *Error {
		return &Error{Op: "upsert", Object: "Touch__c", ExternalID: "Key__c", Code: code, Message: message}
	}
	request := func(status int, code, message string) *Error {
		return &Error{Op: "upsert", Status: status, Code: code, Message: message}
	}
	read := func(status int, code, message string) *Error {
		return &Error{Op: "query", Status: status, Code: code, Message: message}
	}
	login := func(code, message string) *Error {
		return &Error{Op: "login", Status: 400, Code: code, Message: message}
	}
	const trigger = "touchTrigger: execution of BeforeInsert caused by: "
	for _, tt := range []struct {
		err  *Error
		want Class
	}{
		{row("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record or 1 records: 001"), Retry},
		{request(400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record"), Retry},
		{row("DUPLICATE_VALUE", "duplicate value found: Key__c duplicates value on record with id: a01"), Retry},
		{row("DUPLICATE_VALUE", "duplicate value found: key__c duplicates value on record with id: a01"), Retry},
		{row("DUPLICATE_VALUE", "duplicate value found: <unknown> duplicates value on record with id: <unknown>"), Retry},
		{row("DUPLICATE_VALUE", "duplicate value found: Email__c duplicates value on record with id: a01"), Park},
		{request(0, "DUPLICATE_VALUE", "duplicate value found: Key__c duplicates value on record with id: a01"), Park}, // whose key is unknown
		{row("DUPLICATE_VALUE", "Duplicate external id specified: k1"), Bug},
		{row("INVALID_FIELD", "Foreign key external ID: p9 not found for field Ext__c in entity Parent__c"), WaitParent},
		{request(400, "INVALID_FIELD", "No such column 'X__c' on sobject of type Touch__c"), StopClass},
		{row("INVALID_FIELD", "No such column 'X__c' on sobject of type Touch__c"), StopClass},
		{read(400, "INVALID_FIELD", "\nSELECT Naem FROM Account\n       ^\nERROR at Row:1:Column:8\nNo such column 'Naem' on entity 'Account'."), StopClass},
		{request(400, "INVALID_FIELD", "some other complaint"), StopClass},
		{row("INVALID_FIELD", "some other complaint"), Park},
		{row("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"), Park},
		{row("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "insufficient access rights on cross-reference id"), Park},
		{row("ENTITY_IS_DELETED", "entity is deleted"), Park},
		{row("DUPLICATE_EXTERNAL_ID", "Key: more than one record found for external id field: [a01, a02]"), Park},
		{row("DUPLICATES_DETECTED", "Use one of these records?"), Park},
		{row("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Name it"), Park},
		{row("REQUIRED_FIELD_MISSING", "Required fields are missing: [Company]"), Park},
		{row("STRING_TOO_LONG", "Name: data value too large"), Park},
		{row("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "bad value for restricted picklist field"), Park},
		{row("NUMBER_OUTSIDE_VALID_RANGE", ""), Park},
		{row("INVALID_TYPE_ON_FIELD_IN_RECORD", ""), Park},
		{row("INVALID_EMAIL_ADDRESS", ""), Park},
		{row("MALFORMED_ID", ""), Park},
		{row("FIELD_FILTER_VALIDATION_EXCEPTION", ""), Park},
		{row("FIELD_INTEGRITY_EXCEPTION", ""), Park},
		{row("INACTIVE_OWNER_OR_USER", ""), Park},
		{row("CANNOT_REPARENT_RECORD", ""), Park},
		{row("INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: Name"), Park},
		{row("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id"), Park},
		{row("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", trigger+"System.NullPointerException"), Park},
		{row("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", trigger+"UNABLE_TO_LOCK_ROW, unable to obtain exclusive access"), Retry},
		{row("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", trigger+"System.LimitException: Apex CPU time limit exceeded"), Split},
		{row("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", trigger+"System.LimitException: Too many SOQL queries: 101"), Split},
		{row("CANNOT_EXECUTE_FLOW_TRIGGER", "We can't save this record because the flow failed"), Park},
		{row("CANNOT_EXECUTE_FLOW_TRIGGER", "UNABLE_TO_LOCK_ROW"), Retry},
		{row("CANNOT_EXECUTE_FLOW_TRIGGER", "Apex CPU time limit exceeded"), Split},
		{row("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded"), StopClass},
		{row("EXCEEDED_QUOTA", ""), StopClass},
		{row("ALL_OR_NONE_OPERATION_ROLLED_BACK", "Record rolled back because …"), Retry},
		{request(400, "PROCESSING_HALTED", "The transaction was rolled back"), Retry},
		{row("A_CODE_OF_TOMORROW", "?"), Retry},

		{request(401, "INVALID_SESSION_ID", "Session expired or invalid"), StopCalls},
		{request(401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API"), StopCalls},
		{request(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), StopCalls},
		{request(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."), Retry},
		{request(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded."), Retry},
		{request(503, "SERVER_UNAVAILABLE", ""), Retry},
		{request(500, "UNKNOWN_EXCEPTION", ""), Split},
		{read(500, "UNKNOWN_EXCEPTION", ""), Retry},
		{row("UNKNOWN_EXCEPTION", ""), Retry},
		{read(400, "QUERY_TIMEOUT", "Your query request was running for too long."), NarrowQuery},
		{read(400, "OPERATION_TOO_LARGE", "exceeded 100000 distinct who/what's"), NarrowQuery},
		{read(400, "REQUEST_RUNNING_TOO_LONG", ""), NarrowQuery},
		{request(400, "REQUEST_RUNNING_TOO_LONG", ""), Split},
		{&Error{Op: "query_more", Status: 400, Code: "INVALID_QUERY_LOCATOR", Message: "invalid query locator"}, RestartQuery},
		{request(500, "FUNCTIONALITY_TEMPORARILY_UNAVAILABLE", ""), Retry},
		{request(403, "API_CURRENTLY_DISABLED", ""), Retry},
		{request(400, "TXN_SECURITY_METERING_ERROR", ""), Retry},
		{request(403, "API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization."), StopCalls},
		{request(403, "INSUFFICIENT_ACCESS", ""), StopClass},
		{request(400, "INVALID_LOGIN", ""), StopCalls},
		{request(403, "ORG_LOCKED", ""), StopCalls},
		{request(403, "TRIAL_EXPIRED", ""), StopCalls},
		{request(404, "UNSUPPORTED_API_VERSION", ""), StopCalls},
		{request(404, "NOT_FOUND", "The requested resource does not exist"), StopClass},
		{read(400, "INVALID_TYPE", "sObject type 'X' is not supported."), StopClass},
		{read(400, "MALFORMED_QUERY", "unexpected token: 'FORM'"), Bug},
		{request(400, "JSON_PARSER_ERROR", ""), Bug},
		{request(400, "EXCEEDED_ID_LIMIT", "record limit reached. cannot submit more than 200 records into this call"), Bug},
		{request(405, "METHOD_NOT_ALLOWED", ""), Bug},
		{request(415, "UNSUPPORTED_MEDIA_TYPE", ""), Bug},

		{login("invalid_grant", "authentication failure"), StopCalls},
		{login("invalid_client_id", "client identifier invalid"), StopCalls},
		{login("invalid_client", "invalid client credentials"), StopCalls},
		{login("unsupported_grant_type", "grant type not supported"), StopCalls},
		{login("invalid_request", "grant type is missing"), StopCalls},
		{login("unknown_error", "retry your request"), Retry},

		// statuses alone
		{read(300, "", ""), Park},
		{read(302, "REDIRECT", ""), StopCalls},
		{read(400, "", "not JSON"), Retry},
		{read(401, "", ""), StopCalls},
		{read(403, "", "not JSON"), Retry},
		{read(403, "A_CODE_OF_TOMORROW", ""), Retry},
		{read(404, "A_CODE_OF_TOMORROW", ""), Retry},
		{read(400, "A_CODE_OF_TOMORROW", ""), Retry},
		{request(400, "", "not JSON"), Split},
		{request(400, "A_CODE_OF_TOMORROW", ""), Split},
		{request(403, "", "not JSON"), Split},
		{request(403, "A_CODE_OF_TOMORROW", ""), Split},
		{request(404, "A_CODE_OF_TOMORROW", ""), Split},
		{request(413, "", ""), Split},
		{request(500, "A_CODE_OF_TOMORROW", ""), Split},
		{request(200, "", "not JSON"), Split},
		{&Error{Op: "upsert", TimedOut: true, Unknown: true, Err: timeoutError{1}}, Split},
		{&Error{Op: "query", TimedOut: true, Err: timeoutError{1}}, NarrowQuery},
		{request(429, "", ""), Retry},
		{read(200, "BAD_PAGE", ""), RestartQuery},
		{read(410, "", ""), StopCalls},
		{login("A_CODE_OF_TOMORROW", ""), StopCalls},
		{request(403, "INVALID_OPERATION_WITH_EXPIRED_PASSWORD", ""), StopCalls},
		{request(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE"), StopCalls},
		{read(405, "", ""), Bug},
		{read(414, "", ""), Bug},
		{read(415, "", ""), Bug},
		{read(431, "", ""), Bug},
		{read(420, "", ""), Retry},
		{read(429, "", ""), Retry},
		{read(500, "", ""), Retry},
		{read(502, "", ""), Retry},
		{read(503, "", ""), Retry},
		{read(504, "A_CODE_OF_TOMORROW", ""), Retry},
	} {
		err := fmt.Errorf("push record 42: %w", &url.Error{Op: "Patch", URL: "https://x.example", Err: tt.err})
		if got := Classify(err); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.err, got, tt.want)
		}
		if Cure(err) == "" {
			t.Errorf("%v: no cure", tt.err)
		}
	}
}

func TestClassifyWithoutAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want Class
	}{
		{nil, None},
		{context.Canceled, Canceled},
		{&Error{Op: "query", Err: context.DeadlineExceeded}, Canceled},
		{&Error{Op: "query", Err: timeoutError{}}, Retry},
		{&Error{Op: "query", Err: io.ErrUnexpectedEOF}, Retry},
		{&Error{Op: "login", Err: &net.DNSError{IsNotFound: true}}, Retry},
	} {
		if got := Classify(tt.err); got != tt.want || (Cure(tt.err) == "") != (tt.err == nil) {
			t.Errorf("%v: %v with cure %q, want %v", tt.err, got, Cure(tt.err), tt.want)
		}
	}
	if err := errors.New("of another package"); Classify(err) != Retry || Cure(err) != "" {
		t.Errorf("%v: %v with cure %q: there is no advice for it", err, Classify(err), Cure(err))
	}
}

// A rule behind one that always fits would never be asked, and a cure is one
// or more whole sentences.
func TestRules(t *testing.T) {
	t.Parallel()
	general := map[string]bool{}
	for _, r := range rules {
		if general[r.code] {
			t.Errorf("%s: the rule %q is never reached", r.code, r.when.name)
		}
		general[r.code] = general[r.code] || r.when.match == nil
		if !strings.HasSuffix(r.cure, ".") || strings.ToUpper(r.cure[:1]) != r.cure[:1] && !strings.HasPrefix(r.cure, "callpoint") {
			t.Errorf("%s: cure %q", r.code, r.cure)
		}
		if r.class == None || r.class == Canceled || r.class.String() == "unknown" {
			t.Errorf("%s: class %v", r.code, r.class)
		}
	}
	for code := range general {
		if !general[code] {
			t.Errorf("%s: not every message has a rule", code)
		}
	}
}

func TestClassNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for c := None; c <= Bug; c++ {
		if s := c.String(); s == "" || s == "unknown" || seen[s] {
			t.Errorf("class %d is %q", c, s)
		}
		seen[c.String()] = true
	}
	if Class(-1).String() != "unknown" || (Bug+1).String() != "unknown" {
		t.Error("the enum is not closed")
	}
}
