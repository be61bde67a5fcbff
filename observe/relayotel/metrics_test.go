package relayotel_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/observe"
	"github.com/seed73300619/relay/observe/relayotel"
	"github.com/seed73300619/relay/relaytest"
)

// observed returns clients whose figures are read through the reader.
func observed(t *testing.T) (*observe.Clients, *metric.ManualReader) {
	t.Helper()
	clients, reader := new(observe.Clients), metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	registration, err := relayotel.Register(clients, relayotel.Providers{Meter: provider})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := registration.Unregister(); err != nil {
			t.Error(err)
		}
	})
	return clients, reader
}

// collect returns what there is to be read, whole.
func collect(t *testing.T, reader metric.Reader) metricdata.ResourceMetrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func metricsOf(all metricdata.ResourceMetrics) (list []metricdata.Metrics) {
	for _, scope := range all.ScopeMetrics {
		list = append(list, scope.Metrics...)
	}
	return list
}

// read returns every value that is not zero, by its name and attributes, those of
// the relay's address left out.
func read(t *testing.T, reader metric.Reader) map[string]float64 {
	t.Helper()
	values := make(map[string]float64)
	note := func(name string, set attribute.Set, value float64) {
		var labels []string
		for _, kv := range set.ToSlice() {
			if key := string(kv.Key); !strings.HasPrefix(key, "server.") && key != "relay.address" && key != "messaging.system" {
				labels = append(labels, key+"="+kv.Value.String())
			}
		}
		if value != 0 {
			values[name+"{"+strings.Join(labels, ",")+"}"] = value
		}
	}
	for _, m := range metricsOf(collect(t, reader)) {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				note(m.Name, p.Attributes, float64(p.Value))
			}
		case metricdata.Gauge[float64]:
			for _, p := range data.DataPoints {
				note(m.Name, p.Attributes, p.Value)
			}
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				note(m.Name, p.Attributes, float64(p.Count))
			}
		default:
			t.Errorf("%s is a %T", m.Name, m.Data)
		}
	}
	return values
}

func compare(t *testing.T, got, want map[string]float64) {
	t.Helper()
	keys := maps.Clone(got)
	maps.Copy(keys, want)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if got[key] != want[key] {
			t.Errorf("%s is %v, want %v", key, got[key], want[key])
		}
	}
}

func add(t *testing.T, clients *observe.Clients, name string, c *relay.Client) {
	t.Helper()
	if err := clients.Add(name, c); err != nil {
		t.Fatal(err)
	}
}

func TestObserve_OTelReadsWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients, reader := observed(t)
		compare(t, read(t, reader), nil)
		r := relaytest.NewInMemory(t)
		c := r.Client("c")
		add(t, clients, "orders", c)
		restore := r.Refuse()
		_ = c.TryConnect(t.Context())
		restore()
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 7 {
			c.Outbox() <- relay.Message{PeerUUID: uuid.New(), Description: "x"} // comes back
		}
		c.Outbox() <- relay.Message{PeerUUID: uuid.New(), Description: "\xff"} // refused
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		thaw := r.Freeze()
		defer thaw()
		if err := c.Send(t.Context(), relay.Message{PeerUUID: uuid.New()}); err != nil {
			t.Fatal(err)
		}
		want := map[string]float64{
			"relay.client.instances{relay.client.name=orders}":                                              1,
			"relay.client.connected{relay.client.name=orders}":                                              1,
			"relay.client.connects{relay.client.name=orders,result=network}":                                1,
			"relay.client.connects{relay.client.name=orders,result=connected}":                              1,
			"messaging.client.sent.messages{messaging.operation.name=send,relay.client.name=orders}":        8,
			"relay.client.bytes_sent{relay.client.name=orders}":                                             float64(c.Stats().SentBytes),
			"messaging.client.consumed.messages{messaging.operation.name=receive,relay.client.name=orders}": 7,
			"relay.client.bytes_received{relay.client.name=orders}":                                         float64(c.Stats().ReceivedBytes),
			"relay.client.messages_undelivered{relay.client.name=orders}":                                   7,
			"relay.client.inbox_messages{relay.client.name=orders}":                                         7,
			"relay.client.unconfirmed_messages{relay.client.name=orders}":                                   1,
			"relay.client.dropped{policy=refuse,queue=outbox,relay.client.name=orders}":                     1,
		}
		compare(t, read(t, reader), want)

		r.Refuse()
		r.Cut()
		synctest.Wait()
		for _, key := range []string{"relay.client.connected{relay.client.name=orders}", "relay.client.unconfirmed_messages{relay.client.name=orders}"} {
			delete(want, key)
		}
		want["relay.client.messages_in_doubt{relay.client.name=orders}"] = 1
		want["relay.client.disconnects{code=1006,relay.client.name=orders}"] = 1
		want["relay.client.backoff{relay.client.name=orders}"] = c.Stats().Backoff.Seconds()
		compare(t, read(t, reader), want)

		clients.Remove(c)
		compare(t, read(t, reader), nil)
		_ = c.Close()
	})
}

func TestObserve_OTelAfterUnregister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients, reader := new(observe.Clients), metric.NewManualReader()
		registration, err := relayotel.Register(clients, relayotel.Providers{Meter: metric.NewMeterProvider(metric.WithReader(reader))})
		if err != nil {
			t.Fatal(err)
		}
		add(t, clients, "some", relaytest.NewInMemory(t).Client("c"))
		if n := read(t, reader)["relay.client.instances{relay.client.name=some}"]; n != 1 {
			t.Errorf("%v instances", n)
		}
		if err := registration.Unregister(); err != nil {
			t.Fatal(err)
		}
		compare(t, read(t, reader), nil)
	})
}

