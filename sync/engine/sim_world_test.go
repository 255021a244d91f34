package engine_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
)

// simWorld is an org, a store and an engine on virtual time, with everybody who acts on
// them. One goroutine carries all of it, in the order of the actors' due times; while a
// cycle runs, the others act between its steps. Requests are on their way for a time that
// follows from what they say, to the nanosecond, so that no two ever arrive at one instant.
// That is what makes a seed repeat.
type simWorld struct {
	t        testing.TB
	org      *orgsim.Org
	wire     *simOrg
	path     string // of the store
	store    *store.Store
	engine   *engine.Engine
	settings *mapping.Settings
	overlap  time.Duration
	batch    int    // records to a collection
	reason   string // the field of Tasks that says why; empty: none does

	actors []*simActor
	acting bool // an actor is at work, or time stands still
	rng    *rand.Rand
	began  time.Time
	trace  hash.Hash
	log    io.Writer // nil, or what goes into the trace, readable

	dieIn  int                      // points of a cycle until the process dies; 0 is never
	dieAt  string                   // or the name of the step
	dieIf  func(step string) bool   // or what says so
	sentOn bool                     // what a process has sent arrives, though it died
	at     map[string]func()        // what happens once at a step
	slow   map[string]time.Duration // how long a step takes each time
	far    map[string]time.Duration // how long requests are on their way, as "upsert"
	stop   context.CancelFunc       // tells the cycle to stop
	mu     sync.Mutex               // guards dieIn, dying, points and the trace
	dying  bool                     // the process: whatever it has under way is lost
	died   int
	points int // in this cycle
	cycles int
	failed int
	told   int // Tasks that say why
	people int // persons whose records were added up

	anonymous bool // calls without a WhoId are of nobody

	model    simModel
	tasks    []string
	stood    map[string]bool
	hadID    map[string]bool // Tasks that ever had an id
	mayGo    map[string]bool // keys of records that may have gone though their call stays
	deals    []string        // opportunities
	visitors []string
	persons  []string // Leads and Contacts
}

// An actor acts when it is due, and says when it is due next. Each has random numbers of
// its own, and no two are ever due at the same instant.
type simActor struct {
	lane time.Duration
	rng  *rand.Rand
	due  time.Time
	act  func(*simActor) time.Duration
}

// simEndless is how many steps no cycle of these worlds needs.
const simEndless = 20000

// simCrash is the panic that stands for a killed process: nothing after it happens.
type simCrash struct{}

func simRand(seed uint64, stream int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(stream))) }

func newSimWorld(t testing.TB, seed uint64, cfg orgsim.Config, database ...string) *simWorld {
	w := &simWorld{t: t, began: time.Now(), rng: simRand(seed, 0), trace: sha256.New(), settings: mapping.Default(), overlap: 10 * time.Minute, batch: 25,
		stood: map[string]bool{}, hadID: map[string]bool{}, mayGo: map[string]bool{}}
	if os.Getenv("SIM_LOG") != "" {
		w.log = os.Stderr
	}
	w.org = orgsim.New(cfg)
	w.wire = &simOrg{org: w.org, travel: w.travel, sent: w.note, locks: simLocks{fail: t.Errorf}}
	if w.path = strings.Join(database, ""); w.path == "" {
		w.path = filepath.Join(simDir(t), "sim.db")
	}
	w.open()
	t.Cleanup(func() { w.store.Close() })
	return w
}

