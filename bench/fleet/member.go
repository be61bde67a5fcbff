package fleet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/bench/payloads"
)

// A member is a client. Two that follow each other talk to each other.
type member interface {
	// send hands over n payloads for its partner, beginning with its first.
	send(ctx context.Context, n int, p *payloads.Set) error
	// receive takes n messages and returns their sum.
	receive(ctx context.Context, n int) (payloads.Sum, error)
	// reach returns when the server has answered.
	reach(ctx context.Context) error
	// watch tells w from now on what becomes of its connection.
	watch(w *watch)
}

// joins connect the i-th member to its server; it is within reach then. What it
// has not taken may wait for it, up to room messages.
var joins = map[string]func(ctx context.Context, url string, i, room int, dial dialFunc) (member, error){
	"relay":   joinRelay,
	"nats.go": joinNATS,
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// relayMember is ours.
type relayMember struct {
	*relay.Client
	i       int
	partner uuid.UUID
}

func joinRelay(ctx context.Context, url string, i, _ int, dial dialFunc) (member, error) {
	c, err := relay.Dial(ctx, url, relay.WithUUID(address(i)), relay.WithName("member"), relay.WithDialContext(dial))
	if err != nil {
		return nil, err
	}
	return &relayMember{c, i, address(i ^ 1)}, nil
}

// address returns the UUID of the i-th member.
func address(i int) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[8:], uint64(1+i))
	return id
}

func (m *relayMember) send(ctx context.Context, n int, p *payloads.Set) error {
	outbox := m.Outbox()
	for i := range n {
		select {
		case outbox <- relay.Message{PeerUUID: m.partner, Description: p.Text[(m.i+i)%payloads.Distinct]}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (m *relayMember) receive(ctx context.Context, n int) (s payloads.Sum, err error) {
	inbox, scratch := m.Inbox(), []byte(nil)
	for s.Messages < n {
		select {
		case came, ok := <-inbox:
			if !ok {
				return s, m.Err()
			}
			if came.SourceUUID != m.partner || came.Error != "" {
				return s, fmt.Errorf("a message of %v, not of the partner: %s", came.SourceUUID, came.Error)
			}
			scratch = append(scratch[:0], came.Description...)
			s.Add(scratch)
		case <-ctx.Done():
			return s, fmt.Errorf("%w: %v, %+v", context.Cause(ctx), m.State(), m.Stats())
		}
	}
	return s, nil
}

func (m *relayMember) reach(ctx context.Context) error { return m.Flush(ctx) }

func (m *relayMember) watch(w *watch) {
	from := time.Now()
	go func() { // until the client ends, which may be with the process
		for e := range m.Events() {
			change, ok := e.(relay.StateChange)
			if !ok || change.At.Before(from) {
				continue
			}
			switch change.To {
			case relay.Connected:
				w.back(m.i)
			case relay.Backoff:
				w.lost(m.i)
			case relay.Closed:
				w.ended(m.i, change.Err)
			}
		}
	}()
}

// natsMember has subscribed to a subject of its own.
type natsMember struct {
	*nats.Conn
	i       int
	partner string
	arrived chan *nats.Msg
}

// joinNATS leaves everything as it is by default, but for the attempts to come
// back: there are as many as it takes. What finds no room in the channel would be
// dropped.
func joinNATS(_ context.Context, url string, i, room int, dial dialFunc) (member, error) {
	c, err := nats.Connect(url, nats.MaxReconnects(-1), nats.SetCustomDialer(natsDialer(dial)))
	if err != nil {
		return nil, err
	}
	m := &natsMember{c, i, subject(i ^ 1), make(chan *nats.Msg, room)}
	if _, err := c.ChanSubscribe(subject(i), m.arrived); err != nil {
		return nil, err
	}
	return m, c.Flush()
}

// natsDialer dials as nats.go does by itself.
type natsDialer dialFunc

func (d natsDialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), nats.DefaultTimeout)
	defer cancel()
	return d(ctx, network, address)
}

func subject(i int) string { return fmt.Sprint("member.", i) }

func (m *natsMember) send(_ context.Context, n int, p *payloads.Set) error {
	for i := range n {
		if err := m.Publish(m.partner, p.Bytes[(m.i+i)%payloads.Distinct]); err != nil {
			return err
		}
	}
	return nil
}

func (m *natsMember) receive(ctx context.Context, n int) (s payloads.Sum, err error) {
	for s.Messages < n {
		select {
		case came, ok := <-m.arrived:
			if !ok {
				return s, errors.New("unsubscribed")
			}
			s.Add(came.Data)
		case <-ctx.Done():
			return s, fmt.Errorf("%w: %v, %+v, last error: %v", context.Cause(ctx), m.Status(), m.Stats(), m.LastError())
		}
	}
	return s, nil
}

func (m *natsMember) reach(context.Context) error { return m.Flush() }

func (m *natsMember) watch(w *watch) {
	m.SetDisconnectErrHandler(func(*nats.Conn, error) { w.lost(m.i) })
	m.SetReconnectHandler(func(*nats.Conn) { w.back(m.i) })
	m.SetClosedHandler(func(c *nats.Conn) { w.ended(m.i, c.LastError()) })
}
