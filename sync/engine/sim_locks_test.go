package engine_test

import (
	"encoding/json"
	"maps"
	"sync"

	"callpoint/sync/orgsim"
	"callpoint/sync/salesforce"
)

// simLocks are the records that calls under way hold. Two calls that need the same one
// would fight for it in a real org: that is a mistake of the engine.
type simLocks struct {
	fail func(format string, args ...any)

	mu    sync.Mutex
	held  map[string]bool // guarded by mu
	calls int             // guarded by mu
	most  int             // calls at once; guarded by mu
}

// take locks records for a call, and gives the way to let go of them.
func (l *simLocks) take(parents map[string]bool) (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[string]bool{}
	}
	for p := range parents {
		if l.held[p] {
			l.fail("two calls at once need %s", p)
		}
		l.held[p] = true
	}
	l.calls++
	l.most = max(l.most, l.calls)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.calls--
		for p := range parents {
			delete(l.held, p)
		}
	}
}

// underWay is how many calls there are at present.
func (l *simLocks) underWay() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

// parents are what the org locks for these records: each itself, its person by key, the
// Lead and the Contact.
func (o *simOrg) parents(batches []salesforce.Batch) map[string]bool {
	all := map[string]bool{}
	add := func(v any) {
		if s, ok := v.(string); ok && s != "" {
			all[s] = true
		}
	}
	person := func(v any) {
		id, _ := v.(string)
		if p, ok := o.org.Get(orgsim.Person, id); ok {
			add(p[uniqueID])
		}
	}
	masters := map[any]any{} // by key: the persons of records that exist
	for _, r := range o.org.Records(orgsim.Touchpoint) {
		masters[r[uniqueID]] = r[personField]
	}
	for _, b := range batches {
		for _, row := range b.Records {
			r := maps.Clone(row.Fields)
			if row.Content != nil {
				_ = json.Unmarshal(row.Content, &r) // Upsert says so
			}
			add(r[uniqueID])
			add(r["bizible2__Lead__c"])
			add(r["bizible2__Contact__c"])
			person(r["bizible2__Bizible_Person__c"])
			if b.Object == orgsim.Touchpoint {
				person(masters[r[uniqueID]]) // an update does not name it
			}
			if b.Object == orgsim.Person {
				person(r["Id"])
			}
			if by, ok := r["bizible2__Bizible_Person__r"].(map[string]any); ok {
				add(by[uniqueID])
			}
		}
	}
	return all
}

// noRepeats fails where a record is twice in one request.
func (o *simOrg) noRepeats(batches []salesforce.Batch) {
	seen := map[any]bool{}
	for _, b := range batches {
		for _, r := range b.Records {
			if key := r.Fields[uniqueID]; seen[key] {
				o.locks.fail("%s is twice in one request", key)
			} else {
				seen[key] = true
			}
		}
	}
}
