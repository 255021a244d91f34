package collector

import (
	"sync"
	"time"
)

// Stats is what has happened since the start, for metrics and health. Every reason is
// present from the start, so that no series appears late.
type Stats struct {
	Events   uint64 // new events stored
	Visits   uint64 // new or changed sessions stored
	Repeated uint64 // records that are stored already, or twice in one body
	Bodies   uint64 // request bodies stored, browser requests among them

	Rejected map[string]uint64 // records refused, by reason
	Bots     map[string]uint64 // records dropped because of their user agent, by reason
	Refused  map[string]uint64 // whole requests refused, by reason

	ConsentRefused uint64    // browser requests whose visitor had refused consent
	LastReceived   time.Time // when the last record was acknowledged; zero: none yet
}

// Why a record is refused. The values are metric labels.
const (
	malformed    = "malformed" // no JSON object, or a value of the wrong type
	duplicateKey = "duplicate_key"
	invalidUTF8  = "invalid_utf8"
	tooLong      = "too_long"
	missing      = "missing"
	badID        = "bad_id"
	badURL       = "bad_url"
	badTime      = "bad_time"
	timeAhead    = "time_ahead"
	timeOld      = "time_old"
	badValue     = "bad_value"
	noConsent    = "no_consent"
)

// Why a request is refused.
const (
	refusedType      = "content_type"
	refusedEncoding  = "content_encoding"
	refusedSize      = "too_large"
	refusedBody      = "unreadable"
	refusedBusy      = "busy"
	refusedRate      = "rate_limit"
	refusedMalformed = "malformed"
	refusedStore     = "store"
)

var (
	rejectReasons = []string{malformed, duplicateKey, invalidUTF8, tooLong, missing, badID, badURL, badTime, timeAhead, timeOld, badValue, noConsent}
	refuseReasons = []string{refusedType, refusedEncoding, refusedSize, refusedBody, refusedBusy, refusedRate, refusedMalformed, refusedStore}
)

type counters struct {
	mu sync.Mutex
	s  Stats // maps hold only reasons that occurred; guarded by mu
}

func (c *counters) add(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s.Rejected == nil {
		c.s.Rejected, c.s.Bots, c.s.Refused = map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
	}
	f(&c.s)
}

func (c *counters) refuse(reason string) { c.add(func(s *Stats) { s.Refused[reason]++ }) }

// Stats returns a copy of the counters.
func (c *Collector) Stats() Stats {
	c.stats.mu.Lock()
	defer c.stats.mu.Unlock()
	s := c.stats.s
	s.Rejected = withReasons(s.Rejected, rejectReasons)
	s.Bots = withReasons(s.Bots, botReasons)
	s.Refused = withReasons(s.Refused, refuseReasons)
	return s
}

func withReasons(counts map[string]uint64, reasons []string) map[string]uint64 {
	m := make(map[string]uint64, len(reasons))
	for _, r := range reasons {
		m[r] = counts[r]
	}
	return m
}
