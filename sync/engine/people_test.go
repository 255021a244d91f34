package engine_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"

	"github.com/google/go-cmp/cmp"
)

// journeyRig writes journey records, too, and keeps what it is told to.
func journeyRig(t testing.TB, change func(*mapping.Settings)) *rig {
	return newRig(t, orgsim.Config{}, func(e *engine.Config, _ *salesforce.Config) {
		change(e.Settings)
		e.Budget = engine.NewBudget(1<<30, 0, e.Now)
	})
}

// called makes a call a minute after a view of the visitor, some hours ago.
func (r *rig) called(visitor, who string, hoursAgo int) string {
	r.t.Helper()
	at := noon.Add(-time.Duration(hoursAgo) * time.Hour)
	r.visit(visitor, at)
	return r.callAt(visitor, who, at.Add(time.Minute))
}

func (r *rig) callAt(visitor, who string, at time.Time) string {
	r.t.Helper()
	return r.call(visitor, who, map[string]any{"bizible2__Bizible_Touchpoint_Date__c": at.UTC().Format("2006-01-02T15:04:05Z")})
}

func (r *rig) edit(task string, fields map[string]any) {
	r.t.Helper()
	r.clock.advance(time.Minute)
	if err := r.org.Update("Task", task, fields); err != nil {
		r.t.Fatal(err)
	}
}

