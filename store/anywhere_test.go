package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"callpoint/mapping"
)

// Bytes that change anywhere in the file, in pages as in values, are found by Open or by
// Check, or they change nothing that can be read. Nothing ends the process, and nothing
// goes on without end: in a process of its own either would end these tests.
func TestDamageAnywhere(t *testing.T) {
	t.Parallel()
	good := victim(t)
	path := filepath.Join(t.TempDir(), "callpoint.db")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	times := 1000
	if testing.Short() {
		times = 100
	}
	want, found := contents(t, path, good), 0
	for range times {
		edits := make([]byte, 5*(1+r.IntN(4)))
		for i := range edits {
			edits[i] = byte(r.Uint32())
		}
		switch got := contents(t, path, edited(good, edits)); {
		case got == "":
			found++
		case got != want:
			t.Fatalf("edits %x change what is read, and are not found", edits)
		}
	}
	t.Logf("%d of %d found, the others in pages that are free", found, times)
}

// edited changes a file: each five bytes are a place, and what is there instead. The two
// meta pages stay: where the later is bad, bbolt goes back by one transaction.
func edited(file, edits []byte) []byte {
	b := bytes.Clone(file)
	rest := b[2*os.Getpagesize():]
	for ; len(edits) >= 5; edits = edits[5:] {
		rest[int(binary.BigEndian.Uint32(edits))%len(rest)] ^= edits[4]
	}
	return b
}

// contents is all that can be read of a store; empty where damage was found.
func contents(t testing.TB, path string, file []byte) string {
	t.Helper()
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path, Options{})
	if err != nil {
		return ""
	}
	defer s.Close()
	if problems, err := s.Check(); err != nil || len(problems) > 0 {
		return ""
	}
	var all bytes.Buffer
	each := func(j Journey) bool { fmt.Fprintf(&all, "%+v\n", j.Events); return true }
	if err := s.EachVisitor(each); err != nil {
		return ""
	}
	err = s.EachCall(time.Time{}, goldenAt.AddDate(9, 0, 0), func(c Call, t *Touchpoint) bool { fmt.Fprintf(&all, "%+v %+v\n", c.Call, t != nil); return true })
	if err != nil {
		return ""
	}
	if _, err := s.Add(t.Context(), []mapping.Event{event("after", 1)}, nil); err != nil {
		t.Errorf("a store that is sound takes no write: %v", err)
	}
	return all.String()
}

// FuzzOpen looks for changes of a file that TestDamageAnywhere does not come upon.
func FuzzOpen(f *testing.F) {
	good := victim(f)
	f.Add([]byte{0, 0, 0x10, 0, 0xff})
	f.Add([]byte{0, 0, 0x20, 8, 3, 0, 0, 0x20, 10, 7})
	path := filepath.Join(f.TempDir(), "callpoint.db")
	want := contents(f, path, good)
	f.Fuzz(func(t *testing.T, edits []byte) {
		if got := contents(t, filepath.Join(t.TempDir(), "callpoint.db"), edited(good, edits)); got != "" && got != want {
			t.Errorf("edits %x change what is read, and are not found", edits)
		}
	})
}
