package collector

import (
	"hash/maphash"
	"sync"
)

// repeats remembers the time given to the latest browser requests, so that a request sent
// again gets the time of the first and the store sees a repeat. Two generations, as in
// clientLimits.
type repeats struct {
	seed       maphash.Seed
	mu         sync.Mutex
	young, old map[uint64]int64 // guarded by mu
}

const maxRepeats = 16384 // of one generation

func newRepeats() *repeats {
	return &repeats{seed: maphash.MakeSeed(), young: map[uint64]int64{}}
}

// first returns at, or what was returned for the same request before.
func (r *repeats) first(kind, visitor, url, sequence string, happened, at int64) int64 {
	key := maphash.Comparable(r.seed, struct {
		kind, visitor, url, sequence string
		happened                     int64
	}{kind, visitor, url, sequence, happened})
	r.mu.Lock()
	defer r.mu.Unlock()
	if was, ok := r.young[key]; ok {
		return was
	}
	if was, ok := r.old[key]; ok {
		at = was
	}
	if len(r.young) >= maxRepeats {
		r.old, r.young = r.young, map[uint64]int64{}
	}
	r.young[key] = at
	return at
}
