package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/salesforce"
)

// An Org is the Salesforce side. The client retries what is worth a retry within a
// call; whatever it returns is final for this cycle.
type Org interface {
	Login(ctx context.Context) (salesforce.Identity, error)
	Query(ctx context.Context, soql string, o salesforce.QueryOptions) (salesforce.Page, error)
	// QueryMany runs up to five queries in one API call.
	QueryMany(ctx context.Context, soqls []string) ([]salesforce.Page, error)
	// Upsert sends up to five collections in one API call. After an error it is
	// unknown which records were written; sending them again is safe.
	Upsert(ctx context.Context, batches []salesforce.Batch) ([][]salesforce.Result, error)
	Delete(ctx context.Context, ids []string) ([]salesforce.Result, error)
	Describe(ctx context.Context, object string) (salesforce.Object, error)
}

// Config is what an Engine needs; fields without a default are required.
type Config struct {
	Store    *store.Store
	Org      Org
	Settings *mapping.Settings

	TaskFilter       string        // SOQL condition: which Tasks are calls
	Start            time.Time     // first run: Tasks created since then
	Overlap          time.Duration // how far each poll reads back for rows that became visible late
	BatchSize        int           // records to a collection; default 200
	TouchpointObject string
	ExternalID       string // the field of TouchpointObject that holds the key
	Persons          string // PersonsCreate, PersonsReuse or PersonsOff
	Fingerprint      string // of everything that mapping depends on; a change maps every call again

	APICalls func() int   // of the client since it started, for the summary; nil: not counted
	OnCycle  func(Report) // hears of every cycle after it ended; nil: nobody does
	Now      func() time.Time
	Rand     *rand.Rand // jitter; nil is seeded at random
	Log      *slog.Logger
	// AtStep is called at the named steps of a cycle. Tests crash there; nil in production.
	AtStep func(step string)
}

const (
	PersonsCreate = "create"
	PersonsReuse  = "reuse"
	PersonsOff    = "off"
)

// DefaultTaskFilter finds what any vendor's calls look like.
func DefaultTaskFilter(bizibleIDField string) string {
	return bizibleIDField + " != null OR (TaskSubtype = 'Call' AND CallType != 'Outbound')"
}

// Summary says what one cycle did. Counts are of this cycle; Parked and Cursor stand.
type Summary struct {
	TasksRead            int       `json:"tasks_read"`
	TasksChanged         int       `json:"tasks_changed"`
	Calls                int       `json:"calls"`
	Matched              int       `json:"matched"`
	TouchpointsWritten   int       `json:"touchpoints_written"`
	TouchpointsUnchanged int       `json:"touchpoints_unchanged"`
	Held                 int       `json:"held"`
	Parked               int       `json:"parked"`
	APICalls             int       `json:"api_calls"`
	DurationSeconds      float64   `json:"duration_seconds"`
	Cursor               time.Time `json:"cursor"`
}

// String is the one line of --sync-once.
func (s Summary) String() string {
	if s.TasksChanged == 0 && s.Calls == 0 && s.TouchpointsWritten == 0 {
		return fmt.Sprintf("nothing new: %d tasks read again, none changed, no record written; %d parked; %d API calls, %.1f s",
			s.TasksRead, s.Parked, s.APICalls, s.DurationSeconds)
	}
	return fmt.Sprintf("%d tasks read, %d changed; %d calls resolved, %d matched, %d held; %d touchpoints written, %d unchanged, %d parked; %d API calls, %.1f s",
		s.TasksRead, s.TasksChanged, s.Calls, s.Matched, s.Held, s.TouchpointsWritten, s.TouchpointsUnchanged, s.Parked, s.APICalls, s.DurationSeconds)
}

// An Engine syncs one org with one store. Cycle is not for concurrent use; Run and
// Sync see to that.
type Engine struct {
	cfg    Config
	sooner chan chan Report // requests for a cycle now

	mu     sync.Mutex
	last   Report        // of the last cycle that ended; guarded by mu
	moved  time.Time     // when a step last ended; guarded by mu
	reload *reload       // rules for the next cycle; guarded by mu
	clock  time.Duration // the org's clock minus ours, as last heard; written under mu

	fields *mapping.FieldMap // as configured, before the org had its say
	schema *schema           // nil until the org was described
	size   int               // records to a collection at present
	window time.Duration     // width of a query's span where the org asked for less; 0 is open
}

