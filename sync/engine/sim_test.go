package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/orgsim"
)

// simSeeds is how many seeds CI runs; SIM_SEEDS asks for more, SIM_SEED for one alone.
const simSeeds = 200

// TestSimulation lets hours to days of a hostile world go by, and then compares the org,
// the store and an independent model of what should stand there.
func TestSimulation(t *testing.T) {
	t.Parallel()
	from, seeds := uint64(1), simSeeds
	if n, err := strconv.Atoi(os.Getenv("SIM_SEEDS")); err == nil {
		seeds = n
	} else if testing.Short() || simRace {
		seeds = 20
	}
	if n, err := strconv.ParseUint(os.Getenv("SIM_SEED"), 10, 64); err == nil {
		from, seeds = n, 1
	}
	var all simTotals
	t.Run("seeds", func(t *testing.T) {
		for seed := from; seed < from+uint64(seeds); seed++ {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { all.add(simulate(t, seed)) })
			})
		}
	})
	t.Logf("%d seeds from %d: %d cycles, %d of them failed, %d crashes, %d calls, %d records of %d people stand, %d Tasks say why, %d write calls at once, %s of virtual time",
		seeds, from, all.cycles, all.failed, all.died, all.calls, all.records, all.people, all.told, all.together, all.virtual)
	if seeds > 1 && (all.died == 0 || all.failed == 0 || all.records == 0 || all.people == 0 || all.together < 2 || all.told == 0) {
		t.Error("the world was not hostile: nothing is proved")
	}
}

// TestSimulationRepeats: a seed gives the same trace, or a failure could not be looked into.
func TestSimulationRepeats(t *testing.T) {
	t.Parallel()
	for seed := uint64(1); seed <= 5; seed++ {
		var hashes []string
		for range 2 {
			synctest.Test(t, func(t *testing.T) {
				w := simulate(t, seed)
				hashes = append(hashes, w.traceHash())
			})
		}
		if hashes[0] != hashes[1] {
			t.Errorf("seed %d: traces %v", seed, hashes)
		}
	}
}

// simulate runs one seed to its end. What the seed decides beside the actors: the length, the
// clocks, the sizes of pages and collections, the pause between cycles, what becomes of
// deleted calls, and of what a killed process had sent.
func simulate(t *testing.T, seed uint64, database ...string) *simWorld {
	r := simRand(seed, 1000)
	skew := time.Duration(r.IntN(600)-300) * time.Second
	cfg := orgsim.Config{
		Now: func() time.Time { return time.Now().Add(skew) }, PageSize: simPick(r, 2, 7, 2000), DailyLimit: 1 << 30,
		TriggerCPUPerRecord: simPick(r, 0, 0, 700*time.Millisecond),
	}
	w := newSimWorld(t, seed, cfg, database...)
	w.org.KeysFreedLate(r.IntN(3) == 0)
	w.org.EqualMasterPasses(r.IntN(3) == 0)
	w.settings.RetractDelete, w.anonymous = r.IntN(2) == 0, true
	w.settings.Journey = seed%2 == 0
	w.batch = simPick(r, 2, 5, 25)
	w.sentOn = r.IntN(2) == 0
	if seed%3 == 0 {
		w.reason = why
		w.org.Schema("Task").AddField(orgsim.Field{Name: why, Type: "string", Length: 40})
	}
	w.restart()
	w.populate(seed)
	end := time.Now().Add(time.Duration(6+r.IntN(20)) * time.Hour)
	interval := time.Duration(2+r.IntN(20)) * time.Minute
	for time.Now().Before(end) {
		if r.IntN(8) == 0 {
			w.dieIn = 1 + r.IntN(15)
		}
		_, _ = w.cycle() // whatever it says, what counts stands in the org in the end
		w.dieIn = 0
		w.pass(interval + time.Duration(r.IntN(30000))*time.Millisecond)
	}
	w.settle()
	w.compare()
	return w
}