// positions compares the positions of records by Task.
func (r *rig) positions(want map[string]string) {
	r.t.Helper()
	got := map[string]string{}
	for task := range want {
		rec := r.record(task)
		if rec == nil {
			got[task] = "no record"
			continue
		}
		got[task] = fmt.Sprint(rec["bizible2__Touchpoint_Position__c"])
		counts := map[string][2]float64{"FT": {1, 0}, "LC": {0, 1}, "FT, LC": {1, 1}, "PostLC": {0, 0}, "FT, PostLC": {1, 0}}[got[task]]
		if rec["bizible2__Count_First_Touch__c"] != counts[0] || rec["bizible2__Count_Lead_Creation_Touch__c"] != counts[1] {
			r.t.Errorf("%s: counts %v and %v with position %s", task, rec["bizible2__Count_First_Touch__c"], rec["bizible2__Count_Lead_Creation_Touch__c"], got[task])
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("positions (-want +got):\n%s", diff)
	}
}

// Whatever changes about whose call it is moves the positions, and only the records whose
// content changed are sent again.
func TestPositionsFollowThePerson(t *testing.T) {
	t.Parallel()
	r := journeyRig(t, func(*mapping.Settings) {})
	ada, bob := r.lead("Ada"), r.lead("Bob")
	first, second, third := r.called("v1", ada, 40), r.called("v2", ada, 30), r.called("v3", ada, 20)
	r.cycle()
	r.positions(map[string]string{first: "FT, LC", second: "PostLC", third: "PostLC"})
	for _, step := range []struct {
		name   string
		change func()
		writes int
		want   map[string]string
	}{
		{"the first call is somebody else's", func() { r.edit(first, map[string]any{"WhoId": bob}) }, 2,
			map[string]string{first: "FT, LC", second: "FT, LC", third: "PostLC"}},
		{"and back", func() { r.edit(first, map[string]any{"WhoId": ada}) }, 2,
			map[string]string{first: "FT, LC", second: "PostLC", third: "PostLC"}},
		{"an earlier session of the third id", func() { r.clock.advance(time.Minute); r.visit("v3", noon.Add(-50*time.Hour)) }, 1,
			map[string]string{first: "LC", second: "PostLC", third: "PostLC"}},
		{"the third call gets the first id", func() { r.edit(third, map[string]any{"bizible2__BizibleId__c": "v1"}) }, 2,
			map[string]string{first: "FT, LC", second: "PostLC", third: "PostLC"}},
		{"the first call was later than all others", func() {
			r.edit(first, map[string]any{"bizible2__Bizible_Touchpoint_Date__c": noon.Add(-10 * time.Hour).Format("2006-01-02T15:04:05Z")})
		}, 2, map[string]string{first: "PostLC", second: "LC", third: "PostLC"}},
		{"the second call is nobody's", func() { r.edit(second, map[string]any{"WhoId": nil}) }, -1,
			map[string]string{first: "PostLC", third: "LC"}},
	} {
		step.change()
		if s := r.cycle(); step.writes >= 0 && s.TouchpointsWritten != step.writes {
			t.Errorf("%s: %d records written, want %d", step.name, s.TouchpointsWritten, step.writes)
		}
		r.positions(step.want)
		if s := r.cycle(); s.TouchpointsWritten != 0 {
			t.Errorf("%s: %d records written again", step.name, s.TouchpointsWritten)
		}
	}
}

// Forms of a shared computer count for everybody who called from it, calls for their own
// person alone; a session has a journey record for each.
func TestSharedComputer(t *testing.T) {
	t.Parallel()
	r := journeyRig(t, func(s *mapping.Settings) { s.Journey = true })
	ada, bob := r.lead("Ada"), r.lead("Bob")
	form := mapping.Event{Kind: mapping.Form, Visitor: "v", At: noon.Add(-30 * time.Hour), URL: "https://www.example.com/contact"}
	r.visit("v", noon.Add(-30*time.Hour-time.Minute))
	if _, err := r.store.Add(t.Context(), []mapping.Event{form}, nil); err != nil {
		t.Fatal(err)
	}
	a, b := r.called("v", ada, 20), r.called("v", bob, 10)
	r.cycle()
	r.positions(map[string]string{a: "PostLC", b: "PostLC"})
	web := func() (list []string) {
		for _, rec := range r.org.Records(touchpoint) {
			if rec["bizible2__Landing_Page_Raw__c"] != nil && fmt.Sprint(rec[uniqueID]) > "callpoint_s_" {
				p, _ := r.org.Get(person, rec["bizible2__Bizible_Person__c"].(string))
				list = append(list, fmt.Sprint(map[any]string{ada: "Ada", bob: "Bob"}[p["bizible2__Lead__c"]], " ", rec["bizible2__Touchpoint_Position__c"]))
			}
		}
		slices.Sort(list)
		return list
	}
	if got := web(); !slices.Equal(got, []string{"Ada FT, LC", "Bob FT, LC"}) {
		t.Errorf("journey records %v", got)
	}
	// Without a call of the person there is none.
	r.edit(b, map[string]any{"WhoId": ada})
	r.cycle()
	if got := web(); !slices.Equal(got, []string{"Ada FT, LC"}) {
		t.Errorf("after Bob's call turned out to be Ada's: %v", got)
	}
	r.agree()
}

// A person with too many BizibleIds is not followed, and is again when there are fewer.
func TestTooManyBizibleIDs(t *testing.T) {
	t.Parallel()
	r := journeyRig(t, func(*mapping.Settings) {})
	everybody := r.lead("Unknown caller")
	var tasks []string
	for i := range mapping.MaxVisitors {
		tasks = append(tasks, r.called(fmt.Sprintf("v%03d", i), everybody, 300-i))
	}
	look := func(crowds int) {
		t.Helper()
		if all, err := r.store.Crowds(10); err != nil || len(all) != crowds {
			t.Errorf("not followed: %v %v, want %d", all, err, crowds)
		}
		p, err := r.engine.Person(everybody)
		if err != nil || p.Followed != (crowds == 0) {
			t.Errorf("followed %v, %v", p.Followed, err)
		}
		want := map[string]string{}
		for i, task := range tasks {
			if want[task] = "PostLC"; i == 0 || crowds > 0 {
				want[task] = "FT, LC"
			}
		}
		r.positions(want)
	}
	r.cycle()
	look(0)
	one := r.called("one more", everybody, 5)
	r.cycle()
	tasks = append(tasks, one)
	look(1)
	two := r.called("and another", everybody, 4)
	if s := r.cycle(); s.TouchpointsWritten != 1 {
		t.Errorf("%d records written for one call of somebody who is not followed", s.TouchpointsWritten)
	}
	tasks = append(tasks, two)
	look(1)
	tasks = tasks[:len(tasks)-2]
	r.edit(one, map[string]any{"WhoId": r.lead("One")})
	r.edit(two, map[string]any{"WhoId": r.lead("Two")})
	r.cycle()
	look(0)
}

// The records of a deleted Task and of an erased visitor stay as they are and keep counting:
// others never gain what they show.
func TestKeptRecordsKeepCounting(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		delete bool
		lose   func(r *rig, first string)
		want   string // of the call after it
	}{
		{"deleted Task, kept", false, func(r *rig, first string) { r.must(r.org.Delete("Task", first)) }, "PostLC"},
		{"deleted Task, deleted", true, func(r *rig, first string) { r.must(r.org.Delete("Task", first)) }, "FT, LC"},
		{"cleared id, kept", false, func(r *rig, first string) {
			r.must(r.org.Update("Task", first, map[string]any{"bizible2__BizibleId__c": nil}))
		}, "PostLC"},
		{"cleared id, deleted", true, func(r *rig, first string) {
			r.must(r.org.Update("Task", first, map[string]any{"bizible2__BizibleId__c": nil}))
		}, "FT, LC"},
		{"erased visitor", false, func(r *rig, first string) {
			_, err := r.store.Forget(r.t.Context(), "v1", r.clock.now())
			r.must(err)
		}, "PostLC"},
		{"erased visitor, whose Lead was converted", false, func(r *rig, first string) {
			_, err := r.store.Forget(r.t.Context(), "v1", r.clock.now())
			r.must(err)
			c, _, err := r.store.Call(first)
			r.must(err)
			_, err = r.store.PutConversions(r.t.Context(), nil, map[string]string{c.Person: r.insert("Contact", map[string]any{"LastName": "Ada"})})
			r.must(err)
		}, "PostLC"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := journeyRig(t, func(s *mapping.Settings) { s.RetractDelete = test.delete })
			ada := r.lead("Ada")
			first, second := r.called("v1", ada, 40), r.called("v2", ada, 20)
			r.cycle()
			r.positions(map[string]string{first: "FT, LC", second: "PostLC"})
			r.clock.advance(time.Minute)
			test.lose(r, first)
			r.clock.advance(time.Minute)
			r.cycle()
			r.positions(map[string]string{second: test.want})
			// A session before everything changes nothing about what the kept record shows.
			r.visit("v2", noon.Add(-60*time.Hour))
			r.cycle()
			if test.want == "PostLC" && test.name != "cleared id, kept" {
				r.positions(map[string]string{second: "PostLC"})
			}
		})
	}
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// A call from before the collection has no record, and its id belongs to the person all the same.
func TestIDOfACallBeforeTheCollection(t *testing.T) {
	t.Parallel()
	r := journeyRig(t, func(*mapping.Settings) {})
	ada := r.lead("Ada")
	r.visit("v1", noon.Add(-40*time.Hour))
	early := r.callAt("v1", ada, noon.Add(-400*time.Hour))
	late := r.called("v2", ada, 20)
	r.cycle()
	r.positions(map[string]string{early: "no record", late: "LC"})
}

