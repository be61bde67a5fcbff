package lanes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/bench/payloads"
	"github.com/seed73300619/relay/bench/turns"
	"github.com/seed73300619/relay/codec"
)

// Sending is P2: what a client can get rid of.
func Sending(quick bool) turns.Measurement {
	m := turns.Measurement{ID: "P2", Title: "Outbox → a socket that is drained, typed"}
	for _, size := range sizes {
		n, p := 2*size.messages(quick), payloads.New(size.bytes) // no relay holds it up
		m.Cases = append(m.Cases, turns.Case{
			Name: size.name, Unit: "messages/s", Figures: []string{""},
			Sides: []turns.Side{
				{Name: "relay", Turn: oneWay(openDrainedRelay, n, p)},
				{Name: "gorilla, frames beforehand", Goals: []turns.Goal{{ID: "P2", AtLeast: 2}}, Turn: oneWay(openDrainedGorilla(64<<10), n, p)},
				{Name: "the same, its default buffer", Turn: oneWay(openDrainedGorilla(0), n, p)},
			},
		})
	}
	return m
}

// A drain is a lane's other end without a relay: a socket whose reader does what
// a client cannot do without, and looks at nothing more than the checks need. It
// is the same for every sender.
type drain struct {
	stop   func() error
	conn   *websocket.Conn
	own    *frames // of the client to itself: barriers
	buffer []byte
}

// openDrain has dial connect to a drain and register there.
func openDrain(dial func(url string) error) (*drain, error) {
	accepted, failed := make(chan *drain, 1), make(chan error, 1)
	upgrader := websocket.Upgrader{ReadBufferSize: 64 << 10}
	url, stop, err := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			failed <- err
			return
		}
		d := &drain{conn: conn}
		if err := d.register(); err != nil {
			conn.Close()
			failed <- err
			return
		}
		accepted <- d
	}), func() {})
	if err != nil {
		return nil, err
	}
	if err := dial(url); err != nil {
		return nil, errors.Join(err, stop())
	}
	select {
	case d := <-accepted:
		d.stop = stop
		return d, nil
	case err := <-failed:
		return nil, errors.Join(err, stop())
	}
}

// register answers the client's registration.
func (d *drain) register() error {
	_, frame, err := d.conn.ReadMessage()
	if err != nil {
		return err
	}
	message, err := codec.Decode(frame)
	if err != nil {
		return err
	}
	client, ok := message.(codec.Registration)
	if !ok {
		return fmt.Errorf("%T instead of a registration", message)
	}
	d.own = newFrames(client.UUID, client.Name, client.UUID)
	answer, err := codec.Response{Success: true}.Append(nil)
	if err != nil {
		return err
	}
	return d.conn.WriteMessage(websocket.TextMessage, answer)
}

// next returns the description of the next message, valid until the next call.
// Barriers go back to the client, who confirms by them what it has written.
func (d *drain) next() ([]byte, error) {
	for {
		frame, err := d.frame()
		if err != nil {
			return nil, err
		}
		if !bytes.HasPrefix(frame, d.own.head) {
			description, ok := d.own.description(frame)
			if !ok {
				return nil, fmt.Errorf("not a message: %.100q", frame)
			}
			return description, nil
		}
		if err := d.conn.WriteMessage(websocket.TextMessage, frame); err != nil {
			return nil, err
		}
	}
}

// frame reads into a buffer that is reused.
func (d *drain) frame() ([]byte, error) {
	_, r, err := d.conn.NextReader()
	if err != nil {
		return nil, err
	}
	if d.buffer == nil {
		d.buffer = make([]byte, 64<<10)
	}
	for n := 0; n < len(d.buffer); {
		more, err := r.Read(d.buffer[n:])
		if n += more; err == io.EOF {
			return d.buffer[:n], nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, errors.New("a message without an end")
}

func (d *drain) receive(ctx context.Context, n int) (s payloads.Sum, err error) {
	defer context.AfterFunc(ctx, func() { d.conn.Close() })()
	for s.Messages < n {
		description, err := d.next()
		if err != nil {
			return s, err
		}
		s.Add(description)
	}
	return s, nil
}

// end drains while the client leaves by goodbye, and to its last word.
func (d *drain) end(goodbye func() error) error {
	gone := make(chan error, 1)
	go func() { gone <- goodbye() }()
	for {
		if _, err := d.next(); err != nil {
			break
		}
	}
	d.conn.Close()
	return errors.Join(<-gone, d.stop())
}

// drainedRelay is our client.
type drainedRelay struct {
	*drain
	from *relay.Client
	to   uuid.UUID
}

func openDrainedRelay(ctx context.Context) (lane, error) {
	l := &drainedRelay{to: uuid.New()}
	var err error
	l.drain, err = openDrain(func(url string) (err error) {
		l.from, err = relay.Dial(ctx, url, relay.WithName("sender"))
		return err
	})
	return l, err
}

func (l *drainedRelay) send(ctx context.Context, n int, p *payloads.Set) error {
	return sendAll(l.from, l.to, n, p)
}

func (l *drainedRelay) close() error { return l.end(l.from.Close) }

// drainedGorilla is a bare connection whose messages have been encoded before the
// clock starts.
type drainedGorilla struct {
	*drain
	from   *websocket.Conn
	frames *frames
}

// openDrainedGorilla opens a connection with a write buffer of so many bytes. A
// message for which it has no room goes out in several frames, each a system
// call; by gorilla's documentation it gains nothing beyond the longest message.
func openDrainedGorilla(buffer int) func(context.Context) (lane, error) {
	return func(ctx context.Context) (lane, error) {
		client := codec.Registration{Name: "sender", UUID: uuid.New()}
		l := &drainedGorilla{frames: newFrames(client.UUID, client.Name, uuid.New())}
		dialer := websocket.Dialer{WriteBufferSize: buffer}
		var err error
		l.drain, err = openDrain(func(url string) (err error) {
			if l.from, _, err = dialer.DialContext(ctx, url, nil); err != nil {
				return err
			}
			return introduce(l.from, client)
		})
		return l, err
	}
}

// introduce registers the client, as the drain awaits it.
func introduce(conn *websocket.Conn, client codec.Registration) error {
	frame, err := client.Append(nil)
	if err != nil {
		return err
	}
	if err := conn.WriteMessage(websocket.TextMessage, frame); err != nil {
		return err
	}
	_, _, err = conn.ReadMessage()
	return err
}

func (l *drainedGorilla) send(ctx context.Context, n int, p *payloads.Set) error {
	for i := range n {
		if err := l.from.WriteMessage(websocket.TextMessage, l.frames.frame(i, p)); err != nil {
			return err
		}
	}
	return nil
}

func (l *drainedGorilla) close() error { return l.end(l.from.Close) }
