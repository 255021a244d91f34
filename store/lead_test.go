package store

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"
	"callpoint/store/kv/pgkv/pgtest"
)

// daemonAt opens a store as a daemon does that may lead.
func daemonAt(t testing.TB, url, name string, rules string) *Store {
	t.Helper()
	return openAt(t, url, Options{Instance: Instance{Name: name, Daemon: true, Lease: 3 * time.Second, Rules: func() string { return rules }}})
}

// An instance whose rules were replaced does not lead while one with the new rules is there.
func TestReplacedRulesDoNotLead(t *testing.T) {
	t.Parallel()
	first, url := openSharedTest(t, Options{Instance: Instance{Name: "a", Daemon: true, Lease: 3 * time.Second, Rules: func() string { return "old" }}})
	ctx := t.Context()
	second := daemonAt(t, url, "b", "new")
	take := func(s *Store, want bool) {
		t.Helper()
		if ok, err := s.shared.Acquire(ctx); ok != want || err != nil {
			t.Fatalf("%s takes the lease: %v %v, want %v", s.o.Instance.Name, ok, err, want)
		}
	}
	release := func(s *Store) {
		t.Helper()
		if err := s.shared.Resign(ctx); err != nil {
			t.Fatal(err)
		}
	}
	take(first, true)
	release(first)
	take(second, true)
	if err := second.shared.Seen(ctx, schema); err != nil {
		t.Fatal(err)
	}
	release(second)
	take(first, false)
	if err := second.shared.Gone(ctx); err != nil {
		t.Fatal(err)
	}
	take(first, true) // nobody else is there
}

// A store is not migrated while an instance of an older program uses it.
func TestNoMigrationBesideAnOlderInstance(t *testing.T) {
	t.Parallel()
	s, url := openSharedTest(t, Options{Instance: Instance{Name: "old"}})
	ctx := t.Context()
	err := s.update(ctx, func(tx kv.Tx) error { return putIdentity(tx, identity{format, schema - 1, goldenAt}) })
	if err := errors.Join(err, s.shared.Seen(ctx, schema-1), s.shared.Resign(ctx)); err != nil {
		t.Fatal(err)
	}
	o := Options{Instance: Instance{Name: "new"}}
	if _, err := Open(url, o); err == nil || !strings.Contains(err.Error(), "old still runs") {
		t.Errorf("beside an older instance: %v", err)
	}
	if err := s.shared.Gone(ctx); err != nil {
		t.Fatal(err)
	}
	openAt(t, url, o)
}

// What an earlier leader had in flight is sent again at once if it is the same, and waits if
// it has changed: the old request could arrive later and overwrite it.
func TestRequestsOfAnEarlierTerm(t *testing.T) {
	t.Parallel()
	first, url := openSharedTest(t, Options{Instance: Instance{Name: "a"}})
	ctx := t.Context()
	fillShared(t, first, 2)
	resolveAll(t, first, 10)
	due, err := first.Due(goldenAt, 10)
	if err != nil || len(due) != 2 {
		t.Fatalf("%d due, %v", len(due), err)
	}
	if _, err := first.Begin(ctx, due); err != nil {
		t.Fatal(err)
	}
	if err := first.shared.Resign(ctx); err != nil {
		t.Fatal(err)
	}
	second := daemonAt(t, url, "b", "")
	led := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- second.Lead(ctx, func(ctx context.Context) error { close(led); <-ctx.Done(); return nil })
	}()
	<-led
	defer func() { cancel(); <-ended }()
	// One of the visitors has a further event, so that its touchpoint changes.
	if _, err := second.Add(ctx, []mapping.Event{event("visitor-0001", 50)}, nil); err != nil {
		t.Fatal(err)
	}
	resolveAll(t, second, 10)
	keys, err := second.DueKeys(goldenAt, 10, func(string) bool { return false })
	if err != nil || len(keys) != 1 || keys[0] != CallKey(sharedCall(0, "").TaskID) {
		t.Errorf("due are %q, %v; want the touchpoint that has not changed", keys, err)
	}
	long := second.leads.Load().since.Add(-requestLimit - time.Second)
	second.leads.Store(&leading{since: long})
	if keys, err = second.DueKeys(goldenAt, 10, func(string) bool { return false }); err != nil || len(keys) != 2 {
		t.Errorf("after the old requests have ended %q are due, %v", keys, err)
	}
}

// Lead runs again after the lease was lost, and gives it up when the run ends.
func TestLeadAgain(t *testing.T) {
	t.Parallel()
	s, url := openSharedTest(t, Options{Instance: Instance{Name: "a", Daemon: true, Lease: 2 * time.Second}})
	terms := make(chan int64, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- s.Lead(ctx, func(ctx context.Context) error {
			term, _ := s.shared.Term()
			terms <- term
			<-ctx.Done()
			return nil
		})
	}()
	if term := <-terms; term != 1 {
		t.Errorf("the first term is %d", term)
	}
	// Another instance takes over behind the leader's back.
	other := openAt(t, url, Options{Instance: Instance{Name: "b", Daemon: true, Lease: 2 * time.Second}})
	expire(t, url)
	for {
		if ok, err := other.shared.Acquire(ctx); err != nil {
			t.Fatal(err)
		} else if ok {
			break
		}
	}
	if err := other.shared.Resign(ctx); err != nil {
		t.Fatal(err)
	}
	if term := <-terms; term != 3 {
		t.Errorf("after the loss it leads in term %d, want 3", term)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if l, err := other.Leader(t.Context()); err != nil || l.Left > 0 {
		t.Errorf("after the end the lease is held: %+v %v", l, err)
	}
}

// expire ends the lease of a store by force.
func expire(t testing.TB, url string) {
	t.Helper()
	_, query, _ := strings.Cut(url, "search_path=")
	schema, _, _ := strings.Cut(query, "&")
	pgtest.Shared(t).Exec(t, "UPDATE "+schema+".beat SET until = '2000-01-01'")
}
