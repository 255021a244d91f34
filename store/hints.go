package store

import (
	"iter"

	"callpoint/store/kv"
)

// The functions of this file announce what a transaction is about to read, so that an
// engine across a network fetches it in few round trips. They do nothing for bbolt.

// hintKeys announces keys of one bucket.
func hintKeys(tx kv.Tx, b kv.Bucket, keys []string) {
	if !kv.Remote(tx) {
		return
	}
	all := make([]kv.Range, 0, len(keys))
	for _, k := range keys {
		all = append(all, kv.Key(b, []byte(k)))
	}
	tx.Hint(all...)
}

// hintRows reads a range, and announces what belongs to each of its keys.
func hintRows(tx kv.Tx, r kv.Range, of func(k []byte) []kv.Range) {
	if !kv.Remote(tx) {
		return
	}
	var all []kv.Range
	for k := range tx.Scan(r) {
		all = append(all, of(k)...)
	}
	tx.Hint(all...)
}

// touchpointKeys are what loadTouchpoint reads, and loadContent.
func touchpointKeys(key []byte, content bool) []kv.Range {
	all := []kv.Range{kv.Key(bTouchpoints, key), kv.Key(bSending, key)}
	if content {
		all = append(all, kv.Key(bContents, key))
	}
	return all
}

// hintTouchpoints announces touchpoints without content.
func hintTouchpoints(tx kv.Tx, keys [][]byte) {
	if !kv.Remote(tx) {
		return
	}
	var all []kv.Range
	for _, k := range keys {
		all = append(all, touchpointKeys(k, false)...)
	}
	tx.Hint(all...)
}

// hintJourneys announces what readJourney reads.
func hintJourneys(tx kv.Tx, keys []string) {
	if !kv.Remote(tx) {
		return
	}
	var all []kv.Range
	for _, k := range keys {
		all = append(all, kv.Key(bDirty, []byte(k)), kv.Key(bPruned, []byte(k)),
			under(bEvents, k), under(bVisits, k), under(bJourneys, k), under(bOwned, k))
	}
	tx.Hint(all...)
	all = nil
	for _, key := range keys {
		for k := range tx.Scan(under(bJourneys, key)) {
			_, id := afterSep(k)
			all = append(append(all, kv.Key(bCalls, id)), touchpointKeys([]byte(CallKey(string(id))), false)...)
		}
		for k := range tx.Scan(under(bOwned, key)) {
			_, id := afterSep(k)
			all = append(all, touchpointKeys(id, false)...)
		}
	}
	tx.Hint(all...)
}

// hintMarks announces what markDirty reads.
func hintMarks(tx kv.Tx, journeys iter.Seq[string]) {
	if !kv.Remote(tx) {
		return
	}
	all := []kv.Range{kv.Key(bMeta, []byte("generation"))}
	for j := range journeys {
		all = append(all, kv.Key(bDirty, []byte(j)))
	}
	tx.Hint(all...)
}

// hintTasks announces what applyTask reads.
func hintTasks(tx kv.Tx, tasks []Call) {
	if !kv.Remote(tx) {
		return
	}
	all := []kv.Range{kv.Key(bMeta, []byte("generation")), kv.Key(bMeta, []byte("salt")), {Bucket: bForgotten, Limit: 1}}
	for i := range tasks {
		all = append(all, kv.Key(bCalls, []byte(tasks[i].TaskID)))
	}
	tx.Hint(all...)
	all = nil
	var salt []byte
	_, _ = get(tx, bMeta, []byte("salt"), &salt) // whoever needs it reports the error
	tombstones := hasAny(tx, kv.Range{Bucket: bForgotten})
	for i := range tasks {
		c := &tasks[i]
		old, _, _ := loadCall(tx, []byte(c.TaskID))
		all = append(all, kv.Key(bDirty, []byte(JourneyKey(c.Visitor, c.TaskID))), kv.Key(bDirty, []byte(JourneyKey(old.Visitor, c.TaskID))))
		if tombstones && c.Visitor != "" {
			all = append(all, kv.Key(bForgotten, digest(salt, c.Visitor)))
			all = append(all, touchpointKeys([]byte(CallKey(c.TaskID)), false)...)
		}
		if who := c.WhoID(); who != "" {
			callers := under(bCallers, who)
			callers.Limit = 1
			all = append(all, kv.Key(bConversions, []byte(who)), callers)
		}
	}
	tx.Hint(all...)
}

// hintCommit announces what commitJourney reads.
func hintCommit(tx kv.Tx, resolved []Resolved) {
	if !kv.Remote(tx) {
		return
	}
	all := []kv.Range{kv.Key(bMeta, []byte("generation"))}
	for i := range resolved {
		r := &resolved[i]
		all = append(all, kv.Key(bDirty, []byte(r.Journey.Key)))
		for _, k := range r.Result.Retract {
			all = append(all, touchpointKeys([]byte(k), false)...)
		}
	}
	tx.Hint(all...)
}

// hintPeople announces what readPerson reads.
func hintPeople(tx kv.Tx, persons []string, limit int) {
	if !kv.Remote(tx) {
		return
	}
	var all []kv.Range
	for _, p := range persons {
		marks := under(bPeopleDirty, p)
		if p == "" {
			marks.Limit = limit
		} else {
			all = append(all, under(bPeople, p), kv.Key(bCrowds, []byte(p)))
		}
		all = append(all, marks)
	}
	tx.Hint(all...)
	all = nil
	visitor := func(journey string) {
		if v := visitorOf(journey); v != "" {
			all = append(all, kv.Key(bSteps, []byte(v)))
		}
	}
	for _, p := range persons {
		if p != "" {
			for k := range tx.Scan(under(bPeople, p)) {
				_, journey, _ := splitFact(k)
				visitor(journey)
			}
			continue
		}
		marks := under(bPeopleDirty, p)
		marks.Limit = limit
		for k := range tx.Scan(marks) {
			_, journey := afterSep(k)
			all = append(all, kv.Prefix(bPeople, factKey(p, string(journey), "")))
			visitor(string(journey))
		}
	}
	tx.Hint(all...)
}

// hintPlaced announces what commitPerson reads.
func hintPlaced(tx kv.Tx, placed []Placed) {
	if !kv.Remote(tx) {
		return
	}
	var all []kv.Range
	for i := range placed {
		p := &placed[i]
		if p.Journey.Followed {
			all = append(all, under(bPeopleDirty, p.Journey.Person))
		}
		for journey := range p.Journey.Marked {
			all = append(all, kv.Key(bPeopleDirty, groupKey(p.Journey.Person, journey)))
		}
		for _, touchpoints := range p.Touchpoints {
			for _, t := range touchpoints {
				all = append(all, touchpointKeys([]byte(t.Key), false)...)
			}
		}
		for j := range p.Delete {
			all = append(all, touchpointKeys([]byte(p.Delete[j].Key), false)...)
		}
	}
	tx.Hint(all...)
}
