package salesforce

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// Class is what to do about an error.
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

// Classify returns what to do about an error of this package. Of several rows of
// the table for one code the first that fits decides; a code that the table
// does not know goes by its HTTP status. An unknown error of a single record
// is Retry: whoever counts the attempts parks it in the end.
func Classify(err error) Class {
	class, _ := classify(err)
	return class
}

// Cure is a sentence for the operator on what to do about the error.
func Cure(err error) string {
	e, ok := errors.AsType[*Error](err)
	if !ok && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return "" // it is not of Salesforce's, nor of the way to it
	}
	_, cure := classify(err)
	if ok && !e.NotBefore.IsZero() {
		cure += " callpoint waits before it logs in again, because repeated refusals lock a user out; once it is mended, callpoint parked retry ends the wait, and so do other credentials."
	}
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
	if e.Status == 0 && e.Code == "" && (e.Err != nil || e.Message == "" || e.Op == "login") {
		return classifyCause(e)
	}
	return classifyStatus(e)
}

// classifyCause judges errors that came with no answer.
func classifyCause(e *Error) (Class, string) {
	var (
		unknownCA x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		dns       *net.DNSError
	)
	err := e.Err
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Canceled, "The work was stopped before the answer came."
	case errors.As(err, &unknownCA), errors.As(err, &hostname), errors.As(err, &invalid), errors.As(err, &verify):
		return StopCalls, "The server's certificate is not trusted: check SALESFORCE_DOMAIN, this machine's clock and its CA certificates, and whether a proxy intercepts TLS."
	case errors.As(err, &record):
		return StopCalls, "The server does not speak TLS: check SALESFORCE_DOMAIN, and HTTPS_PROXY where a proxy is used."
	case errors.As(err, &dns) && dns.IsNotFound:
		return Retry, "The host name does not exist: check SALESFORCE_DOMAIN and this machine's DNS."
	case e.TimedOut && ofQuery.match(e):
		return NarrowQuery, cureNarrow
	case e.TimedOut && ofWrite.match(e):
		return Split, "Salesforce did not answer in time and may still be working on the records: they wait until it must have ended, and go in smaller collections."
	case isProxyError(err):
		return Retry, "The proxy of HTTPS_PROXY refuses the connection or cannot be reached: check its address, its credentials, and that it lets SALESFORCE_DOMAIN pass on port 443."
	case err == nil && e.Message != "":
		return Retry, "callpoint does not know this error: see its text."
	}
	return Retry, "The network or Salesforce did not answer. If it lasts, check the way out to SALESFORCE_DOMAIN on port 443."
}

// isProxyError reports an error of the proxy between us and Salesforce. net/http has no type
// for a proxy that answers CONNECT with a refusal: its text is the status.
func isProxyError(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "proxyconnect" {
		return true
	}
	return err != nil && (strings.HasPrefix(err.Error(), "proxyconnect ") ||
		err.Error() == http.StatusText(http.StatusProxyAuthRequired) || err.Error() == http.StatusText(http.StatusForbidden))
}

// classifyStatus judges codes that the table lacks, and answers without one.
func classifyStatus(e *Error) (Class, string) {
	edge := e.Code == "" // no JSON of Salesforce's: something in between answered
	write := ofWrite.match(e)
	switch {
	case e.Status == 0:
		return Retry, cureUnknown(e) // of a single record
	case e.Status == http.StatusMultipleChoices:
		return Park, cureTwoRecords
	case e.Status == http.StatusUnauthorized:
		return StopCalls, "The login is not accepted: check the credentials and the connected app."
	case e.Status == http.StatusProxyAuthRequired:
		return StopCalls, "The proxy asks for a login: put its user and password into HTTPS_PROXY."
	case e.Status == http.StatusGone:
		return StopCalls, cureVersion
	case e.Op == "login" && !edge && e.Status/100 == 4:
		return StopCalls, cureUnknown(e)
	case write && e.Status == http.StatusRequestEntityTooLarge:
		return Split, "The request is too large for Salesforce or a proxy in front of it: smaller collections follow."
	case write && !edge && e.Status == http.StatusInternalServerError:
		return Split, cureUnknown(e)
	case write && e.Status/100 == 2:
		return Split, "Something answered in Salesforce's place, or its answer does not fit the request; smaller collections follow, to find the record that causes it."
	case e.Status == http.StatusMethodNotAllowed, e.Status == http.StatusUnsupportedMediaType,
		e.Status == http.StatusRequestURITooLong, e.Status == http.StatusRequestHeaderFieldsTooLarge:
		return Bug, cureReport
	case write && e.Status/100 == 4 && !slices.Contains(passing, e.Status):
		return Split, cureUnknown(e)
	case edge && e.Status == http.StatusNotFound:
		return Retry, "Nothing is at this address, and no Salesforce org answered: check SALESFORCE_DOMAIN, and what a proxy in between lets pass."
	case edge:
		return Retry, "Something in front of Salesforce answered in its place, as during maintenance, or a proxy or firewall. If it lasts, check SALESFORCE_DOMAIN."
	}
	return Retry, cureUnknown(e)
}

