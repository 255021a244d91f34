package salesforce

import (
	"net/http"
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

// meter keeps what the headers of the answers tell.
type meter struct {
	mu     sync.Mutex
	usage  Usage
	offset time.Duration
	heard  bool
}

func (m *meter) hear(header http.Header, begin, end time.Time) {
	used, most, ok := parseUsage(header.Get("Sforce-Limit-Info"))
	date, err := http.ParseTime(header.Get("Date"))
	m.mu.Lock()
	defer m.mu.Unlock()
	if ok {
		m.usage = Usage{used, most, end}
	}
	if err == nil {
		// Date was cut to the second somewhere between begin and end.
		m.offset = date.Add(500 * time.Millisecond).Sub(begin.Add(end.Sub(begin) / 2))
		m.heard = true
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

// Usage returns what the org last said about its API calls.
func (c *Client) Usage() Usage {
	c.meter.mu.Lock()
	defer c.meter.mu.Unlock()
	return c.meter.usage
}

// ServerClock returns how far the org's clock is ahead of ours, to about a
// second, and whether any answer has told.
func (c *Client) ServerClock() (ahead time.Duration, known bool) {
	c.meter.mu.Lock()
	defer c.meter.mu.Unlock()
	return c.meter.offset, c.meter.heard
}
