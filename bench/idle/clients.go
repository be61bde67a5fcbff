package idle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"
	"github.com/nats-io/nats.go"

	"github.com/seed73300619/relay"
)

// A client is connected, and ready to receive.
type client interface {
	// exchange sends a message that comes back, and returns what came.
	exchange(ctx context.Context, text []byte) ([]byte, error)
}

// dials connects the i-th client of each kind to its server. What the clients
// with a reading goroutine receive they put into arrived: they exchange one at a
// time.
var dials = map[string]func(ctx context.Context, url string, i int, arrived chan []byte) (client, error){
	"relay":   dialRelay,
	"gorilla": dialGorilla(gorilla.Dialer{}),
	// As its documentation advises for many connections that write little.
	"gorilla, pooled": dialGorilla(gorilla.Dialer{WriteBufferPool: new(sync.Pool)}),
	"coder":           dialCoder,
	"gws":             dialGWS,
	"nats.go":         dialNATS,
}

// relayClient has taken its Inbox.
type relayClient struct{ *relay.Client }

func dialRelay(ctx context.Context, url string, i int, _ chan []byte) (client, error) {
	c, err := relay.Dial(ctx, url, relay.WithName("client"))
	if err != nil {
		return nil, err
	}
	_ = c.Inbox()
	return relayClient{c}, nil
}

// exchange has a client write to itself, and waits until nothing is in doubt any
// more: only then the client is idle.
func (c relayClient) exchange(ctx context.Context, text []byte) ([]byte, error) {
	if err := c.Send(ctx, relay.Message{PeerUUID: c.UUID(), Description: string(text)}); err != nil {
		return nil, err
	}
	select {
	case m, ok := <-c.Inbox():
		if !ok {
			return nil, c.Err()
		}
		return []byte(m.Description), c.Flush(ctx)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// arrival takes what a reading goroutine has received.
func arrival(ctx context.Context, arrived <-chan []byte) ([]byte, error) {
	select {
	case p := <-arrived:
		return p, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// The clients of one WebSocket, each with one goroutine that reads until the
// process ends.
type (
	gorillaClient struct {
		*gorilla.Conn
		arrived chan []byte
	}
	coderClient struct {
		*coder.Conn
		arrived chan []byte
	}
	gwsClient struct {
		*gws.Conn
		arrived chan []byte
	}
)

func dialGorilla(dialer gorilla.Dialer) func(context.Context, string, int, chan []byte) (client, error) {
	return func(ctx context.Context, url string, _ int, arrived chan []byte) (client, error) {
		c, _, err := dialer.DialContext(ctx, url, nil)
		if err != nil {
			return nil, err
		}
		go func() {
			for {
				_, p, err := c.ReadMessage()
				if err != nil {
					return
				}
				arrived <- p
			}
		}()
		return gorillaClient{c, arrived}, nil
	}
}

func (c gorillaClient) exchange(ctx context.Context, text []byte) ([]byte, error) {
	if err := c.WriteMessage(gorilla.TextMessage, text); err != nil {
		return nil, err
	}
	return arrival(ctx, c.arrived)
}

func dialCoder(ctx context.Context, url string, _ int, arrived chan []byte) (client, error) {
	c, _, err := coder.Dial(ctx, url, nil)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			_, p, err := c.Read(context.Background())
			if err != nil {
				return
			}
			arrived <- p
		}
	}()
	return coderClient{c, arrived}, nil
}

func (c coderClient) exchange(ctx context.Context, text []byte) ([]byte, error) {
	if err := c.Write(ctx, coder.MessageText, text); err != nil {
		return nil, err
	}
	return arrival(ctx, c.arrived)
}

// gwsEvents is what gws calls when something comes.
type gwsEvents struct {
	gws.BuiltinEventHandler
	arrived chan []byte
}

func (e *gwsEvents) OnMessage(_ *gws.Conn, m *gws.Message) {
	e.arrived <- bytes.Clone(m.Bytes())
	_ = m.Close() // gives its buffer back
}

func dialGWS(_ context.Context, url string, _ int, arrived chan []byte) (client, error) {
	c, _, err := gws.NewClient(&gwsEvents{arrived: arrived}, &gws.ClientOption{Addr: url})
	if err != nil {
		return nil, err
	}
	go c.ReadLoop()
	return gwsClient{c, arrived}, nil
}

func (c gwsClient) exchange(ctx context.Context, text []byte) ([]byte, error) {
	if err := c.WriteMessage(gws.OpcodeText, text); err != nil {
		return nil, err
	}
	return arrival(ctx, c.arrived)
}

// natsClient has subscribed to a subject of its own.
type natsClient struct {
	*nats.Conn
	subject string
	arrived chan *nats.Msg
}

func dialNATS(_ context.Context, url string, i int, _ chan []byte) (client, error) {
	c, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	n := natsClient{c, fmt.Sprint("client.", i), make(chan *nats.Msg, 16)} // as long as an Inbox
	if _, err := c.ChanSubscribe(n.subject, n.arrived); err != nil {
		return nil, err
	}
	return n, c.Flush()
}

func (c natsClient) exchange(ctx context.Context, text []byte) ([]byte, error) {
	if err := c.Publish(c.subject, text); err != nil {
		return nil, err
	}
	select {
	case m, ok := <-c.arrived:
		if !ok {
			return nil, errors.New("unsubscribed")
		}
		return m.Data, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
