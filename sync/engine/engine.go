package engine

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"callpoint/clock"
	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/salesforce"
)

// An Org is the Salesforce side. The client retries what is worth a retry within a
// call; whatever it returns is final for this cycle.
type Org interface {
	Login(ctx context.Context) (salesforce.Identity, error)
	Query(ctx context.Context, soql string, o salesforce.QueryOptions) (salesforce.Page, error)
	// QueryMany runs up to five queries in one API call. Where one fails its page is empty,
	// the others are good.
	QueryMany(ctx context.Context, soqls []string, o salesforce.QueryOptions) ([]salesforce.Page, error)
	// Upsert sends up to five collections in one API call. After an error it is
	// unknown which records were written; sending them again is safe.
	Upsert(ctx context.Context, batches []salesforce.Batch) ([][]salesforce.Result, error)
	// Update changes up to 200 records by their ids.
	Update(ctx context.Context, object string, records []map[string]any) ([]salesforce.Result, error)
	// UpsertThenQuery is Upsert with queries in the same call, if there is room for them.
	UpsertThenQuery(ctx context.Context, batches []salesforce.Batch, soqls []string) ([][]salesforce.Result, []salesforce.Page, error)
	Delete(ctx context.Context, ids []string) ([]salesforce.Result, error)
	// Replace deletes records and creates others under their keys: all of them or none.
	Replace(ctx context.Context, ids []string, b salesforce.Batch) (deleted, created []salesforce.Result, err error)
	Describe(ctx context.Context, object string) (salesforce.Object, error)
}

// Config is what an Engine needs; fields without a default are required.
type Config struct {
	Store    *store.Store
	Org      Org
	Settings *mapping.Settings

	TaskFilter       string        // SOQL condition: which Tasks are calls
	Start            time.Time     // first run: Tasks created since then
	StartBack        time.Duration // where Start is zero: how far back from the org's time
	Overlap          time.Duration // how far each poll reads back for rows that became visible late
	BatchSize        int           // records to a collection; default 200
	TouchpointObject string
	ExternalID       string           // the field of TouchpointObject that holds the key
	Persons          string           // PersonsCreate or PersonsReuse
	Sources          []mapping.Source // further objects whose rows are calls
	SkipTasks        bool             // Tasks are not read
	ReasonField      string           // of Task, that takes a call's reason code; empty: none does
	Fingerprint      string           // of everything that mapping depends on; a change maps every call again

	Budget  *Budget      // whose Allow and Note the client has; nil: no calls are counted
	Clock   *clock.Clock // nil: one of Now, which the engine sets by the answers that it reads
	DryRun  bool         // polls and resolves, and writes nothing to the org
	OnCycle func(Report) // hears of every cycle after it ended; nil: nobody does
	Now     func() time.Time
	Rand    *rand.Rand // jitter; nil is seeded at random
	Log     *slog.Logger
	// AtStep is called at the named steps of a cycle. Tests crash there; nil in production.
	AtStep func(step string)
	// Mistake reports whether the engine is to make a named mistake, so that tests can show
	// that they notice it; nil in production.
	Mistake func(name string) bool
}

const (
	PersonsCreate = "create"
	PersonsReuse  = "reuse"
)

// DefaultTaskFilter finds what any vendor's calls look like.
func DefaultTaskFilter(bizibleIDField string) string {
	return bizibleIDField + " != null OR (TaskSubtype = 'Call' AND CallType != 'Outbound')"
}

// An Engine syncs one org with one store. Its methods may be called from many
// goroutines: what talks to the org takes turns.
type Engine struct {
	cfg    Config
	sooner chan chan Report // requests for a cycle now
	turn   chan struct{}    // holds a token while a cycle, or what must not meet one, is under way

	mu     sync.Mutex
	last   Report  // of the last cycle that ended; guarded by mu
	reload *reload // rules for the next cycle; guarded by mu

	progress progress
	atStep   bool // AtStep runs; of the cycle's goroutine

	hidden    map[string]time.Time       // objects that the user may not read, since when; guarded by mu
	pauses    map[string]closure         // by object; replaced under mu, never changed
	related   map[string]map[string]bool // by object: persons and visitors of refused records
	held      map[string][]string        // by object: touchpoints that wait for the end of its pause
	announced map[string]time.Time       // by object: the pause that was logged
	suspects  map[string]bool            // keys and persons that a whole request failed for: they travel alone
	slow      map[string]time.Time       // by record: until when a request that timed out may still be working on it

	fields   *mapping.FieldMap // as configured, before the org had its say
	schema   *schema           // nil until the org was described
	restored bool              // what the store keeps of the engine itself was read
	size     int               // records to a collection at present
	rows     int               // records to a request at present
	fast     int               // full requests of that size that were answered in a row
	fails    int               // cycles in a row in which a request failed whole that may pass, and none succeeded
	good     int               // full collections of that size that went well in a row
	writers  int               // write calls under way at most
	calm     int               // calls in a row that met no lock
	waiting  int               // touchpoints that a dry run told of last
	sources  []*source         // of calls, Tasks first

	reasonField   string    // ReasonField, where the org lets us write it
	reasonsAfter  time.Time // when reasons are written again, after a collection of which none was taken
	reasonRefused string    // the refusal of a reason that was logged last
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
	if cfg.Clock == nil {
		cfg.Clock = clock.New(cfg.Now)
	}
	if cfg.AtStep == nil {
		cfg.AtStep = func(string) {}
	}
	if cfg.Budget == nil {
		cfg.Budget = NewBudget(math.MaxInt, 0, cfg.Now)
	}
	if cfg.Settings.Fields == nil {
		cfg.Settings.Fields = mapping.DefaultFields()
	}
	if err := cfg.Budget.load(cfg.Store); err != nil && !errors.Is(err, store.ErrAway) {
		return nil, err
	}
	e := &Engine{cfg: cfg, fields: cfg.Settings.Fields, sources: newSources(&cfg), size: cfg.BatchSize, rows: collectionsPerCall * cfg.BatchSize, writers: mostWriters,
		related: map[string]map[string]bool{}, held: map[string][]string{}, suspects: map[string]bool{},
		announced: map[string]time.Time{}, slow: map[string]time.Time{},
		hidden: map[string]time.Time{}, sooner: make(chan chan Report), turn: make(chan struct{}, 1)}
	e.cfg.Org = watchedOrg{cfg.Org, &e.progress, cfg.Now}
	return e, nil
}

