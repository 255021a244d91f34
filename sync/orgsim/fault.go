package orgsim

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// The operations that a Request can be.
const (
	OpLogin     = "login"
	OpUserinfo  = "userinfo"
	OpVersions  = "versions"
	OpQuery     = "query" // also queryAll; a first page
	OpMore      = "more"  // a following page
	OpDescribe  = "describe"
	OpLimits    = "limits"
	OpGet       = "get" // one record
	OpList      = "list"
	OpCreate    = "create"
	OpUpsert    = "upsert"
	OpUpdate    = "update"
	OpDelete    = "delete"
	OpComposite = "composite"
	OpOther     = "other"

	// Groups, for Fault.Op only.
	OpRead  = "read"
	OpWrite = "write" // create, upsert, update, delete and composite
)

var opGroups = map[string][]string{
	OpRead:  {OpQuery, OpMore, OpDescribe, OpLimits, OpGet, OpList},
	OpWrite: {OpCreate, OpUpsert, OpUpdate, OpDelete, OpComposite},
}

// A Request describes a request to the functions that match faults.
type Request struct {
	Op         string
	Method     string
	Path       string
	Object     string // of a write, describe or get
	SOQL       string // of a query
	Collection bool   // a write of many rows
	Sub        bool   // a subrequest of a composite
	Body       []byte

	ids string // of a delete
}

// Where a fault drops the connection.
const (
	DropBefore = "before" // nothing is applied
	DropAfter  = "after"  // the request is applied, the answer lost
)

// A Fault is one scripted misbehaviour. It takes effect at the Nth request that
// it matches, and at the Times-1 that follow.
//
// Subrequests of a composite are matched as well, with their own operation:
// Status, Code and RowError work there; faults of the connection do not.
type Fault struct {
	// Which requests. Empty fields match everything.
	Op     string // an operation or a group
	Object string
	Match  func(Request) bool
	Nth    int // first match that is hit; 0 is 1
	Times  int // how many are hit; 0 is 1, negative is all

	// What the client gets instead of an answer. Code makes the body
	// Salesforce's error for it (for a login: its OAuth pair).
	Status        int
	Code, Message string
	Body          string
	ContentType   string
	Applied       bool // the request is worked on all the same, and only the answer replaced

	// What happens to the answer that it gets.
	Header     map[string]string
	Delay      time.Duration // before the request is worked on
	DelayAfter time.Duration // after
	Drop       string        // DropBefore or DropAfter
	Truncate   bool          // half of the body, then the connection is cut
	Expire     bool          // every session ends before the request is looked at

	// MinRows lets a query fault only hit queries that match more rows.
	MinRows int

	// RowError refuses rows of a write; the others go through.
	RowError *RowError
}

// A RowError selects rows of a write and refuses them.
type RowError struct {
	Code, Message string
	Every         int    // every n-th row, counted over all writes that the fault hits; 0 is 1
	Key           string // only the row with this external id or Id; only writes that have it count
}

type fault struct {
	Fault
	seen, hit, rows int
}

// Fault adds a fault to the script; the returned function removes it.
func (o *Org) Fault(f Fault) (remove func()) {
	f.Nth = max(f.Nth, 1)
	if f.Times == 0 {
		f.Times = 1
	}
	p := &fault{Fault: f}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = append(o.faults, p)
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.faults = slices.DeleteFunc(o.faults, func(q *fault) bool { return q == p })
	}
}

// ClearFaults ends the script.
func (o *Org) ClearFaults() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = nil
}

// match finds the faults that hit a request: the first that concerns the whole
// request, and into c.rows all that concern rows. The caller holds the lock.
func (o *Org) match(c *call, req Request) *fault {
	var whole *fault
	for _, f := range o.faults {
		if !f.matches(req) || f.MinRows > 0 {
			continue
		}
		if f.RowError == nil && whole != nil {
			continue // one misfortune at a time; this one waits
		}
		if !f.due() {
			continue
		}
		o.stats.Faults++
		if f.RowError != nil {
			c.rows = append(c.rows, f)
		} else {
			whole = f
		}
	}
	return whole
}

// due counts a match and reports whether it is one of those to hit.
func (f *fault) due() bool {
	f.seen++
	if f.seen < f.Nth || f.Times > 0 && f.hit >= f.Times {
		return false
	}
	f.hit++
	return true
}

func (f *fault) matches(req Request) bool {
	switch {
	case f.Op != "" && f.Op != req.Op && !slices.Contains(opGroups[f.Op], req.Op):
		return false
	case f.Object != "" && !strings.EqualFold(f.Object, req.Object):
		return false
	case f.Match != nil && !f.Match(req):
		return false
	case f.RowError == nil:
		return !req.Sub || f.Status != 0 || f.Code != ""
	case f.RowError.Key != "" && !req.hasKey(f.RowError.Key):
		return false
	}
	// Rows are refused where they are written, not by the composite around.
	return req.Op != OpComposite && slices.Contains(opGroups[OpWrite], req.Op)
}

