package relayotel

import (
	"context"
	"errors"
	"net/url"
	"strconv"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed73300619/relay/observe"
)

// scope is the name of the instrumentation.
const scope = "github.com/seed73300619/relay/observe/relayotel"

// system is the value of messaging.system.
const system = "proxystore_relay"

// Providers are where metrics and spans go. A field that is nil stands for the
// global provider of package otel.
type Providers struct {
	Meter  metric.MeterProvider
	Tracer trace.TracerProvider
}

func (p Providers) meter() metric.Meter {
	if p.Meter == nil {
		return otel.Meter(scope)
	}
	return p.Meter.Meter(scope)
}

func (p Providers) tracer() trace.Tracer {
	if p.Tracer == nil {
		return otel.Tracer(scope)
	}
	return p.Tracer.Tracer(scope)
}

// semantic are the names that OpenTelemetry's conventions for messaging have for
// metrics of ours, and what their attribute messaging.operation.name says.
var semantic = map[string]struct{ name, operation string }{
	"relay_client_messages_sent_total":     {"messaging.client.sent.messages", "send"},
	"relay_client_messages_received_total": {"messaging.client.consumed.messages", "receive"},
}

// Register lets the provider of metrics read the figures of the clients that are in
// clients whenever it collects. Unregister the result when that is to end. Nothing
// here depends on tracing.
func Register(clients *observe.Clients, p Providers) (metric.Registration, error) {
	if clients == nil {
		return nil, errors.New("relayotel: Register: nil clients")
	}
	meter := p.meter()
	var instruments []instrument
	var observables []metric.Observable
	for _, m := range observe.Metrics() {
		i, err := newInstrument(meter, m)
		if err != nil {
			return nil, err
		}
		instruments = append(instruments, i)
		observables = append(observables, i.observable)
	}
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, sum := range clients.Sums() {
			common := append(server(sum.Relay), attribute.String("relay.client.name", sum.Name), attribute.String("relay.address", sum.Relay))
			for _, i := range instruments {
				i.observe(o, &sum, common)
			}
		}
		return nil
	}, observables...)
}

// instrument is a metric as OpenTelemetry has it: counters and numbers of things
// are integers, times are not.
type instrument struct {
	points     []observe.Point
	attributes [][]attribute.KeyValue // of each point
	observable metric.Observable
	integer    metric.Int64Observable
	float      metric.Float64Observable
}

func newInstrument(meter metric.Meter, m observe.Metric) (i instrument, err error) {
	name, operation := m.Dotted(), ""
	if known, ok := semantic[m.Name]; ok {
		name, operation = known.name, known.operation
	}
	i.points = m.Points
	for _, point := range m.Points {
		var attributes []attribute.KeyValue
		if operation != "" {
			attributes = append(attributes, attribute.String("messaging.system", system), attribute.String("messaging.operation.name", operation))
		}
		for at, label := range m.Labels {
			attributes = append(attributes, attribute.String(label, point.Values[at]))
		}
		i.attributes = append(i.attributes, attributes)
	}
	description, unit := metric.WithDescription(m.Help), metric.WithUnit(m.Unit)
	switch {
	case m.Kind == observe.Counter:
		i.integer, err = meter.Int64ObservableCounter(name, description, unit)
		i.observable = i.integer
	case m.Unit == "s":
		i.float, err = meter.Float64ObservableGauge(name, description, unit)
		i.observable = i.float
	default: // what can be added up over clients
		i.integer, err = meter.Int64ObservableUpDownCounter(name, description, unit)
		i.observable = i.integer
	}
	return i, err
}

func (i *instrument) observe(o metric.Observer, sum *observe.Sum, common []attribute.KeyValue) {
	for at, point := range i.points {
		attributes := metric.WithAttributeSet(attribute.NewSet(append(i.attributes[at][:len(i.attributes[at]):len(i.attributes[at])], common...)...))
		if i.float != nil {
			o.ObserveFloat64(i.float, point.Of(sum), attributes)
		} else {
			o.ObserveInt64(i.integer, int64(point.Of(sum)), attributes)
		}
	}
}

// server returns the attributes for where a relay is.
func server(address string) []attribute.KeyValue {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return []attribute.KeyValue{attribute.String("server.address", address)}
	}
	port := 80
	if u.Scheme == "wss" {
		port = 443
	}
	if n, err := strconv.Atoi(u.Port()); err == nil {
		port = n
	}
	return []attribute.KeyValue{attribute.String("server.address", u.Hostname()), attribute.Int("server.port", port)}
}
