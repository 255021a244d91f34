package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"callpoint/clock"
	"callpoint/store"
	"callpoint/sync/collector"
	"callpoint/sync/engine"
	"callpoint/sync/monitor"
	"callpoint/sync/salesforce"
	"callpoint/sync/spool"
)

// app is one wired callpoint: what the daemon, --sync-once and the demo have in common.
type app struct {
	cfg    Config
	log    *slog.Logger
	store  *store.Store
	client *salesforce.Client
	engine *engine.Engine
	clock  *clock.Clock
	watch  *monitor.Server
	geo    *geoIP       // nil: none configured
	local  net.Listener // for local commands; nil: none
	spool  *spool.Spool // before a store that may be away; nil: none
	daemon bool

	follower follower

	fingerprint atomic.Value                        // string: of the rules
	cycled      chan struct{}                       // holds a token after a cycle
	completed   chan struct{}                       // holds a token after a cycle without an error
	orgZone     atomic.Pointer[time.Location]       // nil: not known
	zoneAt      time.Time                           // when the org was asked for its zone
	collected   atomic.Pointer[collector.Collector] // nil until there is a handler
}

// open wires an app. A store in a file is locked from here to close. The daemon leads within
// app.lead alone; any other process takes the lease of a shared store when it first writes.
func (p *program) open(c Config, log *slog.Logger, daemon bool) (*app, error) {
	r, err := c.rules()
	if err != nil {
		return nil, misconfigured(fmt.Errorf("configuration:\n%w", err))
	}
	for _, w := range r.warnings {
		log.Warn("channel rules", "file", c.Channels, "line", w.Line, "cell", w.Cell, "warning", w.Message)
	}
	a := &app{cfg: c, log: log, daemon: daemon, clock: clock.New(time.Now), cycled: make(chan struct{}, 1), completed: make(chan struct{}, 1)}
	budget := engine.NewBudget(c.APIBudget, float64(c.APIReserve), time.Now)
	sc := c.salesforce()
	pauses := &loginPauses{}
	sc.Log, sc.AllowCall, sc.Pauses = log, budget.Allow, pauses
	sc.OnCall = func(i salesforce.CallInfo) {
		budget.Note(i)
		a.clock.SetDate(i.Date, time.Now().Add(-i.Duration))
		a.watch.APICall(i.Op, i.Status)
	}
	if testOnlyTune != nil {
		testOnlyTune(&sc)
	}
	var org engine.Org = noOrg{}
	if c.Role != roleCollector { // which never calls Salesforce, and needs no secret of it
		client, err := salesforce.New(sc)
		if err != nil {
			return nil, misconfigured(fmt.Errorf("configuration:\n%w", cmp.Or(c.Unread, err)))
		}
		a.client, org = client, client
	}
	o := c.storeOptions()
	o.OnStep = p.onStep
	o.Instance.Daemon, o.Instance.Rules = daemon, func() string { return a.fingerprint.Load().(string) }
	a.fingerprint.Store(r.fingerprint)
	if a.store, err = store.Open(c.Store, o); err != nil {
		return nil, errors.Join(failed(err), a.close())
	}
	s := a.store
	pauses.store.Store(s)
	e, err := engine.New(engine.Config{
		Store: s, Org: org, Settings: r.settings, TaskFilter: c.TaskFilter,
		Clock: a.clock, Start: c.Start.at, StartBack: c.Start.back, Overlap: c.PollOverlap, BatchSize: c.BatchSize,
		TouchpointObject: c.TouchpointObject, ExternalID: c.ExternalIDField, Persons: c.Persons, ReasonField: c.taskReason(),
		Fingerprint: r.fingerprint, Budget: budget, DryRun: c.DryRun, Sources: c.sources.Others, SkipTasks: !c.sources.ReadTasks,
		Log: log, AtStep: testOnlyAtStep, OnCycle: a.noteCycle,
	})
	if err != nil {
		return nil, errors.Join(err, a.close())
	}
	a.engine = e
	if daemon {
		if err := a.openSpool(); err != nil {
			return nil, errors.Join(failed(err), a.close())
		}
	}
	if c.GeoIP != "" {
		if a.geo, err = openGeoIP(c.GeoIP); err != nil {
			return nil, errors.Join(misconfigured(err), a.close())
		}
	}
	a.loadZone()
	a.watch = monitor.New(a.watches())
	return a, nil
}

// noteCycle takes note of a cycle that ended.
func (a *app) noteCycle(r engine.Report) {
	a.watch.Cycle(r)
	signals := []chan struct{}{a.cycled}
	if r.Err == nil {
		signals = append(signals, a.completed)
	}
	for _, c := range signals {
		select {
		case c <- struct{}{}:
		default: // one token is enough
		}
	}
}

// close lets go of everything; the store last.
func (a *app) close() error {
	if a.client != nil {
		a.client.Close()
	}
	var err error
	if a.geo != nil {
		err = a.geo.close()
	}
	if a.spool != nil {
		err = errors.Join(err, a.spool.Close())
	}
	if a.store != nil {
		err = errors.Join(err, a.store.Close())
	}
	return err
}

// handler is everything that callpoint answers over HTTP.
func (a *app) handler() (http.Handler, error) {
	cc := collector.Config{
		Store: a.sink(), Retention: a.cfg.Retention, Token: a.cfg.Token.Reveal(),
		Hosts: a.cfg.hosts(), TrustedProxies: a.cfg.TrustedProxies, DailyBytes: a.cfg.dailyBytes(int64(a.cfg.StoreMaxSize)), Log: a.log,
	}
	if a.geo != nil {
		cc.Geo = a.geo.lookup
	}
	col, err := collector.New(cc)
	if err != nil {
		return nil, err
	}
	a.collected.Store(col)
	mux := http.NewServeMux()
	col.Routes(mux)
	a.watch.Routes(mux)
	(&storeServer{a.store, a.log}).routes(mux)
	return collector.Guard(cc, a.withZone(a.forLeader(mux))), nil
}

// hosts are the names that a Host header may carry: those configured, and loopback's.
func (c *Config) hosts() []string {
	hosts := slices.Concat(c.Hosts, []string{"localhost", "127.0.0.1", "::1"})
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && host != "" {
		if addr, err := netip.ParseAddr(host); err != nil || !addr.IsUnspecified() {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// listen opens the socket that CALLPOINT_LISTEN names.
func listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	path, unix := strings.CutPrefix(address, "unix:")
	if !unix {
		l, err := lc.Listen(ctx, "tcp", address)
		if err != nil {
			return nil, fmt.Errorf("CALLPOINT_LISTEN=%s: %w", address, err)
		}
		return l, nil
	}
	// A socket that a killed process left behind answers nobody.
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("CALLPOINT_LISTEN=%s: another process listens there", address)
	} else if fi, serr := os.Stat(path); serr == nil && fi.Mode()&os.ModeSocket != 0 {
		_ = os.Remove(path) // if it stays, Listen returns an error
	}
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("CALLPOINT_LISTEN=%s: %w", address, err)
	}
	return l, os.Chmod(path, 0o660)
}
