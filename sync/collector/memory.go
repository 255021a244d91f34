package collector

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// A budget is how many bytes all bodies in flight may hold together, from the first byte
// that is read to the answer.
type budget struct {
	max  int64
	used atomic.Int64
}

// A charge is what one request holds of a budget.
type charge struct {
	of *budget
	n  int64
}

// take adds n bytes to the charge; false means that the budget has too few left.
func (c *charge) take(n int64) bool {
	if c.of.used.Add(n) > c.of.max {
		c.of.used.Add(-n)
		return false
	}
	c.n += n
	return true
}

// free gives back everything.
func (c *charge) free() {
	c.of.used.Add(-c.n)
	c.n = 0
}

const (
	// recordMemory is what a record takes beside its own bytes.
	recordMemory = 320
	// gzipMemory and zstdMemory are what a decoder takes; a window of zstd has up to 8 MiB.
	gzipMemory = 64 << 10
	zstdMemory = 8 << 20
)

// A gate limits how many bodies of browsers are read at a time, together and from one
// address.
type gate struct {
	max, each int

	mu     sync.Mutex
	inside map[netip.Addr]int // guarded by mu
	total  int                // guarded by mu
}

func newGate(max, each int) *gate {
	return &gate{max: max, each: each, inside: map[netip.Addr]int{}}
}

// enter lets a body of an address in; leave must be called at its end.
func (g *gate) enter(addr netip.Addr) (leave func(), ok bool) {
	addr = network(addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.total >= g.max || g.inside[addr] >= g.each {
		return nil, false
	}
	g.total++
	g.inside[addr]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.total--
		if g.inside[addr]--; g.inside[addr] == 0 {
			delete(g.inside, addr)
		}
	}, true
}
