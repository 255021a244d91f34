package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"callpoint/store"
	"callpoint/sync/collector"
	"callpoint/sync/monitor"
	"callpoint/sync/spool"
)

// Roles of an instance that shares its store.
const (
	roleAuto      = "auto"
	roleCollector = "collector"
	roleLeader    = "leader"
)

// shared reports whether several instances share the store.
func (c *Config) shared() bool { return store.IsURL(c.Store) }

// storeExists reports whether there is a store; one in a database is taken to exist.
func (c *Config) storeExists() bool { return c.shared() || exists(c.Store) }

// needFile returns an error if the store is not a file.
func (c *Config) needFile() error {
	if !c.shared() {
		return nil
	}
	return failed(fmt.Errorf("%s is a database: back it up with pg_dump, or by the snapshots of its provider, and restore it likewise", c.storeName()))
}

// storeName is the store's name without a password.
func (c *Config) storeName() string { return store.Redacted(c.Store) }

// besideStore is a path in a folder for temporary files of an import.
func (c *Config) besideStore() string {
	if c.shared() {
		return filepath.Join(os.TempDir(), "callpoint")
	}
	return c.Store
}

// spoolOff reports whether CALLPOINT_SPOOL switches the spool off.
func (c *Config) spoolOff() bool { return strings.EqualFold(c.Spool, "off") }

// validateShared finds settings that do not fit the kind of the store.
func (c *Config) validateShared(bad func(name, format string, args ...any)) {
	if c.Lease < time.Second {
		bad("CALLPOINT_LEASE", "%s is too short; use at least 1s", c.Lease)
	}
	if c.StoreConnections < 3 || c.StoreConnections > 1000 {
		bad("CALLPOINT_STORE_CONNECTIONS", "%d is not between 3 and 1000", c.StoreConnections)
	}
	if c.Address != "" {
		if _, err := addressOf(c.Address); err != nil {
			bad("CALLPOINT_ADDRESS", "%v", err)
		}
	}
	if c.shared() {
		if err := store.CheckURL(c.Store); err != nil {
			bad("CALLPOINT_STORE", "%v", err)
		}
		if c.maxSizeSet {
			bad("CALLPOINT_STORE_MAX_SIZE", "this is for a store in a file; limit the database itself, and remove the setting")
		}
		if c.freeFloorSet {
			bad("CALLPOINT_STORE_FREE_FLOOR", "this is for a store in a file; watch the disk of the database, and remove the setting")
		}
		return
	}
	if c.Role != roleAuto {
		bad("CALLPOINT_ROLE", "%s needs a store that several instances share: CALLPOINT_STORE=postgres://...", c.Role)
	}
	if !c.StorePassword.IsZero() {
		bad("CALLPOINT_STORE_PASSWORD", "this is for a store in PostgreSQL; CALLPOINT_STORE is the file %s", c.Store)
	}
}

// addressOf reads CALLPOINT_ADDRESS: a URL, or host:port for plain HTTP.
func addressOf(address string) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" {
		return nil, fmt.Errorf("%q is not an address such as https://callpoint-a.internal.example or 10.0.0.5:8425", address)
	}
	return u, nil
}

// storeOptions returns the limits of the store, and the description of this process for others.
func (c *Config) storeOptions() store.Options {
	o := store.Options{OnFault: endByFault}
	if !c.shared() {
		o.MaxSize, o.FreeFloor = int64(c.StoreMaxSize), int64(c.StoreFreeFloor)
		return o
	}
	o.Password, o.Connections = c.StorePassword.Reveal(), c.StoreConnections
	o.Instance = store.Instance{Name: c.Name, Address: c.Address, Version: build().Version, Lease: c.Lease, Collector: c.Role == roleCollector}
	return o
}

// A follower knows who leads. It asks the store every second.
type follower struct {
	state atomic.Pointer[monitor.Leading]
}

