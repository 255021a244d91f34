package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"callpoint/mapping"
)

// The buckets. doc.go draws their keys.
var (
	bMeta        = []byte("meta")
	bEvents      = []byte("events")
	bVisits      = []byte("visits")
	bCalls       = []byte("calls")
	bTimeline    = []byte("timeline")
	bJourneys    = []byte("journeys")
	bDirty       = []byte("dirty")
	bWake        = []byte("wake")
	bTouchpoints = []byte("touchpoints")
	bContents    = []byte("contents")
	bSending     = []byte("sending")
	bOwned       = []byte("owned")
	bDue         = []byte("due")
	bParked      = []byte("parked")
	bPersons     = []byte("persons")
	bPruned      = []byte("pruned")
	bForgotten   = []byte("forgotten")
	bReasons     = []byte("reasons")
	bUntold      = []byte("untold")
	bCallers     = []byte("callers")
	bUnnamed     = []byte("unnamed")
	bConversions = []byte("conversions")
	bUnasked     = []byte("unasked")
	bPersonless  = []byte("personless")
	bUnplaced    = []byte("unplaced")

	buckets = [][]byte{bMeta, bEvents, bVisits, bCalls, bTimeline, bJourneys, bDirty, bWake,
		bTouchpoints, bContents, bSending, bOwned, bDue, bParked, bPersons, bPruned, bForgotten,
		bReasons, bUntold, bCallers, bUnnamed, bConversions, bUnasked, bPersonless, bUnplaced}
)

// sealed says whether the values of a bucket are envelopes: all but those of indexes.
func sealed(bucket []byte) bool {
	switch string(bucket) {
	case "meta", "events", "visits", "calls", "touchpoints", "contents", "persons", "pruned", "forgotten", "reasons", "conversions":
		return true
	}
	return false
}

// JourneyKey names what is resolved together: a visitor, or one call without one.
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

// eventKey is the same for a repeat: kind, visitor, time, sequence and URL.
func eventKey(e mapping.Event) []byte {
	text := append(append(make([]byte, 0, 512), e.Kind...), 0)
	text = binary.BigEndian.AppendUint64(text, uint64(e.Sequence))
	sum := sha256.Sum256(append(text, e.URL...))
	return prefixed(e.Visitor, timeKey(e.At), sum[:8])
}

// afterSep gives what follows the separator of a prefixed key.
func afterSep(k []byte) (id, rest []byte) {
	id, rest, _ = bytes.Cut(k, []byte{0})
	return id, rest
}
