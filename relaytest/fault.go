package relaytest

import (
	"errors"
	"net"
	"sync"
)

// listener hands out connections that can be cut and frozen.
type listener struct {
	net.Listener
	relay *Relay

	mu    sync.Mutex
	conns map[*conn]struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		base, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.relay.mu.Lock()
		refuse, gate := l.relay.refuse, l.relay.gate
		l.relay.mu.Unlock()
		if refuse {
			reset(base)
			continue
		}
		c := &conn{Conn: base, listener: l, gate: gate, closed: make(chan struct{})}
		l.mu.Lock()
		l.conns[c] = struct{}{}
		l.mu.Unlock()
		return c, nil
	}
}

// cut resets all connections.
func (l *listener) cut() {
	l.mu.Lock()
	conns := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	for _, c := range conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

// reset closes a connection without a goodbye.
func reset(c net.Conn) {
	if tcp, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// conn is the server's end of a connection.
type conn struct {
	net.Conn
	listener *listener
	gate     *gate
	once     sync.Once
	closed   chan struct{} // closed by Close
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	// What has arrived stays here while the gate is closed: it is in flight.
	if waitErr := c.gate.wait(c.closed); waitErr != nil {
		return 0, waitErr
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.gate.wait(c.closed); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// CloseWrite lets the server say that nothing more comes.
func (c *conn) CloseWrite() error {
	if err := c.gate.wait(c.closed); err != nil {
		return err
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetLinger lets an abort reach the real connection.
func (c *conn) SetLinger(seconds int) error {
	if tcp, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		return tcp.SetLinger(seconds)
	}
	return nil
}

func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.listener.mu.Lock()
		delete(c.listener.conns, c)
		c.listener.mu.Unlock()
	})
	return c.Conn.Close()
}

// gate stops what passes while it is closed.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // closed while the gate is open
}

func newGate() *gate {
	g := &gate{opened: make(chan struct{})}
	close(g.opened)
	return g
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.opened:
		g.opened = make(chan struct{})
	default:
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.opened:
	default:
		close(g.opened)
	}
}

// wait returns when the gate is open, or with net.ErrClosed when closed is.
func (g *gate) wait(closed <-chan struct{}) error {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	select {
	case <-opened:
		return nil
	case <-closed:
		return net.ErrClosed
	}
}
