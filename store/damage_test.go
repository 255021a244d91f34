package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"callpoint/mapping"
	"callpoint/store/kv"
	"callpoint/store/kv/boltkv"
	"callpoint/store/kv/pgkv/pgtest"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"
)

// TestMain lets the test binary look at a damaged file in a process of its own: what
// bbolt does there may end the process, and then that is the finding.
func TestMain(m *testing.M) {
	if path := os.Getenv("STORE_LOOK_AT"); path != "" {
		os.Exit(lookAt(path))
	}
	code := m.Run()
	pgtest.StopShared()
	// No goroutine of any test is left when all have ended.
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

// What lookAt finds, as an exit code; a process that died has another.
const (
	foundNothing = 0
	foundRefused = 10 // Open said no
	foundCheck   = 11 // Check found it
	foundReading = 12 // only reading found it
)

// lookAt opens a store, checks it and reads all of it.
func lookAt(path string) int {
	s, err := Open(path, Options{})
	if err != nil {
		fmt.Println(err)
		return foundRefused
	}
	if problems, err := s.Check(); err != nil || len(problems) > 0 {
		fmt.Println(problems, err)
		return foundCheck
	}
	err = s.EachVisitor(func(Journey) bool { return true })
	if err := errors.Join(err, s.EachCall(goldenAt.AddDate(-1, 0, 0), goldenAt.AddDate(1, 0, 0), func(Call, *Touchpoint) bool { return true })); err != nil {
		fmt.Println(err)
		return foundReading
	}
	return foundNothing
}

// child looks at a file in another process.
func child(t *testing.T, path string) (code int, said string) {
	t.Helper()
	limit, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(limit, os.Args[0])
	c.Env = append(os.Environ(), "STORE_LOOK_AT="+path)
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

// victim is a closed store with something of every kind, and its bytes.
func victim(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "callpoint.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	fillGolden(t, s)
	for v := range 20 {
		var events []mapping.Event
		for i := range 20 {
			events = append(events, event(fmt.Sprintf("visitor-%d", v), i))
		}
		if _, err := s.Add(context.Background(), events, nil); err != nil {
			t.Fatal(err)
		}
	}
	sound(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var end int64
	inspect(t, path, func(tx *bolt.Tx) error { end = tx.Size(); return nil })
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b[:end]
}

// inspect reads a closed store as bbolt does.
func inspect(t testing.TB, path string, fn func(tx *bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.View(fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// Every flipped bit in a value is found, by Check or by reading: 1,000 of them, each in
// a file of its own. They are in envelopes, so bbolt meets a sound structure.
func TestFlippedBitsAreFound(t *testing.T) {
	t.Parallel()
	good := victim(t)
	path := filepath.Join(t.TempDir(), "callpoint.db")
	spans := envelopes(t, good, path)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	flips := 1000
	if testing.Short() {
		flips = 100
	}
	for range flips {
		span := spans[r.IntN(len(spans))]
		at, bit := span[0]+r.IntN(span[1]-span[0]), r.IntN(8)
		bad := append([]byte{}, good...)
		bad[at] ^= 1 << bit
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if found := findsDamage(path); !found {
			t.Errorf("bit %d of byte %d: not found", bit, at)
		}
	}
}

func findsDamage(path string) bool {
	s, err := Open(path, Options{})
	if err != nil {
		return true
	}
	defer s.Close()
	problems, err := s.Check()
	return err != nil || len(problems) > 0
}

// envelopes says where in the file the values lie.
func envelopes(t testing.TB, file []byte, path string) (spans [][2]int) {
	t.Helper()
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	inspect(t, path, func(tx *bolt.Tx) error {
		for b, name := range buckets {
			if !sealed(kv.Bucket(b)) {
				continue
			}
			err := tx.Bucket([]byte(name)).ForEach(func(_, v []byte) error {
				// The map of the file begins at Data; the same bytes may stand in free pages, too.
				at := int(uintptr(unsafe.Pointer(&v[0])) - tx.DB().Info().Data)
				if at > 0 && at < len(file) { // bbolt copies those of a bucket that fits into its parent's page
					spans = append(spans, [2]int{at, at + len(v)})
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if len(spans) < 300 {
		t.Fatalf("%d values found", len(spans))
	}
	return spans
}

// What is no whole store of ours is refused with a message that says what to do. Nothing
// here may end the process.
func TestDamagedFilesAreRefused(t *testing.T) {
	t.Parallel()
	good := victim(t)
	other := filepath.Join(t.TempDir(), "other.db")
	db, err := bolt.Open(other, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("theirs")); return err })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	zeroed := func(n int) []byte {
		b := append([]byte{}, good...)
		clear(b[n*page : (n+1)*page])
		return b
	}
	metas := zeroed(0)
	clear(metas[page : 2*page])
	later := relabelled(t, good, schema+1)
	type file struct {
		name string
		b    []byte
		says string // of the refusal; empty: found in any way
	}
	files := []file{
		{"empty", nil, "has only 0 bytes"},
		{"text", []byte(strings.Repeat("no database\n", 4000)), "it is not a bbolt file"},
		{"zeros", make([]byte, 1<<20), "it is not a bbolt file"},
		{"foreign", foreign, "another program's file"},
		{"both metas zeroed", metas, "it is not a bbolt file"},
		{"of a later program", later, fmt.Sprintf("its schema is %d", schema+1)},
	}
	for n := 4 * page; n < len(good); n += max(page, len(good)/16/page*page) + 100 {
		files = append(files, file{fmt.Sprintf("cut to %d of %d bytes", n, len(good)), good[:n], "cut short"})
	}
	files = append(files, file{"cut to 3 pages", good[:3*page], "has only"})
	for _, f := range files {
		t.Run(f.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "callpoint.db")
			if err := os.WriteFile(path, f.b, 0o600); err != nil {
				t.Fatal(err)
			}
			code, said := child(t, path)
			if code != foundRefused || !strings.Contains(said, f.says) || !strings.Contains(said, path) {
				t.Errorf("exit %d, said %q; want a refusal that says %q", code, said, f.says)
			}
		})
	}
}

// A page of zeros is found, wherever it is, and does not end the process.
func TestZeroedPagesAreFound(t *testing.T) {
	t.Parallel()
	good := victim(t)
	const page = 4096
	used := usedPages(t, good)
	found := map[int]int{}
	for _, n := range used {
		b := append([]byte{}, good...)
		clear(b[n*page : (n+1)*page])
		path := filepath.Join(t.TempDir(), "callpoint.db")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		code, said := child(t, path)
		found[code]++
		if code != foundRefused && code != foundCheck && code != foundReading {
			t.Errorf("page %d of zeros: exit %d, said %q", n, code, said)
		}
	}
	t.Logf("%d pages: exit codes %v", len(used), found)
}

// usedPages are those that hold data or the list of free pages, metas left out: one bad
// meta is what bbolt keeps two for.
func usedPages(t testing.TB, file []byte) (used []int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "callpoint.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	inspect(t, path, func(tx *bolt.Tx) error {
		for n := 2; n < len(file)/4096; n++ {
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
	if len(used) < 5 {
		t.Fatalf("%d pages", len(used))
	}
	return used
}

// relabelled is the same store with another schema in its identity.
func relabelled(t testing.TB, file []byte, schema int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "callpoint.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := boltkv.Open(path, boltkv.Options{Buckets: buckets})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(t.Context(), func(tx kv.Tx) error { return putIdentity(tx, identity{format, schema, goldenAt}) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Check finds an index that says other than the records, on both sides of each.
func TestCheckFindsBothSidesOfEveryIndex(t *testing.T) {
	t.Parallel()
	absent := func(k []byte) []byte { return append(k[:len(k):len(k)], 'x') }
	for _, b := range []kv.Bucket{bTimeline, bJourneys, bContents, bDue, bParked, bOwned, bReasonsDue, bGenerations, bPrunedBefore, bCallers, bUnnamed} {
		for _, missing := range []bool{true, false} {
			name := buckets[b]
			t.Run(fmt.Sprintf("%s, missing %v", name, missing), func(t *testing.T) {
				t.Parallel()
				s, err := Open(filepath.Join(t.TempDir(), "callpoint.db"), Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				fillGolden(t, s)
				fillIndexes(t, s)
				sound(t, s)
				err = s.update(context.Background(), func(tx kv.Tx) error {
					k, v := kv.First(tx, kv.Range{Bucket: b})
					if k == nil {
						t.Fatalf("%s is empty: the test tests nothing", name)
					}
					if missing {
						return tx.Delete(b, bytes.Clone(k))
					}
					k = absent(k)
					v = bytes.Clone(v)
					if sealed(b) {
						v = envelope(versionJSON, k, []byte("{}"))
					}
					return tx.Put(b, k, v)
				})
				if err != nil {
					t.Fatal(err)
				}
				if problems, err := s.Check(); err != nil || len(problems) != 1 || !strings.Contains(problems[0], name) {
					t.Errorf("found %q, %v", problems, err)
				}
			})
		}
	}
	s, err := Open(filepath.Join(t.TempDir(), "callpoint.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.update(context.Background(), func(tx kv.Tx) error {
		g := generation(7)
		return errors.Join(tx.Put(bDirty, []byte("x"), g), tx.Put(bGenerations, g, []byte("x")))
	})
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := s.Check(); err != nil || len(problems) != 1 {
		t.Errorf("a generation that was never given: %q, %v", problems, err)
	}
}

// fillIndexes adds a parked touchpoint, a journey record and a reason that waits.
func fillIndexes(t testing.TB, s *Store) {
	t.Helper()
	err := s.update(context.Background(), func(tx kv.Tx) error {
		for _, x := range []Touchpoint{
			{Key: "callpoint_s_1", Journey: "golden-a", State: Written, Content: []byte("{}")},
			{Key: "callpoint_p", TaskID: "p", Journey: "golden-a", State: Parked, NextAttempt: goldenAt, Content: []byte("{}")},
		} {
			if x.TaskID == "" {
				if err := tx.Put(bOwned, prefixed(x.Journey, []byte(x.Key)), nil); err != nil {
					return err
				}
			}
			if err := schedule(tx, &Touchpoint{}, &x); err != nil {
				return err
			}
		}
		for field, id := range map[string]string{"WhoId": "003Hs00000AAAAAIA4", "WhatId": "006Hs00000AAAAAIA4"} {
			c := Call{Call: mapping.Call{TaskID: field, At: goldenAt, Fields: map[string]any{field: id}}, Hash: "h", ReadAt: goldenAt}
			if _, err := applyTask(tx, &c); err != nil {
				return err
			}
		}
		gone := []byte("gone")
		return errors.Join(put(tx, bPruned, gone, pruned{Before: goldenAt}), tx.Put(bPrunedBefore, gone, timeKey(goldenAt)),
			markDirty(tx, "golden-a"), putReason(tx, "r", &Reason{TaskID: "r", Field: "F__c", Want: "matched", Next: goldenAt}))
	})
	if err != nil {
		t.Fatal(err)
	}
}