// hasKey finds an external id or an Id in a body, a path or a list of ids.
func (req Request) hasKey(key string) bool {
	quoted, _ := json.Marshal(key)
	return strings.Contains(fold(string(req.Body)), fold(string(quoted))) || strings.Contains(fold(req.Path+"/"+req.ids), fold(key))
}

// answer returns the fault's own answer, or nil where the org answers.
func (f *Fault) answer() *answer {
	if f.Status == 0 && f.Code == "" && f.Body == "" {
		return nil
	}
	status := f.Status
	if status == 0 {
		status = 400
		if f.Code == "" {
			status = 200
		}
	}
	a := answer{status: status, body: []byte(f.Body), contentType: f.ContentType}
	if f.Code != "" {
		a = f.errorAnswer(status)
	}
	if a.contentType == "" && len(a.body) > 0 {
		a.contentType = jsonType
		if strings.HasPrefix(strings.TrimSpace(f.Body), "<") {
			a.contentType = "text/html"
		}
	}
	return &a
}

func (f *Fault) errorAnswer(status int) answer {
	if f.Op == OpLogin {
		a := oauthAnswer(oauthError{f.Code, f.Message})
		a.status = status
		return a
	}
	e := refuse(status, f.Code, f.Message)
	if e.Message == "" {
		e.Message = defaultMessages[f.Code]
	}
	return errorAnswer(e)
}

// rowError is the refusal for a row of a write, or nil.
func (c *call) rowError(keys ...string) *Error {
	for _, f := range c.rows {
		re := f.RowError
		if re.Key != "" && !slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, re.Key) }) {
			continue
		}
		f.rows++
		if f.rows%max(re.Every, 1) == 0 {
			e := reject(re.Code, re.Message)
			if e.Message == "" {
				e.Message = defaultMessages[re.Code]
			}
			return e
		}
	}
	return nil
}

// defaultMessages are Salesforce's words for the codes that faults use most.
var defaultMessages = map[string]string{
	"UNABLE_TO_LOCK_ROW":                            "unable to obtain exclusive access to this record",
	"SERVER_UNAVAILABLE":                            "Server unavailable",
	"UNKNOWN_EXCEPTION":                             "An unexpected error occurred. Please include this ErrorId if you contact support: 0 (0)",
	"QUERY_TIMEOUT":                                 "Your query request was running for too long.",
	"OPERATION_TOO_LARGE":                           "exceeded 100000 distinct who/what's",
	"REQUEST_RUNNING_TOO_LONG":                      "Your request was running for too long, and has been stopped.",
	"REQUEST_LIMIT_EXCEEDED":                        "TotalRequests Limit exceeded.",
	"INVALID_SESSION_ID":                            "Session expired or invalid",
	"INVALID_QUERY_LOCATOR":                         "invalid query locator",
	"API_DISABLED_FOR_ORG":                          "The REST API is not enabled for this Organization.",
	"STORAGE_LIMIT_EXCEEDED":                        "storage limit exceeded",
	"DUPLICATES_DETECTED":                           "Use one of these records?",
	"INACTIVE_OWNER_OR_USER":                        "operation performed with inactive user",
	"INSUFFICIENT_ACCESS_OR_READONLY":               "insufficient access rights on object id",
	"INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": "insufficient access rights on cross-reference id",
	"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY":          cpuMessage,
}

// requestOf names the operation of a call.
func requestOf(c *call) Request {
	req := Request{Op: OpOther, Method: c.method, Path: c.path, Sub: c.sub, Body: c.body, ids: c.query.Get("ids")}
	_, rest, ok := resource(c.path)
	if !ok {
		switch strings.TrimSuffix(c.path, "/") {
		case "/services/oauth2/token":
			req.Op = OpLogin
		case "/services/oauth2/userinfo":
			req.Op = OpUserinfo
		case "/services/data":
			req.Op = OpVersions
		}
		return req
	}
	rest = append(rest, "", "", "")
	switch rest[0] {
	case "query", "queryAll":
		req.Op, req.SOQL = OpQuery, c.query.Get("q")
		if rest[1] != "" {
			req.Op = OpMore
		}
	case "limits":
		req.Op = OpLimits
	case "sobjects":
		req.Op, req.Object = sobjectOp(c.method, rest), rest[1]
	case "composite":
		req.Op = OpComposite
		if rest[1] == "sobjects" {
			req.Collection = true
			req.Op, req.Object = collectionOp(c.method, rest[2]), rest[2]
		}
	}
	return req
}

func sobjectOp(method string, rest []string) string {
	switch {
	case rest[1] == "":
		return OpList
	case rest[2] == "describe":
		return OpDescribe
	case method == "POST":
		return OpCreate
	case method == "DELETE":
		return OpDelete
	case method == "PATCH" && rest[3] != "":
		return OpUpsert
	case method == "PATCH":
		return OpUpdate
	}
	return OpGet
}

func collectionOp(method, object string) string {
	switch {
	case method == "DELETE":
		return OpDelete
	case method == "POST":
		return OpCreate
	case object != "":
		return OpUpsert
	}
	return OpUpdate
}