// passing are the statuses 4xx of an edge that is overloaded, or still setting things up.
var passing = []int{http.StatusNotAcceptable, http.StatusRequestTimeout, 420, http.StatusMisdirectedRequest, http.StatusTooManyRequests}

// cureUnknown names an error that is not in the table, as far as it can be named.
func cureUnknown(e *Error) string {
	what := e.Code
	if e.Status != 0 {
		what = strings.TrimSpace(fmt.Sprintf("HTTP %d %s", e.Status, e.Code))
	}
	if what == "" {
		what = "no code"
	}
	if e.Message != "" {
		what += ": " + e.Message
	}
	return "callpoint does not know this error (" + what + "). Look it up in Salesforce's help; Salesforce's support can look up an ErrorId."
}

// A pattern distinguishes the meanings of one code.
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
	cannotFilter    = contains("cannot be filtered", "can not be filtered", "cannot be filtered", "can't be filtered")
	cannotSort      = contains("cannot be sorted", "can not be sorted", "cannot be sorted", "can not be ordered")
	keySentTwice    = contains("key sent twice", "duplicate external id specified")
	concurrentLimit = contains("concurrent limit", "concurrent")
	convertedLead   = contains("converted lead", "converted lead")
	notYetApproved  = contains("not approved", "hasn't approved", "not admin approved", "not approved")
	wrongAudience   = contains("wrong audience", "audience")
	noRunAsUser     = contains("no run-as user", "no client credentials user")
	wrongHost       = contains("wrong host", "not supported on this domain")
	loginRate       = contains("login rate", "login rate", "too many login")
	ipRestricted    = contains("ip restricted", "ip restricted")
	badUser         = contains("bad user", "inactive user", "user is locked", "locked out", "inactive")
	oldPassword     = contains("expired password", "password has expired", "password expired", "expired password")
	clockIsOff      = contains("clock", "this machine's clock is off")
	expiredToken    = contains("expired", "expired authorization code")
	hoursOrPlace    = contains("login hours", "login hours", "restricted time")

	// The loser of two first upserts of one key, or of ours with its own attempt that timed
	// out, is refused. Salesforce hides the names from users who may not see them.
	ownKey = pattern{"own key", func(e *Error) bool {
		_, rest, ok := strings.Cut(strings.ToLower(e.Message), "duplicate value found: ")
		field, _, _ := strings.Cut(rest, " ")
		return ok && (field == "<unknown>" || e.ExternalID != "" && field == strings.ToLower(e.ExternalID))
	}}
	wholeRequest = pattern{"whole request", func(e *Error) bool { return e.Status >= 400 }}
	ofQuery      = pattern{"of a query", func(e *Error) bool { return strings.HasPrefix(e.Op, "query") }}
	ofWrite      = pattern{"of a write", func(e *Error) bool { return e.Op == "upsert" || e.Op == "update" || e.Op == "delete" }}
	wholeWrite   = pattern{"whole write", func(e *Error) bool { return ofWrite.match(e) && e.Status >= 400 }}
	toConverted  = pattern{"of a converted lead", func(e *Error) bool { return convertedLead.match(e) }}
)

type rule struct {
	code  string
	when  pattern // zero: always
	class Class
	cure  string
}

