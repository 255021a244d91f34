package mapping

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const caller = "00Q000000000001AAA"

// fact is a call that counts, credited with a session where x is not nil.
func fact(task, visitor, clock string, x *Step) Fact {
	return Fact{Key: callKey(task), TaskID: task, Visitor: visitor, At: at(clock), Session: x, Counts: true, Writes: true}
}

func stepAt(id, clock, form string) Step {
	x := Step{ID: id, At: at(clock)}
	if form != "" {
		x.Form = at(form)
	}
	return x
}

// placesOf names the positions of the facts, and of the sessions that have one.
func placesOf(j PersonJourney, p Placed) string {
	var list []string
	for i, f := range j.Facts {
		if f.TaskID != "" {
			list = append(list, f.TaskID+": "+p.Positions[i].String())
		}
	}
	for key, where := range p.sessions {
		if where != (Position{}) {
			list = append(list, key.visitor+"/"+key.id+": "+where.String())
		}
	}
	slices.Sort(list)
	return strings.Join(list, "; ")
}

// Positions are those of the person, over all BizibleIds.
func TestPlace(t *testing.T) {
	t.Parallel()
	ad, direct := stepAt("ad", "09:00:00", ""), stepAt("direct", "12:00:00", "")
	for _, test := range []struct {
		name     string
		visitors []VisitorSteps
		facts    []Fact
		want     string
	}{
		{"two cookies", []VisitorSteps{{Visitor: "v1", Steps: []Step{ad}}, {Visitor: "v2", Steps: []Step{direct}}},
			[]Fact{fact("a", "v1", "09:05:00", &ad), fact("b", "v2", "12:05:00", &direct)},
			"a: FT, LC; b: PostLC; v1/ad: FT, LC; v2/direct: PostLC"},
		{"a call without a session between", []VisitorSteps{{Visitor: "v1", Steps: []Step{ad}}},
			[]Fact{fact("a", "v1", "10:00:00", nil), fact("b", "v2", "08:00:00", nil)},
			"a: PostLC; b: FT, LC"},
		{"a form under another id", []VisitorSteps{{Visitor: "v1", Steps: []Step{stepAt("ad", "09:00:00", "09:10:00")}}, {Visitor: "v2", Steps: []Step{direct}}},
			[]Fact{fact("a", "v1", "10:00:00", nil), fact("b", "v2", "12:05:00", &direct)},
			"a: PostLC; b: PostLC; v1/ad: FT, LC; v2/direct: PostLC"},
		{"a call before the collection counts for nothing, its id does", []VisitorSteps{{Visitor: "v1", Steps: []Step{ad}}, {Visitor: "v2", Steps: []Step{direct}}},
			[]Fact{{TaskID: "a", Visitor: "v1", At: at("01:00:00")}, fact("b", "v2", "12:05:00", &direct)},
			"a: ; b: LC; v1/ad: FT; v2/direct: LC"},
		{"the call starts before its session", []VisitorSteps{{Visitor: "v2", Steps: []Step{direct}}},
			[]Fact{fact("a", "v1", "11:59:50", nil), fact("b", "v2", "11:59:40", &direct)},
			"a: PostLC; b: FT, LC; v2/direct: FT, LC"},
		{"of one instant the session", []VisitorSteps{{Visitor: "v9", Steps: []Step{direct}}},
			[]Fact{fact("a", "v1", "12:00:00", nil)}, "a: LC; v9/direct: FT"},
		{"of one instant the smaller BizibleId", []VisitorSteps{{Visitor: "v2", Steps: []Step{direct}}, {Visitor: "v1", Steps: []Step{direct}}},
			[]Fact{fact("a", "v1", "12:01:00", nil)}, "a: LC; v1/direct: FT"},
		{"of one instant the form", []VisitorSteps{{Visitor: "v9", Steps: []Step{stepAt("form", "09:00:00", "10:00:00")}}},
			[]Fact{fact("a", "v1", "10:00:00", nil)}, "a: PostLC; v9/form: FT, LC"},
		{"of one instant the smaller Task id", nil,
			[]Fact{fact("b", "v1", "10:00:00", nil), fact("a", "v2", "10:00:00", nil)}, "a: LC; b: FT, PostLC"},
		{"a deleted Task's record keeps what it shows", []VisitorSteps{{Visitor: "v1", Steps: []Step{ad}}},
			[]Fact{{TaskID: "a", Visitor: "v1", At: at("13:00:00"), Counts: true, Kept: true, Position: Position{true, true, true}}, fact("b", "v1", "09:05:00", &ad)},
			"a: FT, LC; b: PostLC; v1/ad: PostLC"},
		{"unless another call has its session", []VisitorSteps{{Visitor: "v1", Steps: []Step{ad}}},
			[]Fact{{TaskID: "a", Visitor: "v1", At: at("09:01:00"), Session: &ad, Counts: true, Kept: true, Position: Position{true, true, true}}, fact("b", "v1", "09:05:00", &ad)},
			"a: FT, LC; b: FT, LC; v1/ad: FT, LC"},
		{"an erased journey record keeps what it shows", []VisitorSteps{{Visitor: "v1", Steps: []Step{ad}}},
			[]Fact{{Key: "k", Kept: true, Position: Position{First: true}}, fact("b", "v1", "09:05:00", &ad)},
			"b: LC; v1/ad: LC"},
		{"an erased call counts at its time", []VisitorSteps{{Visitor: "v1", Steps: []Step{ad}}},
			[]Fact{{TaskID: "a", At: at("08:00:00"), Counts: true, Kept: true, Position: Position{Converted: true}}, fact("b", "v1", "09:05:00", &ad)},
			"a: PostLC; b: PostLC; v1/ad: PostLC"},
		{"a record of a session that retention dropped", []VisitorSteps{{Visitor: "v1", Steps: []Step{ad}, PrunedBefore: at("11:00:00")}, {Visitor: "v2", Steps: []Step{direct}}},
			[]Fact{{Key: "k", Visitor: "v1", Session: &Step{ID: "old", At: at("10:00:00"), Form: at("10:01:00")}, Writes: true}, fact("b", "v2", "12:05:00", &direct)},
			"b: PostLC; v1/ad: FT; v1/old: LC; v2/direct: PostLC"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			j := PersonJourney{Person: caller, Followed: true, Visitors: test.visitors, Facts: test.facts}
			for range 2 {
				if got := placesOf(j, Default().Place(j)); got != test.want {
					t.Errorf("%s, want %s", got, test.want)
				}
				slices.Reverse(j.Facts)
				slices.Reverse(j.Visitors)
			}
		})
	}
}

