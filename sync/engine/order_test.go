package engine_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/store"
	"callpoint/sync/engine"

	"github.com/google/go-cmp/cmp"
)

// Whatever order events, sessions and Tasks arrive in, in whatever portions, and however
// often they are repeated: through the store, the same touchpoints follow.
func TestAnyOrderOfArrivalGivesTheSameTouchpoints(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		events, visits, calls := someJourney(rng)
		want := arrive(t, nil, events, visits, calls)
		if len(want.Touchpoints) == 0 {
			t.Fatalf("seed %d: no touchpoints: the test tests nothing", seed)
		}
		for range 5 {
			got := arrive(t, rng, events, visits, calls)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("seed %d: another order of arrival differs (-in order +shuffled):\n%s", seed, diff)
			}
		}
	}
}

var orderDay = time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)

// someJourney makes a visitor's life of some days.
func someJourney(rng *rand.Rand) (events []mapping.Event, visits []mapping.Visit, calls []store.Call) {
	pages := []string{"https://www.example.com/", "https://www.example.com/prices", "https://www.example.com/?utm_source=google&utm_medium=cpc&gclid=1"}
	referrers := []string{"", "https://www.google.com/", "https://www.example.com/", "https://www.linkedin.com/feed"}
	moment := func() time.Time { return orderDay.Add(time.Duration(rng.IntN(300)) * time.Minute) }
	for range 5 + rng.IntN(25) {
		e := mapping.Event{Kind: mapping.View, Visitor: "v", At: moment(), URL: pages[rng.IntN(3)], Referrer: referrers[rng.IntN(4)], Sequence: rng.Int64N(3)}
		if rng.IntN(6) == 0 {
			e.Kind, e.Referrer = mapping.Form, ""
		}
		events = append(events, e)
	}
	for i := range rng.IntN(4) {
		start := moment()
		v := mapping.Visit{SessionID: fmt.Sprint(i / 2), Visitor: "v", StartedAt: start, EndedAt: start.Add(time.Duration(rng.IntN(40)) * time.Minute),
			LandingPage: pages[rng.IntN(3)], Referrer: referrers[rng.IntN(4)], PageViews: rng.IntN(5)}
		visits = append(visits, v)
	}
	for i := range 2 + rng.IntN(6) {
		id := mapping.ID18(fmt.Sprintf("00T0000000000%02d", i))
		calls = append(calls, store.Call{Hash: "1", Call: mapping.Call{TaskID: id, Visitor: "v", At: moment(),
			Fields: map[string]any{"Id": id, "Type": "Call", "Subject": "Call"}}})
	}
	return events, visits, calls
}

// arrive stores everything, in order or shuffled into portions with repeats, and resolves.
func arrive(t *testing.T, rng *rand.Rand, events []mapping.Event, visits []mapping.Visit, calls []store.Call) mapping.Resolved {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "s.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	type portion func() error
	add := func(e []mapping.Event, v []mapping.Visit) portion {
		return func() error { _, err := s.Add(t.Context(), e, v); return err }
	}
	apply := func(c store.Call) portion {
		return func() error {
			_, err := s.ApplyTasks(t.Context(), []store.Call{c}, store.Cursor{Since: orderDay})
			return err
		}
	}
	var arrivals []portion
	for _, e := range events {
		arrivals = append(arrivals, add([]mapping.Event{e}, nil))
	}
	for _, v := range visits {
		arrivals = append(arrivals, add(nil, []mapping.Visit{v}))
	}
	for _, c := range calls {
		arrivals = append(arrivals, apply(c))
	}
	if rng != nil {
		arrivals = append(arrivals, add(events, visits)) // all of it once more
		rng.Shuffle(len(arrivals), func(i, j int) { arrivals[i], arrivals[j] = arrivals[j], arrivals[i] })
	}
	for _, a := range arrivals {
		if err := a(); err != nil {
			t.Fatal(err)
		}
	}
	e, err := engine.New(engine.Config{Store: s, Org: noOrg{}, Settings: mapping.Default(),
		Now: func() time.Time { return orderDay.Add(48 * time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	_, result, err := e.Look("v")
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// noOrg is for engines that are only asked what they would say.
type noOrg struct{ engine.Org }
