package engine_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

const (
	touchpoint = orgsim.Touchpoint
	person     = orgsim.Person
	uniqueID   = "bizible2__UniqueId__c"

	personField = "bizible2__Bizible_Person__c"
)

// A clock is the time of a test: the org's, the client's and the engine's.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// set moves the clock on to a time after noon, when every test begins.
func (c *clock) set(after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = noon.Add(after)
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// A rig is a simulated org behind HTTP, and an engine with a real client and a real store.
type rig struct {
	t       testing.TB
	clock   *clock
	org     *orgsim.Org
	url     string
	path    string
	log     *bytes.Buffer
	calls   int               // made so far
	callers map[string]string // Leads of visitors
	change  []func(*engine.Config, *salesforce.Config)

	last   engine.Config // of engine
	store  *store.Store
	client *salesforce.Client
	engine *engine.Engine
}

// newRig makes one; change adjusts the configuration each time that the store is opened.
func newRig(t testing.TB, oc orgsim.Config, change ...func(*engine.Config, *salesforce.Config)) *rig {
	t.Helper()
	r := &rig{t: t, clock: &clock{at: noon}, path: filepath.Join(t.TempDir(), "s.db"),
		log: &bytes.Buffer{}, callers: map[string]string{}, change: change}
	oc.Now = r.clock.now
	r.org = orgsim.New(oc)
	srv := httptest.NewServer(r.org)
	t.Cleanup(srv.Close)
	r.url = srv.URL
	r.open()
	t.Cleanup(r.close)
	return r
}

func (r *rig) open() {
	r.t.Helper()
	s, err := store.Open(r.path, store.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	ec := engine.Config{Store: s, Settings: mapping.Default(), Start: r.clock.now().Add(-720 * time.Hour), Overlap: 10 * time.Minute,
		TouchpointObject: touchpoint, ExternalID: uniqueID, Persons: engine.PersonsCreate, Now: r.clock.now,
		Rand: rand.New(rand.NewPCG(1, 2)), Log: log, Budget: engine.NewBudget(5000, 0.1, r.clock.now)}
	sc := salesforce.Config{Domain: r.url, ConsumerKey: orgsim.DefaultClientID, ConsumerSecret: salesforce.NewSecret(orgsim.DefaultClientSecret),
		RetryWait: time.Millisecond, RetryWaitMax: time.Millisecond, LoginRetryWait: time.Millisecond, Now: r.clock.now}
	for _, c := range r.change {
		c(&ec, &sc)
	}
	sc.AllowCall, sc.OnCall = ec.Budget.Allow, ec.Budget.Note
	client, err := salesforce.New(sc)
	if err != nil {
		r.t.Fatal(err)
	}
	ec.Org = client
	r.last = ec
	e, err := engine.New(ec)
	if err != nil {
		r.t.Fatal(err)
	}
	r.store, r.client, r.engine = s, client, e
}

// close holds every store to its own rules.
func (r *rig) close() {
	r.t.Helper()
	if r.store == nil {
		return
	}
	problems, err := r.store.Check()
	if err != nil || len(problems) > 0 {
		r.t.Errorf("store: %v %v", problems, err)
	}
	r.client.Close()
	if err := r.store.Close(); err != nil {
		r.t.Error(err)
	}
	r.store = nil
}

func (r *rig) reopen() {
	r.t.Helper()
	r.close()
	r.open()
}

// cycle runs one that must succeed.
func (r *rig) cycle() engine.Summary {
	r.t.Helper()
	s, err := r.engine.Cycle(r.t.Context())
	if err != nil {
		r.t.Fatalf("cycle: %v", err)
	}
	return s
}

// fails runs a cycle that must not succeed.
func (r *rig) fails() error {
	r.t.Helper()
	s, err := r.engine.Cycle(r.t.Context())
	if err == nil {
		r.t.Fatalf("the cycle succeeded: %+v", s)
	}
	return err
}

func (r *rig) insert(object string, fields map[string]any) string {
	r.t.Helper()
	id, err := r.org.Insert(object, fields)
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

func (r *rig) lead(name string) string {
	return r.insert("Lead", map[string]any{"LastName": name, "Company": "Example"})
}

// noOne is the WhoId of a call that names nobody.
const noOne = "-"

// somebody is the Lead of a visitor's calls for which a test names no other.
func (r *rig) somebody(visitor string) string {
	r.t.Helper()
	if r.callers[visitor] == "" {
		r.callers[visitor] = r.lead("Somebody")
	}
	return r.callers[visitor]
}

// theirs creates a record of somebody else's, of a person that is theirs as well.
func (r *rig) theirs(key string) string {
	r.t.Helper()
	return r.insert(touchpoint, map[string]any{uniqueID: key, personField: r.insert(person, map[string]any{uniqueID: "of " + key})})
}

// call creates a Task of a visitor's call, an hour ago. Without who it is somebody's.
func (r *rig) call(visitor, who string, more ...map[string]any) string {
	r.t.Helper()
	r.calls++
	fields := map[string]any{"Subject": fmt.Sprint("Call ", r.calls), "Type": "Call", "TaskSubtype": "Call", "CallType": "Inbound", "Status": "Completed",
		"bizible2__Bizible_Touchpoint_Date__c": r.clock.now().Add(-time.Hour).Format("2006-01-02T15:04:05Z")}
	if visitor != "" {
		fields["bizible2__BizibleId__c"] = visitor
	}
	switch who {
	case noOne:
	case "":
		fields["WhoId"] = r.somebody(visitor)
	default:
		fields["WhoId"] = who
	}
	for _, m := range more {
		for k, v := range m {
			fields[k] = v
		}
	}
	return r.insert("Task", fields)
}

// visit stores a page view of a visitor.
func (r *rig) visit(visitor string, at time.Time) {
	r.t.Helper()
	e := mapping.Event{Kind: mapping.View, Visitor: visitor, At: at.UTC(), URL: "https://www.example.com/?utm_source=google&utm_medium=cpc&utm_campaign=c", Referrer: "https://www.google.com/"}
	if _, err := r.store.Add(r.t.Context(), []mapping.Event{e}, nil); err != nil {
		r.t.Fatal(err)
	}
}

// record is the one record of a Task that stands in the org, or nil.
func (r *rig) record(task string) map[string]any {
	r.t.Helper()
	var found map[string]any
	for _, rec := range r.org.Records(touchpoint) {
		if rec[uniqueID] == store.CallKey(task) {
			if found != nil {
				r.t.Fatalf("two records of task %s stand", task)
			}
			found = rec
		}
	}
	return found
}

func (r *rig) touchpoint(task string) store.Touchpoint {
	r.t.Helper()
	_, t, err := r.store.Call(task)
	if err != nil || t == nil {
		r.t.Fatalf("task %s: no touchpoint: %v", task, err)
	}
	return *t
}

func (r *rig) backlog() store.Backlog {
	r.t.Helper()
	b, err := r.store.Backlog()
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// standing is everything that callpoint wrote to the org, by key, without what differs
// from run to run: ids become what they stand for.
func (r *rig) standing() map[string]map[string]any {
	r.t.Helper()
	all := map[string]map[string]any{}
	who := map[any]string{}
	subject := map[any]any{} // Tasks are told apart by their subjects: ids depend on what was made before
	for _, task := range r.org.Records("Task") {
		subject[task["Id"]] = task["Subject"]
	}
	for _, p := range r.org.Records(person) {
		key := fmt.Sprintf("person of %v %v", p["bizible2__Lead__c"], p["bizible2__Contact__c"])
		if all[key] != nil {
			r.t.Errorf("two persons: %s", key)
		}
		who[p["Id"]], all[key] = key, map[string]any{uniqueID: p[uniqueID]}
	}
	for _, rec := range r.org.Records(touchpoint) {
		id := strings.TrimPrefix(fmt.Sprint(rec[uniqueID]), "callpoint_")
		key := fmt.Sprintf("touchpoint of %v", subject[id])
		if strings.HasPrefix(id, "s_") {
			key = fmt.Sprintf("touchpoint of %s for the session of %v on %v", who[rec["bizible2__Bizible_Person__c"]], rec["bizible2__Touchpoint_Date__c"], rec["bizible2__Landing_Page_Raw__c"])
		}
		if all[key] != nil {
			r.t.Errorf("two: %s", key)
		}
		all[key] = map[string]any{}
		for name, v := range rec {
			if strings.HasPrefix(name, "bizible2__") && v != id && name != uniqueID {
				all[key][name] = v
			}
		}
		all[key]["bizible2__Bizible_Person__c"] = who[rec["bizible2__Bizible_Person__c"]]
	}
	return all
}

// agree compares the store with the org: every touchpoint that should stand does, under
// the id that the store has, and nothing else.
func (r *rig) agree() {
	r.t.Helper()
	ids := map[any]any{}
	for _, rec := range r.org.Records(touchpoint) {
		if strings.HasPrefix(fmt.Sprint(rec[uniqueID]), "callpoint_") {
			ids[rec[uniqueID]] = rec["Id"]
		}
	}
	err := r.store.EachTouchpoint(func(t store.Touchpoint) error {
		if t.State != store.Written && t.State != store.Unchanged {
			r.t.Errorf("%s is %s: %s %s", t.Key, t.State, t.Code, t.Message)
		}
		if ids[t.Key] != t.RecordID {
			r.t.Errorf("%s: the store has id %q, the org %v", t.Key, t.RecordID, ids[t.Key])
		}
		delete(ids, t.Key)
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	for key := range ids {
		r.t.Errorf("%v stands in the org, and the store knows nothing of it", key)
	}
}