// follow asks who leads until ctx ends.
func (a *app) follow(ctx context.Context) {
	for {
		a.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// look asks who leads. While the database is away, what was known stays.
func (a *app) look(ctx context.Context) {
	l, err := a.store.Leader(ctx)
	if ctx.Err() != nil {
		return
	}
	now := monitor.Leading{Me: a.cfg.Name, Lease: a.cfg.Lease, Err: err, Role: a.cfg.Role}
	if err == nil {
		now.Leader, now.Address, now.Term, now.Until = l.Name, l.Address, l.Term, time.Now().Add(l.Left)
	} else if was := a.follower.state.Load(); was != nil {
		now.Leader, now.Address, now.Term, now.Until = was.Leader, was.Address, was.Term, was.Until
	}
	a.follower.state.Store(&now)
}

// leading returns who leads; nil where the store is a file.
func (a *app) leading() *monitor.Leading {
	if !a.store.Shared() {
		return nil
	}
	var l monitor.Leading
	if known := a.follower.state.Load(); known != nil {
		l = *known
	}
	l.Me, l.Mine = a.cfg.Name, a.store.Leads()
	if l.Mine {
		l.Leader = a.cfg.Name
	}
	return &l
}

// lead polls, resolves and writes whenever this instance leads, until ctx ends.
func (a *app) lead(ctx context.Context) error {
	if a.cfg.Role == roleCollector {
		<-ctx.Done()
		return nil
	}
	return a.store.Lead(ctx, func(ctx context.Context) error {
		if !a.store.Shared() {
			return a.engine.Run(ctx, a.cfg.PollInterval)
		}
		a.look(ctx)
		l := a.leading()
		a.log.Info("this instance leads", "name", a.cfg.Name, "term", l.Term)
		a.watch.Reload()
		if err := a.engine.Restart(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("the state of the last leader was not read", "err", err)
		}
		err := a.engine.Run(ctx, a.cfg.PollInterval)
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if serr := a.watch.Save(stop); serr != nil && !errors.Is(serr, store.ErrNotLeader) {
			a.log.Warn("the history of this term is lost", "err", serr)
		}
		a.log.Info("this instance no longer leads", "name", a.cfg.Name, "term", l.Term)
		return err
	})
}

// openSpool puts a spool before a store that may be away; nil where there is none.
func (a *app) openSpool() error {
	if !a.store.Shared() || a.cfg.spoolOff() {
		return nil
	}
	s, err := spool.Open(spool.Config{
		Dir: a.cfg.Spool, Max: int64(a.cfg.SpoolMax), Sink: a.store, Log: a.log,
		Away: func(err error) bool { return errors.Is(err, store.ErrAway) },
	})
	if err != nil {
		return fmt.Errorf("CALLPOINT_SPOOL=%s: %w", a.cfg.Spool, err)
	}
	a.spool = s
	return nil
}

// sink is where the collector's events go.
func (a *app) sink() collector.Store {
	if a.spool != nil {
		return a.spool
	}
	return a.store
}

// spooled describes the spool; nil where there is none.
func (a *app) spooled() *monitor.Spooled {
	if a.spool == nil {
		return nil
	}
	st := a.spool.Stats()
	return &monitor.Spooled{Bytes: st.Bytes, Max: st.Max, Oldest: st.Oldest, Away: st.Away, AwaySince: st.AwaySince, Full: a.spool.Writable()}
}

// forLeader answers requests that act with 409 on an instance that does not lead, and names
// the leader.
func (a *app) forLeader(next http.Handler) http.Handler {
	if !a.store.Shared() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !acts(r) {
			next.ServeHTTP(w, r)
			return
		}
		if a.store.Leads() {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			go a.whileLeading(ctx, cancel)
			next.ServeHTTP(w, r.WithContext(ctx))
			return
		}
		l := a.leading()
		text := "this instance is on standby, and no instance leads at the moment; try again in some seconds"
		if l.Leader != "" && time.Now().Before(l.Until) {
			text = fmt.Sprintf("this instance is on standby; %s leads", l.Leader)
		}
		answer(w, http.StatusConflict, map[string]string{"error": text, "leader": cmp.Or(l.Address, l.Leader)})
	})
}

// whileLeading cancels a request when this instance does not lead any more: nobody would
// answer it.
func (a *app) whileLeading(ctx context.Context, cancel context.CancelFunc) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if !a.store.Leads() {
				cancel()
				return
			}
		}
	}
}

// acts reports whether a request changes what the leader alone may change.
func acts(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	switch p := r.URL.Path; {
	case p == "/v1/events", p == "/v1/sessions", p == "/v1/report", p == "/v1/store/backup", strings.HasPrefix(p, "/m/"), strings.HasPrefix(p, "/v1/imports/"):
		return false
	}
	return true
}

// leaderOf reads the address of the leader from a standby's answer. The token goes over
// plain HTTP to private and loopback addresses alone.
func leaderOf(text string) (base string, err error) {
	if !strings.Contains(text, ":") {
		return "", errors.New("its address is not known; set CALLPOINT_ADDRESS on each instance")
	}
	u, err := addressOf(text)
	if err != nil {
		return "", err
	}
	if u.Scheme == "http" && !loopbackHost(u.Hostname()) {
		if ip, err := netip.ParseAddr(u.Hostname()); err != nil || !ip.IsPrivate() {
			return "", fmt.Errorf("the token would go to %s unencrypted; use https in CALLPOINT_ADDRESS", u.Host)
		}
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

// hostName is the default of CALLPOINT_NAME.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "callpoint"
	}
	return name
}
