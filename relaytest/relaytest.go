package relaytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/transport"
)

// Relay is a relay server for tests. All methods may be called concurrently.
type Relay struct {
	// URL is the relay's address, for relay.New. In memory it leads nowhere
	// without [Relay.DialContext].
	URL string

	tb      testing.TB // nil: made by Start
	options []server.Option
	memory  *memoryNetwork // nil: loopback sockets
	address string         // on which to listen, once known

	turn chan struct{} // one slot: holds the token of whoever starts or stops; never closed

	mu      sync.Mutex
	gate    *gate        // the present connections' freeze
	handler http.Handler // instead of the server, if not nil
	refuse  bool
	run     *instance // nil while stopped
}

// instance is one run of the server, from Start to Stop.
type instance struct {
	server   *server.Server
	http     *http.Server
	listener *listener
	serving  sync.WaitGroup
}

// New starts a relay on a loopback port. It is stopped at the end of the test.
func New(tb testing.TB, opts ...server.Option) *Relay {
	tb.Helper()
	return start(tb, nil, opts)
}

// NewInMemory starts a relay without a socket. Its clients are made by
// [Relay.Client], or dial with [Relay.DialContext]. In a [testing/synctest]
// bubble, use it and everything that talks to it inside the same bubble, and
// Close it before the bubble's function returns.
func NewInMemory(tb testing.TB, opts ...server.Option) *Relay {
	tb.Helper()
	return start(tb, newMemoryNetwork(), opts)
}

// Start starts a relay on a loopback port where there is no test: in an
// example, or in a program's demonstration. Close it. It panics if it cannot
// listen or an option is wrong, as httptest does.
func Start(opts ...server.Option) *Relay { return start(nil, nil, opts) }

func start(tb testing.TB, memory *memoryNetwork, opts []server.Option) *Relay {
	r := &Relay{tb: tb, options: opts, memory: memory, address: "127.0.0.1:0", turn: make(chan struct{}, 1), gate: newGate()}
	r.Start()
	r.URL = "ws://" + r.address
	if tb != nil {
		tb.Cleanup(r.Close)
	}
	return r
}

// Client returns a client of this relay that is not connected yet. It is closed
// at the end of the test, before the relay; close it earlier to see its errors.
func (r *Relay) Client(name string, opts ...relay.Option) *relay.Client {
	base := []relay.Option{relay.WithName(name)}
	if r.memory != nil {
		base = append(base, relay.WithDialContext(r.DialContext))
	}
	c, err := relay.New(r.URL, append(base, opts...)...)
	if err != nil {
		r.fail(err)
	}
	if r.tb != nil {
		r.tb.Cleanup(func() { _ = c.Close() })
	}
	return c
}

// DialContext connects to the relay, whatever the address says: it is what
// relay.WithDialContext wants.
func (r *Relay) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if r.memory != nil {
		return r.memory.dial(ctx)
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", r.address)
}

// Server returns the server that runs now, for its Stats; nil while stopped.
func (r *Relay) Server() *server.Server {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.run == nil {
		return nil
	}
	return r.run.server
}

// Start starts the relay again after Stop or Shutdown, at the same address and
// with nobody registered. It does nothing while the relay runs.
func (r *Relay) Start() {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.run != nil {
		return
	}
	s, err := server.New(r.options...)
	if err != nil {
		r.fail(err)
	}
	base, err := r.listen()
	if err != nil {
		r.fail(err)
	}
	r.address = base.Addr().String()
	run := &instance{server: s, listener: &listener{Listener: base, relay: r, conns: make(map[*conn]struct{})}}
	run.http = &http.Server{
		Handler:           r,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // cut connections are what tests are for
	}
	run.serving.Go(func() { _ = run.http.Serve(run.listener) })
	r.run = run
}

func (r *Relay) listen() (net.Listener, error) {
	if r.memory != nil {
		return r.memory.listen()
	}
	return net.Listen("tcp", r.address)
}

