package engine_test

import (
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"callpoint/mapping"
	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

// BenchmarkResolve maps every journey anew by rules that move no touchpoint.
func BenchmarkResolve(b *testing.B) {
	const journeys = 2000
	r := newRig(b, orgsim.Config{}, plenty)
	for i := range journeys {
		r.visit(fmt.Sprint("v", i), r.clock.now().Add(-time.Hour))
	}
	r.seen(journeys, nil)
	r.cycle()
	b.ReportAllocs()
	rules := 0
	for b.Loop() {
		rules++
		r.engine.Reload(mapping.Default(), fmt.Sprint(rules))
		if s := r.cycle(); s.Calls != journeys || s.TouchpointsWritten != 0 {
			b.Fatalf("%+v", s)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rules)/journeys, "ns/journey")
}

// BenchmarkCycle is a cycle with a hundred new calls, each with its session.
func BenchmarkCycle(b *testing.B) {
	const fresh = 100
	r := newRig(b, orgsim.Config{}, plenty)
	b.ReportAllocs()
	rounds, calls := 0, 0
	for b.Loop() {
		b.StopTimer()
		r.clock.advance(time.Minute)
		for i := range fresh {
			visitor := fmt.Sprint("v", rounds, "-", i)
			r.visit(visitor, r.clock.now().Add(-time.Hour-time.Minute))
			r.call(visitor, "")
		}
		rounds++
		b.StartTimer()
		s := r.cycle()
		if s.Matched != fresh || s.TouchpointsWritten != fresh {
			b.Fatalf("%+v", s)
		}
		calls += s.APICalls
	}
	b.ReportMetric(float64(calls)/float64(rounds), "api-calls/op")
}

// plenty is an API budget that no benchmark spends.
func plenty(e *engine.Config, _ *salesforce.Config) { e.Budget = engine.NewBudget(1<<30, 0, e.Now) }

// BenchmarkFirstSync reads and writes 20,000 Tasks, each with a Lead of its own, from an org that answers at once.
func BenchmarkFirstSync(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		r := newRig(b, orgsim.Config{}, plenty)
		for i, lead := range firstLeads(r.lead) {
			r.visit(fmt.Sprint("v", i), r.clock.now().Add(-time.Hour))
			r.call(fmt.Sprint("v", i), lead)
		}
		b.StartTimer()
		if s := r.cycle(); s.TouchpointsWritten != firstCalls {
			b.Fatalf("%+v", s)
		}
	}
}

// BenchmarkFirstSyncPeople reads and writes 20,000 calls of 2,000 people with five ids each,
// every one of which visited once, and reports the processor time that this took.
func BenchmarkFirstSyncPeople(b *testing.B) {
	const people, ids = 2000, 5
	var used time.Duration
	rounds := 0
	for b.Loop() {
		b.StopTimer()
		r := newRig(b, orgsim.Config{}, plenty)
		leads := make([]string, people)
		for i := range leads {
			leads[i] = r.lead(fmt.Sprint("P", i))
		}
		for i := range people * ids {
			r.visit(fmt.Sprint("v", i), r.clock.now().Add(-time.Hour-time.Duration(i)*time.Second))
		}
		for i := range firstCalls {
			r.call(fmt.Sprint("v", i%(people*ids)), leads[i%people])
		}
		began := processorTime(b)
		b.StartTimer()
		if s := r.cycle(); s.TouchpointsWritten < firstCalls {
			b.Fatalf("%+v", s)
		}
		used += processorTime(b) - began
		rounds++
	}
	b.ReportMetric(used.Seconds()/float64(rounds), "cpu-s/op")
}

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFirstSyncLatency is the same with the round trips of a real org, on virtual
// time: nothing but they takes any, so that virtual-s is the same on every machine.
func BenchmarkFirstSyncLatency(b *testing.B) {
	var took time.Duration
	rounds := 0
	for b.Loop() {
		inBubble(b, func(t *testing.T) {
			w := newSimWorld(t, 1, orgsim.Config{PageSize: 2000})
			w.batch, w.acting = 200, true
			w.restart()
			w.latency(0, 0)
			leads := firstLeads(func(string) string { return w.lead(false) })
			w.phoneIn(len(leads), func(i int) string { return leads[i] })
			w.latency(100*time.Millisecond, 2*time.Second)
			s, virtual := w.timed()
			if took += virtual; s.TouchpointsWritten != len(leads) {
				t.Errorf("%+v", s)
			}
		})
		rounds++
	}
	b.ReportMetric(0, "ns/op") // of no meaning here
	b.ReportMetric(took.Seconds()/float64(rounds), "virtual-s")
}

const firstCalls = 20000

func firstLeads(lead func(name string) string) []string {
	leads := make([]string, firstCalls)
	for i := range leads {
		leads[i] = lead(fmt.Sprint("L", i))
	}
	return leads
}

// inBubble runs fn on virtual time, which only tests have.
func inBubble(b *testing.B, fn func(*testing.T)) {
	b.Helper()
	every := func(_, _ string) (bool, error) { return true, nil }
	if !testing.RunTests(every, []testing.InternalTest{{Name: b.Name(), F: func(t *testing.T) { synctest.Test(t, fn) }}}) {
		b.FailNow()
	}
}