// A person with too many BizibleIds has a journey for each, and so has each id of nobody.
func TestPlaceApart(t *testing.T) {
	t.Parallel()
	ad, direct := stepAt("ad", "09:00:00", ""), stepAt("direct", "12:00:00", "")
	j := PersonJourney{Person: caller, Visitors: []VisitorSteps{{Visitor: "v1", Steps: []Step{ad}}, {Visitor: "v2", Steps: []Step{direct}}}, Facts: []Fact{
		fact("a", "v1", "09:05:00", &ad), fact("b", "v2", "12:05:00", &direct), fact("c", "v3", "11:00:00", nil),
		fact("d", "", "10:00:00", nil), fact("e", "", "10:30:00", nil), fact("f", "v1", "13:00:00", nil),
	}}
	const want = "a: FT, LC; b: FT, LC; c: FT, LC; d: FT, LC; e: FT, LC; f: PostLC; v1/ad: FT, LC; v2/direct: FT, LC"
	if got := placesOf(j, Default().Place(j)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if ids := j.IDs(); !slices.Equal(ids, []string{"v1", "v2", "v3"}) {
		t.Errorf("BizibleIds %v", ids)
	}
}

// Journey records show the sessions with a position that no call's record shows, of a person
// with a call that has a record.
func TestPlaceWeb(t *testing.T) {
	t.Parallel()
	s := Default()
	s.Journey = true
	ad, mid, form := stepAt("ad", "09:00:00", ""), stepAt("mid", "10:00:00", ""), stepAt("form", "12:00:00", "12:01:00")
	web := func(change func(*PersonJourney)) string {
		j := PersonJourney{Person: caller, Followed: true, Visitors: []VisitorSteps{{Visitor: "v1", Steps: []Step{ad, form}}},
			Facts: []Fact{fact("a", "v1", "10:05:00", &mid)}}
		change(&j)
		var list []string
		for _, w := range s.Place(j).Web {
			if w.Key != JourneyKey(j.Person, w.Step.ID) {
				t.Errorf("key %s of %s", w.Key, w.Step.ID)
			}
			list = append(list, w.Step.ID+" "+w.Position.String())
		}
		return strings.Join(list, "; ")
	}
	for name, test := range map[string]struct {
		change func(*PersonJourney)
		want   string
	}{
		"with a call":                {func(*PersonJourney) {}, "ad FT; form PostLC"},
		"its call has no record yet": {func(j *PersonJourney) { j.Facts[0].Writes = false }, ""},
		"of nobody":                  {func(j *PersonJourney) { j.Person = "" }, ""},
		"an erased record is no call": {func(j *PersonJourney) {
			j.Facts = []Fact{{Key: "k", Kept: true, Position: Position{First: true}}}
		}, ""},
		"a kept record shows a session": {func(j *PersonJourney) {
			j.Facts = append(j.Facts, Fact{TaskID: "b", Visitor: "v1", At: at("12:02:00"), Session: &form, Counts: true, Kept: true, Position: Position{Converted: true}})
		}, "ad FT"},
	} {
		if got := web(test.change); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// randomPeople are the visitors and calls of one person, with some records that stay as they are.
func randomPeople(rnd *rand.Rand) PersonJourney {
	j := PersonJourney{Person: caller, Followed: rnd.IntN(4) > 0}
	start := at("08:00:00")
	minute := func() time.Time { return start.Add(time.Duration(rnd.IntN(30)) * time.Minute) }
	for v := range 1 + rnd.IntN(4) {
		visitor := VisitorSteps{Visitor: fmt.Sprint("v", v)}
		var all []Step
		for n := range rnd.IntN(5) {
			x := Step{ID: fmt.Sprint("s", v, n), At: minute()}
			if rnd.IntN(3) == 0 {
				x.Form = x.At.Add(time.Duration(rnd.IntN(3)) * time.Minute)
			}
			all = append(all, x)
		}
		slices.SortStableFunc(all, func(a, b Step) int { return a.At.Compare(b.At) })
		for n, x := range all {
			if n == 0 || !x.Form.IsZero() {
				visitor.Steps = append(visitor.Steps, x)
			}
		}
		j.Visitors = append(j.Visitors, visitor)
		for n := range rnd.IntN(4) {
			f := Fact{TaskID: fmt.Sprint("t", v, n), Visitor: visitor.Visitor, At: minute(), Counts: rnd.IntN(5) > 0}
			f.Writes = f.Counts
			if n < len(all) && f.Counts && rnd.IntN(2) == 0 {
				x := all[n]
				f.Session, f.At = &x, x.At.Add(time.Duration(rnd.IntN(6)-1)*time.Minute)
			}
			j.Facts = append(j.Facts, f)
		}
	}
	if rnd.IntN(2) == 0 {
		j.Facts = append(j.Facts, Fact{TaskID: "kept", Visitor: "v0", At: minute(), Counts: true, Kept: true,
			Position: Position{First: rnd.IntN(2) == 0, Lead: rnd.IntN(2) == 0, Converted: true}})
	}
	return j
}

// Any order gives the same, and nobody has two first touches or two lead creations.
func TestPlaceAnyOrder(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	for range 2000 {
		seed++
		rnd := rand.New(rand.NewPCG(seed, 4))
		s := Default()
		s.Journey = rnd.IntN(2) == 0
		j := randomPeople(rnd)
		want := s.Place(j)
		other := j
		other.Visitors, other.Facts = slices.Clone(j.Visitors), slices.Clone(j.Facts)
		rnd.Shuffle(len(other.Visitors), func(a, b int) { other.Visitors[a], other.Visitors[b] = other.Visitors[b], other.Visitors[a] })
		rnd.Shuffle(len(other.Facts), func(a, b int) { other.Facts[a], other.Facts[b] = other.Facts[b], other.Facts[a] })
		got := s.Place(other)
		if a, b := placesOf(j, want), placesOf(other, got); a != b {
			t.Fatalf("seed %d: %s\nin another order %s", seed, a, b)
		}
		if diff := cmp.Diff(want.Web, got.Web); diff != "" && j.Followed {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		if j.Followed {
			checkPlaced(t, j, want, seed)
		}
	}
}

// checkPlaced counts what the records of a person show together.
func checkPlaced(t *testing.T, j PersonJourney, p Placed, seed uint64) {
	t.Helper()
	var shown []Position
	for i, f := range j.Facts {
		if f.Writes || f.Kept {
			shown = append(shown, p.Positions[i])
		}
		if f.Counts && !p.Positions[i].Converted {
			t.Fatalf("seed %d: %s counts, and is no conversion", seed, f.TaskID)
		}
	}
	for _, w := range p.Web {
		shown = append(shown, w.Position)
	}
	first, lead := 0, 0
	for _, where := range shown {
		if where.First {
			first++
		}
		if where.Lead {
			lead++
		}
	}
	if first > 1 || lead > 1 {
		t.Fatalf("seed %d: %d first touches, %d lead creations: %s", seed, first, lead, placesOf(j, p))
	}
}
