package salesforce

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Usage is the org's consumption of API calls in the last 24 hours, by everybody.
type Usage struct {
	Used, Max int       // Used may exceed Max: the limit is soft
	At        time.Time // when the org said so; zero: never yet
}

// dateSamples is how many answers the org's clock is taken from.
const dateSamples = 9

// meter keeps the headers of the answers that concern the whole org.
type meter struct {
	mu      sync.Mutex
	usage   Usage
	offsets []time.Duration // of the org's clock from ours, by the last answers; the newest is the last
}

func (m *meter) note(header http.Header, begin, end time.Time) {
	used, most, ok := parseUsage(header.Get("Sforce-Limit-Info"))
	date, err := http.ParseTime(header.Get("Date"))
	m.mu.Lock()
	defer m.mu.Unlock()
	if ok {
		m.usage = Usage{used, most, end}
	}
	if err == nil {
		// Date was cut to the second somewhere between begin and end.
		if len(m.offsets) == dateSamples {
			m.offsets = append(m.offsets[:0], m.offsets[1:]...)
		}
		m.offsets = append(m.offsets, date.Add(500*time.Millisecond).Sub(begin.Add(end.Sub(begin)/2)))
	}
}

// parseUsage finds api-usage=25/15000 among the parts of Sforce-Limit-Info;
// others, such as per-app-api-usage, may stand around it.
func parseUsage(header string) (used, most int, ok bool) {
	for part := range strings.SplitSeq(header, ";") {
		for part := range strings.SplitSeq(part, ",") {
			value, found := strings.CutPrefix(strings.TrimSpace(part), "api-usage=")
			a, b, cut := strings.Cut(value, "/")
			if !found || !cut {
				continue
			}
			used, err1 := strconv.Atoi(strings.TrimSpace(a))
			most, err2 := strconv.Atoi(strings.TrimSpace(b))
			if err1 == nil && err2 == nil && used >= 0 && most > 0 {
				return used, most, true
			}
		}
	}
	return 0, 0, false
}

// Usage returns the API calls that the org reported last.
func (c *Client) Usage() Usage {
	c.meter.mu.Lock()
	defer c.meter.mu.Unlock()
	return c.meter.usage
}

// ServerClock returns how far the org's clock is ahead of ours, to about a second, by the
// Date headers of the last answers: their median, so that no single answer decides. known is
// false if there were none.
func (c *Client) ServerClock() (ahead time.Duration, known bool) {
	c.meter.mu.Lock()
	defer c.meter.mu.Unlock()
	if len(c.meter.offsets) == 0 {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(c.meter.offsets))
	return sorted[len(sorted)/2], true
}

// lastDate returns how far the newest answer's Date was ahead of our clock.
func (m *meter) lastDate() (ahead time.Duration, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.offsets) == 0 {
		return 0, false
	}
	return m.offsets[len(m.offsets)-1], true
}
