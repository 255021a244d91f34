package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"

	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

const simData = "/services/data/v62.0"

// do carries out one request; a session that ended is renewed once.
func (o *simOrg) do(ctx context.Context, op, object, method, path string, body any) ([]byte, http.Header, error) {
	for renewed := false; ; renewed = true {
		token := o.session("", "")
		if token == "" {
			if err := o.login(ctx); err != nil {
				return nil, nil, err
			}
			token = o.session("", "")
		}
		answer, header, err := o.once(ctx, op, object, method, path, token, body)
		var e *salesforce.Error
		if renewed || !errors.As(err, &e) || e.Status != http.StatusUnauthorized {
			return answer, header, err
		}
		o.session(token, "")
	}
}

// session gives the token, after it was set where it is still the old one.
func (o *simOrg) session(old, token string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.token == old {
		o.token = token
	}
	return o.token
}

func (o *simOrg) login(ctx context.Context) error {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {orgsim.DefaultClientID}, "client_secret": {orgsim.DefaultClientSecret}}
	answer, _, err := o.once(ctx, "login", "", http.MethodPost, "/services/oauth2/token", "", form)
	if err != nil {
		return err
	}
	var granted struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(answer, &granted); err != nil {
		return err
	}
	o.session("", granted.Token)
	return nil
}

func (o *simOrg) once(ctx context.Context, op, object, method, path, token string, body any) (_ []byte, _ http.Header, err error) {
	var raw []byte
	contentType := "application/json"
	if form, ok := body.(url.Values); ok {
		raw, contentType = []byte(form.Encode()), "application/x-www-form-urlencoded"
	} else if body != nil {
		if raw, err = json.Marshal(body); err != nil {
			return nil, nil, err
		}
	}
	o.flying.Add(1)
	defer o.flying.Done()
	req := httptest.NewRequest(method, "https://sim.example"+path, bytes.NewReader(raw)).WithContext(ctx)
	req.Header.Set("Content-Type", contentType)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if err := o.travel("before " + op + " " + path + string(raw)); err != nil {
		return nil, nil, &salesforce.Error{Op: op, Object: object, Method: method, Err: err}
	}
	w := httptest.NewRecorder()
	cut := o.serve(w, req)
	o.sent(fmt.Sprintf("%s %s %s -> %d %v %s", method, path, raw, w.Code, cut, w.Body))
	if err := o.travel("after " + op + " " + path + string(raw)); err != nil {
		return nil, nil, &salesforce.Error{Op: op, Object: object, Method: method, Err: err}
	}
	write := method != http.MethodGet && op != "login" && op != "query_many"
	e := &salesforce.Error{Op: op, Object: object, Method: method, Unknown: write}
	if cut {
		e.Err = io.ErrUnexpectedEOF
		return nil, nil, e
	}
	if w.Code >= 200 && w.Code <= 299 && json.Valid(w.Body.Bytes()) {
		return w.Body.Bytes(), w.Header(), nil
	}
	simRefusal(e, w.Code, w.Body.Bytes())
	e.Unknown = write && w.Code >= 500
	return nil, nil, e
}

// serve reports whether the connection was cut.
func (o *simOrg) serve(w http.ResponseWriter, r *http.Request) (cut bool) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			cut = true
		default:
			panic(p)
		}
	}()
	o.org.ServeHTTP(w, r)
	return false
}

// simRefusal reads an error body: an array, or OAuth's object.
func simRefusal(e *salesforce.Error, status int, body []byte) {
	e.Status = status
	var many []struct{ ErrorCode, StatusCode, Message string }
	if json.Unmarshal(body, &many) == nil && len(many) > 0 {
		e.Code, e.Message = many[0].ErrorCode+many[0].StatusCode, many[0].Message
		return
	}
	var one struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &one) == nil {
		e.Code = one.Error
	}
}

type simSub struct {
	Method      string `json:"method"`
	URL         string `json:"url"`
	ReferenceID string `json:"referenceId"`
	Body        any    `json:"body,omitempty"`
}

type simSubAnswer struct {
	Body           json.RawMessage
	HTTPStatusCode int
}

func (o *simOrg) composite(ctx context.Context, op string, subs []simSub) ([]simSubAnswer, http.Header, error) {
	for i := range subs {
		subs[i].ReferenceID = "s" + strconv.Itoa(i)
	}
	raw, header, err := o.do(ctx, op, "", http.MethodPost, simData+"/composite", map[string]any{"compositeRequest": subs})
	if err != nil {
		return nil, nil, err
	}
	var answer struct{ CompositeResponse []simSubAnswer }
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, nil, err
	}
	return answer.CompositeResponse, header, nil
}
