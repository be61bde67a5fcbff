package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// pairing makes two connected ends; d and u may be nil for defaults.
type pairing struct {
	name    string
	connect func(t *testing.T, d *Dialer, u *Upgrader) (client, server Conn)
}

// sockets are the pairings that have limits to set.
var sockets = []pairing{
	{"over TCP", func(t *testing.T, d *Dialer, u *Upgrader) (Conn, Conn) { return overSocket(t, false, d, u) }},
	{"over TLS", func(t *testing.T, d *Dialer, u *Upgrader) (Conn, Conn) { return overSocket(t, true, d, u) }},
}

var pairings = append([]pairing{
	{"in memory", func(t *testing.T, _ *Dialer, _ *Upgrader) (Conn, Conn) { noLeaks(t); return Pipe() }},
}, sockets...)

// eachPair runs test against the pairings, from the client's and from the server's side.
func eachPair(t *testing.T, of []pairing, test func(t *testing.T, here, there Conn)) {
	t.Helper()
	for _, p := range of {
		t.Run(p.name+", seen by the client", func(t *testing.T) {
			client, server := p.connect(t, nil, nil)
			test(t, client, server)
		})
		t.Run(p.name+", seen by the server", func(t *testing.T) {
			client, server := p.connect(t, nil, nil)
			test(t, server, client)
		})
	}
}

// wakes returns a channel that receives when a ping or a pong waits for Flush.
func wakes(c Conn) <-chan struct{} {
	wake := make(chan struct{}, 1)
	c.OnWake(func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	return wake
}

func noProxy(*http.Request) (*url.URL, error) { return nil, nil }

// overSocket connects through a real HTTP server.
func overSocket(t *testing.T, secure bool, d *Dialer, u *Upgrader) (client, server Conn) {
	t.Helper()
	noLeaks(t)
	if d == nil {
		d = new(Dialer)
	}
	if u == nil {
		u = new(Upgrader)
	}
	accepted := make(chan Conn, 1)
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := u.Upgrade(w, r)
		if err != nil {
			t.Errorf("Upgrade: %v", err)
			return
		}
		accepted <- c
	}))
	h.TLS = &tls.Config{DynamicRecordSizingDisabled: true}
	if secure {
		h.StartTLS()
	} else {
		h.Start()
	}
	t.Cleanup(h.Close)
	dial := *d
	dial.Proxy = noProxy
	if secure {
		dial.TLSConfig = trust(h)
	}
	client, err := dial.Dial(t.Context(), "ws"+strings.TrimPrefix(h.URL, "http"))
	if err != nil {
		t.Fatal(err)
	}
	server = <-accepted
	t.Cleanup(func() { _ = client.Abort(); _ = server.Abort() })
	return client, server
}

// trust is a configuration that trusts the server of a test.
func trust(h *httptest.Server) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(h.Certificate())
	return &tls.Config{RootCAs: pool}
}

// noLeaks fails the test if it leaves goroutines. Call it first.
func noLeaks(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		var now int
		for range 200 {
			if now = runtime.NumGoroutine(); now <= before {
				return
			}
			<-time.After(10 * time.Millisecond)
		}
		stacks := make([]byte, 1<<16)
		t.Errorf("%d goroutines, %d before\n%s", now, before, stacks[:runtime.Stack(stacks, true)])
	})
}

func send(t *testing.T, c Conn, frames ...[]byte) {
	t.Helper()
	for _, p := range frames {
		if err := c.WriteFrame(p); err != nil {
			t.Fatalf("WriteFrame: %v", err)
		}
	}
	if err := c.Flush(); err != nil {
		t.Fatalf("Flush: %v", err)
	}
}

func expect(t *testing.T, c Conn, frames ...[]byte) {
	t.Helper()
	for i, want := range frames {
		p, binary, err := c.ReadFrame()
		if err != nil {
			t.Fatalf("ReadFrame %d: %v", i, err)
		}
		if binary || !bytes.Equal(p, want) {
			t.Fatalf("frame %d: got %d bytes (binary %v), want %d", i, len(p), binary, len(want))
		}
	}
}

// result runs f beside the test and delivers its error.
func result(f func() error) <-chan error {
	c := make(chan error, 1)
	go func() { c <- f() }()
	return c
}

func readError(c Conn) error {
	for {
		if _, _, err := c.ReadFrame(); err != nil {
			return err
		}
	}
}

// within receives from c, or fails the test after a generous while.
func within[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(8 * time.Second):
		stacks := make([]byte, 1<<16)
		t.Fatalf("%s: still waiting\n%s", what, stacks[:runtime.Stack(stacks, true)])
		panic("unreachable")
	}
}

// countingConn counts and can limit what is written.
type countingConn struct {
	net.Conn
	writes atomic.Int64
	room   atomic.Int64 // bytes that may still be written; then Write fails half way
}

var errNoRoom = &net.OpError{Op: "write", Err: net.UnknownNetworkError("no room")}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	if room := c.room.Load(); int64(len(p)) > room {
		n, _ := c.Conn.Write(p[:room])
		c.room.Add(-int64(n))
		return n, errNoRoom
	}
	n, err := c.Conn.Write(p)
	c.room.Add(-int64(n))
	return n, err
}

// counted is a DialContext that counts.
func counted(into **countingConn) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		*into = &countingConn{Conn: conn}
		(*into).room.Store(1 << 40)
		return *into, nil
	}
}
