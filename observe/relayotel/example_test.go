package relayotel_test

import (
	"context"
	"fmt"
	"log"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/observe"
	"github.com/seed73300619/relay/observe/relayotel"
	"github.com/seed73300619/relay/relaytest"
)

func Example() {
	r := relaytest.Start() // a relay, for the example
	defer r.Close()
	reader := metric.NewManualReader() // or what exports to your collector
	providers := relayotel.Providers{Meter: metric.NewMeterProvider(metric.WithReader(reader))}

	var clients observe.Clients
	registration, err := relayotel.Register(&clients, providers)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	c, err := relay.Dial(ctx, r.URL)
	if err != nil {
		log.Fatal(err)
	}
	if err := clients.Add("orders", c); err != nil {
		log.Fatal(err)
	}
	for range 3 {
		if err := c.Send(ctx, relay.Message{PeerUUID: c.UUID(), Description: "hello"}); err != nil {
			log.Fatal(err)
		}
	}

	var now metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &now); err != nil {
		log.Fatal(err)
	}
	for _, m := range now.ScopeMetrics[0].Metrics {
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok && (m.Name == "relay.client.connected" || m.Name == "messaging.client.sent.messages") {
			fmt.Println(m.Name, sum.DataPoints[0].Value)
		}
	}
	if err := registration.Unregister(); err != nil {
		log.Fatal(err)
	}
	if err := c.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// relay.client.connected 1
	// messaging.client.sent.messages 3
}

func ExampleWrap() {
	r := relaytest.Start()
	defer r.Close()
	spans := tracetest.NewSpanRecorder()
	providers := relayotel.Providers{Tracer: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))}

	ctx := context.Background()
	c, err := relay.Dial(ctx, r.URL)
	if err != nil {
		log.Fatal(err)
	}
	watched, err := relayotel.Wrap(c, providers)
	if err != nil {
		log.Fatal(err)
	}
	if err := watched.Send(ctx, relay.Message{PeerUUID: c.UUID(), Description: "hello"}); err != nil {
		log.Fatal(err)
	}
	if _, err := watched.Recv(ctx); err != nil {
		log.Fatal(err)
	}
	if err := watched.Close(); err != nil {
		log.Fatal(err)
	}
	for _, span := range spans.Ended() {
		fmt.Println(span.Name(), span.SpanKind(), span.Status().Code)
	}
	// Output:
	// send client Unset
	// receive client Unset
}
