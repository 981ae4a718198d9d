package ops

import (
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/pathgrant/pathgrant/internal/server"
	"github.com/pathgrant/pathgrant/pkg/authz"
)

// An Adapter is one of the ways in which a question comes. It is a closed set, so that no
// caller can make up a metric's label. The zero Adapter is [Other].
type Adapter uint8

// The adapters.
const (
	// Other is any that is not listed.
	Other Adapter = iota
	// ExtAuthz is Envoy's ext_authz v3.
	ExtAuthz
	// GRPC is our own gRPC service.
	GRPC
	// HTTP is our own HTTP interfaces.
	HTTP
	adapterCount
)

var adapterNames = [adapterCount]string{Other: "other", ExtAuthz: "extauthz", GRPC: "grpc", HTTP: "http"}

// AdapterNamed returns the adapter of that name, or Other.
func AdapterNamed(name string) Adapter {
	switch name {
	case adapterNames[ExtAuthz]:
		return ExtAuthz
	case adapterNames[GRPC]:
		return GRPC
	case adapterNames[HTTP]:
		return HTTP
	default:
		return Other
	}
}

// String returns the adapter's name, as in metrics and the decision log.
func (a Adapter) String() string {
	if a < adapterCount {
		return adapterNames[a]
	}
	return adapterNames[Other]
}

// buckets range from a warm decision, below a microsecond, to a direct question that
// waits for a revision.
var buckets = []float64{
	500e-9, 1e-6, 2.5e-6, 5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6,
	1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1, 5,
}

// reasonCount is how many reasons there are, with the zero one.
const reasonCount = int(authz.Internal) + 1

// Metrics count decisions. They are safe for concurrent use; the nil *Metrics counts
// nothing.
type Metrics struct {
	registry   *prometheus.Registry
	decisions  [adapterCount][reasonCount]prometheus.Counter
	durations  [adapterCount]prometheus.Observer
	adminCalls *prometheus.CounterVec
}

// NewMetrics returns metrics in a registry of their own, with those of the Go runtime and
// the process, and with what status says each time they are read.
func NewMetrics(version string, status func() Status) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}

	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pathgrant_decisions_total",
		Help: "Decisions taken, by effect, reason and adapter.",
	}, []string{"effect", "reason", "adapter"})
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "pathgrant_decision_duration_seconds",
		Help:    "How long decisions took, by adapter.",
		Buckets: buckets,
	}, []string{"adapter"})
	// Every series exists from the start: a rate over one that appears with its first
	// denial would miss that denial.
	for a := range adapterCount {
		m.durations[a] = durations.WithLabelValues(a.String())
		for r := range authz.Reason(reasonCount) {
			m.decisions[a][r] = decisions.WithLabelValues(r.Effect().String(), r.String(), a.String())
		}
	}

	m.adminCalls = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pathgrant_admin_calls_total",
		Help: "Calls of administration over gRPC, by method and code.",
	}, []string{"method", "code"})

	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "pathgrant_build_info",
		Help:        "Always 1; the labels say what was built.",
		ConstLabels: buildLabels(version),
	})
	build.Set(1)
	m.registry.MustRegister(
		decisions, durations, build, m.adminCalls,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newStatusCollector(status),
	)
	return m
}

// Observe counts one decision. It does not allocate. A reason that does not exist counts
// as UNSPECIFIED, an adapter that does not as Other.
func (m *Metrics) Observe(a Adapter, r authz.Reason, d time.Duration) {
	if m == nil {
		return
	}
	if a >= adapterCount {
		a = Other
	}
	if int(r) >= reasonCount {
		r = authz.ReasonUnspecified
	}
	m.decisions[a][r].Inc()
	m.durations[a].Observe(d.Seconds())
}

// ObserveAdmin counts one call of administration. Method and code must come from closed
// sets.
func (m *Metrics) ObserveAdmin(method, code string) {
	if m != nil {
		m.adminCalls.WithLabelValues(method, code).Inc()
	}
}

func buildLabels(version string) prometheus.Labels {
	labels := prometheus.Labels{"version": version, "go_version": "unknown", "commit": "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return labels
	}
	labels["go_version"] = info.GoVersion
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			labels["commit"] = s.Value
		}
	}
	return labels
}

// A statusCollector turns a Status into metrics when they are read, so that nothing is
// counted twice and nothing need be kept in step.
type statusCollector struct {
	status  func() Status
	now     func() time.Time
	metrics []statusMetric
	ready   *prometheus.Desc
	up      *prometheus.Desc
	success *prometheus.Desc
	errors  *prometheus.Desc
}

type statusMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(s *Status, now time.Time) (v float64, known bool)
}