// The attributes say where a relay is, and a default port is one.
func TestObserve_OTelServerAddress(t *testing.T) {
	clients, reader := observed(t)
	want := map[string]bool{
		"relay.address=ws://a.test server.address=a.test server.port=80":         true,
		"relay.address=wss://a.test/x server.address=a.test server.port=443":     true,
		"relay.address=wss://[::1]:8700 server.address=::1 server.port=8700":     true,
		"relay.address=ws://b.test:80/%20y server.address=b.test server.port=80": true,
	}
	for _, address := range []string{"ws://a.test", "wss://u:p@a.test/x?token=t", "wss://[::1]:8700", "ws://b.test:80/%20y"} {
		c, err := relay.New(address)
		if err != nil {
			t.Fatal(err)
		}
		add(t, clients, "some", c)
	}
	for _, m := range metricsOf(collect(t, reader)) {
		if m.Name != "relay.client.instances" {
			continue
		}
		for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
			var got []string
			for _, kv := range p.Attributes.ToSlice() {
				if kv.Key != "relay.client.name" {
					got = append(got, string(kv.Key)+"="+kv.Value.String())
				}
			}
			key := strings.Join(got, " ")
			if !want[key] {
				t.Errorf("got %s", key)
			}
			delete(want, key)
		}
	}
	if len(want) > 0 {
		t.Errorf("missing %v", want)
	}
}

// The table in the package's documentation is that of the code.
func TestObserve_TheOTelTableIsTold(t *testing.T) {
	file, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(file), "longest is shown.\n\n")
	section, _, _ = strings.Cut(section, "\n\n")
	told := make(map[string]bool)
	for line := range strings.Lines(section) {
		fields := strings.Fields(line)
		labels := fields[3:]
		slices.Sort(labels)
		told[strings.Join(append(fields[:3:3], labels...), " ")] = true
	}
	clients, reader := observed(t)
	c, err := relay.New("ws://relay.test")
	if err != nil {
		t.Fatal(err)
	}
	add(t, clients, "some", c)
	all := metricsOf(collect(t, reader))
	if len(all) != len(told) || len(all) != len(observe.Metrics()) {
		t.Errorf("%d metrics, %d told, %d known", len(all), len(told), len(observe.Metrics()))
	}
	for _, m := range all {
		kind, set := "gauge", attribute.Set{}
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			kind, set = "up-down", data.DataPoints[0].Attributes
			if data.IsMonotonic {
				kind = "counter"
			}
		case metricdata.Gauge[float64]:
			set = data.DataPoints[0].Attributes
		}
		line := []string{m.Name, kind, m.Unit}
		for _, kv := range set.ToSlice() {
			if key := string(kv.Key); !strings.HasPrefix(key, "relay.") && !strings.HasPrefix(key, "server.") {
				line = append(line, key)
			}
		}
		if key := strings.Join(line, " "); !told[key] {
			t.Errorf("doc.go does not have: %s", key)
		}
		if m.Description == "" {
			t.Errorf("%s has no description", m.Name)
		}
	}
}

func TestObserve_OTelNeedsNoTracing(t *testing.T) {
	if _, err := relayotel.Register(nil, relayotel.Providers{}); err == nil {
		t.Error("no clients, and no error")
	}
	if _, err := relayotel.Wrap(nil, relayotel.Providers{}); err == nil {
		t.Error("no client, and no error")
	}
	// The global providers do nothing until somebody sets them.
	registration, err := relayotel.Register(new(observe.Clients), relayotel.Providers{})
	if err != nil {
		t.Fatal(err)
	}
	if err := registration.Unregister(); err != nil {
		t.Error(err)
	}
	if _, err := relayotel.Register(new(observe.Clients), relayotel.Providers{Meter: noop.NewMeterProvider()}); err != nil {
		t.Error(err)
	}
}

// Two readers and two exporters may read at any time.
func TestObserve_OTelUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pairs, each = 3, 300
		clients, reader := observed(t)
		r := relaytest.NewInMemory(t)
		defer r.Close()
		var stop atomic.Bool
		var reading, talking sync.WaitGroup
		for range 2 {
			reading.Go(func() {
				for !stop.Load() {
					read(t, reader)
				}
			})
		}
		for range pairs {
			a, b := r.Client("a"), r.Client("b")
			add(t, clients, "senders", a)
			add(t, clients, "readers", b)
			if err := b.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			talking.Go(func() {
				for i := range each {
					_ = a.Send(t.Context(), relay.Message{PeerUUID: b.UUID(), Description: fmt.Sprint(i)})
				}
			})
			talking.Go(func() {
				for range each {
					if _, err := b.Recv(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		talking.Wait()
		stop.Store(true)
		reading.Wait()
		time.Sleep(time.Second) // all is confirmed
		got := read(t, reader)
		for key, want := range map[string]float64{
			"messaging.client.sent.messages{messaging.operation.name=send,relay.client.name=senders}":        pairs * each,
			"messaging.client.consumed.messages{messaging.operation.name=receive,relay.client.name=readers}": pairs * each,
			"relay.client.unconfirmed_messages{relay.client.name=senders}":                                   0,
		} {
			if got[key] != want {
				t.Errorf("%s is %v, want %v", key, got[key], want)
			}
		}
	})
}
