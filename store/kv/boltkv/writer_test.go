package boltkv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"callpoint/store/kv"
	"callpoint/store/kv/kvtest"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testOptions = Options{Buckets: kvtest.Buckets}

// openTest opens a new file, whose structure must be sound when the test ends.
func openTest(t testing.TB, o Options) *DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	o.Buckets = kvtest.Buckets
	if err := Create(path, o, func(kv.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return reopen(t, path, o)
}

func reopen(t testing.TB, path string, o Options) *DB {
	t.Helper()
	o.Buckets = kvtest.Buckets
	db, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		problems, err := db.Structure(context.Background())
		if len(problems) > 0 || err != nil && !errors.Is(err, kv.ErrClosed) {
			t.Errorf("structure: %q, %v", problems, err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

func TestConformance(t *testing.T) {
	t.Parallel()
	kvtest.Test(t, func(t testing.TB) (kv.DB, func() kv.DB) {
		db := openTest(t, Options{})
		return db, func() kv.DB {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = reopen(t, db.path, Options{})
			return db
		}
	})
}

// fill adds rows to two buckets, those of each id in a transaction.
func fill(t testing.TB, db *DB, ids, rows int) {
	t.Helper()
	for id := range ids {
		err := db.Update(context.Background(), func(tx kv.Tx) error {
			for n := range rows {
				key := binary.BigEndian.AppendUint32(fmt.Appendf(nil, "id-%d\x00", id), uint32(n))
				if err := errors.Join(tx.Put(0, key, []byte(strings.Repeat("x", 200))), tx.Put(1, key, nil)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
			return
		}
	}
}

// victim returns a closed file with several pages, up to the last one.
func victim(t testing.TB) []byte {
	t.Helper()
	db := openTest(t, Options{})
	fill(t, db, 20, 20)
	var end int64
	if err := db.view(func(t *tx) error { end = t.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(db.path)
	if err != nil {
		t.Fatal(err)
	}
	return b[:end]
}

// usedPages returns the pages that hold data.
func usedPages(t testing.TB, file []byte) (used []int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	err = b.View(func(tx *bolt.Tx) error {
		for n := 2; n < len(file)/os.Getpagesize(); n++ {
			info, err := tx.Page(n)
			if err != nil {
				return err
			}
			if info == nil {
				break
			}
			if info.Type == "leaf" || info.Type == "branch" {
				used = append(used, n)
			}
			n += info.OverflowCount
		}
		return nil
	})
	if err != nil || len(used) < 5 {
		t.Fatalf("%d pages, %v", len(used), err)
	}
	return used
}

// hold keeps the writer busy until the returned function is called.
func hold(t testing.TB, db *DB) (release func()) {
	t.Helper()
	held, let := make(chan struct{}), make(chan struct{})
	go db.between(context.Background(), func() error { //nolint:errcheck // nil
		close(held)
		<-let
		return nil
	})
	<-held
	return func() { close(let) }
}

// ingest adds one row.
func ingest(db *DB, key string, size int) error {
	return db.Ingest(context.Background(), kv.Load{Rows: 1, Bytes: int64(size)}, func(tx kv.Tx) error {
		return tx.Put(0, []byte(key), make([]byte, size))
	})
}

func (db *DB) txid(t testing.TB) (id int) {
	t.Helper()
	if err := db.view(func(t *tx) error { id = t.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return id
}

// queued waits until n writes are queued.
func queued(db *DB, n int) {
	for len(db.queue) < n {
		runtime.Gosched()
	}
}

// Writes that are queued together are committed in one transaction.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{})
	before := db.txid(t)
	release := hold(t, db)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			if err := ingest(db, fmt.Sprint(i), 10); err != nil {
				t.Errorf("write %d: %v", i, err)
			}
		})
	}
	queued(db, 64)
	release()
	wg.Wait()
	if n := db.txid(t) - before; n != 1 {
		t.Errorf("64 queued writes took %d transactions, want 1", n)
	}
}

// A write that fails does not affect its group, and leaves nothing behind.
func TestAFailureInAGroupIsItsOwn(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{})
	release := hold(t, db)
	boom := errors.New("boom")
	failed, added := make(chan error, 1), make(chan error, 1)
	go func() {
		failed <- db.Update(context.Background(), func(tx kv.Tx) error {
			return errors.Join(tx.Put(0, []byte("half"), []byte("1")), boom)
		})
	}()
	go func() { added <- ingest(db, "whole", 10) }()
	queued(db, 2)
	release()
	if err := <-failed; !errors.Is(err, boom) {
		t.Errorf("the write that fails: %v", err)
	}
	if err := <-added; err != nil {
		t.Errorf("its neighbour: %v", err)
	}
	err := db.View(t.Context(), func(tx kv.Tx) error {
		if tx.Get(0, []byte("half")) != nil || tx.Get(0, []byte("whole")) == nil {
			t.Error("the failed write left something, or its neighbour nothing")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The queue is bounded in number and in bytes; a single large write is accepted all the same.
func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{Queue: 2, QueueBytes: 4000})
	if err := ingest(db, "large", 8000); err != nil {
		t.Fatalf("a large write alone: %v", err)
	}
	release := hold(t, db)
	results := make(chan error, 3)
	go func() { results <- ingest(db, "a", 100) }()
	queued(db, 1)
	if err := ingest(db, "large", 8000); !errors.Is(err, kv.ErrBusy) {
		t.Errorf("too many bytes: %v, want busy", err)
	}
	go func() { results <- ingest(db, "b", 100) }()
	queued(db, 2)
	if err := ingest(db, "c", 100); !errors.Is(err, kv.ErrBusy) {
		t.Errorf("too many writes: %v, want busy", err)
	}
	update := func(ctx context.Context) error {
		return db.Update(ctx, func(tx kv.Tx) error { return tx.Put(1, []byte("mine"), nil) })
	}
	brief, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := update(brief); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an update is not refused, but waits as long as it may: %v", err)
	}
	go func() { results <- update(t.Context()) }() // it waits for its place
	release()
	for range 3 {
		if err := <-results; err != nil {
			t.Errorf("a queued write: %v", err)
		}
	}
	if n := db.queued.Load(); n != 0 {
		t.Errorf("%d bytes count as queued when nothing is", n)
	}
	if err := ingest(db, "large", 8000); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A copy that was killed leaves a file behind, which the next Open removes; a process that
// waited for the lock does not continue with a file that lost its name.
func TestCompactedAway(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{})
	second, err := os.Open(db.path) // what a second process has open while it waits for the lock
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := same(second, db.path); err != nil {
		t.Errorf("before: %v", err)
	}
	if _, _, err := db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := same(second, db.path); !errors.Is(err, kv.ErrInUse) {
		t.Errorf("after: %v, want in use", err)
	}
	if db.touched != nil {
		t.Error("the writer still records the keys that it writes")
	}
	o := testOptions
	o.Timeout = time.Millisecond
	if _, err := Open(db.path, o); !errors.Is(err, kv.ErrInUse) {
		t.Errorf("a second open of the compacted file: %v, want in use", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(compacting(db.path), []byte("half a copy"), 0o600); err != nil {
		t.Fatal(err)
	}
	reopen(t, db.path, Options{})
	if _, err := os.Stat(compacting(db.path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a copy is left: %v", err)
	}
}
