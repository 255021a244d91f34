package monitor

import (
	"fmt"
	"sync"
	"time"
)

// Status of a check, and of the whole.
type Status string

const (
	OK       Status = "ok"
	Degraded Status = "degraded"
	Failing  Status = "failing"
)

// A Check says how one thing stands, and since when.
type Check struct {
	Name   string    `json:"name"`
	Status Status    `json:"status"`
	Detail string    `json:"detail"`
	Since  time.Time `json:"since"`
}

// Health is the answer of /healthz.
type Health struct {
	Status Status  `json:"status"`
	Checks []Check `json:"checks"`
}

// A Probe measures one thing now: its status and a plain sentence.
type Probe struct {
	Name    string
	Measure func(now time.Time) (Status, string)
}

// prober remembers since when each check has stood as it stands.
type prober struct {
	mu     sync.Mutex
	probes []Probe
	stood  map[string]Check
}

func (p *prober) health(now time.Time) Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := Health{Status: OK}
	for _, probe := range p.probes {
		status, detail := probe.Measure(now)
		c, ok := p.stood[probe.Name]
		if !ok || c.Status != status {
			c = Check{Name: probe.Name, Status: status, Since: now.UTC()}
		}
		c.Detail = detail
		p.stood[probe.Name] = c
		h.Checks = append(h.Checks, c)
		h.Status = worse(h.Status, status)
	}
	return h
}

func worse(a, b Status) Status {
	rank := map[Status]int{OK: 0, Degraded: 1, Failing: 2}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// ago is a duration as a person says it.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}