// settle ends the hostility and lets the engine come to rest in a successful cycle.
func (w *simWorld) settle() {
	w.t.Helper()
	w.actors = nil
	w.org.ClearFaults()
	time.Sleep(10 * time.Minute) // what was late becomes visible
	w.restart()                  // and what the user may not read, if a fault said so, is asked for again
	w.rest()
	for range 2 { // persons are looked for once a day; the weekly comparison finds what was changed by hand
		time.Sleep(25 * time.Hour)
		w.rest()
		if _, err := w.engine.Reconcile(w.t.Context(), true); err != nil {
			w.t.Fatalf("reconcile: %v", err)
		}
	}
	w.rest()
}

// rest cycles until nothing is left to do.
func (w *simWorld) rest() {
	w.t.Helper()
	for range 60 {
		s, err := w.cycle()
		b, berr := w.store.Backlog()
		untold, uerr := w.store.DueReasons(time.Now().AddDate(1, 0, 0), 1)
		if errors.Join(err, berr, uerr) == nil && s.Held+b.Due+b.Parked+b.Dirty+len(untold) == 0 {
			return
		}
		time.Sleep(time.Hour) // what waits for a retry, or is parked, comes due within a day
	}
	s, err := w.cycle()
	b, _ := w.store.Backlog()
	w.t.Fatalf("no rest after 60 hours: %v, error %v, waiting %+v", s, err, b)
}

// compare holds org and store to the model, and to each other.
func (w *simWorld) compare() {
	w.t.Helper()
	if problems, err := w.store.Check(); err != nil || len(problems) > 0 {
		w.t.Errorf("store: %v %v", problems, err)
	}
	written := w.org.Requests().Written
	if s, err := w.cycle(); err != nil || s.TouchpointsWritten != 0 || w.org.Requests().Written != written {
		w.t.Errorf("at rest, a cycle writes: %+v %v", s, err)
	}
	got := map[string]map[string]any{}
	for _, r := range w.org.Records(orgsim.Touchpoint) {
		key, _ := r["bizible2__UniqueId__c"].(string)
		if got[key] != nil {
			w.t.Errorf("%s stands twice", key)
		}
		got[key] = r
	}
	m := &w.model
	m.person = w.personOf
	m.settings, m.delete, m.records, m.contacts = w.settings, w.settings.RetractDelete, maps.Clone(got), map[string]string{}
	for _, lead := range w.org.Records("Lead") {
		if contact, _ := lead["ConvertedContactId"].(string); contact != "" {
			m.contacts[lead["Id"].(string)] = contact
		}
	}
	for _, id := range w.tasks {
		if t, ok := w.org.Get("Task", id); ok {
			m.tasks = append(m.tasks, t)
		}
	}
	want := m.want()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		w.compareRecord(key, want[key], got[key])
		delete(got, key)
	}
	w.compareWeb(got)
	for _, key := range slices.Sorted(maps.Keys(got)) {
		w.t.Errorf("%s stands without a basis", key)
	}
	w.compareSums()
	w.compareEvents()
	w.compareReasons()
}

func (w *simWorld) compareRecord(key string, want simWant, got map[string]any) {
	w.t.Helper()
	if got == nil {
		// Where records go with their basis, one that went stays away while its call lies
		// before collection.
		if want.must || w.stood[key] && !w.settings.RetractDelete && !w.mayGo[key] {
			w.t.Errorf("%s is missing; it stood before: %v", key, w.stood[key])
		}
		return
	}
	if !w.hadID[want.task] {
		w.t.Errorf("%s stands, though its Task never had an id", key)
	}
	if want.fields == nil {
		return // its Task is gone: the record stays as it was
	}
	for name, v := range want.fields {
		is := got["bizible2__"+name+"__c"]
		if at, ok := v.(time.Time); ok {
			s, _ := is.(string)
			v, is = at.Truncate(time.Second), any(nil)
			if s != "" {
				is = simTime(s).Truncate(time.Second)
			}
		}
		if is == nil {
			is = ""
		}
		if fmt.Sprint(is) != fmt.Sprint(v) {
			w.t.Errorf("%s: %s = %v, want %v", key, name, is, v)
		}
	}
	task, _ := w.org.Get("Task", want.task)
	w.comparePerson(key, w.personOf(task), got)
	call, t, err := w.store.Call(want.task)
	if err != nil || t == nil || t.RecordID != got["Id"] || call.TaskID != want.task {
		w.t.Errorf("%s: store has %+v %v, the org record %v", key, t, err, got["Id"])
	}
}

