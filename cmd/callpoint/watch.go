package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"time"

	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/monitor"
	"callpoint/sync/salesforce"
)

// watches is what the monitor of a running app looks at.
func (a *app) watches() monitor.Config {
	return monitor.Config{
		Store: a.store, Engine: a.engine, Clock: a.clock, Org: a.org(), Leading: a.leading, Spooled: a.spooled, Interval: a.cfg.PollInterval, Now: time.Now, Log: a.log, Build: build(), OrgURL: a.cfg.Domain, Zone: a.zone, DryRun: a.cfg.DryRun, Host: first(a.cfg.Hosts),
		Collected: func() monitor.Collected {
			col := a.collected.Load()
			if col == nil {
				return monitor.Collected{}
			}
			s := col.Stats()
			return monitor.Collected{Events: s.Events, Visits: s.Visits, Repeated: s.Repeated, Bodies: s.Bodies,
				Rejected: s.Rejected, Bots: s.Bots, Refused: s.Refused, ConsentRefused: s.ConsentRefused, LastReceived: s.LastReceived}
		},
	}
}

// org returns the client for revenue; nil where there is none.
func (a *app) org() monitor.Org {
	if a.client == nil {
		return nil
	}
	return a.client
}

// first returns the first of several names, or nothing.
func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// build returns what Go recorded in the binary.
func build() monitor.Build {
	b := monitor.Build{Version: "(unknown)"}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Version, b.Go = sortable(info.Main.Version), info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	return b
}

// ask puts a question of monitor to the running daemon. Where none runs, the same
// handler answers from the store.
func (p *program) ask(ctx context.Context, method, path string, body, into any) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	if running, err := p.daemonCall(ctx, c, method, path, body, into); running || err != nil {
		return err
	}
	r, err := c.rules()
	if err != nil {
		return misconfigured(fmt.Errorf("configuration:\n%w", err))
	}
	return p.withStore(c, func(s *store.Store) error {
		m, err := offline(c, r, s)
		if err != nil {
			return err
		}
		content, _, err := requestBody(body)
		if err != nil {
			return failed(err)
		}
		return answerTo(m, httptest.NewRequestWithContext(ctx, method, path, content), into)
	})
}

// offline is a monitor of a store that no daemon has open. It never calls the org.
func offline(c Config, r rules, s *store.Store) (*monitor.Server, error) {
	e, err := engine.New(engine.Config{Store: s, Org: noOrg{}, Settings: r.settings, Now: time.Now,
		Budget: engine.NewBudget(c.APIBudget, float64(c.APIReserve), time.Now)})
	if err != nil {
		return nil, failed(err)
	}
	m := monitor.New(monitor.Config{Store: s, Engine: e, Offline: true, Interval: c.PollInterval, Now: time.Now,
		Log: slog.New(slog.DiscardHandler), Build: build(), DryRun: c.DryRun, Host: first(c.Hosts)})
	m.Measure()
	return m, nil
}

// answerTo runs a handler without a network.
func answerTo(m *monitor.Server, req *http.Request, into any) error {
	mux := http.NewServeMux()
	m.Routes(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, req)
	if w.Code == http.StatusOK {
		if err := json.NewDecoder(w.Body).Decode(into); err != nil {
			return failed(err)
		}
		return nil
	}
	var answer struct{ Error string }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		answer.Error = string(bytes.TrimSpace(w.Body.Bytes()))
	}
	return failed(errors.New(answer.Error))
}

// noOrg is the org of a command that reads the store alone.
type noOrg struct{}

var errNoOrg = errors.New("this command does not call Salesforce")

func (noOrg) Login(context.Context) (salesforce.Identity, error) {
	return salesforce.Identity{}, errNoOrg
}
func (noOrg) Query(context.Context, string, salesforce.QueryOptions) (salesforce.Page, error) {
	return salesforce.Page{}, errNoOrg
}
func (noOrg) QueryMany(context.Context, []string, salesforce.QueryOptions) ([]salesforce.Page, error) {
	return nil, errNoOrg
}
func (noOrg) Update(context.Context, string, []map[string]any) ([]salesforce.Result, error) {
	return nil, errNoOrg
}
func (noOrg) Upsert(context.Context, []salesforce.Batch) ([][]salesforce.Result, error) {
	return nil, errNoOrg
}
func (noOrg) UpsertThenQuery(context.Context, []salesforce.Batch, []string) ([][]salesforce.Result, []salesforce.Page, error) {
	return nil, nil, errNoOrg
}
func (noOrg) Replace(context.Context, []string, salesforce.Batch) (deleted, created []salesforce.Result, err error) {
	return nil, nil, errNoOrg
}
func (noOrg) Delete(context.Context, []string) ([]salesforce.Result, error) { return nil, errNoOrg }
func (noOrg) Describe(context.Context, string) (salesforce.Object, error) {
	return salesforce.Object{}, errNoOrg
}
