package relayprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed73300619/relay/observe"
)

// Collector gives the figures of clients to Prometheus. Make one with [New].
type Collector struct {
	clients *observe.Clients
	metrics []observe.Metric
	descs   []*prometheus.Desc // of metrics
}

var _ prometheus.Collector = (*Collector)(nil)

// New returns a collector of the clients that are in clients when a scrape comes,
// to be registered once. It panics if clients is nil.
func New(clients *observe.Clients) *Collector {
	if clients == nil {
		panic("relayprom: New: nil clients")
	}
	c := &Collector{clients: clients, metrics: observe.Metrics()}
	for _, m := range c.metrics {
		labels := append([]string{"client", "relay"}, m.Labels...)
		c.descs = append(c.descs, prometheus.NewDesc(m.Name, m.Help, labels, nil))
	}
	return c
}

// Describe is for the registry.
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range c.descs {
		descs <- desc
	}
}

// Collect is for the registry, at every scrape. It may be called concurrently, and
// delays no client.
func (c *Collector) Collect(metrics chan<- prometheus.Metric) {
	for _, sum := range c.clients.Sums() {
		for i, m := range c.metrics {
			kind := prometheus.CounterValue
			if m.Kind == observe.Gauge {
				kind = prometheus.GaugeValue
			}
			for _, point := range m.Points {
				labels := append([]string{sum.Name, sum.Relay}, point.Values...)
				metrics <- prometheus.MustNewConstMetric(c.descs[i], kind, point.Of(&sum), labels...)
			}
		}
	}
}
