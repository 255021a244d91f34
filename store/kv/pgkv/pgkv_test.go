package pgkv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"callpoint/store/kv"
	"callpoint/store/kv/kvtest"
	"callpoint/store/kv/pgkv/pgtest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.StopShared()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

// testOptions are those of a DB of kvtest's buckets, and some that Add uses.
func testOptions() Options {
	return Options{Buckets: append(append([]string{}, kvtest.Buckets...), "events", "visits", "arrivals", "forgotten", "pruned_before"),
		Tables: map[kv.Bucket]string{2: "events", 3: "visits", 4: "arrivals"}, Events: 2, Visits: 3, Forgotten: 5, PrunedBefore: 6, Replaces: func(_ kv.Bucket, _, value, stored []byte) (bool, error) { return string(value) > string(stored), nil },
		Name: "test", OnWrite: true, Connections: 4}
}

func openTest(t testing.TB, url string, o Options) *DB {
	t.Helper()
	db, err := Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

func TestConformance(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	kvtest.Test(t, func(t testing.TB) (kv.DB, func() kv.DB) {
		url := s.URL(s.Schema(t))
		db := openTest(t, url, testOptions())
		return db, func() kv.DB {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = openTest(t, url, testOptions())
			return db
		}
	})
}

func received(visitor string, n int) Row {
	at := []byte{0x80, 0, 0, 0, 0, 0, 0, byte(n)}
	key := append(append([]byte(visitor), 0), at...)
	return Row{Key: key, Value: []byte("value"), Visitor: []byte(visitor), Tombstone: []byte("tomb-" + visitor), At: at}
}

// The term of a leader that lost its lease is refused by the fence, also in a transaction
// that began while it led.
func TestFence(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	schema := s.Schema(t)
	o := testOptions()
	o.OnWrite = false
	first := openTest(t, s.URL(schema), o)
	o.Name = "second"
	second := openTest(t, s.URL(schema), o)
	ctx := t.Context()
	put := func(tx kv.Tx) error { return tx.Put(0, []byte("a"), []byte("1")) }
	if err := first.Update(ctx, put); !errors.Is(err, kv.ErrNotLeader) {
		t.Fatalf("a write without a lease: %v", err)
	}
	if ok, err := first.Acquire(ctx); !ok || err != nil {
		t.Fatalf("the first: %v %v", ok, err)
	}
	if ok, err := second.Acquire(ctx); ok || err != nil {
		t.Fatalf("the second, while the first leads: %v %v", ok, err)
	}
	if err := first.Update(ctx, put); err != nil {
		t.Fatal(err)
	}
	// The first is frozen beyond its lease, while it has a transaction open.
	frozen := false
	err := first.Update(ctx, func(tx kv.Tx) error {
		tx.Get(0, []byte("a"))
		if frozen { // the function runs again after a conflict
			return tx.Put(0, []byte("a"), []byte("late"))
		}
		frozen = true
		s.Exec(t, fmt.Sprintf("UPDATE %s.beat SET until = '2000-01-01'", schema))
		if ok, err := second.Acquire(ctx); !ok || err != nil {
			t.Errorf("the second, after the lease: %v %v", ok, err)
		}
		return tx.Put(0, []byte("a"), []byte("late"))
	})
	if !errors.Is(err, kv.ErrNotLeader) {
		t.Errorf("a late commit of the first: %v, want not leader", err)
	}
	if term, _ := first.Term(); term != 0 {
		t.Errorf("the first believes that it leads in term %d", term)
	}
	l, err := first.Leader(ctx)
	if err != nil || l.Name != "second" || l.Term != 2 || l.Mine || l.Left <= 0 {
		t.Errorf("the leader is %+v, %v", l, err)
	}
	view(t, second, func(tx kv.Tx) {
		if v := tx.Get(0, []byte("a")); string(v) != "1" {
			t.Errorf("the late commit wrote %q", v)
		}
	})
	if err := second.Resign(ctx); err != nil {
		t.Fatal(err)
	}
	if ok, err := first.Acquire(ctx); !ok || err != nil {
		t.Errorf("after the second resigned: %v %v", ok, err)
	}
}

func view(t testing.TB, db *DB, fn func(kv.Tx)) {
	t.Helper()
	if err := db.View(t.Context(), func(tx kv.Tx) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

// A lease is renewed while its holder lives, and free once it has run out.
func TestLeaseIsRenewed(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	url := s.URL(s.Schema(t))
	o := testOptions()
	o.Lease = 600 * time.Millisecond
	first := openTest(t, url, o)
	second := openTest(t, url, o)
	if ok, err := first.Acquire(t.Context()); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for end := time.Now().Add(3 * o.Lease); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok, err := second.Acquire(t.Context()); ok || err != nil {
			t.Fatalf("a lease that is renewed was taken: %v", err)
		}
	}
	first.lease.mu.Lock()
	first.lease.cancel() // it is frozen
	first.lease.mu.Unlock()
	for {
		if ok, err := second.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		} else if ok {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if term, left := first.Term(); term != 0 {
		t.Errorf("the frozen one has %v left of term %d by its own clock when another leads", left, term)
	}
}

// A process that runs once takes an idle lease, and no other's.
func TestLeaseOnWrite(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	url := s.URL(s.Schema(t))
	put := func(tx kv.Tx) error { return tx.Put(0, []byte("a"), nil) }
	o := testOptions()
	o.Lease = 600 * time.Millisecond
	first := openTest(t, url, o)
	if err := first.Update(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	second := openTest(t, url, o)
	if err := second.Update(t.Context(), put); !errors.Is(err, kv.ErrInUse) {
		t.Errorf("while the first leads: %v, want in use", err)
	}
	first.lease.mu.Lock()
	first.lease.cancel() // it was killed
	first.lease.mu.Unlock()
	if err := second.Update(t.Context(), put); err != nil {
		t.Errorf("after the first was killed: %v", err)
	}
}

// Add stores a repeat once, keeps a forgotten visitor out, and leaves one arrival.
func TestAdd(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	db := openTest(t, s.URL(s.Schema(t)), testOptions())
	ctx := t.Context()
	err := db.Update(ctx, func(tx kv.Tx) error {
		return errors.Join(tx.Put(5, []byte("tomb-gone"), []byte("x")), tx.Put(6, []byte("old"), []byte{0x80, 0, 0, 0, 0, 0, 0, 5}))
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := []Row{received("a", 1), received("a", 2), received("a", 1), received("gone", 1), received("old", 4), received("old", 5)}
	got, err := db.Add(ctx, rows, 100)
	if want := (Counts{Added: 3, Forgotten: 1, Pruned: 1}); err != nil || got != want {
		t.Errorf("added %+v, %v, want %+v", got, err, want)
	}
	if got, err = db.Add(ctx, rows[:2], 100); err != nil || got.Added != 0 {
		t.Errorf("a repeat: %+v, %v", got, err)
	}
	visit := func(value string) Row {
		return Row{Visit: true, Key: []byte("a\x00s"), Value: []byte(value), Visitor: []byte("a"), At: rows[0].At}
	}
	for _, c := range []struct {
		rows  []Row
		added int
	}{{[]Row{visit("2"), visit("1")}, 1}, {[]Row{visit("1")}, 0}, {[]Row{visit("2")}, 0}, {[]Row{visit("3")}, 1}} {
		if got, err := db.Add(ctx, c.rows, 100); err != nil || got.Added != c.added {
			t.Errorf("visits %s: %+v, %v, want %d", c.rows[0].Value, got, err, c.added)
		}
	}
	view(t, db, func(tx kv.Tx) {
		var events, arrivals int
		for range tx.Scan(kv.Range{Bucket: 2}) {
			events++
		}
		for range tx.Scan(kv.Range{Bucket: 4}) {
			arrivals++
		}
		if v := tx.Get(3, []byte("a\x00s")); events != 3 || string(v) != "3" || arrivals != 7 {
			t.Errorf("%d events, %d arrivals, visit %q", events, arrivals, v)
		}
	})
}

// Callers that add at the same time share statements, and each gets its own counts.
func TestAddTogether(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	db := openTest(t, s.URL(s.Schema(t)), testOptions())
	before := db.Trips()
	results := make(chan Counts, 200)
	// Both workers store the same rows, also at the same time.
	for i := range 200 {
		go func() {
			c, err := db.Add(context.Background(), []Row{received(fmt.Sprint("v", i%100), i%100), received("own", i)}, 50)
			if err != nil {
				t.Error(err)
			}
			results <- c
		}()
	}
	added := 0
	for range 200 {
		added += (<-results).Added
	}
	if added != 300 {
		t.Errorf("%d rows were added, want 300", added)
	}
	if n := db.Trips() - before; n > 100 {
		t.Errorf("200 callers took %d round trips", n)
	}
}

// A connection that would be read on the way is refused.
func TestUnverifiedConnectionIsRefused(t *testing.T) {
	t.Parallel()
	for url, ok := range map[string]bool{
		"postgres://u@db.example.com/x":                                                                  false,
		"postgres://u@db.example.com/x?sslmode=disable":                                                  false,
		"postgres://u@db.example.com/x?sslmode=require":                                                  false,
		"postgres://u@db.example.com/x?sslmode=verify-full":                                              true,
		"postgres://u@a.example.com,b.example.com/x?sslmode=verify-full&target_session_attrs=read-write": true,
		"postgres://u@127.0.0.1:5432,db.example.com/x?sslmode=disable":                                   false,
		"postgres://u@127.0.0.1/x?sslmode=disable":                                                       true,
		"postgres://u@[::1]/x?sslmode=disable":                                                           true,
		"postgres:///x?host=/run/postgresql":                                                             true,
	} {
		if _, err := config(url, Options{}.withDefaults()); (err == nil) != ok {
			t.Errorf("%s: %v", url, err)
		}
	}
	if got := Redacted("postgres://u:secret@h/x?password=hidden"); got != "postgres://u:xxxxx@h/x?password=xxxxx" {
		t.Errorf("redacted: %s", got)
	}
}

// Instances that start at once on an empty database all come up.
func TestStartTogether(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	url := s.URL(s.Schema(t))
	results := make(chan error, 6)
	for range cap(results) {
		go func() {
			db, err := Open(context.Background(), url, testOptions())
			if err == nil {
				err = db.Close()
			}
			results <- err
		}()
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}
