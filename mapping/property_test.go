package mapping

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// byKey returns touchpoints by key, as Salesforce has them: in no order.
func byKey(t *testing.T, list []Touchpoint) map[string]Touchpoint {
	t.Helper()
	m := make(map[string]Touchpoint)
	for _, tp := range list {
		if _, twice := m[tp.Key]; twice {
			t.Fatalf("two touchpoints have the key %s", tp.Key)
		}
		m[tp.Key] = tp
	}
	return m
}

func byTask(list []Resolution) map[string]Resolution {
	m := make(map[string]Resolution)
	for _, c := range list {
		m[c.TaskID] = c
	}
	return m
}

// Any order and any repetition of what is known gives the same result.
func TestResolveAnyOrder(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	for range 300 {
		seed++
		rnd := rand.New(rand.NewPCG(seed, 1))
		s := randomSettings(rnd)
		j := randomJourney(rnd)
		want := s.Resolve(j)
		checkResult(t, s, j, want, seed)
		other := j
		other.Events, other.Visits, other.Calls = shuffled(rnd, j.Events), shuffled(rnd, j.Visits), slices.Clone(j.Calls)
		rnd.Shuffle(len(other.Calls), func(a, b int) { other.Calls[a], other.Calls[b] = other.Calls[b], other.Calls[a] })
		got := s.Resolve(other)
		for name, diff := range map[string]string{
			"sessions":    cmp.Diff(want.Sessions, got.Sessions),
			"calls":       cmp.Diff(byTask(want.Calls), byTask(got.Calls)),
			"touchpoints": cmp.Diff(byKey(t, want.Touchpoints), byKey(t, got.Touchpoints)),
			"wake":        cmp.Diff(want.Wake, got.Wake),
		} {
			if diff != "" {
				t.Fatalf("seed %d: %s: %s", seed, name, diff)
			}
		}
	}
}

func randomSettings(rnd *rand.Rand) *Settings {
	s := Default()
	s.Journey, s.RetractDelete, s.WriteBeforeCollection = rnd.IntN(2) == 0, rnd.IntN(2) == 0, rnd.IntN(2) == 0
	s.ChannelCarryover = time.Duration(rnd.IntN(2)) * time.Hour
	return s
}

// checkResult checks what holds for every result.
func checkResult(t *testing.T, s *Settings, j Journey, r Resolved, seed uint64) {
	t.Helper()
	if len(r.Calls) != len(j.Calls) {
		t.Fatalf("seed %d: %d answers for %d calls", seed, len(r.Calls), len(j.Calls))
	}
	credit := make(map[string]string)
	for i, c := range r.Calls {
		if c.TaskID != j.Calls[i].TaskID || c.Reason == "" || c.Detail == "" || c.Candidates == nil {
			t.Fatalf("seed %d: answer %d is %+v", seed, i, c)
		}
		matched := c.Reason == Matched || c.Reason == MatchedClockSkew
		if matched != (c.Session != nil) {
			t.Fatalf("seed %d: %s with session %v", seed, c.Reason, c.Session)
		}
		if matched {
			if other := credit[c.Session.ID]; other != "" {
				t.Fatalf("seed %d: a session is credited to %s and %s", seed, other, c.TaskID)
			}
			credit[c.Session.ID] = c.TaskID
		}
	}
	for _, x := range r.Sessions {
		if x.Channel == "" || x.Source == "" || x.Medium == "" || x.TaskID != credit[x.ID] {
			t.Fatalf("seed %d: session %+v", seed, x)
		}
	}
	var first, lead float64
	for key, tp := range byKey(t, r.Touchpoints) {
		checkValues(t, tp)
		first += tp.Values["bizible2__Count_First_Touch__c"].(float64)
		lead += tp.Values["bizible2__Count_Lead_Creation_Touch__c"].(float64)
		if tp.TaskID != "" && tp.Values["bizible2__Touchpoint_Position__c"] == nil {
			t.Fatalf("seed %d: %s has no position", seed, key)
		}
		if slices.Contains(r.Retract, key) {
			t.Fatalf("seed %d: %s is written and retracted", seed, key)
		}
	}
	if first > 1 || lead > 1 {
		t.Fatalf("seed %d: %v first touches, %v lead creations", seed, first, lead)
	}
}

// Data that arrives bit by bit, in any order, ends in the same touchpoints as if it had been there from the start.
func TestLateData(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	for range 200 {
		seed++
		rnd := rand.New(rand.NewPCG(seed, 2))
		s := story{t: t, settings: randomSettings(rnd)}
		all := randomJourney(rnd)
		for i := range all.Calls {
			all.Calls[i].Deleted, all.Calls[i].Written = false, false
		}
		s.journey = Journey{Visitor: "v1", Now: all.Now, Earliest: all.Earliest}
		var steps []func()
		for _, e := range all.Events {
			steps = append(steps, func() { s.journey.Events = append(s.journey.Events, e) })
		}
		for _, v := range all.Visits {
			steps = append(steps, func() { s.journey.Visits = append(s.journey.Visits, v) })
		}
		for _, c := range all.Calls {
			steps = append(steps, func() { s.journey.Calls = append(s.journey.Calls, c) })
		}
		rnd.Shuffle(len(steps), func(a, b int) { steps[a], steps[b] = steps[b], steps[a] })
		for _, step := range steps {
			step()
			s.remember(s.settings.Resolve(s.journey))
		}
		want, got := s.settings.Resolve(all), s.settings.Resolve(s.journey)
		if diff := cmp.Diff(byTask(want.Calls), byTask(got.Calls)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		wanted, found := byKey(t, want.Touchpoints), byKey(t, got.Touchpoints)
		if diff := cmp.Diff(wanted, found); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

// Retention changes no touchpoint, no reason and no distance.
func TestRetentionKeepsTouchpoints(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	for range 300 {
		seed++
		rnd := rand.New(rand.NewPCG(seed, 3))
		s := story{t: t, settings: randomSettings(rnd)}
		s.journey = randomJourney(rnd)
		for i := range s.journey.Calls {
			s.journey.Calls[i].Deleted = false
		}
		before := s.settings.Resolve(s.journey)
		s.remember(before)
		before = s.settings.Resolve(s.journey)
		for i := range 3 {
			s.settings.Prune(&s.journey, s.journey.Earliest.Add(time.Duration(rnd.IntN(5*60))*time.Minute))
			after := s.settings.Resolve(s.journey)
			if diff := cmp.Diff(byKey(t, before.Touchpoints), byKey(t, after.Touchpoints)); diff != "" {
				t.Fatalf("seed %d: pruned %d times, before %s: %s", seed, i+1, s.journey.PrunedBefore, diff)
			}
			for k := range before.Calls {
				if b, a := before.Calls[k], after.Calls[k]; a.Reason != b.Reason || a.Distance != b.Distance {
					t.Fatalf("seed %d: pruned before %s, %s at distance %d became %s at %d", seed, s.journey.PrunedBefore, b.Reason, b.Distance, a.Reason, a.Distance)
				}
			}
			s.remember(after)
		}
	}
}
