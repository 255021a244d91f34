// Package kvtest holds every engine to the contract of package kv.
package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"callpoint/store/kv"
)

// Buckets are the buckets with which a DB under test is opened.
var Buckets = []string{"first", "second"}

// Test runs the conformance tests. open returns a new DB, which it closes at the end of the
// test, and a function that closes it and opens it again.
func Test(t *testing.T, open func(t testing.TB) (kv.DB, func() kv.DB)) {
	t.Run("values", func(t *testing.T) { testValues(t, open) })
	t.Run("undo", func(t *testing.T) { testUndo(t, open) })
	t.Run("snapshot", func(t *testing.T) { testSnapshot(t, open) })
	t.Run("model", func(t *testing.T) { testModel(t, open) })
}

func update(t testing.TB, db kv.DB, fn func(kv.Tx) error) {
	t.Helper()
	if err := db.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func view(t testing.TB, db kv.DB, fn func(kv.Tx)) {
	t.Helper()
	if err := db.View(t.Context(), func(tx kv.Tx) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

// testValues: an empty value exists, an absent key does not, any byte is possible.
func testValues(t *testing.T, open func(t testing.TB) (kv.DB, func() kv.DB)) {
	db, _ := open(t)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	check := func(tx kv.Tx) {
		if v := tx.Get(0, []byte("empty")); v == nil || len(v) != 0 {
			t.Errorf("an empty value is read as %#v", v)
		}
		if v := tx.Get(0, []byte("absent")); v != nil {
			t.Errorf("an absent key has the value %q", v)
		}
		if v := tx.Get(1, []byte("empty")); v != nil {
			t.Errorf("the other bucket has the value %q", v)
		}
		if v := tx.Get(1, all); !bytes.Equal(v, all) {
			t.Errorf("bytes come back as %q", v)
		}
		if k, v := kv.First(tx, kv.Prefix(1, all[:3])); !bytes.Equal(k, all) || !bytes.Equal(v, all) {
			t.Errorf("a prefix finds %q, %q", k, v)
		}
		if k, _ := kv.First(tx, kv.Key(0, []byte("absent"))); k != nil {
			t.Errorf("the range of an absent key has %q", k)
		}
	}
	update(t, db, func(tx kv.Tx) error {
		err := errors.Join(tx.Put(0, []byte("empty"), nil), tx.Put(1, all, all), tx.Delete(1, []byte("never there")))
		check(tx) // a transaction sees what it wrote
		return err
	})
	view(t, db, check)
}

// testUndo: an error undoes the transaction and is returned as it is.
func testUndo(t *testing.T, open func(t testing.TB) (kv.DB, func() kv.DB)) {
	db, _ := open(t)
	boom := errors.New("boom")
	update(t, db, func(tx kv.Tx) error { return tx.Put(0, []byte("a"), []byte("1")) })
	err := db.Update(t.Context(), func(tx kv.Tx) error {
		return errors.Join(tx.Put(0, []byte("a"), []byte("2")), tx.Put(0, []byte("b"), nil), boom)
	})
	if !errors.Is(err, boom) {
		t.Errorf("error %v, want boom", err)
	}
	view(t, db, func(tx kv.Tx) {
		if a, b := tx.Get(0, []byte("a")), tx.Get(0, []byte("b")); string(a) != "1" || b != nil {
			t.Errorf("after an error: a is %q, b is %q", a, b)
		}
	})
}

// testSnapshot: a View does not see updates that commit while it runs.
func testSnapshot(t *testing.T, open func(t testing.TB) (kv.DB, func() kv.DB)) {
	db, _ := open(t)
	update(t, db, func(tx kv.Tx) error { return tx.Put(0, []byte("a"), []byte("1")) })
	view(t, db, func(tx kv.Tx) {
		before := tx.Get(0, []byte("a"))
		update(t, db, func(tx kv.Tx) error {
			return errors.Join(tx.Put(0, []byte("a"), []byte("2")), tx.Put(0, []byte("b"), []byte("2")))
		})
		if b := tx.Get(0, []byte("b")); string(before) != "1" || b != nil || string(tx.Get(0, []byte("a"))) != "1" {
			t.Errorf("a snapshot sees a later update: b is %q", b)
		}
	})
}

// testModel compares a DB with sorted maps under random operations.
func testModel(t *testing.T, open func(t testing.TB) (kv.DB, func() kv.DB)) {
	db, reopen := open(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	model := [2]map[string]string{{}, {}}
	for range 60 {
		if r.IntN(20) == 0 {
			db = reopen()
		}
		ops, fails := r.IntN(20), r.IntN(5) == 0
		after := [2]map[string]string{maps.Clone(model[0]), maps.Clone(model[1])}
		boom := errors.New("boom")
		seedTx := r.Uint64()
		err := db.Update(context.Background(), func(tx kv.Tx) error {
			r := rand.New(rand.NewPCG(seedTx, 2)) // the function may run twice
			after = [2]map[string]string{maps.Clone(model[0]), maps.Clone(model[1])}
			for range ops {
				b, key := r.IntN(2), randomKey(r)
				switch r.IntN(5) {
				case 0, 1, 2:
					value := fmt.Sprint(r.IntN(1000))
					after[b][string(key)] = value
					if err := tx.Put(kv.Bucket(b), key, []byte(value)); err != nil {
						return err
					}
				case 3:
					delete(after[b], string(key))
					if err := tx.Delete(kv.Bucket(b), key); err != nil {
						return err
					}
				case 4:
					compare(t, r, tx, after)
				}
			}
			if fails {
				return boom
			}
			return nil
		})
		if fails != errors.Is(err, boom) || !fails && err != nil {
			t.Fatalf("update: %v", err)
		}
		if !fails {
			model = after
		}
		view(t, db, func(tx kv.Tx) { compare(t, r, tx, model) })
	}
}

// randomKey returns one of few keys, which share ids and prefixes.
func randomKey(r *rand.Rand) []byte {
	key := []byte{byte('a' + r.IntN(4))}
	if r.IntN(3) == 0 {
		key = append(key, 'x')
	}
	return append(key, 0, byte(r.IntN(3)*127), byte(r.IntN(2)*255))
}

// compare reads one key and some ranges.
func compare(t *testing.T, r *rand.Rand, tx kv.Tx, model [2]map[string]string) {
	t.Helper()
	b, key := r.IntN(2), randomKey(r)
	ranges := []kv.Range{{Bucket: kv.Bucket(b)}, kv.Key(kv.Bucket(b), key), kv.Prefix(kv.Bucket(b), key[:1+r.IntN(len(key))])}
	for range 4 {
		x := kv.Range{Bucket: kv.Bucket(b), Limit: r.IntN(4), Keys: r.IntN(4) == 0}
		if r.IntN(2) == 0 {
			x.From = randomKey(r)
		}
		if r.IntN(2) == 0 {
			x.To = randomKey(r)
		}
		switch r.IntN(3) {
		case 0:
			x.Reverse = true
		case 1:
			x.Heads = true
		}
		ranges = append(ranges, x)
	}
	if r.IntN(2) == 0 {
		tx.Hint(ranges[:r.IntN(len(ranges))]...)
	}
	got, want := tx.Get(kv.Bucket(b), key), model[b][string(key)]
	if _, ok := model[b][string(key)]; ok != (got != nil) || string(got) != want {
		t.Fatalf("Get(%q) is %q, want %q", key, got, want)
	}
	for _, x := range ranges {
		want, got := selected(model[b], x), collect(tx.Scan(x), x.Keys)
		if !slices.Equal(got, want) {
			t.Fatalf("Scan(%+v) yields %q, want %q", x, got, want)
		}
		k, _ := kv.First(tx, x)
		if first := append(want, "")[0]; (k != nil) != (first != "") {
			t.Fatalf("First(%+v) is %q, want of %q", x, k, first)
		}
	}
}

func collect(rows iter.Seq2[[]byte, []byte], keys bool) (all []string) {
	for k, v := range rows {
		if keys {
			v = nil
		}
		all = append(all, string(k)+"="+string(v))
	}
	return all
}

// selected computes a range by hand.
func selected(model map[string]string, r kv.Range) (all []string) {
	keys := slices.Sorted(maps.Keys(model))
	if r.Reverse {
		slices.Reverse(keys)
	}
	last := ""
	for _, k := range keys {
		if r.From != nil && k < string(r.From) || r.To != nil && k >= string(r.To) {
			continue
		}
		id, _, _ := bytes.Cut([]byte(k), []byte{0})
		if r.Heads && len(all) > 0 && last == string(id) {
			continue
		}
		last = string(id)
		v := model[k]
		if r.Keys {
			v = ""
		}
		if all = append(all, k+"="+v); r.Limit > 0 && len(all) == r.Limit {
			break
		}
	}
	return all
}