// A person's journey survives retention: the first session and the first form still count.
func TestRetentionKeepsTheJourneyOfAPerson(t *testing.T) {
	t.Parallel()
	r := journeyRig(t, func(s *mapping.Settings) { s.Journey = true })
	ada := r.lead("Ada")
	form := mapping.Event{Kind: mapping.Form, Visitor: "v1", At: noon.Add(-100 * time.Hour), URL: "https://www.example.com/contact"}
	r.visit("v1", noon.Add(-200*time.Hour))
	r.visit("v1", noon.Add(-100*time.Hour-time.Minute))
	_, err := r.store.Add(t.Context(), []mapping.Event{form}, nil)
	r.must(err)
	a := r.called("v1", ada, 50)
	r.cycle()
	before := r.standing()
	if len(before) != 4 { // a person, a call, two sessions
		t.Fatalf("%d records: %v", len(before), slices.Sorted(maps.Keys(before)))
	}
	pruned, err := r.engine.Prune(t.Context(), noon.Add(-60*time.Hour))
	if err != nil || pruned.Rows != 3 {
		t.Fatalf("%+v %v", pruned, err)
	}
	b := r.called("v2", ada, 40)
	r.visit("v1", noon.Add(-30*time.Hour)) // the visitor is resolved anew
	r.cycle()
	r.positions(map[string]string{a: "PostLC", b: "PostLC"})
	after := r.standing()
	for key, rec := range before {
		if diff := cmp.Diff(rec, after[key]); diff != "" {
			t.Errorf("%s: %s", key, diff)
		}
	}
}