// comparePerson: a record hangs from the person of the Lead or Contact that its call counts
// for, of several from the one that is preferred, and the store knows which one that is.
func (w *simWorld) comparePerson(key, who string, got map[string]any) {
	w.t.Helper()
	linked, _ := got[personField].(string)
	if contact, _ := got["bizible2__Contact__c"].(string); strings.HasPrefix(who, "003") != (contact == who && who != "") {
		w.t.Errorf("%s: contact %q, want that of %q", key, contact, who)
	}
	if want := w.preferred(who); want == "" || linked != want {
		w.t.Errorf("%s: hangs from person %q, that of %s is %q", key, linked, who, want)
	}
	if known, err := w.store.Touchpoints([]string{key}); err != nil || known[key].Master != linked {
		w.t.Errorf("%s: hangs from %q, the store has %q, %v", key, linked, known[key].Master, err)
	}
}

// compareReasons: each Task says what the store answers for its call. A call that is held,
// or from before collection, has no answer: its Task keeps what an earlier one wrote.
func (w *simWorld) compareReasons() {
	w.t.Helper()
	if w.reason == "" {
		return
	}
	for _, id := range w.tasks {
		task, stands := w.org.Get("Task", id)
		call, _, err := w.store.Call(id)
		if errors.Is(err, store.ErrNotFound) {
			continue // it never had an id
		} else if err != nil {
			w.t.Fatal(err)
		}
		if !stands || task["IsDeleted"] == true {
			continue
		}
		switch why := call.Resolution.Reason; why {
		case mapping.Held, mapping.BeforeCollection, mapping.TaskDeleted:
		default:
			if w.told++; task[w.reason] != string(why) {
				w.t.Errorf("Task %s says %v, and the answer is %v", id, task[w.reason], why)
			}
		}
	}
}

// compareEvents: what was acknowledged is in the store.
func (w *simWorld) compareEvents() {
	w.t.Helper()
	journeys := map[string]map[string]bool{}
	for _, e := range w.model.events {
		if journeys[e.Visitor] == nil {
			j, err := w.store.Journey(e.Visitor)
			if err != nil {
				w.t.Fatal(err)
			}
			journeys[e.Visitor] = map[string]bool{}
			for _, stored := range j.Events {
				journeys[e.Visitor][simEvent(stored)] = true
			}
		}
		if !journeys[e.Visitor][simEvent(e)] {
			w.t.Errorf("acknowledged, but not in the store: %+v", e)
		}
	}
}

func simEvent(e mapping.Event) string {
	b, _ := json.Marshal(e)
	return string(b)
}

// simTotals adds up worlds that run at the same time.
type simTotals struct {
	mu                                                           sync.Mutex
	cycles, failed, died, calls, records, people, told, together int
	virtual                                                      time.Duration
}

func (s *simTotals) add(w *simWorld) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cycles += w.cycles
	s.failed += w.failed
	s.died += w.died
	s.calls += len(w.tasks)
	s.records += len(w.org.Records(orgsim.Touchpoint))
	s.told += w.told
	s.people += w.people
	s.together = max(s.together, w.wire.locks.most)
	s.virtual += time.Since(w.began)
}
