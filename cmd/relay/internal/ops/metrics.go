package ops

import (
	"log/slog"
	"net/http"
	"runtime"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed73300619/relay/server"
)

// A metric is one of Prometheus's: a name, and a value for each value of its
// label, or one. No label has a UUID, a name or an address in it.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	label      string // empty: it has none, and one value
	values     []value
}

type value struct {
	label string
	of    func(*server.Stats) float64
}

func one(of func(*server.Stats) float64) []value { return []value{{of: of}} }

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// relayMetrics are all metrics of the relay but histograms and closes.
var relayMetrics = []metric{
	{"relay_connections", "Connections that are open, those in their opening handshake included.", gauge, "",
		one(func(s *server.Stats) float64 { return float64(s.Connections) })},
	{"relay_connections_unregistered", "Open connections that have not registered a UUID.", gauge, "",
		one(func(s *server.Stats) float64 { return float64(s.Unregistered) })},
	{"relay_clients", "UUIDs that are registered.", gauge, "",
		one(func(s *server.Stats) float64 { return float64(s.Clients) })},
	{"relay_queue_bytes", "Bytes that wait to be written to clients.", gauge, "",
		one(func(s *server.Stats) float64 { return float64(s.QueuedBytes) })},

	{"relay_connections_total", "Requests for a connection, by what became of them: refused because of too many connections in all, from one address, or without a registration; because the relay was stopping; or because they were none for a WebSocket, or of a foreign origin.", counter, "result", []value{
		{"accepted", func(s *server.Stats) float64 { return float64(s.Accepted) }},
		{"too_many", func(s *server.Stats) float64 { return float64(s.RejectedConnections) }},
		{"too_many_of_address", func(s *server.Stats) float64 { return float64(s.RejectedAddress) }},
		{"too_many_unregistered", func(s *server.Stats) float64 { return float64(s.RejectedUnregistered) }},
		{"stopping", func(s *server.Stats) float64 { return float64(s.RejectedStopping) }},
		{"not_upgraded", func(s *server.Stats) float64 { return float64(s.NotUpgraded) }},
	}},
	{"relay_registrations_total", "Registrations, by what became of them: refused because of too many on one connection or connections of one user; by the authentication; because the UUID is another user's; or because the authentication gave no answer.", counter, "result", []value{
		{"accepted", func(s *server.Stats) float64 { return float64(s.Registrations) }},
		{"too_many_of_connection", func(s *server.Stats) float64 { return float64(s.RefusedRegistrations) }},
		{"too_many_of_user", func(s *server.Stats) float64 { return float64(s.RefusedUser) }},
		{"unauthorized", func(s *server.Stats) float64 { return float64(s.RefusedUnauthorized) }},
		{"forbidden", func(s *server.Stats) float64 { return float64(s.RefusedForbidden) }},
		{"other_user", func(s *server.Stats) float64 { return float64(s.RefusedOwned) }},
		{"auth_failed", func(s *server.Stats) float64 { return float64(s.RefusedAuth) }},
	}},
	{"relay_takeovers_total", "Registrations of a UUID that another connection had; that one is closed with 4004.", counter, "",
		one(func(s *server.Stats) float64 { return float64(s.Takeovers) })},
	{"relay_register_timeouts_total", "Connections closed because they had not registered in time.", counter, "",
		one(func(s *server.Stats) float64 { return float64(s.RegisterTimeouts) })},
	{"relay_write_timeouts_total", "Connections closed because they did not read what was sent to them.", counter, "",
		one(func(s *server.Stats) float64 { return float64(s.WriteTimeouts) })},
	{"relay_throttled_total", "Times that a connection was not read for a while because of its message or byte rate.", counter, "",
		one(func(s *server.Stats) float64 { return float64(s.Throttled) })},

	{"relay_messages_received_total", "Messages of any kind from clients.", counter, "",
		one(func(s *server.Stats) float64 { return float64(s.Received) })},
	{"relay_bytes_received_total", "Bytes of the messages from clients.", counter, "",
		one(func(s *server.Stats) float64 { return float64(s.ReceivedBytes) })},
	{"relay_messages_forwarded_total", "Messages put into the queue of their receiver.", counter, "",
		one(func(s *server.Stats) float64 { return float64(s.Forwarded) })},
	{"relay_bytes_forwarded_total", "Bytes of the messages put into the queue of their receiver.", counter, "",
		one(func(s *server.Stats) float64 { return float64(s.ForwardedBytes) })},
	{"relay_messages_refused_total", "Messages sent back to their sender at once: the receiver is not registered, is another user's, or does not read; the source is not registered on the connection; or the message is too large.", counter, "reason", []value{
		{"unknown_peer", func(s *server.Stats) float64 { return float64(s.BouncedUnknownPeer) }},
		{"other_user", func(s *server.Stats) float64 { return float64(s.BouncedOtherUser) }},
		{"queue_full", func(s *server.Stats) float64 { return float64(s.BouncedUnreadPeer) }},
		{"spoofed", func(s *server.Stats) float64 { return float64(s.BouncedForeignSource) }},
		{"too_large", func(s *server.Stats) float64 { return float64(s.BouncedTooLarge) }},
	}},
	{"relay_messages_returned_total", "Messages forwarded, and sent back to their sender when the receiver left without them.", counter, "",
		one(func(s *server.Stats) float64 { return float64(s.GivenBack) })},
	{"relay_messages_dropped_total", "Messages forwarded, and lost with the receiver because their sender had gone, too.", counter, "",
		one(func(s *server.Stats) float64 { return float64(s.Dropped) })},
}

// A distribution is a histogram of Prometheus's.
type distribution struct {
	name, help, label, value string
	of                       func(*server.Stats) *server.Histogram
}

