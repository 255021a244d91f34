package boltkv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt trusts the pages of its file: where a damaged one leads back to a page above it, a
// search never ends. So the pages are looked at with nothing trusted, of bbolt's own
// format:
//
//	page     id 8, kind 2, elements 2, further pages 4 | elements | keys and values
//	branch   position 4, key size 4, page 8
//	leaf     flags 4, position 4, key size 4, value size 4; a position counts from its element
//	bucket   a leaf's value: root page 8, sequence 8, and where the root is 0 a leaf page
//	free     the elements are ids; 65535 of them: the first is how many follow

const (
	pageHeader = 16
	element    = 16 // of a branch and of a leaf
	kindBranch = 1
	kindLeaf   = 2
	kindFree   = 16
	// deepest bounds a tree: 20 levels of two pages each would be 4 GiB of one key to a page.
	deepest = 40
)

// A meta is where one transaction begins to read.
type meta struct {
	root, free, pages, transaction uint64
	pageSize                       uint32
}

// readMeta reads the later of bbolt's two meta pages that is sound; a zero meta where
// neither is, which bbolt itself finds.
//
//	page 16 | magic 4, version 4, page size 4, flags 4, root 16, free pages 8,
//	pages 8, transaction 8 | FNV-1a of these 8
func readMeta(f io.ReaderAt) (m meta) {
	for n := range 2 {
		b := make([]byte, 16+64)
		if _, err := f.ReadAt(b, int64(n*os.Getpagesize())); err != nil {
			return meta{}
		}
		b, sum := b[16:], fnv.New64a()
		sum.Write(b[:56])
		u64 := func(at int) uint64 { return binary.NativeEndian.Uint64(b[at:]) }
		if transaction := u64(48); sum.Sum64() == u64(56) && transaction >= m.transaction {
			m = meta{root: u64(16), free: u64(32), pages: u64(40), transaction: transaction, pageSize: binary.NativeEndian.Uint32(b[8:])}
		}
	}
	return m
}

// end is where the last page ends.
func (m meta) end() int64 { return int64(m.pages) * int64(m.pageSize) }

// A walk goes from a root to every page below it.
type walk struct {
	f       io.ReaderAt
	meta    meta
	inner   bool // reads branches alone: their leaves lie all on one level
	reached []bool
	bad     func(format string, args ...any)
}

func newWalk(f io.ReaderAt, m meta, bad func(string, ...any)) *walk {
	return &walk{f: f, meta: m, reached: make([]bool, m.pages), bad: bad}
}

// A page is one that was read, with the pages that continue it.
type page struct {
	id    uint64
	kind  uint16
	count int
	data  []byte
}

// read reads a page, which nothing else may have led to.
func (w *walk) read(id uint64) (p page, err error) {
	if id < 2 || id >= w.meta.pages {
		return p, fmt.Errorf("page %d is referred to, of %d", id, w.meta.pages)
	}
	size := int64(w.meta.pageSize)
	p.data = make([]byte, size)
	if _, err := w.f.ReadAt(p.data, int64(id)*size); err != nil {
		return p, fmt.Errorf("page %d: %w", id, err)
	}
	further := uint64(binary.NativeEndian.Uint32(p.data[12:]))
	p.id, p.kind, p.count = id, binary.NativeEndian.Uint16(p.data[8:]), int(binary.NativeEndian.Uint16(p.data[10:]))
	if said := binary.NativeEndian.Uint64(p.data); said != id || further >= w.meta.pages-id {
		return p, fmt.Errorf("page %d says that it is page %d and %d further", id, said, further)
	}
	for n := id; n <= id+further; n++ {
		if err := w.reach(n); err != nil {
			return p, err
		}
	}
	if further > 0 {
		p.data = make([]byte, size*int64(1+further))
		_, err = w.f.ReadAt(p.data, int64(id)*size)
	}
	return p, err
}

// reach notes that a page was come upon: twice is a circle, or two owners.
func (w *walk) reach(id uint64) error {
	if id >= w.meta.pages || w.reached[id] {
		return fmt.Errorf("page %d is referred to twice", id)
	}
	w.reached[id] = true
	return nil
}

// tree walks a tree, whose keys lie from one key (nil: any) to before another. leaves is
// the level on which its leaves lie, -1 while that is not known.
func (w *walk) tree(id uint64, level int, leaves *int, from, before []byte) {
	if w.inner && level == *leaves {
		if err := w.reach(id); err != nil {
			w.bad("%v", err)
		}
		return
	}
	p, err := w.read(id)
	switch {
	case err != nil:
		w.bad("%v", err)
	case level > deepest:
		w.bad("page %d lies %d levels deep", id, level)
	case p.kind == kindLeaf:
		*leaves = level
		w.leaf(p, from, before)
	case p.kind == kindBranch:
		w.branch(p, level, leaves, from, before)
	default:
		w.bad("page %d is of kind %d", id, p.kind)
	}
}

