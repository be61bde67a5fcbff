package relayotel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/observe"
	"github.com/seed73300619/relay/observe/relayotel"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// recorded are providers, and what they were given.
func recorded() (relayotel.Providers, *tracetest.SpanRecorder, *metric.ManualReader) {
	spans, reader := tracetest.NewSpanRecorder(), metric.NewManualReader()
	return relayotel.Providers{
		Meter:  metric.NewMeterProvider(metric.WithReader(reader)),
		Tracer: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
	}, spans, reader
}

func wrap(t *testing.T, c *relay.Client, p relayotel.Providers) *relayotel.Client {
	t.Helper()
	watched, err := relayotel.Wrap(c, p)
	if err != nil {
		t.Fatal(err)
	}
	return watched
}

func attributes(span sdktrace.ReadOnlySpan) map[string]string {
	m := make(map[string]string)
	for _, kv := range span.Attributes() {
		m[string(kv.Key)] = kv.Value.String()
	}
	return m
}

func TestObserve_SpansOfOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		providers, spans, reader := recorded()
		r := relaytest.NewInMemory(t)
		a, b := r.Client("a"), r.Client("b")
		sender, receiver := wrap(t, a, providers), wrap(t, b, providers)

		restore := r.Respond(http.StatusForbidden, nil)
		refused := wrap(t, r.Client("refused"), providers)
		if refused.Connect(t.Context()) == nil {
			t.Fatal("connected")
		}
		restore()
		if err := receiver.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		parent, span := providers.Tracer.Tracer("program").Start(t.Context(), "program")
		if err := sender.Send(parent, relay.Message{PeerUUID: b.UUID(), Description: "12345"}); err != nil {
			t.Fatal(err)
		}
		if err := sender.Send(parent, relay.Message{PeerUUID: b.UUID(), Description: strings.Repeat("x", 2<<20)}); !errors.Is(err, relay.ErrTooLarge) {
			t.Fatal(err)
		}
		if err := sender.Flush(parent); err != nil {
			t.Fatal(err)
		}
		span.End()
		if m, err := receiver.Recv(t.Context()); err != nil || m.Description != "12345" {
			t.Fatalf("%+v, %v", m, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := receiver.Recv(ctx); err == nil {
			t.Fatal("received")
		}

		common := map[string]string{"messaging.system": "proxystore_relay", "server.address": "relay.test", "server.port": "8700"}
		own := []map[string]string{
			{"messaging.operation.name": "connect", "messaging.client.id": refused.UUID().String(), "error.type": "handshake"},
			{"messaging.operation.name": "connect", "messaging.client.id": b.UUID().String()},
			{"messaging.operation.name": "send", "messaging.operation.type": "send", "messaging.client.id": a.UUID().String(), "messaging.destination.name": b.UUID().String(), "messaging.message.body.size": "5"},
			{"messaging.operation.name": "send", "messaging.operation.type": "send", "messaging.client.id": a.UUID().String(), "messaging.destination.name": b.UUID().String(), "messaging.message.body.size": "2097152", "error.type": "too_large"},
			{"messaging.operation.name": "flush", "messaging.operation.type": "settle", "messaging.client.id": a.UUID().String()},
			nil, // the program's
			{"messaging.operation.name": "receive", "messaging.operation.type": "receive", "messaging.client.id": b.UUID().String(), "messaging.destination.name": b.UUID().String(), "messaging.message.body.size": "5", "relay.message.undelivered": "false"},
			{"messaging.operation.name": "receive", "messaging.operation.type": "receive", "messaging.client.id": b.UUID().String(), "messaging.destination.name": b.UUID().String(), "error.type": "timeout"},
		}
		ended := spans.Ended()
		if len(ended) != len(own) {
			t.Fatalf("%d spans, want %d", len(ended), len(own))
		}
		for i, span := range ended {
			want := own[i]
			if want == nil {
				continue
			}
			for key, value := range common {
				want[key] = value
			}
			if got := attributes(span); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("span %d:\n got %v\nwant %v", i, got, want)
			}
			status := codes.Unset
			if want["error.type"] != "" {
				status = codes.Error
			}
			if span.Status().Code != status || span.SpanKind() != trace.SpanKindClient || span.Name() != want["messaging.operation.name"] {
				t.Errorf("span %d: %q, %v, %v", i, span.Name(), span.SpanKind(), span.Status())
			}
			inside := span.Parent().SpanID() == ended[5].SpanContext().SpanID()
			if inside != (i >= 2 && i <= 4) {
				t.Errorf("span %d is, or is not, the program's child", i)
			}
		}
		if waited := ended[7].EndTime().Sub(ended[7].StartTime()); waited != 3*time.Second {
			t.Errorf("the last span took %v", waited)
		}

		compare(t, read(t, reader), map[string]float64{
			"messaging.client.operation.duration{error.type=handshake,messaging.operation.name=connect}": 1,
			"messaging.client.operation.duration{messaging.operation.name=connect}":                      1,
			"messaging.client.operation.duration{messaging.operation.name=send}":                         1,
			"messaging.client.operation.duration{error.type=too_large,messaging.operation.name=send}":    1,
			"messaging.client.operation.duration{messaging.operation.name=flush}":                        1,
			"messaging.client.operation.duration{messaging.operation.name=receive}":                      1,
			"messaging.client.operation.duration{error.type=timeout,messaging.operation.name=receive}":   1,
		})
		for _, m := range metricsOf(collect(t, reader)) {
			for _, p := range m.Data.(metricdata.Histogram[float64]).DataPoints {
				if m.Unit != "s" || len(p.Bounds) != 14 || p.Bounds[0] != 0.005 || p.Bounds[13] != 10 {
					t.Errorf("unit %q, bounds %v", m.Unit, p.Bounds)
				}
				if kind, _ := p.Attributes.Value("error.type"); kind.AsString() == "timeout" && p.Sum != 3 {
					t.Errorf("%v seconds", p.Sum)
				}
			}
		}
		_ = a.Close()
		_ = b.Close()
	})
}