// simDir is in memory where that is possible: what a simulation proves has nothing to do
// with fsync, which would take most of its time.
func simDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "callpoint-sim-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// open starts the process: store and engine, which know nothing but the file.
func (w *simWorld) open() {
	// Virtual time passes by days between two requests: a lease must outlast it.
	s, err := store.Open(w.path, store.Options{Instance: store.Instance{Name: "sim", Lease: 100_000 * time.Hour}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.store, w.wire.token, w.dying = s, "", false
	w.engine, err = engine.New(engine.Config{
		Store: s, Org: w.wire, Settings: w.settings, Overlap: w.overlap, BatchSize: w.batch,
		Start: time.Date(1999, 12, 1, 0, 0, 0, 0, time.UTC), TouchpointObject: orgsim.Touchpoint, ExternalID: "bizible2__UniqueId__c",
		ReasonField: w.reason, Persons: engine.PersonsCreate, Fingerprint: "sim", Rand: simRand(uint64(w.died), 1), AtStep: w.point,
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// note adds a line to the trace, under the virtual time.
func (w *simWorld) note(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintln(w.trace, time.Now().UTC().UnixNano(), line)
	if w.log != nil {
		fmt.Fprintln(w.log, time.Now().UTC().Format("02 15:04:05.000"), line)
	}
}

func (w *simWorld) traceHash() string { return hex.EncodeToString(w.trace.Sum(nil)[:8]) }

// point is a place in a cycle where others may act, and the process may die.
func (w *simWorld) point(name string) {
	w.note(name)
	points, dead := w.count()
	if dead {
		panic(simCrash{})
	}
	if points > simEndless {
		w.t.Fatalf("after %d steps a cycle has not ended; the last one is %q", points, name)
	}
	if name == w.dieAt || w.dieIf != nil && w.dieIf(name) {
		w.dieAt, w.dieIf = "", nil
		panic(simCrash{})
	}
	time.Sleep(w.slow[name])
	if act := w.at[name]; act != nil {
		delete(w.at, name)
		act()
	}
	if !w.acting && w.rng.IntN(4) == 0 {
		w.pass(time.Duration(w.rng.IntN(20000)) * time.Millisecond)
	}
}

// count counts a point, and says whether the process dies there.
func (w *simWorld) count() (points int, dead bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.points++
	if w.dieIn > 0 {
		w.dieIn--
		w.dying = w.dying || w.dieIn == 0
	}
	return w.points, w.dying
}

// errSimDead is what a dying process hears from its requests. It acts on it no more: the
// next step ends it.
var errSimDead = fmt.Errorf("the process dies: %w", context.Canceled)

// travel is the way of a request or its answer, and may be where the process dies.
func (w *simWorld) travel(what string) error {
	sum := sha256.Sum256([]byte(fmt.Sprint(time.Now().UnixNano(), what)))
	r := rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum[:]), 0))
	most := 200 * time.Millisecond
	switch {
	case len(w.actors) == 0:
		most = time.Millisecond // time goes by only where the scenario says so
	case r.IntN(6) == 0:
		most = 20 * time.Second
	}
	op, _, _ := strings.Cut(what, "/")
	if request, ok := strings.CutPrefix(op, "before "); ok {
		time.Sleep(w.far[strings.TrimSpace(request)])
	}
	time.Sleep(1 + time.Duration(r.Int64N(int64(most))))
	w.note(op)
	if _, dead := w.count(); dead && !(w.sentOn && strings.HasPrefix(what, "before")) {
		return errSimDead
	}
	return nil
}

// cycle runs one; a crash in it is followed by a restart.
func (w *simWorld) cycle() (s engine.Summary, err error) {
	w.cycles++
	w.points = 0
	defer func() {
		p := recover()
		if _, crash := p.(simCrash); crash || w.dying {
			w.died++
			w.mu.Lock()
			w.dying, w.dieIn = true, 0
			w.mu.Unlock()
			synctest.Wait() // what was just begun is on its way
			w.wire.flying.Wait()
			w.note("the process dies")
			w.restart()
			err = context.Canceled
		} else if p != nil {
			panic(p)
		}
		if err != nil {
			w.failed++
		}
		w.observe()
	}()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	w.stop = stop
	s, err = w.engine.Cycle(ctx)
	w.note(fmt.Sprintf("cycle %+v %v", s, err))
	return s, err
}

func (w *simWorld) restart() {
	if err := w.store.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.dieIn, w.dieAt = 0, ""
	w.open()
}

// observe remembers which records ever stood in the org.
func (w *simWorld) observe() {
	for _, r := range w.org.Records(orgsim.Touchpoint) {
		if key, _ := r["bizible2__UniqueId__c"].(string); key != "" {
			w.stood[key] = true
		}
	}
}

// join adds an actor, which is due after a while.
func (w *simWorld) join(seed uint64, after time.Duration, act func(*simActor) time.Duration) {
	a := &simActor{lane: time.Duration(len(w.actors)+1) * time.Microsecond, rng: simRand(seed, len(w.actors)+2), act: act}
	a.schedule(after)
	w.actors = append(w.actors, a)
}

func (a *simActor) schedule(after time.Duration) {
	a.due = time.Now().Add(max(after, time.Millisecond)).Truncate(time.Millisecond).Add(a.lane)
}

// pass lets virtual time go by, in which the others act.
func (w *simWorld) pass(d time.Duration) {
	w.acting = true
	defer func() { w.acting = false }()
	until := time.Now().Add(d)
	for {
		var next *simActor
		for _, a := range w.actors {
			if !a.due.After(until) && (next == nil || a.due.Before(next.due)) {
				next = a
			}
		}
		if next == nil {
			break
		}
		time.Sleep(time.Until(next.due))
		next.schedule(next.act(next))
	}
	time.Sleep(time.Until(until))
}
