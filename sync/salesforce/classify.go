package salesforce

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
)

// Class says what to do about an error.
type Class int

const (
	None         Class = iota // no error
	Canceled                  // the caller's context ended
	Retry                     // again later, with backoff
	WaitParent                // again after the record it refers to exists
	Park                      // this record waits for a person or a change
	StopClass                 // this object waits: permissions or schema
	StopCalls                 // everything waits: login, daily limit
	Split                     // again with half as many records
	NarrowQuery               // again over a shorter span of time
	RestartQuery              // the query from its first page
	Bug                       // our own mistake
)

var classNames = [...]string{"none", "canceled", "retry", "wait-parent", "park", "stop-class", "stop-calls", "split", "narrow-query", "restart-query", "bug"}

func (c Class) String() string {
	if c < 0 || int(c) >= len(classNames) {
		return "unknown"
	}
	return classNames[c]
}

// Classify says what to do about an error of this package. Of several rows of
// the table for one code the first that fits decides; a code that the table
// does not know goes by its HTTP status. An unknown error of a single record
// is Retry: whoever counts the attempts parks it in the end.
func Classify(err error) Class {
	class, _ := classify(err)
	return class
}

// Cure is a sentence for the operator on what to do about the error.
func Cure(err error) string {
	_, cure := classify(err)
	return cure
}

func classify(err error) (Class, string) {
	if err == nil {
		return None, ""
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Err: err}
	}
	for _, r := range rules {
		if r.code == e.Code && (r.when.match == nil || r.when.match(e)) {
			return r.class, r.cure
		}
	}
	if e.Status == 0 && e.Code == "" {
		return classifyCause(e.Err)
	}
	return classifyStatus(e)
}

// classifyCause judges errors that came with no answer.
func classifyCause(err error) (Class, string) {
	var (
		unknownCA x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		dns       *net.DNSError
	)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Canceled, "The work was stopped before the answer came; it is taken up again."
	case errors.As(err, &unknownCA), errors.As(err, &hostname), errors.As(err, &invalid), errors.As(err, &verify):
		return StopCalls, "The server's certificate is not trusted: check SALESFORCE_DOMAIN, this machine's clock and its CA certificates, and whether a proxy intercepts TLS."
	case errors.As(err, &dns) && dns.IsNotFound:
		return Retry, "The host name does not exist: check SALESFORCE_DOMAIN and this machine's DNS."
	}
	return Retry, "The network or Salesforce did not answer. If it lasts, check the way out to SALESFORCE_DOMAIN on port 443."
}

// classifyStatus judges codes nobody has told us about, and answers without one.
func classifyStatus(e *Error) (Class, string) {
	edge := e.Code == "" // not Salesforce's JSON: something in between answered
	switch {
	case e.Status == http.StatusMultipleChoices:
		return Park, "Several records carry this external id: delete or merge all but one, and make the field unique."
	case e.Status > 300 && e.Status < 400:
		return StopCalls, "Salesforce sends us to another address: set SALESFORCE_DOMAIN to the org's present My Domain."
	case e.Status == http.StatusUnauthorized:
		return StopCalls, "The login is not accepted: check the credentials and the connected app."
	case e.Status == http.StatusMethodNotAllowed, e.Status == http.StatusUnsupportedMediaType,
		e.Status == http.StatusRequestURITooLong, e.Status == http.StatusRequestHeaderFieldsTooLarge:
		return Bug, "callpoint sent a request that Salesforce does not accept: please report it with this line."
	case edge:
		return Retry, "Something in front of Salesforce answered in its place, as during maintenance. If it lasts, check SALESFORCE_DOMAIN."
	case e.Status == http.StatusForbidden, e.Status == http.StatusNotFound:
		return StopClass, "Check that the integration user's permission sets grant this object and its fields."
	}
	return Retry, "Salesforce gave an error that callpoint does not know; it is tried again, and records are parked after some attempts. Look the code up in Salesforce's help."
}

// A pattern tells apart the meanings of one code.
type pattern struct {
	name  string
	match func(*Error) bool
}

func contains(name, first string, others ...string) pattern {
	return pattern{name, func(e *Error) bool {
		message := strings.ToLower(e.Message)
		return strings.Contains(message, first) ||
			slices.ContainsFunc(others, func(text string) bool { return strings.Contains(message, text) })
	}}
}

