package monitor

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"callpoint/store"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Collected is what the collector counted since the start. Its maps hold every reason
// from the start, so that no series appears late.
type Collected struct {
	Events, Visits, Repeated, Bodies uint64
	Rejected, Bots, Refused          map[string]uint64
	ConsentRefused                   uint64
	LastReceived                     time.Time
}

// metrics are counted as things happen; gauges are read when they are collected.
type metrics struct {
	registry *prometheus.Registry
	cycles   *prometheus.CounterVec
	duration prometheus.Histogram
	records  *prometheus.CounterVec
	api      *prometheus.CounterVec
}

// Label values. An unknown one counts as "other": a series must not follow from input.
var (
	apiOps = []string{"login", "query", "query_more", "query_many", "upsert", "update", "delete", "describe", "limits", "organization", "other"}
	// By class, because a single status is the log's matter.
	apiOutcomes = []string{"2xx", "3xx", "4xx", "5xx", "none"}
	recordKinds = []string{"tasks_read", "tasks_changed", "calls_resolved", "calls_matched", "touchpoints_written", "touchpoints_unchanged", "values_cut"}
)

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		cycles:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "callpoint_sync_cycles_total", Help: "Cycles that ended, by outcome."}, []string{"outcome"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "callpoint_sync_cycle_duration_seconds", Help: "How long a cycle took.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}}),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "callpoint_sync_records_total", Help: "What cycles did, in records."}, []string{"what"}),
		api: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "callpoint_salesforce_requests_total", Help: "HTTP requests to Salesforce, by operation and class of status."},
			[]string{"operation", "status"}),
	}
	for _, outcome := range []string{"success", "failure"} {
		m.cycles.WithLabelValues(outcome)
	}
	for _, what := range recordKinds {
		m.records.WithLabelValues(what)
	}
	for _, op := range apiOps {
		for _, status := range apiOutcomes {
			m.api.WithLabelValues(op, status)
		}
	}
	m.registry.MustRegister(m.cycles, m.duration, m.records, m.api, &standingMetrics{s},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) cycle(c Cycle) {
	outcome := "success"
	if c.Error != "" {
		outcome = "failure"
	}
	m.cycles.WithLabelValues(outcome).Inc()
	m.duration.Observe(c.DurationSeconds)
	for i, n := range []int{c.TasksRead, c.TasksChanged, c.Calls, c.Matched, c.TouchpointsWritten, c.TouchpointsUnchanged, c.ValuesCut} {
		m.records.WithLabelValues(recordKinds[i]).Add(float64(n))
	}
}

// APICall counts one HTTP request to Salesforce; status 0 means that no answer came.
func (s *Server) APICall(op string, status int) {
	if !slices.Contains(apiOps, op) {
		op = "other"
	}
	class := "none"
	if i := status / 100; i >= 2 && i <= 5 {
		class = strconv.Itoa(i) + "xx"
	}
	s.metrics.api.WithLabelValues(op, class).Inc()
}

func (s *Server) metricsHandler() http.Handler {
	return promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{})
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("callpoint_"+name, help, labels, nil)
}

