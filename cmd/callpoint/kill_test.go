package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/store"
)

// proofCycles is how often an experiment is repeated: few times for CI, or as often as
// the environment asks for.
func proofCycles(t *testing.T, variable string, ci int) int {
	t.Helper()
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		return n
	}
	if testing.Short() {
		return min(ci, 3)
	}
	return ci
}

// proofRand is seeded from the environment or the clock, and says with what.
func proofRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed, err := strconv.ParseUint(os.Getenv("PROOF_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("PROOF_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// A load posts events to a daemon until it is gone, and keeps what was acknowledged.
type load struct {
	mu    sync.Mutex
	next  int
	acked []map[string]any
}

// event is the n-th: visitors with a session each, some of them with more views.
func (l *load) event() map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.next
	l.next++
	return view(fmt.Sprintf("killed-%d", n/3), yesterday("12:00:00").Add(time.Duration(n)*time.Second),
		fmt.Sprintf("https://www.example.com/p%d", n), "https://www.google.com/")
}

// post sends events one by one until it is told to stop (nil: it is not), or the daemon
// does not answer any more.
func (l *load) post(url string, stop <-chan struct{}) {
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	for {
		select {
		case <-stop:
			return
		default:
		}
		e := l.event()
		body, _ := json.Marshal(e)
		resp, err := c.Post(url+"/v1/events", "application/json", bytes.NewReader(body))
		if err != nil {
			return
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			l.mu.Lock()
			l.acked = append(l.acked, e)
			l.mu.Unlock()
		}
	}
}

// TestKillAtRandomMoments kills the daemon under collector load and with cycles under
// way. Nothing that was acknowledged may be lost, and in the end one touchpoint stands
// for every call: none twice, none missing. A process that is killed loses nothing that
// the kernel has: that fsync was called is not proved here but by TestPowerCut.
func TestKillAtRandomMoments(t *testing.T) {
	t.Parallel()
	cycles, r := proofCycles(t, "KILL_CYCLES", 25), proofRand(t)
	b := newBench(t, "CALLPOINT_POLL_INTERVAL=1s")
	var l load
	var tasks []string
	span := 60
	for i := 0; i < cycles || cycles >= 25 && b.org.Requests().Written == 0 && i < 4*cycles; i++ {
		if i > 0 && i%cycles == 0 {
			span *= 3 // a busy machine did not come to write in the time that it was given
		}
		d := b.daemon()
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() { l.post(d.url, nil) })
		}
		for range 3 {
			n := r.IntN(l.sent() + 1)
			tasks = append(tasks, b.task(yesterday("12:00:30").Add(time.Duration(n)*time.Second),
				map[string]any{"bizible2__BizibleId__c": fmt.Sprintf("killed-%d", n/3)}))
		}
		clients.Go(func() { _, _ = http.Post(d.url+"/v1/sync", "", nil) })
		// The moment is what is random here; nothing is waited for.
		<-time.After(time.Duration(5+r.IntN(span)) * time.Millisecond)
		d.kill()
		clients.Wait()
	}
	written := b.org.Requests().Written
	b.verify(l.acked)
	for i := 0; b.syncOnce().TouchpointsWritten > 0; i++ {
		if i == 5 {
			t.Fatal("every cycle writes: org and store do not come to rest")
		}
	}
	b.oneEach(tasks)
	t.Logf("%d kills, %d events acknowledged of %d sent, %d calls, %d records written between the kills",
		len(tasks)/3, len(l.acked), l.sent(), len(tasks), written)
	if len(l.acked) < cycles || cycles >= 25 && written == 0 {
		t.Error("no load, no proof")
	}
}

func (l *load) sent() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// verify looks for acknowledged events in the store that a killed process left behind,
// and holds the file to its own rules.
func (b *bench) verify(acked []map[string]any) {
	b.t.Helper()
	if out, errs, code := b.run("store", "check"); code != exitDone {
		b.t.Fatalf("store check: exit %d\n%s%s", code, out, errs)
	}
	s, err := store.Open(b.store, store.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	defer s.Close()
	stored := map[string]bool{}
	err = s.EachVisitor(func(j store.Journey) bool {
		for _, e := range j.Events {
			stored[j.Visitor+" "+e.At.UTC().Format(time.RFC3339Nano)+" "+e.URL] = true
		}
		return true
	})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range acked {
		visitor, _ := mapping.VisitorID(e["bizible_id"].(string))
		if !stored[fmt.Sprint(visitor, " ", e["at"], " ", e["url"])] {
			b.t.Errorf("acknowledged and lost: %v", e)
		}
	}
}

// oneEach expects one touchpoint for each of these Tasks and nothing else, and the store
// to agree.
func (b *bench) oneEach(tasks []string) {
	b.t.Helper()
	count := map[any]int{}
	for _, r := range b.org.Records(touchpoints) {
		count[r["bizible2__UniqueId__c"]]++
	}
	s, err := store.Open(b.store, store.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	defer s.Close()
	for _, id := range tasks {
		key := store.CallKey(id)
		if count[key] != 1 {
			b.t.Errorf("%d touchpoints of %s stand, want 1", count[key], id)
		}
		delete(count, key)
		if _, t, err := s.Call(id); err != nil || t == nil || t.State != store.Written && t.State != store.Unchanged {
			b.t.Errorf("the store does not say that %s is written: %+v %v", id, t, err)
		}
	}
	for key := range count {
		b.t.Errorf("%v stands without a call", key)
	}
}