// Events, Tasks and their edits in any order, in portions, with cycles in between and with
// repeats, end in the same records.
func TestAnyOrderGivesTheSameRecordsOfPersons(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		var want map[string]map[string]any
		for run := range 3 {
			got := anyOrder(t, seed, run)
			if run == 0 {
				want = got
				continue
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("seed %d, run %d differs from what was there from the start:\n%s", seed, run, diff)
			}
		}
	}
}

// anyOrder plays the world of a seed: run 0 has everything from the start.
func anyOrder(t *testing.T, seed uint64, run int) map[string]map[string]any {
	t.Helper()
	world, order := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, uint64(100+run)))
	r := journeyRig(t, func(s *mapping.Settings) { s.RetractDelete, s.Journey = true, seed%2 == 0 })
	leads := []string{r.lead("Ada"), r.lead("Bob"), r.lead("Cid")}
	moment := func() time.Time { return noon.Add(-time.Duration(world.IntN(40*60)) * time.Minute) }
	visitor := func() string { return fmt.Sprint("v", world.IntN(4)) }
	// Something earlier than all the rest, so that nothing is before the collection on the way.
	r.visit("somebody", noon.Add(-50*time.Hour))
	var steps []func()
	for range 25 {
		e := mapping.Event{Kind: mapping.View, Visitor: visitor(), At: moment(), URL: "https://www.example.com/" + []string{"", "?gclid=1", "a"}[world.IntN(3)]}
		if world.IntN(4) == 0 {
			e.Kind = mapping.Form
		}
		steps = append(steps, func() { _, err := r.store.Add(t.Context(), []mapping.Event{e}, nil); r.must(err) })
	}
	for range 8 {
		v, who, at := visitor(), leads[world.IntN(3)], moment()
		gone := world.IntN(6) == 0
		task := r.call("", "", map[string]any{"bizible2__Bizible_Touchpoint_Date__c": moment().Format("2006-01-02T15:04:05Z")})
		edits := []map[string]any{{"bizible2__BizibleId__c": v}, {"WhoId": who}, {"bizible2__Bizible_Touchpoint_Date__c": at.Format("2006-01-02T15:04:05Z")}}
		if run > 0 { // what it says on the way
			edits = append(edits[:0:0], map[string]any{"bizible2__BizibleId__c": fmt.Sprint("v", order.IntN(4)), "WhoId": leads[order.IntN(3)]}, edits[0], edits[1], edits[2])
		}
		n := 0
		for range edits {
			steps = append(steps, func() {
				r.edit(task, edits[n])
				if n++; n == len(edits) && gone {
					r.must(r.org.Delete("Task", task))
				}
			})
		}
	}
	if run > 0 {
		order.Shuffle(len(steps), func(a, b int) { steps[a], steps[b] = steps[b], steps[a] })
	}
	for _, step := range steps {
		step()
		if run > 0 && order.IntN(6) == 0 {
			r.clock.advance(time.Second)
			r.cycle()
		}
	}
	r.clock.set(10 * time.Hour)
	r.cycle()
	if s := r.cycle(); s.TouchpointsWritten != 0 {
		t.Errorf("seed %d, run %d: at rest %d records are written", seed, run, s.TouchpointsWritten)
	}
	r.agree()
	records := r.standing()
	// Persons whom a call named on the way stay.
	maps.DeleteFunc(records, func(key string, _ map[string]any) bool { return strings.HasPrefix(key, "person of ") })
	return records
}

// BenchmarkPerson is a cycle after one view of a person with 200 BizibleIds and 2,000 sessions.
func BenchmarkPerson(b *testing.B) {
	r := journeyRig(b, func(*mapping.Settings) {})
	ada := r.lead("Ada")
	for i := range mapping.MaxVisitors {
		visitor := fmt.Sprintf("v%03d", i)
		for n := range 10 {
			r.visit(visitor, noon.Add(-time.Duration(300*(n+1)+i)*time.Hour/10))
		}
		r.callAt(visitor, ada, noon.Add(-time.Duration(300+i)*time.Hour/10+time.Minute))
	}
	r.cycle()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		r.visit("v000", noon.Add(-time.Duration(n)*time.Second))
		r.clock.advance(time.Hour) // no Task is read again
		b.StartTimer()
		if s := r.cycle(); s.TouchpointsWritten > 1 {
			b.Fatalf("%+v", s)
		}
	}
}
