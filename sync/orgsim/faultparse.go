package orgsim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ParseFault reads a fault as "callpoint org --fault" and POST /sim/fault take it:
// settings joined by commas.
//
//	op=upsert        which requests: an operation, read or write (default: all)
//	object=Task      … on this object
//	nth=3            the third of them (default: the first)
//	times=2          and how many from there (default 1; all)
//	drop=after       cut the connection: before or after the request is applied
//	delay=2s         wait before the request is worked on
//	delay-after=2s   wait before the answer is sent
//	truncate         cut the connection in the middle of the answer
//	status=503       answer with this status, without working on the request
//	code=X           … and with Salesforce's error array for this code (status 400 by default)
//	message=text     … and this message; must be the last setting, commas are part of it
//	html             … and an HTML page for a body (status 503 by default)
//	applied          work on the request all the same, and replace the answer only
//	retry-after=30   … with this header
//	expire           end all sessions first
//	rows=500         only queries that match more than 500 rows
//	row=X            refuse rows of writes with this code; message as above
//	every=10         … every tenth of them (default: all)
//	key=K            … the one with this external id or Id
//
// Examples: op=upsert,nth=3,drop=after · op=composite,status=503,html,times=2 ·
// op=login,code=invalid_grant,message=authentication failure ·
// object=bizible2__Bizible_Touchpoint__c,row=UNABLE_TO_LOCK_ROW,every=7,times=all
func ParseFault(s string) (Fault, error) {
	var f Fault
	var row RowError
	var message string
	effect := false
	for rest := s; rest != ""; {
		var setting string
		if strings.HasPrefix(rest, "message=") {
			setting, rest = rest, ""
		} else {
			setting, rest, _ = strings.Cut(rest, ",")
		}
		name, value, hasValue := strings.Cut(strings.TrimSpace(setting), "=")
		known, acts, err := f.set(&row, &message, name, value)
		switch {
		case !known:
			return Fault{}, fmt.Errorf("fault %q: unknown setting %q", s, name)
		case slices.Contains(faultSwitches, name) == hasValue:
			return Fault{}, fmt.Errorf("fault %q: %s", s, valueAdvice(name, hasValue))
		case err != nil:
			return Fault{}, fmt.Errorf("fault %q: %s: %w", s, name, err)
		}
		effect = effect || acts
	}
	if row != (RowError{}) {
		if row.Code == "" {
			return Fault{}, fmt.Errorf("fault %q: key and every need row=CODE", s)
		}
		row.Message = message
		f.RowError = &row
	} else {
		f.Message = message
	}
	if f.Body != "" && f.Status == 0 {
		f.Status = http.StatusServiceUnavailable
	}
	switch {
	case !effect:
		return Fault{}, fmt.Errorf("fault %q does nothing: give one of drop, delay, delay-after, truncate, status, code, html, expire, row", s)
	case message != "" && f.Code == "" && f.RowError == nil:
		return Fault{}, fmt.Errorf("fault %q: message needs code or row", s)
	case f.Code != "" && f.Body != "":
		return Fault{}, fmt.Errorf("fault %q: code and html exclude each other", s)
	case f.RowError != nil && f.answer() != nil:
		return Fault{}, fmt.Errorf("fault %q: row and status, code or html exclude each other", s)
	case f.Applied && f.answer() == nil:
		return Fault{}, fmt.Errorf("fault %q: applied needs status, code or html", s)
	case f.MinRows > 0 && f.answer() == nil:
		return Fault{}, fmt.Errorf("fault %q: rows needs status, code or html", s)
	}
	return f, nil
}

var faultSwitches = []string{"truncate", "html", "applied", "expire"}

func valueAdvice(name string, hasValue bool) string {
	if hasValue {
		return name + " takes no value"
	}
	return name + " needs a value, as in " + name + "=..."
}

// set sets one setting; acts means that it makes the fault do something.
func (f *Fault) set(row *RowError, message *string, name, value string) (known, acts bool, err error) {
	switch name {
	case "op":
		f.Op, err = value, checkOp(value)
	case "object":
		f.Object = value
	case "nth":
		f.Nth, err = positive(value)
	case "times":
		if f.Times = -1; value != "all" {
			f.Times, err = positive(value)
		}
	case "rows":
		f.MinRows, err = positive(value)
	case "every":
		row.Every, err = positive(value)
	case "key":
		row.Key = value
	case "message":
		*message = value
	case "applied":
		f.Applied = true
	case "retry-after":
		f.Header = map[string]string{"Retry-After": value}
	default:
		return f.setEffect(row, name, value)
	}
	return true, false, err
}

func (f *Fault) setEffect(row *RowError, name, value string) (known, acts bool, err error) {
	switch name {
	case "drop":
		if f.Drop = value; value != DropBefore && value != DropAfter {
			err = fmt.Errorf("%q is neither before nor after", value)
		}
	case "delay":
		f.Delay, err = time.ParseDuration(value)
	case "delay-after":
		f.DelayAfter, err = time.ParseDuration(value)
	case "truncate":
		f.Truncate = true
	case "status":
		if f.Status, err = strconv.Atoi(value); err == nil && (f.Status < 200 || http.StatusText(f.Status) == "" && f.Status != 420) {
			err = fmt.Errorf("%q is no HTTP status", value)
		}
	case "code":
		f.Code = value
	case "html":
		f.Body = "<html><head><title>Salesforce</title></head><body><h1>We are down for maintenance.</h1></body></html>"
	case "expire":
		f.Expire = true
	case "row":
		row.Code = value
	default:
		return false, false, nil
	}
	return true, true, err
}

func positive(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is not a number from 1 up", value)
	}
	return n, nil
}

func checkOp(op string) error {
	all := []string{OpLogin, OpUserinfo, OpVersions, OpQuery, OpMore, OpDescribe, OpLimits, OpGet, OpList, OpCreate,
		OpUpsert, OpUpdate, OpDelete, OpComposite, OpRead, OpWrite}
	if slices.Contains(all, op) {
		return nil
	}
	return fmt.Errorf("%q is none of %s", op, strings.Join(all, ", "))
}