var (
	descBuild    = desc("build_info", "1, with the version of this build.", "version", "revision", "goversion")
	descUp       = desc("healthy", "1 while /healthz answers 200.")
	descCheck    = desc("check_status", "How a check of /healthz stands: 0 ok, 1 degraded, 2 failing.", "check")
	descSuccess  = desc("sync_last_success_timestamp_seconds", "When the last complete cycle ended.")
	descCursor   = desc("sync_cursor_timestamp_seconds", "Up to which stamp Tasks have been read.")
	descWritten  = desc("sync_last_write_timestamp_seconds", "When a record was last written to Salesforce.")
	descOldest   = desc("sync_oldest_due_timestamp_seconds", "Since when the oldest touchpoint waits to be sent; 0 if none does.")
	descBacklog  = desc("sync_backlog_records", "What waits, by kind: touchpoints due, touchpoints parked, touchpoints without a person, visitors to resolve.", "kind")
	descRate     = desc("match_rate_ratio", "Share of calls with a BizibleId that were matched to a session, within 7 days.")
	descRated    = desc("match_rate_calls", "Calls that the match rate is about.")
	descUsed     = desc("salesforce_api_requests_used", "API requests of the org within 24 hours, by everybody, as Salesforce says.")
	descMax      = desc("salesforce_api_requests_limit", "API requests that the org may make within 24 hours.")
	descOwn      = desc("salesforce_api_budget_used", "Counted API requests of callpoint within 24 hours.")
	descBudget   = desc("salesforce_api_budget_limit", "What CALLPOINT_API_BUDGET allows within 24 hours.")
	descReceived = desc("ingest_last_event_timestamp_seconds", "When the last event was collected.")
	descIngest   = desc("ingest_records_total", "Records that the collector took, by outcome.", "outcome")
	descRejected = desc("ingest_rejected_total", "Records refused, by reason.", "reason")
	descBots     = desc("ingest_bots_total", "Records dropped as a bot's, by reason.", "reason")
	descRefused  = desc("ingest_refused_requests_total", "Whole requests refused, by reason.", "reason")
	descLeads    = desc("leads", "1 while this instance leads; always 1 where the store is a file.")
	descTerm     = desc("leader_term", "Term of the leader, which grows with each change of it; 0 where the store is a file.")
	descSpool    = desc("spool_bytes", "Bytes of events that wait in the spool.")
	descSpooled  = desc("spool_oldest_timestamp_seconds", "When the oldest batch in the spool was written; 0 if it is empty.")
	descConsent  = desc("ingest_consent_refused_total", "Requests dropped because the visitor had refused consent.")
)

// standingMetrics reads the gauges. It touches neither store nor network.
type standingMetrics struct{ s *Server }

func (c *standingMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descBuild, descUp, descCheck, descSuccess, descCursor, descWritten, descOldest, descBacklog, descRate, descRated,
		descUsed, descMax, descOwn, descBudget, descReceived, descIngest, descRejected, descBots, descRefused, descConsent, descLeads, descTerm, descSpool, descSpooled} {
		ch <- d
	}
}

func (c *standingMetrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	s := c.s
	h := s.Health()
	b := s.cfg.Build
	gauge(descBuild, 1, b.Version, b.Revision, b.Go)
	up := 1.0
	if h.Status == Failing {
		up = 0
	}
	gauge(descUp, up)
	for _, check := range h.Checks {
		gauge(descCheck, map[Status]float64{OK: 0, Degraded: 1, Failing: 2}[check.Status], check.Name)
	}
	s.mu.Lock()
	f, past := s.facts, s.history
	s.mu.Unlock()
	gauge(descSuccess, unix(past.Success))
	gauge(descCursor, unix(f.cursor))
	gauge(descWritten, unix(past.Written))
	gauge(descOldest, oldest(f.backlog))
	gauge(descBacklog, float64(f.backlog.Due), "due")
	gauge(descBacklog, float64(f.backlog.Parked), "parked")
	gauge(descBacklog, float64(f.backlog.NoPerson), "no_person")
	gauge(descBacklog, float64(f.backlog.Dirty), "unresolved")
	gauge(descRate, f.recent.rate())
	gauge(descRated, float64(f.recent.counted))
	budget := s.cfg.Engine.Budget()
	gauge(descUsed, float64(budget.OrgUsed))
	gauge(descMax, float64(budget.OrgMax))
	gauge(descOwn, float64(budget.Used))
	gauge(descBudget, float64(budget.Limit))
	var in Collected
	if s.cfg.Collected != nil {
		in = s.cfg.Collected()
	}
	leads, term := 1.0, int64(0)
	if l := s.leading(); l != nil {
		if term = l.Term; !l.Mine {
			leads = 0
		}
	}
	gauge(descLeads, leads)
	gauge(descTerm, float64(term))
	var spool Spooled
	if sp := s.spooled(); sp != nil {
		spool = *sp
	}
	gauge(descSpool, float64(spool.Bytes))
	gauge(descSpooled, unix(spool.Oldest))
	gauge(descReceived, unix(past.Received))
	counter(descIngest, in.Events, "event")
	counter(descIngest, in.Visits, "session")
	counter(descIngest, in.Repeated, "repeated")
	counter(descConsent, in.ConsentRefused)
	for d, byReason := range map[*prometheus.Desc]map[string]uint64{descRejected: in.Rejected, descBots: in.Bots, descRefused: in.Refused} {
		for reason, n := range byReason {
			counter(d, n, reason)
		}
	}
}

func oldest(b store.Backlog) float64 {
	if b.Due == 0 {
		return 0
	}
	return unix(b.OldestDue)
}

// unix is 0 for a time that never was.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
