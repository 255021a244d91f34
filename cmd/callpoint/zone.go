package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"callpoint/store"
	"callpoint/sync/salesforce"
	"callpoint/when"
)

// The org's time zone is asked for once a week and kept in the store, so that commands know
// it too.
const (
	zoneState  = "time_zone"
	zoneHeader = "Callpoint-Time-Zone" // of the daemon's answers to commands
	zoneFor    = 7 * 24 * time.Hour
)

// orgZone is what the store keeps of the org's time zone.
type orgZone struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"` // when the org was asked
}

// zone returns the time zone of text output: CALLPOINT_TIME_ZONE, else the org's, as the
// daemon or the store reported it, else UTC.
func (p *program) zone() *time.Location {
	if p.timeZone != nil {
		return p.timeZone
	}
	return time.UTC
}

// useZone takes the org's time zone where none is configured.
func (p *program) useZone(name string) {
	if zone, err := when.Zone(name); err == nil && name != "" && p.timeZone == nil {
		p.timeZone = zone
	}
}

// readZone takes the time zone that a store holds.
func (p *program) readZone(s *store.Store) {
	var z orgZone
	if ok, err := s.State(zoneState, &z); ok && err == nil {
		p.useZone(z.Name)
	}
}

// zone returns the time zone of the pages and of text: CALLPOINT_TIME_ZONE, else the org's,
// else UTC.
func (a *app) zone() *time.Location {
	if zone := a.cfg.TimeZone.location; zone != nil {
		return zone
	}
	if zone := a.orgZone.Load(); zone != nil {
		return zone
	}
	return time.UTC
}

// loadZone reads the org's time zone from the store.
func (a *app) loadZone() {
	var z orgZone
	ok, err := a.store.State(zoneState, &z)
	if err == nil && ok {
		if zone, err := when.Zone(z.Name); err == nil {
			a.orgZone.Store(zone)
		}
	}
	a.zoneAt = z.At
}

// refreshZone asks the org for its time zone, if none is configured and it was not asked for
// a week. Failures cost nothing: the next cycle tries again.
func (a *app) refreshZone(ctx context.Context, now time.Time) {
	if a.cfg.TimeZone.location != nil || now.Sub(a.zoneAt) < zoneFor && now.After(a.zoneAt) {
		return
	}
	page, err := a.client.Query(ctx, "SELECT TimeZoneSidKey FROM Organization LIMIT 1", salesforce.QueryOptions{})
	if err != nil || len(page.Records) != 1 {
		a.log.Debug("the org's time zone is not known", "err", err)
		return
	}
	name, _ := page.Records[0]["TimeZoneSidKey"].(string)
	zone, err := when.Zone(name)
	if err == nil {
		err = a.store.SetState(ctx, zoneState, orgZone{name, now.UTC()})
	}
	if err != nil {
		a.log.Debug("the org's time zone is not known", "err", err)
		return
	}
	a.zoneAt = now
	a.orgZone.Store(zone)
}

// followZone refreshes the org's time zone after complete cycles, until ctx ends.
func (a *app) followZone(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.completed:
			a.refreshZone(ctx, time.Now())
		}
	}
}

// withZone adds the time zone to the answers that commands read.
func (a *app) withZone(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/") {
			w.Header().Set(zoneHeader, a.zone().String())
		}
		next.ServeHTTP(w, r)
	})
}
