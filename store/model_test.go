package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv/pgkv/pgtest"
)

// A model is what the store should say, kept in maps, beside a store to which the same is
// done. Operations come from bytes: a random test and a fuzz target share them.
type model struct {
	t    testing.TB
	s    *Store
	path string // of the file, or the URL of the database
	ops  []byte
	now  time.Time

	events    map[string]mapping.Event
	visits    map[string]mapping.Visit
	calls     map[string]modelCall
	pruned    map[string]time.Time
	forgotten map[string]bool
	org       map[string]string // external id: hash of what was written there last
	frozen    map[string]string // the same when the visitor was forgotten
	persons   map[string]Person
	beside    *Store // another instance that shares the store; nil for a file
	lives     int    // files that it went on with
	cursor    Cursor
}

type modelCall struct{ visitor, hash string }

var modelVisitors = []string{"visitor-a", "visitor-a-b", "visitor-b", "\u00fc"}

func newModel(t testing.TB, path string, ops []byte) *model {
	m := &model{
		t: t, path: path, ops: ops, now: goldenAt,
		events: map[string]mapping.Event{}, visits: map[string]mapping.Visit{}, calls: map[string]modelCall{},
		pruned: map[string]time.Time{}, forgotten: map[string]bool{}, org: map[string]string{}, frozen: map[string]string{}, persons: map[string]Person{},
	}
	m.open()
	return m
}

func (m *model) open() {
	m.t.Helper()
	s, err := Open(m.path, Options{Instance: Instance{Name: m.t.Name()}})
	m.must(err)
	m.s = s
	if m.beside == nil && IsURL(m.path) {
		m.beside, err = Open(m.path, Options{Instance: Instance{Name: m.t.Name(), Daemon: true, Collector: true}})
		m.must(err)
		m.t.Cleanup(func() { m.must(m.beside.Close()) })
	}
}

// cut ends every connection of a test, as a network does that breaks.
func cut(t testing.TB) {
	t.Helper()
	pgtest.Shared(t).Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = left('callpoint ' || $1, 63)", t.Name())
}

// collector returns the instance that adds the next rows: on a shared store one of two.
func (m *model) collector() *Store {
	if m.beside != nil && m.pick(2) == 0 {
		return m.beside
	}
	return m.s
}

func (m *model) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// pick takes the next byte, as a number below n.
func (m *model) pick(n int) int {
	if len(m.ops) == 0 {
		return 0
	}
	b := m.ops[0]
	m.ops = m.ops[1:]
	return int(b) % n
}

func (m *model) visitor() string { return modelVisitors[m.pick(len(modelVisitors))] }

// at is one of few times, so that repeats and ties happen.
func (m *model) at() time.Time {
	return goldenAt.Add(time.Duration(m.pick(24)-12) * 10 * time.Minute)
}

func (m *model) run() {
	ctx := context.Background()
	for n := 0; len(m.ops) > 0; n++ {
		switch m.pick(13) {
		case 0, 1:
			m.addEvents(ctx)
		case 2:
			m.addVisit(ctx)
		case 3, 4:
			m.applyTask(ctx)
		case 5, 6:
			m.resolve(ctx)
		case 7:
			m.send(ctx)
		case 8:
			_, err := m.s.MakeParkedDue(ctx, m.now.Add(time.Duration(m.pick(2))*time.Hour), nil)
			m.must(err)
		case 9:
			m.life(ctx)
		case 10:
			m.prune(ctx)
		case 11:
			m.forget(ctx)
		case 12:
			m.person(ctx)
		}
		m.now = m.now.Add(time.Second)
		if n%16 == 0 {
			m.compare()
		}
	}
	m.settle(ctx)
	m.compare()
	m.must(m.s.Close())
	m.open()
	m.compare()
	m.must(m.s.Close())
}

func (m *model) addEvents(ctx context.Context) {
	var events []mapping.Event
	want := 0
	for range 1 + m.pick(3) {
		e := mapping.Event{Kind: mapping.View, Visitor: m.visitor(), At: m.at(), URL: fmt.Sprintf("https://www.example.com/%d", m.pick(3))}
		events = append(events, e)
		key := string(eventKey(e))
		if _, ok := m.events[key]; ok || m.forgotten[e.Visitor] || e.At.Before(m.pruned[e.Visitor]) {
			want++
			continue
		}
		m.events[key] = e
	}
	repeated, err := m.collector().Add(ctx, events, nil)
	m.must(err)
	if repeated != want {
		m.t.Fatalf("Add left out %d of %d events, want %d", repeated, len(events), want)
	}
}

