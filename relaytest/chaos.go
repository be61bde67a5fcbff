package relaytest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/transport"
)

// The bounds of a Chaos.
const (
	chaosConnections = 1024    // open at a time, whatever they suffer
	chaosCounters    = 4096    // addresses with times=N
	chaosURLBytes    = 4 << 10 // of an address
	chaosFrameBytes  = 1 << 20 // the protocol's limit
)

// Chaos is a relay that does to its clients what real ones do on bad days. The
// address that a client dials says what, so that any client can be tested, in
// any language:
//
//	ws://127.0.0.1:8765/close/1011?on=message&n=3&times=1
//
// closes with 1011 when the third message comes, once, and is a healthy relay
// after that. [ChaosIndex] lists all that there is. Clients of all addresses
// reach each other, as far as what they suffer lets them.
//
// It is an [http.Handler]: for an http.Server, for httptest, or, in memory and
// inside a [testing/synctest] bubble, for [Relay.Handle]. Closing what is in front
// of it does not end its connections, Close and Shutdown do. At most 1024 may be
// open; further ones are answered 503. All methods may be called concurrently.
type Chaos struct {
	// Log gets a line for each connection. It is set before the first one. The
	// default, nil, logs nothing. No header and no free text of an address is
	// ever logged.
	Log *slog.Logger

	relay *server.Server // what is healthy

	handlers sync.WaitGroup // one for each request; none is added once closing is set

	mu      sync.Mutex // never held over a wait
	closing bool
	open    int // requests, and the connections that came of them
	wires   map[*chaosWire]struct{}
	seen    map[[sha256.Size]byte]int // connections, by address with times=N
}

// NewChaos returns a Chaos that is closed at the end of the test; without one tb
// is nil, and the caller closes it. The options are those of the relay that is
// healthy underneath, with one other default: a client may take an hour to
// register, because many here never get the chance. A wrong option ends the test,
// or panics where there is none.
func NewChaos(tb testing.TB, opts ...server.Option) *Chaos {
	healthy, err := server.New(append([]server.Option{server.WithRegisterTimeout(time.Hour)}, opts...)...)
	if err != nil {
		if tb == nil {
			panic(fmt.Sprintf("relaytest: %v", err))
		}
		tb.Helper()
		tb.Fatalf("relaytest: %v", err)
	}
	c := &Chaos{relay: healthy, wires: make(map[*chaosWire]struct{}), seen: make(map[[sha256.Size]byte]int)}
	if tb != nil {
		tb.Cleanup(c.Close)
	}
	return c
}

// ServeHTTP does what the address of the request says. It returns when the
// connection has ended. A browser that asks for the root gets the index, an
// address that says nothing 404 with the index, and a parameter that is wrong 400
// with what is allowed.
func (c *Chaos) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if why := c.enter(); why != nil {
		w.Header().Set("Connection", "close")
		w.Header().Set("Retry-After", "1")
		http.Error(w, why.Error(), http.StatusServiceUnavailable)
		return
	}
	defer c.leave()
	p, err := parsePlan(r)
	if err != nil && c.Log != nil {
		c.Log.Warn("an address that means nothing", "remote", r.RemoteAddr, "why", err)
	}
	if p.behaviour == nil {
		http.Error(w, err.Error()+"\n\n"+ChaosIndex("ws://"+r.Host), http.StatusNotFound)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	upgrade := r.Header.Get("Upgrade") != ""
	if p.behaviour.name == "" && !upgrade && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, ChaosIndex("ws://"+r.Host))
		return
	}
	what, asked := "a client", p
	if p.times > 0 {
		n, err := c.count(r.URL.RequestURI())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		if n > p.times {
			what = "healthy again"
			p = plan{behaviour: &behaviours[0]}
		}
	}
	c.log(r, what, asked)
	if p.behaviour.answer != nil {
		p.behaviour.answer(p, w, r)
		return
	}
	c.serve(p, w, r)
}

func (c *Chaos) log(r *http.Request, what string, p plan) {
	if c.Log != nil {
		c.Log.Info(what, "remote", r.RemoteAddr, "address", p.String())
	}
}

// serve is the life of one connection.
func (c *Chaos) serve(p plan, w http.ResponseWriter, r *http.Request) {
	h := &chaosHijacker{ResponseWriter: w, chaos: c, plan: p}
	defer func() { c.forget(h.wire) }()
	if p.on == onUpgrade && p.behaviour.instead != nil {
		if _, _, err := h.Hijack(); err == nil {
			p.behaviour.instead(p, h.wire)
			_ = h.wire.Close() // in good order; whatever is left breaks below
		}
		return
	}
	upgrader := transport.Upgrader{
		MaxFrameBytes: chaosFrameBytes,
		CheckOrigin:   func(*http.Request) bool { return true }, // pages under test come from anywhere, and there is nothing to protect
	}
	if p.code == codeTooLarge && p.size > 0 {
		upgrader.MaxFrameBytes = p.size
	}
	base, err := upgrader.Upgrade(h, r)
	if err != nil { // the client has been told
		return
	}
	v := newVictim(base, h.wire, p)
	defer v.finish()
	if p.on == onUpgrade && p.behaviour.act != nil && !p.behaviour.act(v) {
		return
	}
	// The error says that there was no place, and the client was told.
	_ = c.relay.ServeConn(context.Background(), v)
	h.wire.hold()
}

var (
	errChaosClosed  = errors.New("the chaos relay is shutting down")
	errChaosCrowded = fmt.Errorf("the chaos relay has its %d connections", chaosConnections)
)

func (c *Chaos) enter() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closing:
		return errChaosClosed
	case c.open >= chaosConnections:
		return errChaosCrowded
	}
	c.open++
	c.handlers.Add(1)
	return nil
}

func (c *Chaos) leave() {
	c.mu.Lock()
	c.open--
	c.mu.Unlock()
	c.handlers.Done()
}

// count returns the how manieth connection to this address it is.
func (c *Chaos) count(address string) (int, error) {
	key := sha256.Sum256([]byte(address))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen[key] == 0 && len(c.seen) >= chaosCounters {
		return 0, fmt.Errorf("the chaos relay has counted the connections of %d addresses with times=N, and no more fit: start another one", chaosCounters)
	}
	c.seen[key]++
	return c.seen[key], nil
}

// adopt takes a socket under the care of Close.
func (c *Chaos) adopt(w *chaosWire) {
	c.mu.Lock()
	c.wires[w] = struct{}{}
	closing := c.closing
	c.mu.Unlock()
	if closing {
		w.kill()
	}
}

// forget closes what is left of a socket, which may be nil.
func (c *Chaos) forget(w *chaosWire) {
	if w == nil {
		return
	}
	w.kill()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.wires, w)
}

// Shutdown refuses new connections, ends those that can still be told with 1001,
// and breaks all others, the half-open too: at the latest when ctx ends, whose
// error it then returns. It returns when nothing is left of them.
func (c *Chaos) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	err := c.relay.Shutdown(ctx)
	c.mu.Lock()
	wires := make([]*chaosWire, 0, len(c.wires))
	for w := range c.wires {
		wires = append(wires, w)
	}
	c.mu.Unlock()
	for _, w := range wires {
		w.kill()
	}
	c.handlers.Wait()
	return err
}

// Close breaks all connections, and returns when nothing is left of them.
func (c *Chaos) Close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = c.Shutdown(ctx) // it says that ctx has ended
}
