package ops

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/transport"
)

// patience is how long a test waits for what should come soon.
const patience = 30 * time.Second

// eventually waits until a condition holds, which it asks for every few
// milliseconds: what it looks at gives no sign.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// newRelay returns a relay on loopback, and a ready Handler for it.
func newRelay(t *testing.T, o Options, opts ...server.Option) (*relaytest.Relay, *Handler) {
	t.Helper()
	r := relaytest.New(t, opts...)
	h := New(r.Server(), o)
	h.Ready()
	t.Cleanup(h.Close)
	return r, h
}

// serve serves h on a free port, or on addr, and returns where.
func serve(t *testing.T, h http.Handler, addr string) (url string, stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, ReadTimeout: time.Second, WriteTimeout: time.Second}
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }() // received below
	stop = func() {
		s.Close()
		<-served
	}
	t.Cleanup(stop)
	return "http://" + listener.Addr().String(), func() { s.Close() }
}

// get asks h for a path, as a client on this machine would.
func get(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Host = "127.0.0.1:8701"
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// join returns a connected client of the relay.
func join(t *testing.T, r *relaytest.Relay, name string, opts ...relay.Option) *relay.Client {
	t.Helper()
	c := r.Client(name, opts...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

// send sends n messages and waits until the relay has done with them.
func send(t *testing.T, from *relay.Client, to uuid.UUID, n int, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range n {
		if err := from.Send(ctx, relay.Message{PeerUUID: to, Description: text}); err != nil {
			t.Fatal(err)
		}
	}
	if err := from.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// A peer is a client that does nothing by itself, so that everything can be
// counted.
type peer struct {
	t  *testing.T
	id uuid.UUID
	transport.Conn
}

// dial connects, as a user if there is one.
func dial(t *testing.T, r *relaytest.Relay, user string) (*peer, error) {
	t.Helper()
	d := transport.Dialer{DialContext: r.DialContext}
	if user != "" {
		d.Header = http.Header{"Test-User": {user}}
	}
	ws, err := d.Dial(t.Context(), r.URL)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { ws.Abort() })
	return &peer{t: t, Conn: ws}, nil
}

// enter connects and registers a UUID, and returns what the relay says to that.
func enter(t *testing.T, r *relaytest.Relay, user string, id uuid.UUID) (*peer, error) {
	t.Helper()
	p, err := dial(t, r, user)
	if err != nil {
		t.Fatal(err)
	}
	p.id = id
	return p, p.register(id)
}

// registered is enter, where nothing should go wrong.
func registered(t *testing.T, r *relaytest.Relay, user string) *peer {
	t.Helper()
	p, err := enter(t, r, user, uuid.New())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *peer) register(id uuid.UUID) error {
	p.write(codec.Registration{Name: "test", UUID: id})
	frame, _, err := p.ReadFrame()
	if err != nil {
		return err
	}
	m, err := codec.Decode(frame)
	if err != nil {
		return err
	}
	if answer, ok := m.(codec.Response); !ok || answer.Error {
		return fmt.Errorf("answered %+v", m)
	}
	return nil
}

// write returns the size of what it has written.
func (p *peer) write(m codec.RelayMessage) int {
	p.t.Helper()
	frame, err := m.Append(nil)
	if err := errors.Join(err, p.WriteFrame(frame), p.Flush()); err != nil {
		p.t.Fatal(err)
	}
	return len(frame)
}

// send sends n messages in the name of source, and returns their bytes.
func (p *peer) send(n int, source, to uuid.UUID, text string) (bytes int) {
	p.t.Helper()
	for range n {
		bytes += p.write(codec.PeerConnection{SourceUUID: source, SourceName: "test", PeerUUID: to, DescriptionType: codec.Offer, Description: text})
	}
	return bytes
}

// receive takes n messages in, and returns how many of them are bounces.
func (p *peer) receive(n int) (bounced int) {
	p.t.Helper()
	for range n {
		frame, _, err := p.ReadFrame()
		if err != nil {
			p.t.Fatal(err)
		}
		m, err := codec.DecodePeerConnection(frame)
		if err != nil {
			p.t.Fatal(err)
		}
		if m.Undelivered() {
			bounced++
		}
	}
	return bounced
}

// closed reads to the end and returns the close code.
func (p *peer) closed() int {
	p.t.Helper()
	for {
		_, _, err := p.ReadFrame()
		if bye, ok := errors.AsType[*transport.CloseError](err); ok {
			p.Close(1000, "")
			return bye.Code
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// byHeader takes the user that a client names in its header.
type byHeader struct{}

func (byHeader) Authenticate(_ context.Context, c *server.Credentials) (server.User, error) {
	switch user := c.Header.Get("Test-User"); user {
	case "":
		return server.User{}, &server.RefusedError{Code: server.CodeUnauthorized, Reason: "Who are you?"}
	case "nobody":
		return server.User{}, &server.RefusedError{Code: server.CodeForbidden, Reason: "You may not."}
	case "unknown":
		return server.User{}, errors.New("the directory does not answer")
	default:
		return server.User{ID: user, Name: user}, nil
	}
}

func asUser(name string) relay.Option {
	return relay.WithHeader(http.Header{"Test-User": {name}})
}
