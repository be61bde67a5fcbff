package relayotel

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

// Client is a relay client of which Connect, Send, Flush and Recv make a span each,
// and a value of the histogram messaging.client.operation.duration. Make one with
// [Wrap]. All methods may be called concurrently.
//
// What goes through its channels makes none: nobody can tell from outside when a
// message was written, and the protocol has no room for the context of a trace, so
// that a span at the receiver has no link to the one at the sender.
type Client struct {
	*relay.Client
	tracer   trace.Tracer
	duration metric.Float64Histogram
	server   []attribute.KeyValue
}

// buckets are those that the conventions ask for, in seconds.
var buckets = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// Wrap returns client with its operations watched. It neither connects nor owns the
// client: closing it is as it was.
func Wrap(client *relay.Client, p Providers) (*Client, error) {
	if client == nil {
		return nil, errors.New("relayotel: Wrap: nil client")
	}
	duration, err := p.meter().Float64Histogram("messaging.client.operation.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of the operations of a client."), metric.WithExplicitBucketBoundaries(buckets...))
	if err != nil {
		return nil, err
	}
	return &Client{Client: client, tracer: p.tracer(), duration: duration, server: server(client.Address())}, nil
}

// Connect is [relay.Client.Connect].
func (c *Client) Connect(ctx context.Context) error {
	ctx, op := c.start(ctx, "connect")
	return op.end(ctx, c.Client.Connect(ctx))
}

// Send is [relay.Client.Send].
func (c *Client) Send(ctx context.Context, m relay.Message) error {
	ctx, op := c.start(ctx, "send", destination(m.PeerUUID), attribute.String("messaging.operation.type", "send"), bodySize(m))
	return op.end(ctx, c.Client.Send(ctx, m))
}

// Flush is [relay.Client.Flush].
func (c *Client) Flush(ctx context.Context) error {
	ctx, op := c.start(ctx, "flush", attribute.String("messaging.operation.type", "settle"))
	return op.end(ctx, c.Client.Flush(ctx))
}

// Recv is [relay.Client.Recv]. Its time is mostly that of waiting for somebody to
// send something.
func (c *Client) Recv(ctx context.Context) (relay.Message, error) {
	ctx, op := c.start(ctx, "receive", destination(c.UUID()), attribute.String("messaging.operation.type", "receive"))
	m, err := c.Client.Recv(ctx)
	if err == nil && op.span.IsRecording() {
		op.span.SetAttributes(bodySize(m), attribute.Bool("relay.message.undelivered", m.Undelivered()))
	}
	return m, op.end(ctx, err)
}

func destination(id uuid.UUID) attribute.KeyValue {
	return attribute.String("messaging.destination.name", id.String())
}

func bodySize(m relay.Message) attribute.KeyValue {
	return attribute.Int("messaging.message.body.size", len(m.Description))
}

// operation is a call that runs.
type operation struct {
	client *Client
	name   string
	began  time.Time
	span   trace.Span
}

// start begins a span. Only the span is told the UUIDs: a metric must not have one.
func (c *Client) start(ctx context.Context, name string, attributes ...attribute.KeyValue) (context.Context, operation) {
	attributes = append(attributes, attribute.String("messaging.system", system), attribute.String("messaging.operation.name", name),
		attribute.String("messaging.client.id", c.UUID().String()))
	began := time.Now()
	ctx, span := c.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(append(attributes, c.server...)...))
	return ctx, operation{c, name, began, span}
}

// end ends it, and returns err.
func (o operation) end(ctx context.Context, err error) error {
	attributes := append([]attribute.KeyValue{attribute.String("messaging.system", system), attribute.String("messaging.operation.name", o.name)}, o.client.server...)
	if err != nil {
		kind := attribute.String("error.type", ErrorType(err))
		attributes = append(attributes, kind)
		o.span.SetAttributes(kind)
		o.span.SetStatus(codes.Error, err.Error())
	}
	o.client.duration.Record(ctx, time.Since(o.began).Seconds(), metric.WithAttributes(attributes...))
	o.span.End()
	return err
}

// ErrorType returns the value of error.type for an error of package relay: one of
// "unsent", "too_large", "encode", "decode", "in_doubt", "registration",
// "handshake", "disconnected", "closed", "timeout", "canceled" and "_OTHER"; "" for
// nil.
func ErrorType(err error) string {
	switch {
	case err == nil:
		return ""
	case is[*relay.UnsentError](err):
		return "unsent"
	case errors.Is(err, relay.ErrTooLarge):
		return "too_large"
	case is[*codec.EncodeError](err):
		return "encode"
	case errors.Is(err, relay.ErrInDoubt):
		return "in_doubt"
	case is[*relay.RegistrationError](err):
		return "registration"
	case is[*transport.HandshakeError](err):
		return "handshake"
	case is[*codec.DecodeError](err):
		return "decode"
	case is[*transport.CloseError](err):
		return "disconnected"
	case errors.Is(err, relay.ErrClosed):
		return "closed"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "_OTHER"
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