const authHelp = "Time that the authentication took, by its answer."

var distributions = []distribution{
	{"relay_handshake_seconds", "Time from the request for a connection to the answer to its first registration.", "", "",
		func(s *server.Stats) *server.Histogram { return &s.Handshake }},
	{"relay_auth_seconds", authHelp, "result", "accepted",
		func(s *server.Stats) *server.Histogram { return &s.AuthAccepted }},
	{"relay_auth_seconds", authHelp, "result", "refused",
		func(s *server.Stats) *server.Histogram { return &s.AuthRefused }},
	{"relay_auth_seconds", authHelp, "result", "failed",
		func(s *server.Stats) *server.Histogram { return &s.AuthFailed }},
	{"relay_queue_wait_seconds", "Time from the queue of the receiver to its socket, of one message in 16.", "", "",
		func(s *server.Stats) *server.Histogram { return &s.QueueWait }},
}

var closes = prometheus.NewDesc("relay_closes_total",
	"Connections that have ended, by close code; 1006 is without one, 0 any that has no meaning here.", []string{"code"}, nil)

// A collector gives a relay's figures to Prometheus.
type collector struct{ relay *server.Server }

func (m *metric) desc() *prometheus.Desc { return describe(m.name, m.help, m.label) }

func describe(name, help, label string) *prometheus.Desc {
	if label == "" {
		return prometheus.NewDesc(name, help, nil, nil)
	}
	return prometheus.NewDesc(name, help, []string{label}, nil)
}

func (c collector) Describe(descs chan<- *prometheus.Desc) {
	for i := range relayMetrics {
		descs <- relayMetrics[i].desc()
	}
	for _, d := range distributions {
		descs <- describe(d.name, d.help, d.label)
	}
	descs <- closes
}

func (c collector) Collect(metrics chan<- prometheus.Metric) {
	stats := c.relay.Stats()
	for i := range relayMetrics {
		m := &relayMetrics[i]
		desc := m.desc()
		for _, v := range m.values {
			metrics <- prometheus.MustNewConstMetric(desc, m.kind, v.of(&stats), labels(m.label, v.label)...)
		}
	}
	for _, d := range distributions {
		h := d.of(&stats)
		buckets := make(map[float64]uint64, len(h.Bounds))
		for i, bound := range h.Bounds {
			buckets[bound] = h.Counts[i]
		}
		metrics <- prometheus.MustNewConstHistogram(describe(d.name, d.help, d.label), h.Count, h.Sum, buckets, labels(d.label, d.value)...)
	}
	for code, n := range stats.Closed {
		metrics <- prometheus.MustNewConstMetric(closes, counter, float64(n), strconv.Itoa(code))
	}
}

// labels returns the label values of a metric that has none or one.
func labels(label, value string) []string {
	if label == "" {
		return nil
	}
	return []string{value}
}

// registry has the relay's metrics, those of this process, and what o adds.
func registry(relay *server.Server, h *Handler, o Options) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{relay},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, e := range extras(h, o) {
		opts := prometheus.Opts{Name: e.name, Help: e.help, ConstLabels: e.labels}
		if e.kind == counter {
			r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts(opts), e.of))
		} else {
			r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts), e.of))
		}
	}
	return r
}

// An extra is a metric of what is around the relay.
type extra struct {
	name, help string
	kind       prometheus.ValueType
	labels     prometheus.Labels
	of         func() float64
}

func extras(h *Handler, o Options) []extra {
	list := []extra{
		{"relay_build_info", "Always 1; the labels tell what is running.", gauge,
			prometheus.Labels{"version": o.Version, "go_version": runtime.Version()}, func() float64 { return 1 }},
		{"relay_ready", "1 if /readyz says so, else 0.", gauge, nil, func() float64 {
			if h.state.Load() == serving {
				return 1
			}
			return 0
		}},
	}
	if expiry := o.CertificateExpiry; expiry != nil {
		list = append(list, extra{"relay_certificate_expiry_timestamp_seconds", "When the TLS certificate in use ends, in seconds since 1970.",
			gauge, nil, func() float64 { return float64(expiry().Unix()) }})
	}
	if reloads := o.CertificateReloads; reloads != nil {
		const name, help = "relay_certificate_reloads_total", "Certificates that replaced the one before, and those refused because they were no good."
		list = append(list,
			extra{name, help, counter, prometheus.Labels{"result": "done"}, func() float64 { n, _ := reloads(); return float64(n) }},
			extra{name, help, counter, prometheus.Labels{"result": "refused"}, func() float64 { _, n := reloads(); return float64(n) }})
	}
	if stats := o.Gate; stats != nil {
		list = append(list,
			extra{"relay_gate_handshakes", "Connections that have not asked for an upgrade yet, TLS handshakes included.",
				gauge, nil, func() float64 { return float64(stats().Handshakes) }},
			extra{"relay_gate_accepted_total", "Connections that were let in, before TLS and HTTP.",
				counter, nil, func() float64 { return float64(stats().Accepted) }},
			extra{"relay_gate_delayed_total", "Connections that had to wait for room, or for the rate.",
				counter, nil, func() float64 { return float64(stats().Delayed) }},
			extra{"relay_gate_cut_total", "Connections cut on their way, to make room.",
				counter, nil, func() float64 { return float64(stats().Cut) }})
	}
	return list
}

func metrics(relay *server.Server, h *Handler, o Options) http.Handler {
	return promhttp.HandlerFor(registry(relay, h, o), promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(h.log.Handler(), slog.LevelWarn),
		ErrorHandling: promhttp.HTTPErrorOnError,
	})
}
