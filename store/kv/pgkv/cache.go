package pgkv

import (
	"bytes"
	"slices"
	"sort"
)

// A cache is what a transaction has read of a bucket and what it is about to write.
type cache struct {
	read    map[string][]byte // nil: the key does not exist
	spans   []span            // sorted by their beginning, without overlap
	written map[string][]byte // nil: deleted
	keys    []string          // of written, sorted
}

// A span is a part of a bucket that was read completely.
type span struct {
	from, to []byte // to is nil for no bound
	rows     []row
}

type row struct{ key, value []byte }

func (s *span) holds(key []byte) bool {
	return bytes.Compare(key, s.from) >= 0 && (s.to == nil || bytes.Compare(key, s.to) < 0)
}

// span returns the span that holds a key; nil if none does.
func (c *cache) span(key []byte) *span {
	i := sort.Search(len(c.spans), func(i int) bool { return bytes.Compare(c.spans[i].from, key) > 0 })
	if i == 0 || !c.spans[i-1].holds(key) {
		return nil
	}
	return &c.spans[i-1]
}

// add keeps a span unless it overlaps another.
func (c *cache) add(s span) {
	if s.from == nil {
		s.from = []byte{}
	}
	i := sort.Search(len(c.spans), func(i int) bool { return bytes.Compare(c.spans[i].from, s.from) >= 0 })
	if i > 0 && c.spans[i-1].holds(s.from) || i < len(c.spans) && (s.to == nil || bytes.Compare(c.spans[i].from, s.to) < 0) {
		return
	}
	c.spans = slices.Insert(c.spans, i, s)
}

// find returns the value of a key as it was read; known is false if it was not read.
func (c *cache) find(key []byte) (value []byte, known bool) {
	if v, ok := c.read[string(key)]; ok {
		return v, true
	}
	s := c.span(key)
	if s == nil {
		return nil, false
	}
	i, ok := slices.BinarySearchFunc(s.rows, key, func(r row, k []byte) int { return bytes.Compare(r.key, k) })
	if !ok {
		return nil, true
	}
	return s.rows[i].value, true
}
