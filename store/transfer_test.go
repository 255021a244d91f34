package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"callpoint/store/kv"
	"callpoint/store/kv/pgkv/pgtest"

	"github.com/google/go-cmp/cmp"
)

// A store goes from a file into PostgreSQL and back, and reads the same everywhere.
func TestCopyBothWays(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	url := server.URL(server.Schema(t))
	dir := t.TempDir()
	first, last := filepath.Join(dir, "first.db"), filepath.Join(dir, "last.db")
	s, err := Open(first, Options{})
	if err != nil {
		t.Fatal(err)
	}
	fillGolden(t, s)
	fillIndexes(t, s)
	if _, err := fill(t, s, 3); err != nil {
		t.Fatal(err)
	}
	want := goldenReading(t, s)
	steps := func(string) {}
	if _, err := Copy(t.Context(), first, url, Options{Timeout: 1}, steps); !errors.Is(err, ErrInUse) {
		t.Errorf("a copy of a store in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	there, err := Copy(t.Context(), first, url, Options{}, steps)
	if err != nil || there.Buckets["events"] != 302 {
		t.Fatalf("into PostgreSQL: %+v, %v", there, err)
	}
	if _, err := Copy(t.Context(), first, url, Options{}, steps); err == nil {
		t.Error("a copy into a store that is not empty succeeds")
	}
	shared, err := Open(url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	sound(t, shared)
	if diff := cmp.Diff(want, goldenReading(t, shared)); diff != "" {
		t.Errorf("in PostgreSQL it reads differently:\n%s", diff)
	}
	if err := shared.Close(); err != nil {
		t.Fatal(err)
	}
	back, err := Copy(t.Context(), url, last, Options{}, steps)
	if err != nil || back.Rows != there.Rows || back.Bytes != there.Bytes {
		t.Fatalf("back: %+v, %v, want %+v", back, err, there)
	}
	if _, err := Copy(t.Context(), url, last, Options{}, steps); err == nil {
		t.Error("a copy over a file succeeds")
	}
	if diff := cmp.Diff(want, goldenReading(t, openAt(t, last, Options{}))); diff != "" {
		t.Errorf("back in a file it reads differently:\n%s", diff)
	}
}

// Half a copy cannot be opened, in a file or in PostgreSQL.
func TestHalfACopyOpensNowhere(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	dir := t.TempDir()
	from := filepath.Join(dir, "from.db")
	s, err := Open(from, Options{})
	if err != nil {
		t.Fatal(err)
	}
	fillGolden(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{filepath.Join(dir, "to.db"), server.URL(server.Schema(t))} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Copy(ctx, from, to, Options{}, func(bucket string) {
			if bucket == buckets[bTimeline] {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: %v", Redacted(to), err)
		}
		if _, err := Open(to, Options{}); err == nil || !strings.Contains(err.Error(), "unfinished copy") {
			t.Errorf("half a copy at %s: %v", Redacted(to), err)
		}
	}
}

// A row that is damaged is not copied.
func TestADamagedRowIsNotCopied(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from := filepath.Join(dir, "from.db")
	s, err := Open(from, Options{})
	if err != nil {
		t.Fatal(err)
	}
	fillGolden(t, s)
	err = s.update(t.Context(), func(tx kv.Tx) error { return tx.Put(bPersons, []byte("x"), []byte("broken")) })
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Copy(t.Context(), from, filepath.Join(dir, "to.db"), Options{}, func(string) {}); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v, want damaged", err)
	}
	if _, err := os.Stat(from); err != nil {
		t.Error(err)
	}
}