// local is this machine's clock: when something is tried again is measured by it, so that no
// answer of the org's can put it off.
func (e *Engine) local() time.Time { return e.cfg.Now().UTC() }

// now is the org's clock: what its stamps and a call's age are measured by.
func (e *Engine) now() time.Time { return e.cfg.Clock.Now() }

// alone runs fn while no cycle is under way.
func (e *Engine) alone(ctx context.Context, fn func() error) error {
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-e.turn }()
	return e.guarded(fn)
}

// Cycle polls all that is new, resolves all that is dirty, upserts all that is due.
// Its error is why it did less; what it did is kept.
func (e *Engine) Cycle(ctx context.Context) (s Summary, err error) {
	err = e.alone(ctx, func() error {
		began, calls := e.cfg.Now(), e.cfg.Budget.Calls()
		err := e.guarded(func() error { return e.steps(ctx, &s) })
		backlog, berr := e.cfg.Store.Backlog()
		cursor, _, cerr := e.cfg.Store.Cursor()
		s.Parked = backlog.Parked
		if !cursor.Since.IsZero() {
			s.Cursor = &cursor.Since
		}
		s.APICalls = e.cfg.Budget.Calls() - calls
		s.DurationSeconds = e.cfg.Now().Sub(began).Seconds()
		err = errors.Join(err, berr, cerr, e.saveBudget(ctx, 1))
		e.note(s, err)
		return err
	})
	return s, err
}

// saveBudget keeps the count of API calls, if at least so many are not kept yet.
func (e *Engine) saveBudget(ctx context.Context, least int) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	return e.cfg.Budget.save(ctx, e.cfg.Store, least)
}

// prepare logs in, makes sure that the store is this org's, and learns its schema.
func (e *Engine) prepare(ctx context.Context) error {
	e.adopt()
	if err := e.restore(); err != nil {
		return err
	}
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
	if err := e.startAgain(ctx); err != nil {
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
	if err != nil || was == "" {
		return err
	}
	e.cfg.Log.Info("rules changed: every call is mapped again", "journeys", n)
	_, err = e.retryAll(ctx)
	return err
}

// restore reads what the store keeps of the engine itself.
func (e *Engine) restore() error {
	if e.restored {
		return nil
	}
	most := collectionsPerCall * e.cfg.BatchSize
	c, pauses := capacity{Size: e.cfg.BatchSize, Rows: most}, map[string]closure{}
	if _, err := e.cfg.Store.State("capacity", &c); err != nil {
		return err
	}
	if _, err := e.cfg.Store.State("pauses", &pauses); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	maps.DeleteFunc(pauses, func(_ string, p closure) bool { return p.Quiet })
	for object, p := range pauses {
		e.announced[object] = p.Since
	}
	e.size, e.pauses, e.restored = min(e.cfg.BatchSize, max(1, c.Size)), pauses, true
	if e.rows = min(most, c.Rows); c.Rows <= 0 {
		e.rows = most
	}
	e.fails = c.Fails
	return nil
}

// Restart drops what the engine has read of the store, before the first cycle of a term:
// another instance has led meanwhile.
func (e *Engine) Restart(ctx context.Context) error {
	return e.alone(ctx, func() error {
		e.moveOn()
		e.restored = false
		return e.cfg.Budget.reload(e.cfg.Store)
	})
}

func (e *Engine) note(s Summary, err error) {
	e.moveOn()
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
	e.moveOn()
	e.atStep = true
	e.cfg.AtStep(name)
	e.atStep = false
}

// moveOn marks progress.
func (e *Engine) moveOn() { e.progress.move(e.cfg.Now()) }

// Budget returns the state of the API budget.
func (e *Engine) Budget() BudgetState { return e.cfg.Budget.State() }

// Last reports the cycle that ended last.
func (e *Engine) Last() Report {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.last
	r.Paused = openPauses(e.pauses)
	return r
}

// mistaken reports whether a test wants a mistake to be made.
func (e *Engine) mistaken(name string) bool { return e.cfg.Mistake != nil && e.cfg.Mistake(name) }
