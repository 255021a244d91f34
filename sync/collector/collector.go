package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"callpoint/mapping"
)

// Store keeps events and visits.
type Store interface {
	// Add makes events and visits durable in one transaction and returns how many of them
	// were repeats. On an error nothing of the batch may be kept. store.ErrFull is answered
	// with 507, store.ErrBusy with 429, any other error with 503.
	Add(ctx context.Context, events []mapping.Event, visits []mapping.Visit) (repeated int, err error)
}

// Config is what a Collector needs. The zero value of each field is described in its comment.
type Config struct {
	Store Store            // required by New
	Now   func() time.Time // nil: time.Now

	Retention time.Duration // events and sessions older than this are refused; 0: 2160h

	Token          string         // bearer token, or password of HTTP Basic; empty: none needed
	Hosts          []string       // names accepted in the Host header, any port; empty: loopback names
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed; empty: nobody's

	// Scrub names the URL parameters whose values are removed; nil: [DefaultScrub].
	// Case and punctuation do not count, and a leading or trailing * matches anything.
	Scrub []string

	Geo func(netip.Addr) mapping.Geo // where an address is; nil: unknown
	Log *slog.Logger                 // nil: nothing is logged

	MaxBody      int64   // of one /v1 body, as sent and inflated; 0: 32 MiB
	MaxRecord    int     // bytes of one record; 0: 256 KiB
	MaxRequests  int     // /v1 bodies read at a time, beyond that 429; 0: 256
	MaxLarge     int     // of those, bodies of more than 1 MiB; 0: 2
	MaxMemory    int64   // bytes that all bodies in flight may hold; 0: 256 MiB
	MaxBrowser   int     // bodies to /m/* read at a time; 0: 512
	MaxEach      int     // of those, from one address; 0: 32
	DailyBytes   int64   // bytes of events from one address to /m/* a day; 0: no limit
	BrowserRate  float64 // requests a second from one address to /m/*; 0: 50
	BrowserBurst int     // 0: 200
}

// Default limits, and what a time may differ from the clock.
const (
	defaultRetention   = 2160 * time.Hour
	defaultMaxBody     = 32 << 20
	defaultMaxRecord   = 256 << 10
	defaultMaxRequests = 256
	defaultMaxLarge    = 2
	defaultMaxMemory   = 256 << 20
	defaultMaxBrowser  = 512
	defaultMaxEach     = 32
	defaultRate        = 50
	defaultBurst       = 200

	maxAhead = 10 * time.Minute // a clock may be this much ahead of ours
)

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Retention == 0 {
		c.Retention = defaultRetention
	}
	if c.Scrub == nil {
		c.Scrub = DefaultScrub
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MaxBody == 0 {
		c.MaxBody = defaultMaxBody
	}
	if c.MaxRecord == 0 {
		c.MaxRecord = defaultMaxRecord
	}
	if c.MaxRequests == 0 {
		c.MaxRequests = defaultMaxRequests
	}
	if c.MaxLarge == 0 {
		c.MaxLarge = defaultMaxLarge
	}
	if c.MaxMemory == 0 {
		c.MaxMemory = defaultMaxMemory
	}
	if c.MaxBrowser == 0 {
		c.MaxBrowser = defaultMaxBrowser
	}
	if c.MaxEach == 0 {
		c.MaxEach = defaultMaxEach
	}
	if c.BrowserRate == 0 {
		c.BrowserRate = defaultRate
	}
	if c.BrowserBurst == 0 {
		c.BrowserBurst = defaultBurst
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.Store == nil {
		errs = append(errs, errors.New("no Store"))
	}
	for _, f := range []struct {
		name string
		bad  bool
	}{
		{"Retention", c.Retention < 0},
		{"MaxBody", c.MaxBody < 0},
		{"MaxRecord", c.MaxRecord < 0},
		{"MaxRequests", c.MaxRequests < 0},
		{"MaxLarge", c.MaxLarge < 0},
		{"MaxMemory", c.MaxMemory < 0},
		{"MaxBrowser", c.MaxBrowser < 0},
		{"MaxEach", c.MaxEach < 0},
		{"DailyBytes", c.DailyBytes < 0},
		{"BrowserRate", c.BrowserRate < 0},
		{"BrowserBurst", c.BrowserBurst < 0},
	} {
		if f.bad {
			errs = append(errs, fmt.Errorf("%s is negative", f.name))
		}
	}
	return errors.Join(errs...)
}

// Collector answers the requests that bring events and sessions.
type Collector struct {
	cfg     Config
	decoder *decoder
	stats   counters
	clients *clientLimits
	repeats *repeats
	memory  *budget
	gate    *gate
	slots   chan struct{} // held while a /v1 body is read and stored
	large   chan struct{} // held besides by a body of more than largeBody bytes
	script  script
}

// New returns a Collector, or an error if cfg is not valid.
func New(cfg Config) (*Collector, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("collector: %w", err)
	}
	cfg = cfg.withDefaults()
	return &Collector{
		cfg:     cfg,
		decoder: newDecoder(cfg),
		clients: newClientLimits(cfg.BrowserRate, cfg.BrowserBurst, cfg.DailyBytes),
		memory:  &budget{max: cfg.MaxMemory},
		gate:    newGate(cfg.MaxBrowser, cfg.MaxEach),
		repeats: newRepeats(),
		slots:   make(chan struct{}, cfg.MaxRequests),
		large:   make(chan struct{}, cfg.MaxLarge),
		script:  newScript(),
	}, nil
}

// Routes adds the collector's endpoints to mux, which is to be served behind [Guard].
func (c *Collector) Routes(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/events", c.ingest(eventLines))
	mux.HandleFunc("POST /v1/sessions", c.ingest(visitLines))
	for path, kind := range map[string]mapping.EventKind{
		"/m/ipv": mapping.View, "/m/frm": mapping.Form, "/m/u": mapping.IDMap,
	} {
		mux.HandleFunc(path, c.browser(kind))
	}
	mux.HandleFunc("GET /callpoint.js", c.script.serve)
}