// Stop ends the relay as a crash does: connections break without a goodbye,
// what was queued is lost, and new connections are refused.
func (r *Relay) Stop() {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	if run := r.end(true); run != nil {
		_ = run.http.Close()
		run.listener.cut()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = run.server.Shutdown(ctx)
		run.serving.Wait()
	}
}

// Shutdown ends the relay as SIGTERM does: queues are flushed, and everybody is
// closed with 1001, until ctx ends.
func (r *Relay) Shutdown(ctx context.Context) error {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	run := r.end(false)
	if run == nil {
		return nil
	}
	err := run.server.Shutdown(ctx)
	err = errors.Join(err, run.http.Close())
	run.listener.cut()
	run.serving.Wait()
	return err
}

// Close stops the relay for good; New arranges for it.
func (r *Relay) Close() { r.Stop() }

// end takes the instance out. A crash freezes everything first, so that
// nothing that is still alive in it can speak of what is dead already; a
// polite end must speak.
func (r *Relay) end(crash bool) *instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	run, last := r.run, r.gate
	r.run, r.gate = nil, newGate()
	if crash {
		last.close()
	} else {
		last.open()
	}
	return run
}

// Cut breaks all connections as they stand, without a goodbye, as a router does
// that forgets them with a reset. The relay runs on, and clients come back.
func (r *Relay) Cut() {
	r.mu.Lock()
	run := r.run
	r.mu.Unlock()
	if run != nil {
		run.listener.cut()
	}
}

// Freeze leaves all connections open and dead: nothing that is sent arrives,
// in either direction, and nobody is told. New connections are accepted and as
// dead. The returned function lets everything flow again, what had been sent
// meanwhile included.
func (r *Relay) Freeze() (thaw func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.gate
	g.close()
	return g.open
}

// Refuse refuses new connections until the returned function is called; those
// that are open stay.
func (r *Relay) Refuse() (restore func()) {
	set := func(refuse bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.refuse = refuse
	}
	set(true)
	return func() { set(false) }
}

// Handle lets h answer new connections instead of the relay, until the returned
// function is called.
func (r *Relay) Handle(h http.Handler) (restore func()) {
	set := func(h http.Handler) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.handler = h
	}
	set(h)
	return func() { set(nil) }
}

// Respond answers handshakes with an HTTP status and headers, such as 503 with
// Retry-After, until the returned function is called.
func (r *Relay) Respond(status int, header http.Header) (restore func()) {
	return r.Handle(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		http.Error(w, http.StatusText(status), status)
	}))
}

// Reject answers registrations by closing the connection with a code and a
// reason, until the returned function is called.
func (r *Relay) Reject(code int, reason string) (restore func()) {
	return r.Script(func(conn transport.Conn) {
		if _, _, err := conn.ReadFrame(); err == nil {
			_ = conn.Close(code, reason)
		}
	})
}

// Script lets f talk to each new connection instead of the relay, until the
// returned function is called. The connection is aborted when f returns.
func (r *Relay) Script(f func(conn transport.Conn)) (restore func()) {
	upgrader := transport.Upgrader{MaxFrameBytes: 2 << 20}
	return r.Handle(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		conn, err := upgrader.Upgrade(w, req)
		if err != nil {
			return
		}
		defer func() { _ = conn.Abort() }()
		f(conn)
	}))
}

// ServeHTTP serves what the relay serves at the moment.
func (r *Relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	handler, run := r.handler, r.run
	r.mu.Unlock()
	switch {
	case handler != nil:
		handler.ServeHTTP(w, req)
	case run != nil:
		run.server.ServeHTTP(w, req)
	default:
		http.Error(w, "Server is shutting down.", http.StatusServiceUnavailable)
	}
}

// fail ends the test, or panics where there is none.
func (r *Relay) fail(err error) {
	if r.tb == nil {
		panic(fmt.Sprintf("relaytest: %v", err))
	}
	r.tb.Helper()
	r.tb.Fatalf("relaytest: %v", err)
}