func (w *walk) branch(p page, level int, leaves *int, from, before []byte) {
	keys, err := p.keys(from, before)
	if err == nil && len(keys) == 0 {
		err = errors.New("a branch without elements")
	}
	if err != nil {
		w.bad("page %d: %v", p.id, err)
		return
	}
	for i, key := range keys {
		end := before
		if i+1 < len(keys) {
			end = keys[i+1]
		}
		w.tree(binary.NativeEndian.Uint64(p.data[pageHeader+i*element+8:]), level+1, leaves, key, end)
	}
}

// leaf looks at a leaf, and walks the trees of the buckets in it.
func (w *walk) leaf(p page, from, before []byte) {
	keys, err := p.keys(from, before)
	if err != nil {
		w.bad("page %d: %v", p.id, err)
		return
	}
	for i, key := range keys {
		if binary.NativeEndian.Uint32(p.data[pageHeader+i*element:]) != 0 { // a bucket
			_, value, _ := p.element(i)
			w.bucket(value, key)
		}
	}
}

func (w *walk) bucket(value, name []byte) {
	if len(value) < 16 {
		w.bad("bucket %q has %d bytes", name, len(value))
		return
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		leaves := -1
		w.tree(root, 0, &leaves, nil, nil)
		return
	}
	value = value[16:]
	if len(value) < pageHeader || binary.NativeEndian.Uint16(value[8:]) != kindLeaf {
		w.bad("bucket %q is no leaf", name)
		return
	}
	w.leaf(page{kind: kindLeaf, count: int(binary.NativeEndian.Uint16(value[10:])), data: value}, nil, nil)
}

// keys are those of a page, which must lie within it and be in order. bbolt writes them
// and the values without a gap, so that a wrong number of elements shows.
func (p page) keys(from, before []byte) (keys [][]byte, err error) {
	next := pageHeader + p.count*element
	if next > len(p.data) {
		return nil, fmt.Errorf("%d elements do not fit", p.count)
	}
	for i := range p.count {
		key, value, at := p.element(i)
		if at != next {
			return nil, fmt.Errorf("element %d lies elsewhere", i)
		}
		next += len(key) + len(value)
		if i == 0 && bytes.Compare(key, from) < 0 || i > 0 && bytes.Compare(key, keys[i-1]) <= 0 || before != nil && bytes.Compare(key, before) >= 0 {
			return nil, fmt.Errorf("key %q is out of order", key)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// element is the key of one, in a leaf its value, and where both begin; -1 is beyond the page.
func (p page) element(i int) (key, value []byte, at int) {
	at = pageHeader + i*element
	e := p.data[at:]
	u32 := func(at int) int { return int(binary.NativeEndian.Uint32(e[at:])) }
	pos, size, length := u32(0), u32(4), 0
	if p.kind == kindLeaf {
		pos, size, length = u32(4), u32(8), u32(12)
	}
	if pos+size+length > len(e) {
		return nil, nil, -1
	}
	return e[pos : pos+size], e[pos+size : pos+size+length], at + pos
}

// all walks everything: each page must be reached once, or be free.
func (w *walk) all() {
	leaves := -1
	w.tree(w.meta.root, 0, &leaves, nil, nil)
	if w.inner {
		return
	}
	free, err := w.free()
	if err != nil {
		w.bad("free pages: %v", err)
		return
	}
	for _, id := range free {
		if err := w.reach(id); err != nil {
			w.bad("free pages: %v", err)
		}
	}
	for id := uint64(2); id < w.meta.pages; id++ {
		if !w.reached[id] {
			w.bad("page %d is neither in use nor free", id)
		}
	}
}

// free reads the list of free pages.
func (w *walk) free() (ids []uint64, err error) {
	p, err := w.read(w.meta.free)
	if err != nil {
		return nil, err
	}
	if p.kind != kindFree {
		return nil, fmt.Errorf("page %d is of kind %d", p.id, p.kind)
	}
	count, at := p.count, pageHeader
	if count == 0xffff {
		count, at = int(min(binary.NativeEndian.Uint64(p.data[at:]), w.meta.pages)), at+8
	}
	if at+8*count > len(p.data) {
		return nil, fmt.Errorf("%d of them do not fit", count)
	}
	for i := range count {
		ids = append(ids, binary.NativeEndian.Uint64(p.data[at+8*i:]))
	}
	return ids, nil
}