var (
	nestedLock      = contains("nested lock", "unable_to_lock_row", "unable to obtain exclusive access")
	apexLimit       = contains("apex limit", "cpu time limit", "system.limitexception", "too many soql", "too many dml", "apex heap size")
	missingParent   = contains("missing parent", "foreign key external id")
	noSuchColumn    = contains("no such column", "no such column")
	keySentTwice    = contains("key sent twice", "duplicate external id specified")
	concurrentLimit = contains("concurrent limit", "concurrent")
	notYetApproved  = contains("not approved", "hasn't approved")
	wrongAudience   = contains("wrong audience", "audience")
	noRunAsUser     = contains("no run-as user", "no client credentials user")
	wrongHost       = contains("wrong host", "not supported on this domain")
	loginRate       = contains("login rate", "login rate")
	ipRestricted    = contains("ip restricted", "ip restricted")
	badUser         = contains("bad user", "inactive user", "user is locked")

	// Two first upserts of one key race, or ours races its own timed-out
	// attempt: the loser is told so. Salesforce hides the names from users
	// who may not see them.
	ownKey = pattern{"own key", func(e *Error) bool {
		_, rest, ok := strings.Cut(strings.ToLower(e.Message), "duplicate value found: ")
		field, _, _ := strings.Cut(rest, " ")
		return ok && (field == "<unknown>" || e.ExternalID != "" && field == strings.ToLower(e.ExternalID))
	}}
	wholeRequest = pattern{"whole request", func(e *Error) bool { return e.Status >= 400 }}
	ofQuery      = pattern{"of a query", func(e *Error) bool { return strings.HasPrefix(e.Op, "query") }}
)

type rule struct {
	code  string
	when  pattern // zero: always
	class Class
	cure  string
}

const (
	cureWait       = "It is tried again by itself."
	cureReport     = "callpoint sent a request that Salesforce does not accept: please report it with this line."
	cureSchema     = "The field does not exist or is hidden from the integration user: correct the field map, or grant the field in a permission set; callpoint check names it."
	cureOrg        = "Ask the org's administrator: Salesforce does not serve this org's API at present."
	cureValue      = "Correct the value in the field map, or the field in Salesforce, then run callpoint parked retry."
	cureValidation = "A validation rule of the org refuses the record: exempt the integration user from it, or fill what it asks for in the field map, then run callpoint parked retry."
	cureTrigger    = "A trigger or flow of the org refuses the record: show its message to the org's administrator, then run callpoint parked retry."
	cureSmaller    = "The org's triggers take too long for so many records at once; smaller batches follow by themselves."
	cureNarrow     = "The query took too long; shorter spans of time follow by themselves."
	cureParent     = "The record it refers to was deleted, is hidden from the integration user, or belongs to an inactive owner; it is tried again after it changes."
	cureWrite      = "Grant the integration user create and edit on this object and field in a permission set, then run callpoint parked retry."
	cureLogin      = "Check the credentials against the connected app; callpoint asks again after a pause, or at once after a restart."
)