func newStatusCollector(status func() Status) *statusCollector {
	c := &statusCollector{
		status:  status,
		now:     time.Now,
		ready:   prometheus.NewDesc("pathgrant_readiness", "1 for the state that the process is in, 0 for the others.", []string{"state"}, nil),
		up:      prometheus.NewDesc("pathgrant_source_up", "1 if the source of changes is healthy, 0 if not.", []string{"source"}, nil),
		success: prometheus.NewDesc("pathgrant_source_last_success_timestamp_seconds", "When the source was last read without error; absent if never.", []string{"source"}, nil),
		errors:  prometheus.NewDesc("pathgrant_source_errors_total", "What went wrong with the source.", []string{"source"}, nil),
	}
	add := func(name, help string, kind prometheus.ValueType, value func(s *Status, now time.Time) (float64, bool)) {
		c.metrics = append(c.metrics, statusMetric{prometheus.NewDesc(name, help, nil, nil), kind, value})
	}
	counter := func(name, help string, value func(s *Status) uint64) {
		add(name, help, prometheus.CounterValue, func(s *Status, _ time.Time) (float64, bool) { return float64(value(s)), true })
	}
	gauge := func(name, help string, value func(s *Status) uint64) {
		add(name, help, prometheus.GaugeValue, func(s *Status, _ time.Time) (float64, bool) { return float64(value(s)), true })
	}

	gauge("pathgrant_snapshot_epoch", "The epoch of the revision that decisions are taken on; 0: none.", func(s *Status) uint64 { return s.Snapshot.Revision.Epoch })
	gauge("pathgrant_snapshot_revision", "The number of the revision that decisions are taken on.", func(s *Status) uint64 { return s.Snapshot.Revision.Number })
	add("pathgrant_snapshot_age_seconds", "How long ago the snapshot was last known to be the newest; absent if never.", prometheus.GaugeValue, func(s *Status, now time.Time) (float64, bool) {
		return max(now.Sub(s.Snapshot.Proved).Seconds(), 0), !s.Snapshot.Proved.IsZero()
	})
	counter("pathgrant_snapshot_quarantined_total", "Data files set aside as damaged.", func(s *Status) uint64 { return s.Snapshot.Quarantined })
	counter("pathgrant_cache_hits_total", "Views of subjects found in the cache.", func(s *Status) uint64 { return s.Cache.Hits })
	counter("pathgrant_cache_misses_total", "Views of subjects read from disk.", func(s *Status) uint64 { return s.Cache.Misses })
	counter("pathgrant_cache_dropped_total", "Views of subjects that the cache did not take.", func(s *Status) uint64 { return s.Cache.Dropped })
	counter("pathgrant_cache_alarms_total", "Cached answers that differed from the snapshot; after the first the cache is off.", func(s *Status) uint64 { return s.Cache.Alarms })
	gauge("pathgrant_cache_bytes", "Memory that the cache accounts for.", func(s *Status) uint64 { return s.Cache.Bytes })
	counter("pathgrant_identity_cache_hits_total", "Tokens that had been verified before.", func(s *Status) uint64 { return s.Identity.Hits })
	counter("pathgrant_identity_cache_misses_total", "Tokens that had to be verified.", func(s *Status) uint64 { return s.Identity.Misses })
	gauge("pathgrant_identity_key_sets_failing", "Issuers whose keys could not be read the last time.", func(s *Status) (n uint64) {
		for _, k := range s.Identity.Keys {
			if k.Error != "" {
				n++
			}
		}
		return n
	})
	counter("pathgrant_decision_log_written_total", "Entries written to the decision log.", func(s *Status) uint64 { return s.DecisionLog.Written })
	counter("pathgrant_decision_log_dropped_total", "Entries that the decision log had no room for.", func(s *Status) uint64 { return s.DecisionLog.Dropped })
	counter("pathgrant_decision_log_failed_total", "Entries that could not be written to the decision log.", func(s *Status) uint64 { return s.DecisionLog.Failed })
	add("pathgrant_break_glass_assignments", "Break-glass assignments that have not ended; absent without administration, or where they could not be read.", prometheus.GaugeValue, func(s *Status, _ time.Time) (float64, bool) {
		if s.Administration == nil || s.Administration.BreakGlassError != "" {
			return 0, false
		}
		return float64(len(s.Administration.BreakGlass)), true
	})
	add("pathgrant_operator_secrets_wrong_total", "Wrong operator's secrets that were tried; absent without administration.", prometheus.CounterValue, func(s *Status, _ time.Time) (float64, bool) {
		if s.Administration == nil {
			return 0, false
		}
		return float64(s.Administration.WrongSecrets), true
	})
	add("pathgrant_certificate_expiry_timestamp_seconds", "When the TLS certificate expires; absent without TLS.", prometheus.GaugeValue, func(s *Status, _ time.Time) (float64, bool) {
		if s.Certificates == nil {
			return 0, false
		}
		return seconds(s.Certificates.NotAfter), true
	})
	add("pathgrant_certificate_files_valid", "1 if the TLS files on disk are in force, 0 if they are not valid; absent without TLS.", prometheus.GaugeValue, func(s *Status, _ time.Time) (float64, bool) {
		return boolean(s.Certificates != nil && s.Certificates.Error == ""), s.Certificates != nil
	})
	return c
}

// Describe implements prometheus.Collector.
func (c *statusCollector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		out <- m.desc
	}
	for _, desc := range []*prometheus.Desc{c.ready, c.up, c.success, c.errors} {
		out <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *statusCollector) Collect(out chan<- prometheus.Metric) {
	s, now := c.status(), c.now()
	for _, m := range c.metrics {
		if v, known := m.value(&s, now); known {
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, v)
		}
	}
	for _, r := range []server.Readiness{server.NotReady, server.Degraded, server.Ready} {
		state, _ := r.MarshalText() // it never fails
		out <- prometheus.MustNewConstMetric(c.ready, prometheus.GaugeValue, boolean(r == s.Readiness), string(state))
	}
	if s.Source.Name == "" {
		return
	}
	out <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, boolean(s.Source.Healthy), s.Source.Name)
	out <- prometheus.MustNewConstMetric(c.errors, prometheus.CounterValue, float64(s.Source.Errors), s.Source.Name)
	if !s.Source.LastSuccess.IsZero() {
		out <- prometheus.MustNewConstMetric(c.success, prometheus.GaugeValue, seconds(s.Source.LastSuccess), s.Source.Name)
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