func (m *model) addVisit(ctx context.Context) {
	v := mapping.Visit{SessionID: fmt.Sprint("s", m.pick(3)), Visitor: m.visitor(), StartedAt: m.at(), PageViews: m.pick(4), LandingPage: "https://www.example.com/"}
	v.EndedAt = v.StartedAt.Add(time.Duration(m.pick(3)) * time.Minute)
	key := v.Visitor + "\x00" + v.SessionID
	old, ok := m.visits[key]
	better := !ok || mapping.CompareVisits(&v, &old) < 0
	takes := better && !m.forgotten[v.Visitor] && !v.StartedAt.Before(m.pruned[v.Visitor])
	if takes {
		m.visits[key] = v
	}
	repeated, err := m.collector().Add(ctx, nil, []mapping.Visit{v})
	m.must(err)
	if (repeated == 0) != takes {
		m.t.Fatalf("Add of visit %+v over %+v: left out %d, should be taken %v", v, old, repeated, takes)
	}
}

func (m *model) applyTask(ctx context.Context) {
	id := fmt.Sprintf("00THs00000AAAA%cMAA", 'A'+m.pick(6))
	visitor := ""
	if n := m.pick(len(modelVisitors) + 1); n > 0 {
		visitor = modelVisitors[n-1]
	}
	at := m.at()
	// The hash is over what was read, so it changes with any of it.
	hash := fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, visitor, at, m.pick(2))))
	old, ok := m.calls[id]
	want := 0
	if !ok || old.hash != hash {
		want = 1
		m.calls[id] = modelCall{visitor, hash}
		if m.forgotten[visitor] {
			m.calls[id] = modelCall{"", hash}
		} else if visitor != "" || !ok {
			delete(m.frozen, CallKey(id))
		}
	}
	read := Call{Call: mapping.Call{TaskID: id, Visitor: visitor, At: at, Fields: map[string]any{"Id__c": visitor}}, Hash: hash}
	m.cursor = Cursor{Since: m.now, Start: goldenAt}
	changed, err := m.s.ApplyTasks(ctx, []Call{read}, m.cursor)
	m.must(err)
	if changed != want {
		m.t.Fatalf("ApplyTasks changed %d, want %d", changed, want)
	}
}

// resolve answers for every dirty journey, as a stand-in for the rules: every call of a
// visitor is matched and has one touchpoint, which says how many events there are. A
// call without a visitor has none, unless one stands.
func (m *model) resolve(ctx context.Context) {
	dirty, err := m.s.NextDirty(ctx, m.now, 100)
	m.must(err)
	late := m.pick(4) == 0 && len(dirty) > 0
	if late {
		// Something happens between the reading and the commit.
		m.addEvents(ctx)
	}
	var all []answer
	for _, j := range dirty {
		r := answer{Resolved: Resolved{Journey: j}}
		for _, c := range j.Calls {
			reason := mapping.Matched
			if c.Visitor == "" {
				reason = mapping.NoBizibleID
			}
			r.Result.Calls = append(r.Result.Calls, mapping.Resolution{TaskID: c.TaskID, Reason: reason,
				Snapshot: &mapping.Snapshot{Visitor: c.Visitor, Reason: reason}})
			t, known := j.Touchpoints[CallKey(c.TaskID)]
			if c.Visitor != "" || known && t.MayStand() {
				r.touchpoints = append(r.touchpoints, mapping.Touchpoint{Key: CallKey(c.TaskID), TaskID: c.TaskID,
					Values: map[string]any{"events": len(j.Events), "visitor": c.Visitor}})
			}
		}
		all = append(all, r)
	}
	_, err = settle(ctx, m.s, m.now, all)
	m.must(err)
	left, err := m.s.NextDirty(ctx, m.now, 100)
	m.must(err)
	if len(left) > 0 && !late {
		m.t.Fatalf("%d journeys are dirty after a resolution of all", len(left))
	}
}