// Durations are measured whether or not there is tracing.
func TestObserve_DurationsNeedNoTracing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := metric.NewManualReader()
		r := relaytest.NewInMemory(t)
		c := wrap(t, r.Client("c"), relayotel.Providers{Meter: metric.NewMeterProvider(metric.WithReader(reader))})
		if err := c.Send(t.Context(), relay.Message{PeerUUID: c.UUID()}); err != nil {
			t.Fatal(err)
		}
		compare(t, read(t, reader), map[string]float64{"messaging.client.operation.duration{messaging.operation.name=send}": 1})
		_ = c.Close()
	})
}

func TestObserve_ErrorTypes(t *testing.T) {
	for want, err := range map[string]error{
		"":             nil,
		"unsent":       &relay.UnsentError{},
		"too_large":    fmt.Errorf("x: %w", relay.ErrTooLarge),
		"encode":       &codec.EncodeError{},
		"decode":       &codec.DecodeError{},
		"in_doubt":     fmt.Errorf("%w: %w", relay.ErrInDoubt, io.EOF),
		"registration": fmt.Errorf("%w: %w", relay.ErrClosed, &relay.RegistrationError{}),
		"handshake":    fmt.Errorf("%w: %w", context.DeadlineExceeded, &transport.HandshakeError{}),
		"disconnected": &transport.CloseError{},
		"closed":       relay.ErrClosed,
		"timeout":      context.DeadlineExceeded,
		"canceled":     context.Canceled,
		"_OTHER":       io.EOF,
	} {
		if got := relayotel.ErrorType(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

// No secret is in a metric or a span, and no UUID in a metric.
func TestObserve_NoSecretIsExported(t *testing.T) {
	const canary = "canary-5c2a"
	synctest.Test(t, func(t *testing.T) {
		providers, spans, reader := recorded()
		var clients observe.Clients
		registration, err := relayotel.Register(&clients, providers)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = registration.Unregister() }()
		r := relaytest.NewInMemory(t)
		c, err := relay.New("ws://user:"+canary+"@relay.test/path?token="+canary, relay.WithDialContext(r.DialContext), relay.WithName(canary),
			relay.WithTokenSource(func(context.Context) (string, error) { return canary, nil }))
		if err != nil {
			t.Fatal(err)
		}
		add(t, &clients, "some", c)
		watched := wrap(t, c, providers)
		restore := r.Reject(4003, "because of "+canary)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := watched.Connect(ctx); err == nil {
			t.Fatal("connected")
		}
		cancel()
		restore()
		if err := watched.Send(t.Context(), relay.Message{PeerUUID: uuid.New(), Description: canary}); err != nil {
			t.Fatal(err)
		}
		if _, err := watched.Recv(t.Context()); err != nil { // it comes back
			t.Fatal(err)
		}
		_ = c.Close()
		if watched.Flush(t.Context()) == nil {
			t.Fatal("flushed")
		}

		var text strings.Builder
		for _, m := range metricsOf(collect(t, reader)) {
			fmt.Fprintf(&text, "%+v\n", m)
			each(m, func(set attribute.Set) {
				for _, kv := range set.ToSlice() {
					fmt.Fprintf(&text, "%s=%s ", kv.Key, kv.Value.String())
				}
			})
		}
		if metrics := text.String(); !strings.Contains(metrics, "ws://relay.test/path") || strings.Contains(metrics, c.UUID().String()) {
			t.Error("a UUID, or no address, in the metrics")
		}
		for _, span := range spans.Ended() {
			fmt.Fprintln(&text, span.Name(), attributes(span), span.Status(), span.Events(), span.Links())
		}
		all := text.String()
		if strings.Contains(all, canary) || strings.Contains(all, "user:") {
			t.Errorf("a secret:\n%s", all)
		}
		if len(spans.Ended()) != 4 || !strings.Contains(all, "because of") {
			t.Errorf("%d spans:\n%s", len(spans.Ended()), all)
		}
	})
}

// each calls f with the attributes of every point of a metric.
func each(m metricdata.Metrics, f func(attribute.Set)) {
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			f(p.Attributes)
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			f(p.Attributes)
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			f(p.Attributes)
		}
	}
}
