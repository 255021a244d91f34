package orgsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	maxSubrequests = 25
	maxHeavy       = 5 // queries and collections among them
)

type compositeBody struct {
	AllOrNone          bool         `json:"allOrNone"`
	CollateSubrequests bool         `json:"collateSubrequests"`
	CompositeRequest   []subrequest `json:"compositeRequest"`
}

type subrequest struct {
	Method      string            `json:"method"`
	URL         string            `json:"url"`
	ReferenceID string            `json:"referenceId"`
	Body        any               `json:"body"`
	HTTPHeaders map[string]string `json:"httpHeaders"`
}

var (
	validReference = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_]*$`)
	reference      = regexp.MustCompile(`@\{([^}]*)\}`)
)

// composite runs its subrequests in order, in one transaction and for one API
// call.
func (o *Org) composite(c *call) (answer, *Error) {
	if c.method != "POST" {
		return answer{}, notAllowed(c.method, "POST")
	}
	var body compositeBody
	if err := c.readJSON(&body); err != nil {
		return answer{}, err
	}
	if err := checkComposite(body.CompositeRequest); err != nil {
		return answer{}, err
	}
	o.tx.allOrNone = body.AllOrNone
	answers := make([]answer, len(body.CompositeRequest))
	bodies := map[string]any{}
	culprit := -1
	for i, sr := range body.CompositeRequest {
		answers[i] = o.subrequest(c, sr, bodies)
		var v any
		dec := json.NewDecoder(bytes.NewReader(answers[i].body))
		dec.UseNumber()
		if dec.Decode(&v) == nil {
			bodies[sr.ReferenceID] = v
		}
		if body.AllOrNone && (answers[i].status >= 400 || anyRowFailed(v)) {
			culprit = i
			break
		}
	}
	if culprit >= 0 {
		o.tx.rollback(0)
		if answers[culprit].status < 400 {
			answers[culprit].status = 400
		}
		halted := errorAnswer(refuse(400, "PROCESSING_HALTED", "The transaction was rolled back since another operation in the same transaction failed."))
		for i := range answers {
			if i != culprit {
				answers[i] = halted
			}
		}
	}
	out := make([]object, len(answers))
	for i, a := range answers {
		headers := map[string]string{}
		for name := range a.header {
			headers[name] = a.header.Get(name)
		}
		var shown any = json.RawMessage(a.body)
		if len(a.body) == 0 {
			shown = nil
		} else if !json.Valid(a.body) {
			shown = string(a.body)
		}
		out[i] = object{{"body", shown}, {"httpHeaders", headers}, {"httpStatusCode", a.status},
			{"referenceId", body.CompositeRequest[i].ReferenceID}}
	}
	return jsonAnswer(200, object{{"compositeResponse", out}}), nil
}

func checkComposite(subs []subrequest) *Error {
	bad := func(message string) *Error { return refuse(400, "JSON_PARSER_ERROR", message) }
	if len(subs) == 0 {
		return bad("compositeRequest must hold at least one subrequest")
	}
	if len(subs) > maxSubrequests {
		return refuse(400, "LIMIT_EXCEEDED", "You can't have more than 25 subrequests in a single operation.")
	}
	seen := map[string]bool{}
	heavy := 0
	for _, sr := range subs {
		switch {
		case sr.Method == "" || sr.URL == "" || sr.ReferenceID == "":
			return bad("Each subrequest must have a method, a url and a referenceId")
		case !validReference.MatchString(sr.ReferenceID):
			return bad(fmt.Sprintf("Provided referenceId ('%s') must start with a letter or a number, and it can contain only letters, numbers and underscores ('_').", sr.ReferenceID))
		case seen[sr.ReferenceID]:
			return bad("Duplicate referenceId provided: " + sr.ReferenceID)
		}
		seen[sr.ReferenceID] = true
		if u, err := url.Parse(sr.URL); err == nil {
			switch req := requestOf(&call{method: sr.Method, path: u.EscapedPath()}); {
			case req.Collection, req.Op == OpQuery, req.Op == OpMore:
				heavy++
			}
		}
	}
	if heavy > maxHeavy {
		return refuse(400, "LIMIT_EXCEEDED", "You can't have more than 5 sObject Collections, Query or QueryAll subrequests in a single operation.")
	}
	return nil
}

func anyRowFailed(v any) bool {
	rows, _ := v.([]any)
	return slices.ContainsFunc(rows, func(row any) bool {
		m, ok := row.(map[string]any)
		return ok && m["success"] == false
	})
}

func (o *Org) subrequest(outer *call, sr subrequest, bodies map[string]any) answer {
	target, err := resolveText(sr.URL, bodies)
	var body any
	if err == nil {
		body, err = resolve(sr.Body, bodies)
	}
	if err != nil {
		return errorAnswer(err)
	}
	u, parseErr := url.Parse(target)
	if parseErr != nil || u.Host != "" {
		return errorAnswer(notFound())
	}
	c := &call{method: strings.ToUpper(sr.Method), path: u.EscapedPath(), query: u.Query(), base: outer.base, sub: true, header: http.Header{}}
	for name, value := range sr.HTTPHeaders {
		c.header.Set(name, value)
	}
	if body != nil {
		c.body, _ = json.Marshal(body)
	}
	req := requestOf(c)
	if req.Op == OpComposite || req.Op == OpLogin {
		return errorAnswer(notFound())
	}
	var canned *answer
	if hit := o.match(c, req); hit != nil { // only faults with an answer match here
		if canned = hit.answer(); !hit.Applied {
			return *canned
		}
	}
	a := o.dispatch(c, req)
	if canned != nil {
		return *canned
	}
	return a
}

// resolve replaces the references in all texts of a body. Every
// text counts, also a visitor's "@{x}".
func resolve(v any, bodies map[string]any) (any, *Error) {
	switch v := v.(type) {
	case string:
		if m := reference.FindStringSubmatch(v); m != nil && m[0] == v {
			return lookUp(m[1], bodies)
		}
		return resolveText(v, bodies)
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			var err *Error
			if out[i], err = resolve(item, bodies); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, name := range sortedKeys(v) {
			var err *Error
			if out[name], err = resolve(v[name], bodies); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

func resolveText(s string, bodies map[string]any) (string, *Error) {
	var failed *Error
	s = reference.ReplaceAllStringFunc(s, func(m string) string {
		v, err := lookUp(m[2:len(m)-1], bodies)
		if err != nil {
			failed = err
			return ""
		}
		return fmt.Sprint(v)
	})
	return s, failed
}

// lookUp follows a reference such as refAccounts[0].id into an earlier body.
// Names are compared with their case.
func lookUp(ref string, bodies map[string]any) (any, *Error) {
	name, _, _ := strings.Cut(ref, ".")
	name, _, _ = strings.Cut(name, "[")
	missing := refuse(400, "PROCESSING_HALTED", fmt.Sprintf("Invalid reference specified. No value for %s found in %s", ref, name))
	v, ok := bodies[name]
	if !ok || !validReference.MatchString(name) {
		return nil, missing
	}
	path := strings.NewReplacer("[", ".", "]", "").Replace(strings.TrimPrefix(ref, name))
	for step := range strings.SplitSeq(strings.TrimPrefix(path, "."), ".") {
		switch at := v.(type) {
		case map[string]any:
			v, ok = at[step]
		case []any:
			i, err := strconv.Atoi(step)
			if ok = err == nil && i >= 0 && i < len(at); ok {
				v = at[i]
			}
		default:
			ok = false
		}
		if !ok {
			return nil, missing
		}
	}
	switch v.(type) {
	case string, json.Number, bool:
		return v, nil
	}
	return nil, missing
}
