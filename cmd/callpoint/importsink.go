package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"callpoint/store"
)

// A sink is where an import goes, and keeps how far it is: the store, or the daemon that
// has it. Either goes on where the other was stopped.
type sink interface {
	AddRows(ctx context.Context, rows []store.Row) (repeated int, err error)
	State(name string, v any) (ok bool, err error)
	SetState(ctx context.Context, name string, v any) error
	DropState(ctx context.Context, name string) error
}

// daemonSink sends batches to the daemon as its collector takes them.
type daemonSink struct {
	p *program
	c Config
}

func (d *daemonSink) AddRows(ctx context.Context, rows []store.Row) (repeated int, err error) {
	events, visits, err := store.Decode(rows)
	if err != nil {
		return 0, err
	}
	for _, part := range []struct {
		path string
		n    int
		body func(*json.Encoder) error
	}{
		{"/v1/events", len(events), func(e *json.Encoder) error { return encodeAll(e, events) }},
		{"/v1/sessions", len(visits), func(e *json.Encoder) error { return encodeAll(e, visits) }},
	} {
		if part.n == 0 {
			continue
		}
		var body bytes.Buffer
		e := json.NewEncoder(&body)
		e.SetEscapeHTML(false)
		if err := part.body(e); err != nil {
			return repeated, err
		}
		var a struct {
			Accepted, Repeated int
			Rejected           []struct{ Error string }
		}
		if err := d.call(ctx, http.MethodPost, part.path, &body, &a); err != nil {
			return repeated, err
		}
		if a.Accepted+a.Repeated != part.n {
			return repeated, fmt.Errorf("the daemon took %d of %d lines: %v", a.Accepted+a.Repeated, part.n, a.Rejected)
		}
		repeated += a.Repeated
	}
	return repeated, nil
}

func encodeAll[T any](e *json.Encoder, all []T) error {
	for _, v := range all {
		if err := e.Encode(v); err != nil {
			return err
		}
	}
	return nil
}

func (d *daemonSink) State(name string, v any) (ok bool, err error) {
	err = d.call(context.Background(), http.MethodGet, placePath(name), nil, v)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (d *daemonSink) SetState(ctx context.Context, name string, v any) error {
	return d.call(ctx, http.MethodPut, placePath(name), v, nil)
}

func (d *daemonSink) DropState(ctx context.Context, name string) error {
	return d.call(ctx, http.MethodDelete, placePath(name), nil, nil)
}

func placePath(name string) string { return "/v1/imports/" + strings.TrimPrefix(name, placePrefix) }

// call is a request to a daemon that was there when the import began.
func (d *daemonSink) call(ctx context.Context, method, path string, body, into any) error {
	running, err := d.p.daemonCall(ctx, d.c, method, path, body, into)
	if err == nil && !running {
		err = errors.New("the daemon has stopped; start the import again")
	}
	return err
}