const (
	retryParked = " Then run callpoint parked retry."

	cureWait       = "It passes without help as a rule; nothing needs to be done unless it lasts."
	cureReport     = "callpoint sent a request that Salesforce does not accept: please report it with this line."
	cureSchema     = "The field does not exist or is hidden from the integration user: correct the field map, or grant the field in a permission set; callpoint check names it."
	cureOrg        = "Ask the org's administrator: Salesforce does not serve this org's API at present."
	cureValue      = "Correct the value in the field map, or the field in Salesforce." + retryParked
	cureValidation = "A validation rule of the org refuses the record: exempt the integration user from it, or fill what it asks for in the field map." + retryParked
	cureTrigger    = "A trigger or flow of the org refuses the record: show its message to the org's administrator." + retryParked
	cureSmaller    = "The org's triggers take too long for so many records at once; smaller collections follow."
	cureNarrow     = "The query took too long; shorter spans of time follow."
	cureParent     = "The record it refers to was deleted, is hidden from the integration user, or belongs to an inactive owner: restore or share it, or correct who the Task names." + retryParked
	cureWrite      = "Grant the integration user create and edit on this object and field in a permission set." + retryParked
	cureLogin      = "Check the credentials against the connected app."
	cureHalves     = "Salesforce failed over the whole request; smaller collections follow, to find the record that causes it. Salesforce's support can look up the ErrorId."
	cureTwoRecords = "Several records carry this external id: delete or merge all but one, and make the field unique."
	cureConverted  = "It would refer to a converted Lead: grant the integration user View and Edit Converted Leads, which some integration-user licences cannot hold." + retryParked
	cureVersion    = "This org does not serve API version 62.0 (any more): upgrade callpoint."
	curePassword   = "The integration user's password has expired: set a new one in SALESFORCE_PASSWORD, or let it never expire by a permission; the JWT and client credentials flows use no password."
	curePasses     = "It passes when Salesforce's maintenance ends."
)