// send is one attempt for what is due, with every end that it may take.
func (m *model) send(ctx context.Context) {
	due, err := m.s.Due(m.now, 10)
	m.must(err)
	_, err = m.s.Begin(ctx, due)
	m.must(err)
	var outcomes []Outcome
	for _, t := range due {
		if t.Frozen {
			m.t.Fatalf("%s is frozen and due", t.Key)
		}
		o := Outcome{Key: t.Key, Hash: t.Hash}
		switch m.pick(5) {
		case 0: // it was written, and the answer is lost: the process died
			m.org[t.Key] = t.Hash
			continue
		case 1:
			o.State, o.Next = Retrying, m.now.Add(time.Minute)
		case 2:
			o.State, o.Next, o.Code, o.Message = Parked, m.now.Add(30*time.Minute), "FIELD_CUSTOM_VALIDATION_EXCEPTION", string(t.Content)
		default:
			m.org[t.Key] = t.Hash
			o.State, o.RecordID = Written, "a0"+t.TaskID
		}
		outcomes = append(outcomes, o)
	}
	if m.pick(3) == 0 {
		m.applyTask(ctx) // while they are on their way
		m.resolve(ctx)
	}
	m.must(m.s.Finish(ctx, m.now, outcomes))
}

func (m *model) prune(ctx context.Context) {
	before := m.at()
	_, err := m.s.Prune(ctx, before, func(j *mapping.Journey, before time.Time) {
		if before.After(j.PrunedBefore) {
			j.PrunedBefore = before
			j.PrunedSessions++
		}
	})
	m.must(err)
	// Whether a visitor was pruned follows from its calls: take the store's word for that,
	// and hold it to what then must be gone, and must not.
	for _, v := range modelVisitors {
		j, err := m.s.Journey(v)
		m.must(err)
		if j.PrunedBefore.Before(m.pruned[v]) || !j.PrunedBefore.Equal(m.pruned[v]) && !j.PrunedBefore.Equal(before) {
			m.t.Fatalf("%s: pruned before %s, was %s, asked for %s", v, j.PrunedBefore, m.pruned[v], before)
		}
		if j.open() && !j.PrunedBefore.Equal(m.pruned[v]) {
			m.t.Fatalf("%s was pruned with an open call", v)
		}
		m.pruned[v] = j.PrunedBefore
		maps.DeleteFunc(m.events, func(_ string, e mapping.Event) bool { return e.Visitor == v && e.At.Before(m.pruned[v]) })
		maps.DeleteFunc(m.visits, func(_ string, x mapping.Visit) bool { return x.Visitor == v && x.StartedAt.Before(m.pruned[v]) })
	}
}

func (m *model) forget(ctx context.Context) {
	if m.pick(3) != 0 || len(m.forgotten) > 1 {
		return // seldom, or nothing is left to look at
	}
	v := m.visitor()
	_, err := m.s.Forget(ctx, v, m.now)
	m.must(err)
	m.forgotten[v] = true
	delete(m.pruned, v)
	maps.DeleteFunc(m.events, func(_ string, e mapping.Event) bool { return e.Visitor == v })
	maps.DeleteFunc(m.visits, func(_ string, x mapping.Visit) bool { return x.Visitor == v })
	for id, c := range m.calls {
		if c.visitor == v {
			m.calls[id] = modelCall{"", c.hash}
			m.frozen[CallKey(id)] = m.org[CallKey(id)]
		}
	}
}

// modelSeeds are runs that failed once. They run for ever.
var modelSeeds = []uint64{15626795606888480379, 8994316184850674711}

func TestModel(t *testing.T) {
	t.Parallel()
	runs := 12
	if testing.Short() {
		runs = 4
	}
	seeds := slices.Clone(modelSeeds)
	first := rand.Uint64()
	for i := range runs {
		seeds = append(seeds, first+uint64(i))
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			ops := make([]byte, 600)
			for i := range ops {
				ops[i] = byte(r.Uint32())
			}
			for name, path := range engines(t) {
				t.Run(name, func(t *testing.T) { newModel(t, path, ops).run() })
			}
		})
	}
}

// engines returns an empty store of each engine.
func engines(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{"bbolt": filepath.Join(t.TempDir(), "callpoint.db")}
	if pgtest.Find() != "" {
		s := pgtest.Shared(t)
		all["postgres"] = s.URL(s.Schema(t))
	}
	return all
}

// FuzzModel looks for an order of operations that TestModel does not come upon.
func FuzzModel(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x03\x00\x01\x00\x05\x01\x07\x04\x0a\x03\x0b\x00\x00"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 400 {
			ops = ops[:400]
		}
		newModel(t, filepath.Join(t.TempDir(), "callpoint.db"), ops).run()
	})
}
