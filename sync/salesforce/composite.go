package salesforce

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	gosf "github.com/k-capehart/go-salesforce/v2"
)

// reference opens a reference to another subrequest's answer, wherever in a
// composite call it is, be it in a visitor's URL. What contains it
// travels alone.
const reference = "@{"

type subrequest struct {
	Method      string            `json:"method"`
	URL         string            `json:"url"`
	ReferenceID string            `json:"referenceId"`
	HTTPHeaders map[string]string `json:"httpHeaders,omitempty"`
	Body        json.RawMessage   `json:"-"` // compositeBody adds it
}

type subresponse struct {
	Body           json.RawMessage `json:"body"`
	HTTPStatusCode int             `json:"httpStatusCode"`
	ReferenceID    string          `json:"referenceId"`
}

// composite sends several requests as one API call. The answers come in the
// order of the requests.
func (c *Client) composite(ctx context.Context, cl *call, subs []subrequest, options ...gosf.RequestOption) ([]subresponse, time.Time, error) {
	body, err := compositeBody(subs, cl.allOrNone)
	if err != nil {
		return nil, time.Time{}, cl.misuse("%v", err)
	}
	var answer struct {
		Responses []subresponse `json:"compositeResponse"`
	}
	resp, err := c.fetch(ctx, cl, "/composite", body, &answer, options...)
	if err != nil {
		return nil, time.Time{}, err
	}
	if len(answer.Responses) != len(subs) {
		return nil, time.Time{}, cl.garbled(resp.StatusCode, fmt.Errorf("%d answers to %d requests", len(answer.Responses), len(subs)))
	}
	for i, a := range answer.Responses {
		if a.ReferenceID != subs[i].ReferenceID {
			return nil, time.Time{}, cl.garbled(resp.StatusCode, fmt.Errorf("answer %d is to another request", i+1))
		}
	}
	return answer.Responses, serverTime(resp), nil
}

// compositeBody encodes a composite call. The collections in it are JSON already: to
// encode them would be to read through megabytes once more.
func compositeBody(subs []subrequest, allOrNone bool) ([]byte, error) {
	size := 0
	for _, s := range subs {
		size += len(s.Body) + 512
	}
	b := make([]byte, 0, size)
	b = append(b, `{"allOrNone":`...)
	b = strconv.AppendBool(b, allOrNone)
	b = append(b, `,"collateSubrequests":false,"compositeRequest":[`...) // in order: persons before touchpoints
	for i, s := range subs {
		if i > 0 {
			b = append(b, ',')
		}
		raw, err := encode(s)
		if err != nil {
			return nil, err
		}
		b = append(b, raw...)
		if s.Body != nil {
			b = append(append(b[:len(b)-1], `,"body":`...), s.Body...)
			b = append(b, '}')
		}
	}
	return append(b, "]}"...), nil
}

// subError is the error of a subrequest that failed as a whole.
func (cl *call) subError(a subresponse) *Error {
	if a.HTTPStatusCode >= 200 && a.HTTPStatusCode <= 299 {
		return nil
	}
	return cl.refusal(a.HTTPStatusCode, http.Header{}, a.Body)
}

// encode is JSON without the escapes for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
