package monitor

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/store"

	"github.com/google/go-cmp/cmp"
)

// callsOf returns an each function over calls at these times, newest first.
func callsOf(times *[]time.Time) func(since, until time.Time, fn func(store.Call, *store.Touchpoint) bool) error {
	return func(since, until time.Time, fn func(store.Call, *store.Touchpoint) bool) error {
		all := slices.Clone(*times)
		slices.SortFunc(all, func(a, b time.Time) int { return b.Compare(a) })
		for _, at := range all {
			if at.Before(since) || !at.Before(until) {
				continue
			}
			var c store.Call
			c.At, c.Resolution.Reason = at, mapping.Matched
			if !fn(c, nil) {
				break
			}
		}
		return nil
	}
}

// have returns the calls of each day that the index has.
func (x *dayIndex) have() map[string]int {
	all := map[string]int{}
	for day, d := range x.days {
		all[day] = d.all.calls
	}
	return all
}

// Whatever the number of calls to a part, and whatever changes between two passes, the index
// comes to what counting each call gives.
func TestDayIndexAgainstCounting(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for round := range 50 {
		var times []time.Time
		x := newDayIndex(berlin, callsOf(&times))
		for range 4 {
			for range r.IntN(40) {
				times = append(times, now.Add(-time.Duration(r.IntN(20*24*60))*time.Minute))
			}
			times = slices.DeleteFunc(times, func(time.Time) bool { return r.IntN(3) == 0 })
			x.stale(now)
			x.whole = time.Time{} // every pass is whole
			limit := 1 + r.IntN(10)
			for parts := 0; len(x.passes) > 0; parts++ {
				if parts > 1000 {
					t.Fatalf("seed %d: a pass does not end", seed)
				}
				_, more, err := x.walk(x.passes[0], limit)
				if err != nil {
					t.Fatal(err)
				}
				if !more {
					x.passes = x.passes[1:]
				}
			}
			want := map[string]int{}
			for _, at := range times {
				want[at.In(berlin).Format(time.DateOnly)]++
			}
			if diff := cmp.Diff(want, x.have()); diff != "" {
				t.Fatalf("seed %d, round %d, %d to a part: %s", seed, round, limit, diff)
			}
		}
	}
}

// With many calls a cycle counts the newest days alone, and every day after an hour.
func TestDayIndexCountsNewestDaysFirst(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var times []time.Time
	for i := range tallyAtOnce + 5000 {
		times = append(times, now.Add(-time.Duration(i)*time.Minute))
	}
	x := newDayIndex(time.UTC, callsOf(&times))
	all := func() {
		t.Helper()
		for parts := 0; ; parts++ {
			done, err := x.update()
			if err != nil || parts > 100 {
				t.Fatalf("%v after %d parts", err, parts)
			}
			if done {
				return
			}
		}
	}
	x.stale(now)
	if done, err := x.update(); done || err != nil {
		t.Fatalf("one update read everything (%v)", err)
	}
	all()
	old := now.AddDate(0, 0, -10)
	times = append(times, now, old)
	count := func(at time.Time) int { return x.have()[at.Format(time.DateOnly)] }
	today, tenDays := count(now), count(old)
	x.stale(now.Add(time.Minute))
	all()
	if count(now) != today+1 || count(old) != tenDays {
		t.Errorf("today %d, want %d; ten days ago %d, want %d as before", count(now), today+1, count(old), tenDays)
	}
	x.stale(now.Add(2 * tallyEvery))
	all()
	if count(old) != tenDays+1 {
		t.Errorf("ten days ago %d after an hour, want %d", count(old), tenDays+1)
	}
}

func TestPeriods(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 23, 30, 0, 0, time.UTC) // the 23rd in Berlin
	for _, c := range []struct{ days, from, to, want string }{
		{"", "", "", "2026-10-25 30 2026-11-23"},
		{"7", "", "", "2026-11-17 7 2026-11-23"},
		{"", "2026-11-01", "2026-11-01", "2026-11-01 1 2026-11-01"},
		{"", "2026-10-20", "2026-10-30", "2026-10-20 11 2026-10-30"}, // the clocks change in it
		{"", "2026-11-20", "", "2026-11-20 4 2026-11-23"},
		{"", "", "2026-11-10", "2026-10-12 30 2026-11-10"},
		{"0", "", "", "error"}, {"x", "", "", "error"}, {"367", "", "", "error"},
		{"", "2026-11-02", "2026-11-01", "error"}, {"", "yesterday", "", "error"}, {"", "2020-01-01", "2026-01-01", "error"},
	} {
		p, err := parsePeriod(c.days, c.from, c.to, now, berlin)
		got := fmt.Sprintf("%s %d %s", p.From.Format(time.DateOnly), p.Days, p.Last().Format(time.DateOnly))
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%+v: %s, %v", c, got, err)
		}
		if before := p.before(); err == nil && dayNumber(before.Last()) != dayNumber(p.From)-1 {
			t.Errorf("%+v: the period before ends at %s", c, before.Last())
		}
	}
}
