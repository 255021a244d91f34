package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"callpoint/mapping"
	"callpoint/store/kv"
)

// The buckets. doc.go describes their keys. A bucket keeps its number for good.
const (
	bMeta kv.Bucket = iota
	bEvents
	bVisits
	bCalls
	bTimeline
	bJourneys
	bDirty
	bWake
	bTouchpoints
	bContents
	bSending
	bOwned
	bDue
	bParked
	bPersons
	bPruned
	bForgotten
	bReasons
	bReasonsDue
	bGenerations
	bPrunedBefore
	bCallers
	bUnnamed
	bConversions
	bUnasked
	bPersonless
	bUnplaced
	bPeople
	bPeopleDirty
	bSteps
	bCrowds
	bArrivals
)

// buckets are the names of the buckets, by number.
var buckets = []string{
	bMeta: "meta", bEvents: "events", bVisits: "visits", bCalls: "calls", bTimeline: "timeline", bJourneys: "journeys",
	bDirty: "dirty", bWake: "wake", bTouchpoints: "touchpoints", bContents: "contents", bSending: "sending",
	bOwned: "owned", bDue: "due", bParked: "parked", bPersons: "persons", bPruned: "pruned", bForgotten: "forgotten",
	bReasons: "reasons", bReasonsDue: "reasons_due", bGenerations: "generations", bPrunedBefore: "pruned_before",
	bCallers: "callers", bUnnamed: "unnamed", bConversions: "conversions", bUnasked: "unasked", bPersonless: "personless",
	bUnplaced: "unplaced", bPeople: "people", bPeopleDirty: "people_dirty", bSteps: "steps", bCrowds: "crowds", bArrivals: "arrivals",
}

// sealed reports whether the values of a bucket are envelopes: all but those of indexes.
func sealed(b kv.Bucket) bool {
	switch b {
	case bMeta, bEvents, bVisits, bCalls, bTouchpoints, bContents, bPersons, bPruned, bForgotten, bReasons, bConversions, bPeople, bSteps:
		return true
	}
	return false
}

// verifyRow verifies the checksum of a row whose value is an envelope.
func verifyRow(b kv.Bucket, key, value []byte) error {
	if !sealed(b) {
		return nil
	}
	_, err := verify(key, value)
	return err
}

// JourneyKey returns the key of what is resolved together: a visitor, or one call without one.
func JourneyKey(visitor, taskID string) string {
	if visitor != "" {
		return visitor
	}
	return "\x01" + taskID
}

// prefixed joins an id, the separator and the rest of a key.
func prefixed(id string, rest ...[]byte) []byte {
	size := len(id) + 1
	for _, r := range rest {
		size += len(r)
	}
	k := append(append(make([]byte, 0, size), id...), 0)
	for _, r := range rest {
		k = append(k, r...)
	}
	return k
}

// under returns the range of the keys of an id.
func under(b kv.Bucket, id string) kv.Range { return kv.Prefix(b, prefixed(id)) }

// pastID returns the lowest key that follows those of an id, which lie between id 00 and id 01.
func pastID(id []byte) []byte { return append(bytes.Clone(id), 1) }

// pastKey returns the lowest key that follows k.
func pastKey(k []byte) []byte { return append(bytes.Clone(k), 0) }

// eventKey is the same for a repeat: kind, visitor, time, sequence and URL.
func eventKey(e mapping.Event) []byte {
	text := append(append(make([]byte, 0, 512), e.Kind...), 0)
	text = binary.BigEndian.AppendUint64(text, uint64(e.Sequence))
	sum := sha256.Sum256(append(text, e.URL...))
	return prefixed(e.Visitor, timeKey(e.At), sum[:8])
}

// afterSep splits a prefixed key at its separator.
func afterSep(k []byte) (id, rest []byte) {
	id, rest, _ = bytes.Cut(k, []byte{0})
	return id, rest
}

// upTo returns the range of an index by time that ends with the entries of now.
func upTo(b kv.Bucket, now time.Time) kv.Range {
	return kv.Range{Bucket: b, To: timeKey(now.Add(time.Millisecond))}
}

// later returns the range of an index by time that begins after now.
func later(b kv.Bucket, now time.Time) kv.Range {
	return kv.Range{Bucket: b, From: timeKey(now.Add(time.Millisecond))}
}
