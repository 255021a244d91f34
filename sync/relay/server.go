package relay

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"callpoint/sync/spool"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Status of a check, and of the whole, in the words of the main callpoint's /healthz.
type Status string

const (
	OK       Status = "ok"
	Degraded Status = "degraded"
	Failing  Status = "failing"
)

// A Check is one line of the health report.
type Check struct {
	Name   string    `json:"name"`
	Status Status    `json:"status"`
	Detail string    `json:"detail"`
	Since  time.Time `json:"since"`
}

// Health is the answer of /healthz.
type Health struct {
	Status   Status  `json:"status"`
	State    string  `json:"state"`
	Headline string  `json:"headline"`
	Checks   []Check `json:"checks"`
}

// clockTolerance is how far the clocks of the relay and of the main callpoint may differ.
// At 10 minutes the main callpoint refuses events as lying in the future.
const clockTolerance = 2 * time.Minute

// Server answers what watches a relay asks: liveness, readiness, health and metrics.
type Server struct {
	spool   *spool.Spool
	forward *Forwarder
	host    string
	now     func() time.Time

	mu     sync.Mutex
	checks map[string]Check // by name, as reported last; guarded by mu
}

// NewServer returns a Server.
func NewServer(s *spool.Spool, f *Forwarder, now func() time.Time) *Server {
	return &Server{spool: s, forward: f, host: f.cfg.URL.Host, now: now, checks: map[string]Check{}}
}

// Routes adds the endpoints to mux.
func (s *Server) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.Handle("GET /metrics", s.metrics())
}

// readyz is 200 while an event can be acknowledged: forwarded or spooled.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := s.spool.Writable(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	h := s.Health()
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if h.Status == Failing {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(h)
}

// Health reports the state of the relay.
func (s *Server) Health() Health {
	st, now := s.spool.Stats(), s.now().UTC()
	writable := s.spool.Writable()
	h := Health{Status: OK, State: "working", Headline: "Page views are forwarded to " + s.host + "."}

	forward, detail := OK, "the main callpoint at "+s.host+" accepts events"
	if st.Away != nil {
		forward, detail = Degraded, st.Away.Error()
		h.State = "attention"
		h.Headline = fmt.Sprintf("The main callpoint at %s does not accept events since %s: they are kept on this machine's disk.",
			s.host, st.AwaySince.Format("2006-01-02 15:04 MST"))
	}
	h.add(s.check("forward", forward, detail, now))

	spooled, detail := OK, "empty"
	if st.Bytes > 0 {
		spooled, detail = Degraded, fmt.Sprintf("%d of %d bytes used, the oldest batch is of %s", st.Bytes, st.Max, st.Oldest.Format(time.RFC3339))
	}
	if st.Aside > 0 {
		spooled, detail = Degraded, fmt.Sprintf("%s; %d files with undeliverable batches were set aside in the spool's folder", detail, st.Aside)
	}
	if writable != nil {
		spooled, detail = Failing, writable.Error()
		h.State, h.Headline = "attention", "Page views are being lost: the main callpoint does not accept them and the spool takes no more."
	}
	h.add(s.check("spool", spooled, detail, now))

	clock, detail := OK, "not compared yet"
	if off, known := s.forward.ClockOffset(); known {
		detail = "agrees with the main callpoint"
		if off.Abs() > clockTolerance {
			clock, detail = Degraded, fmt.Sprintf("this machine and the main callpoint differ by %s: set both by NTP", off.Abs().Round(time.Second))
			if h.State == "working" {
				h.State, h.Headline = "attention", "Page views are forwarded, but the clocks of the two machines differ."
			}
		}
	}
	h.add(s.check("clock", clock, detail, now))

	rejected, detail := OK, "none"
	if _, n := s.forward.Counts(); n > 0 {
		rejected, detail = Degraded, fmt.Sprintf("the main callpoint rejected %d records since the start; its log and this one name the reasons", n)
	}
	h.add(s.check("rejected", rejected, detail, now))
	return h
}

func (h *Health) add(c Check) {
	h.Checks = append(h.Checks, c)
	rank := map[Status]int{OK: 0, Degraded: 1, Failing: 2}
	if rank[c.Status] > rank[h.Status] {
		h.Status = c.Status
	}
}

// check returns a check with the time since which it has its status.
func (s *Server) check(name string, status Status, detail string, now time.Time) Check {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.checks[name]
	if !ok || c.Status != status {
		c = Check{Name: name, Status: status, Since: now}
	}
	c.Detail = detail
	s.checks[name] = c
	return c
}

// metrics returns the Prometheus endpoint.
func (s *Server) metrics() http.Handler {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	counter := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value)
	}
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		gauge("callpoint_spool_bytes", "Bytes of events that wait in the spool.", func() float64 { return float64(s.spool.Stats().Bytes) }),
		gauge("callpoint_spool_oldest_timestamp_seconds", "When the oldest batch in the spool was written; 0 if it is empty.", func() float64 {
			if at := s.spool.Stats().Oldest; !at.IsZero() {
				return float64(at.UnixMilli()) / 1000
			}
			return 0
		}),
		gauge("callpoint_healthy", "1 while /healthz answers 200.", func() float64 {
			if s.Health().Status == Failing {
				return 0
			}
			return 1
		}),
		counter("callpoint_forward_accepted_total", "Records that the main callpoint accepted.", func() float64 { n, _ := s.forward.Counts(); return float64(n) }),
		counter("callpoint_forward_rejected_total", "Records that the main callpoint rejected.", func() float64 { _, n := s.forward.Counts(); return float64(n) }),
	)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}
