package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"callpoint/mapping"
	"callpoint/sync/engine"
	"callpoint/sync/orgsim"
)

// latency has every read take as long, and every composite call that writes.
func (w *simWorld) latency(read, composite time.Duration) {
	w.wire.sent = func(string) {} // the trace would cost more than the work
	w.wire.travel = func(what string) error {
		switch {
		case strings.HasPrefix(what, "after"):
		case strings.Contains(what, "/composite") && !strings.HasPrefix(what, "before query_many"):
			time.Sleep(composite)
		default:
			time.Sleep(read)
		}
		return nil
	}
}

// phoneIn stores calls, each with a session of its own; who says of which Lead it is.
func (w *simWorld) phoneIn(calls int, who func(i int) string) (ids []string) {
	w.t.Helper()
	var events []mapping.Event
	at := time.Now().UTC().Truncate(time.Second)
	for i := range calls {
		visitor := fmt.Sprintf("visitor-%d-%d", at.Unix(), i)
		events = append(events, mapping.Event{Kind: mapping.View, Visitor: visitor, At: at,
			URL: "https://www.shop.example/p1?utm_source=google&utm_medium=cpc&utm_campaign=brand", Referrer: simGoogle})
		fields := map[string]any{}
		if lead := who(i); lead != "" {
			fields["WhoId"] = lead
		}
		ids = append(ids, w.call(visitor, at.Add(time.Minute), 0, fields))
	}
	if _, err := w.store.Add(w.t.Context(), events, nil); err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(time.Hour) // nothing is on hold
	return ids
}

// timed runs a cycle that must succeed, and says how long it took in virtual time.
func (w *simWorld) timed() (engine.Summary, time.Duration) {
	w.t.Helper()
	w.wire.locks.most = 0
	began := time.Now()
	s, err := w.cycle()
	if err != nil {
		w.t.Fatal(err)
	}
	return s, time.Since(began)
}

// slowWorld has 1,000 calls to read in pages of 50 and to write in 20 calls.
func slowWorld(t *testing.T, who func(w *simWorld) func(i int) string) *simWorld {
	return slowWorldOf(t, 50, who)
}

func slowWorldOf(t *testing.T, pageSize int, who func(w *simWorld) func(i int) string) *simWorld {
	w := newSimWorld(t, 1, orgsim.Config{PageSize: pageSize})
	w.batch, w.acting = 10, true // time goes by for requests alone
	w.restart()
	w.latency(0, 0)
	w.cycle()
	w.phoneIn(1000, who(w))
	w.latency(time.Second, 3*time.Second)
	return w
}

// strangers has each call be of a Contact of its own, whose person is known.
func strangers(*simWorld) func(int) string { return func(int) string { return "" } }

// Pages are read while calls are written, three at a time: a cycle takes as long as the
// longer of both, and not as their sum.
func TestReadingAndWritingOverlap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := slowWorld(t, strangers)
		s, took := w.timed()
		// 20 pages of a second; 20 calls of three seconds, three at once. Three pages fill the
		// first call's window.
		if reads, writes := 20*time.Second, 21*time.Second; s.TouchpointsWritten != 1000 || took > reads+6*time.Second {
			t.Errorf("%s for %d touchpoints; reading alone takes %s, writing %s", took, s.TouchpointsWritten, reads, writes)
		}
		if w.wire.locks.most != 3 {
			t.Errorf("%d write calls at once, want 3", w.wire.locks.most)
		}
	})
}

// The next page is asked for while one is stored: reading takes its round trips alone.
func TestNextPageIsOnItsWayWhileOneIsStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := slowWorld(t, strangers)
		w.slow = map[string]time.Duration{"page-read": time.Second}
		if s, took := w.timed(); s.TasksRead != 1000 || took > 32*time.Second {
			t.Errorf("%s for pages that take 22 s to read and 20 s to store", took)
		}
	})
}

// Journeys are resolved while those before them are written.
func TestResolvingAndWritingOverlap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := slowWorldOf(t, 2000, strangers)
		w.slow = map[string]time.Duration{"placed": 6 * time.Second}
		if s, took := w.timed(); s.TouchpointsWritten != 1000 || took > 42*time.Second {
			t.Errorf("%s for %d touchpoints whose positions take 30 s and 21 s to write", took, s.TouchpointsWritten)
		}
	})
}

// What one person's touchpoints need is locked by each call: they follow each other.
func TestOneParentIsWrittenSerially(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := slowWorld(t, func(w *simWorld) func(int) string {
			lead := w.lead(true)
			return func(int) string { return lead }
		})
		_, took := w.timed()
		if n := len(w.org.Records(touchpoint)); n != 1000 || w.wire.locks.most != 1 || took < 60*time.Second {
			t.Errorf("%d touchpoints of one person in %s, %d calls at once", n, took, w.wire.locks.most)
		}
	})
}

// A record that a map of the user's own refers to is a parent as well.
func TestSharedLookupIsWrittenSerially(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]int{"{OwnerId}": 1, "{Id}": 3} {
		synctest.Test(t, func(t *testing.T) {
			w := newSimWorld(t, 1, orgsim.Config{PageSize: 50})
			w.org.Schema(touchpoint).AddField(orgsim.Field{Name: "Other__c", Type: "reference", ReferenceTo: []string{"User", "Task"}})
			fields, err := mapping.ParseFields([]byte("Other__c = " + value))
			if err != nil {
				t.Fatal(err)
			}
			w.settings.Fields = fields
			w.batch, w.acting = 10, true
			w.restart()
			w.phoneIn(300, strangers(w))
			w.latency(time.Second, 3*time.Second)
			if s, _ := w.timed(); s.TouchpointsWritten != 300 || w.wire.locks.most != want {
				t.Errorf("Other__c = %s: %d written, %d calls at once, want %d", value, s.TouchpointsWritten, w.wire.locks.most, want)
			}
		})
	}
}

// Where others lock records, or have many long requests, calls follow each other, until
// enough of them were left in peace.
func TestCrowdedOrgGetsOneCallAtATime(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]orgsim.Fault{
		"locked row": {Op: orgsim.OpUpsert, RowError: &orgsim.RowError{Code: "UNABLE_TO_LOCK_ROW", Every: 5}},
		"many long requests": {Match: func(r orgsim.Request) bool {
			return r.Op == orgsim.OpComposite && strings.Contains(string(r.Body), "PATCH")
		}, Status: 403, Code: "REQUEST_LIMIT_EXCEEDED",
			Message: "ConcurrentRequests (Concurrent API Requests) Limit exceeded."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := slowWorld(t, strangers)
				w.cycle()
				w.phoneIn(50, strangers(w))
				w.org.Fault(f)
				w.later(0)
				w.later(time.Minute)
				w.phoneIn(100, strangers(w))
				if s, _ := w.timed(); s.TouchpointsWritten != 100 || w.wire.locks.most != 1 {
					t.Errorf("%d written, %d calls at once, want 100, one at a time", s.TouchpointsWritten, w.wire.locks.most)
				}
				w.phoneIn(2500, strangers(w))
				if s, _ := w.timed(); s.TouchpointsWritten != 2500 || w.wire.locks.most != 3 {
					t.Errorf("%d written, %d calls at once, want 2500, three at once in the end", s.TouchpointsWritten, w.wire.locks.most)
				}
			})
		})
	}
}
