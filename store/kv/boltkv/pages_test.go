package boltkv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"callpoint/store/kv"
)

// Pages that refer to each other in a circle, as a disk that lies may leave them, are
// refused at the start: bbolt would follow them until its stack or its memory is used up.
func TestPagesInACircle(t *testing.T) {
	t.Parallel()
	good := victim(t)
	root := readMeta(strings.NewReader(string(good))).root
	for _, n := range usedPages(t, good) {
		for _, to := range []uint64{uint64(n), root} {
			path := filepath.Join(t.TempDir(), "callpoint.db")
			if err := os.WriteFile(path, leadingTo(good, n, to), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(path, testOptions)
			if !errors.Is(err, kv.ErrDamaged) || !strings.Contains(err.Error(), "referred to twice") || !strings.Contains(err.Error(), "restore a backup") {
				t.Errorf("page %d leading to page %d: %v", n, to, err)
			}
		}
	}
}

// leadingTo makes a page a branch with one element: its first key, and a page.
func leadingTo(file []byte, n int, to uint64) []byte {
	b := append([]byte{}, file...)
	at := n * os.Getpagesize()
	p := page{kind: binary.NativeEndian.Uint16(b[at+8:]), count: 1, data: b[at : at+os.Getpagesize()]}
	key, _, _ := p.element(0)
	key = append([]byte{}, key...)
	clear(p.data[10:])
	binary.NativeEndian.PutUint16(p.data[8:], kindBranch)
	binary.NativeEndian.PutUint16(p.data[10:], 1)
	binary.NativeEndian.PutUint32(p.data[pageHeader:], element)
	binary.NativeEndian.PutUint32(p.data[pageHeader+4:], uint32(len(key)))
	binary.NativeEndian.PutUint64(p.data[pageHeader+8:], to)
	copy(p.data[pageHeader+element:], key)
	return b
}

// A page that claims fewer elements than it has would lose the rest in silence.
func TestFewerElementsAreFound(t *testing.T) {
	t.Parallel()
	good := victim(t)
	path := filepath.Join(t.TempDir(), "test.db")
	for _, n := range usedPages(t, good) {
		b := append([]byte{}, good...)
		count := b[n*os.Getpagesize()+10:]
		binary.NativeEndian.PutUint16(count, binary.NativeEndian.Uint16(count)-1)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if db, err := Open(path, testOptions); !errors.Is(err, kv.ErrDamaged) {
			t.Errorf("page %d with one element less: %v", n, err)
			if err == nil {
				db.Close()
			}
		}
	}
}

// The start of a large store reads its inner pages only, and sees what is wrong in them.
func TestInnerPagesAlone(t *testing.T) {
	t.Parallel()
	good := large(t)
	m := readMeta(strings.NewReader(string(good)))
	look := func(file []byte, inner bool) (problems []string, reads int) {
		f := &countingReader{r: strings.NewReader(string(file))}
		w := newWalk(f, m, func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) })
		w.inner = inner
		w.all()
		return problems, f.reads
	}
	problems, all := look(good, false)
	if len(problems) > 0 {
		t.Fatalf("%q", problems)
	}
	problems, some := look(good, true)
	if len(problems) > 0 || some > all/5 {
		t.Errorf("%d reads of %d, found %q", some, all, problems)
	}
	branches, found := 0, 0
	for n := uint64(2); n < m.pages; n++ {
		at := int(n) * os.Getpagesize()
		if binary.NativeEndian.Uint16(good[at+8:]) != kindBranch || binary.NativeEndian.Uint64(good[at:]) != n {
			continue
		}
		branches++
		if problems, _ := look(leadingTo(good, int(n), n), true); len(problems) > 0 {
			found++
		}
	}
	// Those that are not found are no longer in use.
	if t.Logf("%d reads of %d; %d of %d branches found", some, all, found, branches); found == 0 {
		t.Error("no branch that leads to itself was found")
	}
}

type countingReader struct {
	r     io.ReaderAt
	reads int
}

func (c *countingReader) ReadAt(p []byte, at int64) (int, error) {
	c.reads++
	return c.r.ReadAt(p, at)
}

// large is a file with trees of several levels.
func large(t *testing.T) []byte {
	t.Helper()
	db := openTest(t, Options{})
	fill(t, db, 20, 1000)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(db.path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// The verification of the structure does not delay the writer.
func TestStructureBesideWrites(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{})
	fill(t, db, 20, 20)
	f, err := os.Open(db.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var once sync.Once
	problems, err := db.structure(t.Context(), readerAt(func(p []byte, at int64) (int, error) {
		if at >= 2*int64(os.Getpagesize()) { // below are the metas
			once.Do(func() { fill(t, db, 50, 1) }) // many transactions; it hangs if they wait for the check
		}
		return f.ReadAt(p, at)
	}))
	if err != nil || len(problems) > 0 {
		t.Errorf("%q %v", problems, err)
	}
}

type readerAt func(p []byte, at int64) (int, error)

func (r readerAt) ReadAt(p []byte, at int64) (int, error) { return r(p, at) }