// rules is the one table of what Salesforce's codes mean to us.
var rules = []rule{
	// one record
	{"UNABLE_TO_LOCK_ROW", pattern{}, Retry, cureWait},
	{"DUPLICATE_VALUE", keySentTwice, Bug, cureReport},
	{"DUPLICATE_VALUE", ownKey, Retry, cureWait},
	{"DUPLICATE_VALUE", pattern{}, Park, "Another unique field already holds this value: see the record id in the message, and remove one of the two."},
	{"INVALID_FIELD", missingParent, WaitParent, "The record it refers to is not in Salesforce yet; it is tried again once that is."},
	{"INVALID_FIELD", noSuchColumn, StopClass, cureSchema},
	{"INVALID_FIELD", wholeRequest, StopClass, cureSchema},
	{"INVALID_FIELD", pattern{}, Park, cureValue},
	{"INVALID_CROSS_REFERENCE_KEY", pattern{}, Park, cureParent},
	{"INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", pattern{}, Park, cureParent},
	{"ENTITY_IS_DELETED", pattern{}, Park, "The record lies in the recycle bin: restore it, or leave it there and let callpoint reconcile --fix decide."},
	{"DUPLICATE_EXTERNAL_ID", pattern{}, Park, "Several records carry this external id: delete or merge all but one, and make the field unique."},
	{"DUPLICATES_DETECTED", pattern{}, Park, "A duplicate rule of the org refuses the record: exempt the integration user from it, then run callpoint parked retry."},
	{"FIELD_CUSTOM_VALIDATION_EXCEPTION", pattern{}, Park, cureValidation},
	{"FIELD_FILTER_VALIDATION_EXCEPTION", pattern{}, Park, "A lookup filter of the org refuses the reference: exempt the integration user from it, then run callpoint parked retry."},
	{"REQUIRED_FIELD_MISSING", pattern{}, Park, "The org requires a field that the field map does not fill: add it there, or make it optional, then run callpoint parked retry."},
	{"STRING_TOO_LONG", pattern{}, Park, cureValue},
	{"INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", pattern{}, Park, "The picklist does not offer this value: add it in Salesforce, or map another one, then run callpoint parked retry."},
	{"NUMBER_OUTSIDE_VALID_RANGE", pattern{}, Park, cureValue},
	{"INVALID_TYPE_ON_FIELD_IN_RECORD", pattern{}, Park, cureValue},
	{"INVALID_EMAIL_ADDRESS", pattern{}, Park, cureValue},
	{"MALFORMED_ID", pattern{}, Park, cureValue},
	{"FIELD_INTEGRITY_EXCEPTION", pattern{}, Park, cureValue},
	{"INACTIVE_OWNER_OR_USER", pattern{}, Park, "The record's owner is inactive: give it an active one, or let the integration user update records of inactive owners."},
	{"CANNOT_REPARENT_RECORD", pattern{}, Park, "The object does not let its parent change: allow reparenting on the master-detail field, then run callpoint parked retry."},
	{"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", nestedLock, Retry, cureWait},
	{"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", apexLimit, Split, cureSmaller},
	{"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", pattern{}, Park, cureTrigger},
	{"CANNOT_EXECUTE_FLOW_TRIGGER", nestedLock, Retry, cureWait},
	{"CANNOT_EXECUTE_FLOW_TRIGGER", apexLimit, Split, cureSmaller},
	{"CANNOT_EXECUTE_FLOW_TRIGGER", pattern{}, Park, cureTrigger},
	{"INVALID_FIELD_FOR_INSERT_UPDATE", pattern{}, Park, cureWrite},
	{"INSUFFICIENT_ACCESS_OR_READONLY", pattern{}, Park, cureWrite},
	{"ALL_OR_NONE_OPERATION_ROLLED_BACK", pattern{}, Retry, cureWait}, // another row is the culprit
	{"PROCESSING_HALTED", pattern{}, Retry, cureWait},                 // likewise

	// one object
	{"STORAGE_LIMIT_EXCEEDED", pattern{}, StopClass, "The org's data storage is full: free or buy some."},
	{"EXCEEDED_QUOTA", pattern{}, StopClass, "The org's quota is used up: free or buy some."},
	{"INSUFFICIENT_ACCESS", pattern{}, StopClass, "Grant the integration user access to this object in a permission set; callpoint check --permission-set prints one."},
	{"NOT_FOUND", pattern{}, StopClass, "The object or its external id field does not exist, or is hidden from the integration user: correct the configuration, or grant access in a permission set."},
	{"INVALID_TYPE", pattern{}, StopClass, "The object does not exist or is hidden from the integration user: install the package, correct the name, or grant access in a permission set."},

	// queries and size
	{"QUERY_TIMEOUT", pattern{}, NarrowQuery, cureNarrow},
	{"OPERATION_TOO_LARGE", pattern{}, NarrowQuery, "The query touches too many records for a user without View All Data: shorter spans of time follow by themselves; granting View All Data on the objects makes it fast again."},
	{"REQUEST_RUNNING_TOO_LONG", ofQuery, NarrowQuery, cureNarrow},
	{"REQUEST_RUNNING_TOO_LONG", pattern{}, Split, cureSmaller},
	{"INVALID_QUERY_LOCATOR", pattern{}, RestartQuery, "The result of the query has expired; it is read again from its start by itself."},

	// the whole org
	{"INVALID_SESSION_ID", pattern{}, StopCalls, "The session is not accepted, not even a new one: check the session policies of the connected app and that the user may use the API; with SALESFORCE_ACCESS_TOKEN, set a new token."},
	{"REQUEST_LIMIT_EXCEEDED", concurrentLimit, Retry, "Too many long requests run in the org at once; it passes by itself."},
	{"REQUEST_LIMIT_EXCEEDED", pattern{}, StopCalls, "The org's API calls of the last 24 hours are used up: wait, find the integration that uses them, or buy more."},
	{"API_DISABLED_FOR_ORG", pattern{}, StopCalls, "The API is not enabled for this org or user: grant API Enabled; a new connected app may take hours."},
	{"INVALID_LOGIN", pattern{}, StopCalls, cureLogin},
	{"ORG_LOCKED", pattern{}, StopCalls, cureOrg},
	{"TRIAL_EXPIRED", pattern{}, StopCalls, "The trial of this org has expired."},
	{"UNSUPPORTED_API_VERSION", pattern{}, StopCalls, "This org does not serve API version 62.0: upgrade callpoint."},
	{"SERVER_UNAVAILABLE", pattern{}, Retry, cureWait},
	{"UNKNOWN_EXCEPTION", pattern{}, Retry, cureWait},
	{"FUNCTIONALITY_TEMPORARILY_UNAVAILABLE", pattern{}, Retry, cureWait},
	{"API_CURRENTLY_DISABLED", pattern{}, Retry, cureWait},
	{"TXN_SECURITY_METERING_ERROR", pattern{}, Retry, cureWait},

	// the token endpoint
	{"invalid_grant", notYetApproved, StopCalls, "The user has not approved the connected app: set its permitted users to admin approved, and assign it to the user's profile or a permission set."},
	{"invalid_grant", wrongAudience, StopCalls, "The JWT's audience does not fit the org: check that SALESFORCE_DOMAIN is this org's My Domain."},
	{"invalid_grant", noRunAsUser, StopCalls, "The connected app has no user for the client credentials flow: set Run As in its policies."},
	{"invalid_grant", wrongHost, StopCalls, "This host serves no client credentials: set SALESFORCE_DOMAIN to the org's own My Domain."},
	{"invalid_grant", loginRate, StopCalls, "The user has logged in too often within the hour: callpoint waits; find what else uses the same user."},
	{"invalid_grant", ipRestricted, StopCalls, "This machine's address is outside the ranges allowed for the user or the connected app: add it, or relax IP restrictions."},
	{"invalid_grant", badUser, StopCalls, "The user is inactive or locked: unlock or activate it in Setup, Users."},
	{"invalid_grant", pattern{}, StopCalls, "Salesforce refuses these credentials: check user, password and security token, or the JWT's certificate in the connected app; see the user's login history in Setup. callpoint asks again after a pause, or at once after a restart."},
	{"invalid_client", pattern{}, StopCalls, "SALESFORCE_CONSUMER_KEY or SALESFORCE_CONSUMER_SECRET is wrong, or the connected app is newer than ten minutes."},
	{"invalid_client_id", pattern{}, StopCalls, "SALESFORCE_CONSUMER_KEY is not known to this org: check it and SALESFORCE_DOMAIN; a new connected app may take ten minutes."},
	{"unsupported_grant_type", pattern{}, StopCalls, "The org does not allow this login flow: enable it in the connected app (and for the password flow in the org's OAuth settings)."},
	{"invalid_request", pattern{}, StopCalls, cureLogin},
	{"invalid_scope", pattern{}, StopCalls, "Give the connected app the scope api."},
	{"unauthorized_client", pattern{}, StopCalls, "Enable this login flow in the connected app."},
	{"access_denied", pattern{}, StopCalls, cureLogin},
	{"inactive_org", pattern{}, StopCalls, cureOrg},
	{"unknown_error", pattern{}, Retry, cureWait},
	{"server_error", pattern{}, Retry, cureWait},
	{"temporarily_unavailable", pattern{}, Retry, cureWait},

	// our mistakes
	{"MALFORMED_QUERY", pattern{}, Bug, "Salesforce does not understand the query: check CALLPOINT_TASK_FILTER; otherwise please report it with this line."},
	{"JSON_PARSER_ERROR", pattern{}, Bug, cureReport},
	{"EXCEEDED_ID_LIMIT", pattern{}, Bug, cureReport},
	{"METHOD_NOT_ALLOWED", pattern{}, Bug, cureReport},
	{"UNSUPPORTED_MEDIA_TYPE", pattern{}, Bug, cureReport},

	// codes of this package
	{codeCaller, pattern{}, Bug, cureReport},
	{codeTooLarge, ofQuery, NarrowQuery, cureNarrow},
	{codeTooLarge, pattern{}, Split, cureSmaller},
	{codeOrgChanged, pattern{}, StopCalls, "The same credentials now lead to another org (was a sandbox refreshed?): start over with a new store, or set the credentials of the old org."},
	{codeUntrusted, pattern{}, StopCalls, "The token endpoint points to a host that callpoint does not trust: set SALESFORCE_DOMAIN to the org's own My Domain."},
}

// Codes that Salesforce does not have.
const (
	codeCaller     = "CALLER"           // the caller broke a rule of this package; nothing was sent
	codeTooLarge   = "ANSWER_TOO_LARGE" // beyond maxBody
	codeOrgChanged = "ORG_CHANGED"      // the new session belongs to another org
	codeUntrusted  = "UNTRUSTED_URL"    // an answer tried to lead us off the org's host
)

// Contended reports a failure that fewer requests at once would avoid: a locked record, or
// too many long requests in the org.
func Contended(e *Error) bool {
	if e == nil {
		return false
	}
	return e.Code == "UNABLE_TO_LOCK_ROW" || e.Code == "REQUEST_LIMIT_EXCEEDED" && concurrentLimit.match(e) || nestedLock.match(e)
}