// rules is the one table of what Salesforce's codes mean to us.
var rules = []rule{
	// one record
	{"UNABLE_TO_LOCK_ROW", pattern{}, Retry, cureWait},
	{"DUPLICATE_VALUE", keySentTwice, Bug, cureReport},
	{"DUPLICATE_VALUE", ownKey, Retry, cureWait},
	{"DUPLICATE_VALUE", pattern{}, Park, "Another unique field already holds this value: see the record id in the message, and remove one of the two." + retryParked},
	{"INVALID_FIELD", missingParent, WaitParent, "The record it refers to is not in Salesforce yet."},
	{"INVALID_FIELD", cannotFilter, StopClass, "A field in the query cannot be filtered, because of its type (long text) or because it is encrypted: use another field in CALLPOINT_TASK_FILTER, CALLPOINT_BIZIBLE_ID_FIELD or CALLPOINT_EXTERNAL_ID_FIELD, or deterministic encryption."},
	{"INVALID_FIELD", cannotSort, StopClass, "A field in the query cannot be sorted by: please report it with this line."},
	{"INVALID_FIELD", noSuchColumn, StopClass, cureSchema},
	{"INVALID_FIELD", wholeRequest, StopClass, "Salesforce refuses a field of the request: see its text; callpoint check compares the configuration with the org."},
	{"INVALID_FIELD", pattern{}, Park, cureValue},
	{"INVALID_CROSS_REFERENCE_KEY", toConverted, Park, cureConverted},
	{"INVALID_CROSS_REFERENCE_KEY", pattern{}, Park, cureParent},
	{"INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", pattern{}, Park, cureParent},
	{"CANNOT_UPDATE_CONVERTED_LEAD", pattern{}, Park, cureConverted},
	{"ENTITY_IS_DELETED", pattern{}, Park, "The record itself or one that it refers to (its Lead, Contact or Bizible Person) was deleted: restore it from the recycle bin, or correct who the Task names." + retryParked},
	{"DUPLICATE_EXTERNAL_ID", pattern{}, Park, cureTwoRecords},
	{"DUPLICATES_DETECTED", pattern{}, Park, "A duplicate rule of the org blocks the record: exempt the integration user from it." + retryParked},
	{"FIELD_CUSTOM_VALIDATION_EXCEPTION", pattern{}, Park, cureValidation},
	{"FIELD_FILTER_VALIDATION_EXCEPTION", pattern{}, Park, "A lookup filter of the org refuses the reference: exempt the integration user from it." + retryParked},
	{"REQUIRED_FIELD_MISSING", pattern{}, Park, "The org requires a field that the field map does not fill: add it there, or make it optional." + retryParked},
	{"STRING_TOO_LONG", pattern{}, Park, cureValue},
	{"INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", pattern{}, Park, "The picklist does not offer this value: add it in Salesforce, or map another one." + retryParked},
	{"NUMBER_OUTSIDE_VALID_RANGE", pattern{}, Park, cureValue},
	{"INVALID_TYPE_ON_FIELD_IN_RECORD", pattern{}, Park, cureValue},
	{"INVALID_EMAIL_ADDRESS", pattern{}, Park, cureValue},
	{"MALFORMED_ID", pattern{}, Park, cureValue},
	{"FIELD_INTEGRITY_EXCEPTION", toConverted, Park, cureConverted},
	{"FIELD_INTEGRITY_EXCEPTION", pattern{}, Park, cureValue},
	{"INACTIVE_OWNER_OR_USER", pattern{}, Park, "The record's owner is inactive: give it an active one, or let the integration user update records of inactive owners." + retryParked},
	{"CANNOT_REPARENT_RECORD", pattern{}, Park, "The object does not let its parent change: allow reparenting on the master-detail field." + retryParked},
	{"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", nestedLock, Retry, cureWait},
	{"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", apexLimit, Split, cureSmaller},
	{"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", pattern{}, Park, cureTrigger},
	{"CANNOT_EXECUTE_FLOW_TRIGGER", nestedLock, Retry, cureWait},
	{"CANNOT_EXECUTE_FLOW_TRIGGER", apexLimit, Split, cureSmaller},
	{"CANNOT_EXECUTE_FLOW_TRIGGER", pattern{}, Park, cureTrigger},
	{"APEX_ERROR", pattern{}, Park, cureTrigger},
	{"INVALID_FIELD_FOR_INSERT_UPDATE", pattern{}, Park, cureWrite},
	{"INSUFFICIENT_ACCESS_OR_READONLY", pattern{}, Park, cureWrite},
	{"TRANSFER_REQUIRES_READ", pattern{}, Park, cureWrite},
	{"ENTITY_IS_LOCKED", pattern{}, Park, "An approval process locks the record: let the integration user edit locked records, or wait for the approval." + retryParked},
	{"ALL_OR_NONE_OPERATION_ROLLED_BACK", pattern{}, Retry, cureWait}, // another row is the culprit
	{"PROCESSING_HALTED", pattern{}, Retry, cureWait},                 // another row, too

	// one object
	{"STORAGE_LIMIT_EXCEEDED", pattern{}, StopClass, "The org's data storage is full: free or buy some."},
	{"EXCEEDED_QUOTA", pattern{}, StopClass, "The org's quota is used up: free or buy some."},
	{"INSUFFICIENT_ACCESS", pattern{}, StopClass, "Grant the integration user access to this object in a permission set; callpoint check --permission-set prints one."},
	{"NOT_FOUND", pattern{}, StopClass, "The object or its external id field does not exist, or is hidden from the integration user: correct the configuration, or grant access in a permission set."},
	{"INVALID_TYPE", pattern{}, StopClass, "The object does not exist or is hidden from the integration user: install the package, correct the name, or grant access in a permission set."},

	// queries and size
	{"QUERY_TIMEOUT", pattern{}, NarrowQuery, cureNarrow},
	{"OPERATION_TOO_LARGE", pattern{}, NarrowQuery, "The query touches too many records for a user without View All Data: shorter spans of time follow; granting View All Data on the objects makes it fast again."},
	{"REQUEST_RUNNING_TOO_LONG", ofQuery, NarrowQuery, cureNarrow},
	{"REQUEST_RUNNING_TOO_LONG", pattern{}, Split, cureSmaller},
	{"INVALID_QUERY_LOCATOR", pattern{}, RestartQuery, "The result of the query has expired and is read again from its start."},
	{"INVALID_QUERY_FILTER_OPERATOR", pattern{}, StopClass, "A field in the query cannot be compared that way: check CALLPOINT_TASK_FILTER against the fields' types."},

	// the whole org
	{"INVALID_SESSION_ID", pattern{}, StopCalls, "The session is not accepted, not even a new one: check the session policies of the connected app and that the user may use the API; with SALESFORCE_ACCESS_TOKEN, set a new token."},
	{"INVALID_AUTH_HEADER", pattern{}, StopCalls, "The access token is not accepted, not even a new one: check the session policies of the connected app; with SALESFORCE_ACCESS_TOKEN, set a new token."},
	{"INVALID_JWT_FORMAT", pattern{}, StopCalls, "The access token is not accepted, not even a new one: check the connected app's setting for JWT-based access tokens; with SALESFORCE_ACCESS_TOKEN, set a new token."},
	{"REQUEST_LIMIT_EXCEEDED", concurrentLimit, Retry, "Too many long requests run in the org at once; it passes when they end."},
	{"REQUEST_LIMIT_EXCEEDED", pattern{}, StopCalls, "The org's API calls of the last 24 hours are used up: wait, find the integration that uses them, or buy more."},
	{"API_DISABLED_FOR_ORG", pattern{}, StopCalls, "The API is not enabled for this org or user: grant API Enabled; a new connected app may take hours."},
	{"CLIENT_NOT_ACCESSIBLE_FOR_USER", pattern{}, StopCalls, "The user may not use this connected app: assign the app to the user's profile or a permission set."},
	{"INVALID_OPERATION_WITH_EXPIRED_PASSWORD", pattern{}, StopCalls, curePassword},
	{"PASSWORD_EXPIRED", pattern{}, StopCalls, curePassword},
	{"PASSWORD_LOCKOUT", pattern{}, StopCalls, "The user is locked after too many wrong passwords: unlock it in Setup, Users."},
	{"INVALID_LOGIN", pattern{}, StopCalls, cureLogin},
	{"LOGIN_MUST_USE_SECURITY_TOKEN", pattern{}, StopCalls, "Set SALESFORCE_SECURITY_TOKEN, or add this machine's address to the org's trusted IP ranges."},
	{"INACTIVE_ORG", pattern{}, StopCalls, cureOrg},
	{"ORG_LOCKED", pattern{}, StopCalls, cureOrg},
	{"TRIAL_EXPIRED", pattern{}, StopCalls, "The trial of this org has expired."},
	{"UNSUPPORTED_API_VERSION", pattern{}, StopCalls, cureVersion},
	{"URL_NOT_RESET", pattern{}, StopCalls, "The org is at another address now: set SALESFORCE_DOMAIN to its present My Domain."},
	{"SERVER_UNAVAILABLE", pattern{}, Retry, curePasses},
	{"UNKNOWN_EXCEPTION", movedInstance, StopCalls, "The org is at another address now: set SALESFORCE_DOMAIN to its present My Domain."},
	{"UNKNOWN_EXCEPTION", wholeWrite, Split, cureHalves},
	{"UNKNOWN_EXCEPTION", pattern{}, Retry, "Salesforce failed without a reason. If it lasts, Salesforce's support can look up the ErrorId."},
	{"FUNCTIONALITY_TEMPORARILY_UNAVAILABLE", pattern{}, Retry, curePasses},
	{"API_CURRENTLY_DISABLED", pattern{}, Retry, curePasses},
	{"TXN_SECURITY_METERING_ERROR", pattern{}, Retry, cureWait},

	// the token endpoint
	{"invalid_grant", clockIsOff, StopCalls, "The JWT is refused, and this machine's clock is off Salesforce's: set the clock, for instance with timedatectl set-ntp true. If the clock is right, check the certificate in the connected app."},
	{"invalid_client", clockIsOff, StopCalls, "The JWT is refused, and this machine's clock is off Salesforce's: set the clock, for instance with timedatectl set-ntp true. If the clock is right, check the certificate in the connected app."},
	{"invalid_grant", notYetApproved, StopCalls, "The user has not approved the connected app: set its permitted users to admin approved, and assign it to the user's profile or a permission set."},
	{"invalid_grant", wrongAudience, StopCalls, "The JWT's audience does not fit the org: check that SALESFORCE_DOMAIN is this org's My Domain."},
	{"invalid_grant", noRunAsUser, StopCalls, "The connected app has no user for the client credentials flow: set Run As in its policies."},
	{"invalid_grant", wrongHost, StopCalls, "This host does not support the client credentials flow: set SALESFORCE_DOMAIN to the org's own My Domain."},
	{"invalid_grant", loginRate, StopCalls, "The user has logged in too often within the hour: find what else uses the same user."},
	{"invalid_grant", ipRestricted, StopCalls, "This machine's address is outside the ranges allowed for the user or the connected app: add it, or relax IP restrictions."},
	{"invalid_grant", hoursOrPlace, StopCalls, "The user may not log in at this time: change the login hours of its profile."},
	{"invalid_grant", oldPassword, StopCalls, curePassword},
	{"invalid_grant", badUser, StopCalls, "The user is inactive or locked: unlock or activate it in Setup, Users."},
	{"invalid_grant", expiredToken, StopCalls, "The JWT or token has expired: check this machine's clock against Salesforce's, and the connected app's policies."},
	{"invalid_grant", pattern{}, StopCalls, "Salesforce refuses these credentials: check user, password and security token, or the JWT's certificate in the connected app; see the user's login history in Setup."},
	{"invalid_app_access", pattern{}, StopCalls, "The user may not use this connected app: assign the app to the user's profile or a permission set."},
	{"invalid_assertion", pattern{}, StopCalls, "The JWT is refused: check the certificate in the connected app, SALESFORCE_USERNAME, and this machine's clock."},
	{"invalid_client", pattern{}, StopCalls, "SALESFORCE_CONSUMER_KEY or SALESFORCE_CONSUMER_SECRET is wrong, or the connected app is newer than ten minutes."},
	{"invalid_client_id", pattern{}, StopCalls, "SALESFORCE_CONSUMER_KEY is not known to this org: check it and SALESFORCE_DOMAIN; a new connected app may take ten minutes."},
	{"invalid_client_credentials", pattern{}, StopCalls, "SALESFORCE_CONSUMER_SECRET is wrong."},
	{"unsupported_grant_type", pattern{}, StopCalls, "The org does not allow this login flow: enable it in the connected app (and for the password flow in the org's OAuth settings)."},
	{"invalid_request", pattern{}, StopCalls, cureLogin},
	{"invalid_scope", pattern{}, StopCalls, "Give the connected app the scope api."},
	{"unauthorized_client", pattern{}, StopCalls, "Enable this login flow in the connected app."},
	{"access_denied", pattern{}, StopCalls, cureLogin},
	{"inactive_user", pattern{}, StopCalls, "The user is inactive: activate it in Setup, Users."},
	{"inactive_org", pattern{}, StopCalls, cureOrg},
	{"rate_limit_exceeded", pattern{}, StopCalls, "The user has logged in too often within the hour: find what else uses the same user."},
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
	{CodeNoAnswer, pattern{}, Retry, "Salesforce does not answer in time for this record, not even by itself: a trigger or flow of the org takes too long over it; show it to the org's administrator." + retryParked},
	{codeCaller, pattern{}, Bug, cureReport},
	{codeTooLarge, ofQuery, NarrowQuery, "The answer was too large; shorter spans of time follow."},
	{codeTooLarge, pattern{}, Split, "The answer was too large; smaller collections follow."},
	{codeBadPage, pattern{}, RestartQuery, "The pages of a query's result do not follow each other; it is read again from its start. If it lasts, ask Salesforce's support."},
	{codeRedirect, pattern{}, StopCalls, "Salesforce redirects to another address: set SALESFORCE_DOMAIN to the org's present My Domain."},
	{codeNoToken, pattern{}, StopCalls, "The token endpoint did not answer like Salesforce's: check that SALESFORCE_DOMAIN is the org's My Domain, and what a proxy in between does."},
	{codeOrgChanged, pattern{}, StopCalls, "The same credentials now lead to another org (was a sandbox refreshed?): start over with a new store, or set the credentials of the old org."},
	{codeUntrusted, pattern{}, StopCalls, "The token endpoint points to a host that callpoint does not trust: set SALESFORCE_DOMAIN to the org's own My Domain."},
}

// CodeNoAnswer is the code of a record for which no answer came in time.
const CodeNoAnswer = "NO_ANSWER"

var ownCodes = []string{CodeNoAnswer, codeCaller, codeTooLarge, codeBadPage, codeRedirect, codeNoToken, codeOrgChanged, codeUntrusted}

// Codes that Salesforce does not have.
const (
	codeCaller     = "CALLER"           // the caller broke a rule of this package; nothing was sent
	codeTooLarge   = "ANSWER_TOO_LARGE" // beyond maxBody
	codeBadPage    = "BAD_PAGE"         // a page of a query that has no rows, or leads back to itself
	codeRedirect   = "REDIRECT"         // an answer 3xx, which is not followed
	codeNoToken    = "NO_TOKEN"         // the token endpoint's answer is no token
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

// Codes lists the codes that the table knows, without those of the token endpoint and of this
// package.
func Codes() []string {
	var all []string
	for _, r := range rules {
		if strings.ToUpper(r.code) == r.code && !slices.Contains(ownCodes, r.code) && !slices.Contains(all, r.code) {
			all = append(all, r.code)
		}
	}
	return all
}