// A Report is a cycle's summary and its end.
type Report struct {
	Summary Summary
	Err     error
	At      time.Time // when it ended; zero: there was none
	Success time.Time // when the last successful one ended
}

// New checks the configuration.
func New(cfg Config) (*Engine, error) {
	if cfg.Store == nil || cfg.Org == nil || cfg.Settings == nil {
		return nil, errors.New("engine: Store, Org and Settings are required")
	}
	if cfg.TaskFilter == "" {
		cfg.TaskFilter = DefaultTaskFilter(cfg.Settings.BizibleIDField)
	}
	if cfg.BatchSize == 0 {
		cfg.BatchSize = 200
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.AtStep == nil {
		cfg.AtStep = func(string) {}
	}
	if cfg.APICalls == nil {
		cfg.APICalls = func() int { return 0 }
	}
	if cfg.Settings.Fields == nil {
		cfg.Settings.Fields = mapping.DefaultFields()
	}
	return &Engine{cfg: cfg, fields: cfg.Settings.Fields, size: cfg.BatchSize, sooner: make(chan chan Report)}, nil
}

// now is the org's clock: what its stamps and a call's age are measured by.
func (e *Engine) now() time.Time { return e.cfg.Now().Add(e.clock).UTC() }

// Cycle polls all that is new, resolves all that is dirty, upserts all that is due.
// Its error says why it did less; what it did stands.
func (e *Engine) Cycle(ctx context.Context) (Summary, error) {
	began, calls := e.cfg.Now(), e.cfg.APICalls()
	var s Summary
	err := e.steps(ctx, &s)
	backlog, berr := e.cfg.Store.Backlog()
	cursor, _, cerr := e.cfg.Store.Cursor()
	s.Parked, s.Cursor = backlog.Parked, cursor.Since
	s.APICalls = e.cfg.APICalls() - calls
	s.DurationSeconds = e.cfg.Now().Sub(began).Seconds()
	err = errors.Join(err, berr, cerr)
	e.note(s, err)
	return s, err
}

func (e *Engine) steps(ctx context.Context, s *Summary) error {
	if err := e.prepare(ctx); err != nil {
		return err
	}
	pollErr := e.poll(ctx, s)
	// Without an org there is nothing to upsert; what is known is resolved all the same.
	if err := e.resolve(ctx, s); err != nil {
		return errors.Join(pollErr, err)
	}
	if pollErr != nil && salesforce.Classify(pollErr) != salesforce.StopClass {
		return pollErr
	}
	return errors.Join(pollErr, e.upsert(ctx, s))
}

// prepare logs in, makes sure that the store is this org's, and learns its schema.
func (e *Engine) prepare(ctx context.Context) error {
	e.adopt()
	id, err := e.cfg.Org.Login(ctx)
	if err != nil {
		return err
	}
	if err := e.cfg.Store.Pin(ctx, id.OrgID); err != nil {
		return err
	}
	if err := e.learn(ctx); err != nil {
		return err
	}
	if err := e.reread(ctx); err != nil {
		return err
	}
	return e.remap(ctx)
}

// remap marks every call where the rules are not those that it was mapped with.
func (e *Engine) remap(ctx context.Context) error {
	was, err := e.cfg.Store.Fingerprint()
	if err != nil {
		return err
	}
	now := e.fingerprint()
	if was == now {
		return nil
	}
	n, err := e.cfg.Store.MarkAll(ctx, now)
	if err == nil && was != "" {
		e.cfg.Log.Info("rules changed: every call is mapped again", "journeys", n)
	}
	return err
}

func (e *Engine) note(s Summary, err error) {
	defer func() {
		if e.cfg.OnCycle != nil {
			e.cfg.OnCycle(e.Last())
		}
	}()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last.Summary, e.last.Err, e.last.At = s, err, e.cfg.Now()
	if err == nil {
		e.last.Success = e.last.At
	}
}

// step marks progress, and lets tests crash here.
func (e *Engine) step(name string) {
	e.mu.Lock()
	e.moved = e.cfg.Now()
	e.mu.Unlock()
	e.cfg.AtStep(name)
}

// Progress is when a step of a cycle last ended.
func (e *Engine) Progress() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.moved
}

// Last reports the cycle that ended last.
func (e *Engine) Last() Report {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}
