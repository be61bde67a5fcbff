package relaytest

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// memoryAddress is what an in-memory relay calls itself. The name is reserved
// for tests and resolves nowhere.
const memoryAddress = "relay.test:8700"

// memoryWindow is how many bytes a direction of a connection holds that the
// other side has not read; then writing waits, as it does on TCP.
const memoryWindow = 256 << 10

// memoryNetwork is a network of one address.
type memoryNetwork struct {
	mu       sync.Mutex
	listener *memoryListener // nil: connections are refused
}

func newMemoryNetwork() *memoryNetwork { return &memoryNetwork{} }

func (n *memoryNetwork) listen() (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listener != nil {
		return nil, syscall.EADDRINUSE
	}
	n.listener = &memoryListener{network: n, incoming: make(chan net.Conn), closed: make(chan struct{})}
	return n.listener, nil
}

func (n *memoryNetwork) dial(ctx context.Context) (net.Conn, error) {
	n.mu.Lock()
	l := n.listener
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: "memory", Addr: memoryAddr{}, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	if l == nil {
		return nil, refused
	}
	client, server := memoryPipe()
	select {
	case l.incoming <- server:
		return client, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type memoryListener struct {
	network  *memoryNetwork
	incoming chan net.Conn // never closed
	once     sync.Once
	closed   chan struct{} // closed by Close
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		l.network.listener = nil
		close(l.closed)
	})
	return nil
}

func (l *memoryListener) Addr() net.Addr { return memoryAddr{} }

type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return memoryAddress }

// memoryConn is one end of a connection in memory. Like a TCP connection, and
// unlike net.Pipe, it holds what is written until the other side reads it.
type memoryConn struct {
	in, out     *stream
	read, write deadline
	once        sync.Once
	closed      chan struct{} // closed by Close
	linger      bool          // Close lets go what the other side has not read
	mu          sync.Mutex    // guards linger
}

func memoryPipe() (a, b *memoryConn) {
	one, two := newStream(), newStream()
	a = &memoryConn{in: one, out: two, linger: true, closed: make(chan struct{})}
	b = &memoryConn{in: two, out: one, linger: true, closed: make(chan struct{})}
	return a, b
}

func (c *memoryConn) Read(p []byte) (int, error) {
	return c.in.read(p, &c.read, c.closed)
}

func (c *memoryConn) Write(p []byte) (int, error) {
	return c.out.write(p, &c.write, c.closed)
}

// SetLinger, with 0, makes Close a reset: bytes that have not been read die.
func (c *memoryConn) SetLinger(seconds int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.linger = seconds != 0
	return nil
}

func (c *memoryConn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.mu.Lock()
		linger := c.linger
		c.mu.Unlock()
		if linger {
			c.out.end(io.EOF)
		} else {
			c.out.reset()
		}
		c.in.reset() // the other side writes into nothing
	})
	return nil
}

func (c *memoryConn) LocalAddr() net.Addr  { return memoryAddr{} }
func (c *memoryConn) RemoteAddr() net.Addr { return memoryAddr{} }

func (c *memoryConn) SetDeadline(t time.Time) error {
	c.read.set(t)
	c.write.set(t)
	return nil
}

func (c *memoryConn) SetReadDeadline(t time.Time) error {
	c.read.set(t)
	return nil
}

func (c *memoryConn) SetWriteDeadline(t time.Time) error {
	c.write.set(t)
	return nil
}

// stream is one direction of a connection.
type stream struct {
	mu      sync.Mutex
	data    []byte
	err     error         // what the reader gets once data is empty; nil: more may come
	broken  bool          // the reader is gone
	changed chan struct{} // closed, and replaced, at every change
}

func newStream() *stream { return &stream{changed: make(chan struct{})} }

// notify is called with mu held.
func (s *stream) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.notify()
}

// reset lets go what is in flight; both sides learn that the connection is gone.
func (s *stream) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.data, s.err = nil, errReset
	}
	s.broken = true
	s.notify()
}

var (
	errReset  = &net.OpError{Op: "read", Net: "memory", Addr: memoryAddr{}, Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	errBroken = &net.OpError{Op: "write", Net: "memory", Addr: memoryAddr{}, Err: os.NewSyscallError("write", syscall.EPIPE)}
)

func (s *stream) read(p []byte, d *deadline, closed <-chan struct{}) (int, error) {
	for {
		expired := d.done()
		if err := ended(closed, expired); err != nil {
			return 0, err
		}
		s.mu.Lock()
		if len(s.data) > 0 {
			n := copy(p, s.data)
			s.data = s.data[n:]
			s.notify()
			s.mu.Unlock()
			return n, nil
		}
		err, changed := s.err, s.changed
		s.mu.Unlock()
		if err != nil {
			return 0, err
		}
		select {
		case <-changed:
		case <-closed:
		case <-expired:
		}
	}
}

func (s *stream) write(p []byte, d *deadline, closed <-chan struct{}) (n int, err error) {
	for len(p) > 0 {
		expired := d.done()
		if err := ended(closed, expired); err != nil {
			return n, err
		}
		s.mu.Lock()
		if s.broken {
			s.mu.Unlock()
			return n, errBroken
		}
		if room := min(memoryWindow-len(s.data), len(p)); room > 0 {
			s.data = append(s.data, p[:room]...)
			p, n = p[room:], n+room
			s.notify()
			s.mu.Unlock()
			continue
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-closed:
		case <-expired:
		}
	}
	return n, nil
}

// ended tells whether a call may go on.
func ended(closed, expired <-chan struct{}) error {
	switch {
	case isClosed(closed):
		return net.ErrClosed
	case isClosed(expired):
		return os.ErrDeadlineExceeded
	}
	return nil
}

// deadline is a point in time that can be moved while somebody waits for it.
// The zero value is none.
type deadline struct {
	mu     sync.Mutex
	timer  *time.Timer
	passed chan struct{} // closed when it has passed; replaced when it is moved
}

func (d *deadline) done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.passed == nil {
		d.passed = make(chan struct{})
	}
	return d.passed
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() && d.passed != nil {
		<-d.passed // the timer has fired: its function runs, or has run
	}
	d.timer = nil
	passed := d.passed
	if passed == nil || isClosed(passed) {
		passed = make(chan struct{})
	}
	d.passed = passed
	if t.IsZero() {
		return
	}
	if wait := time.Until(t); wait > 0 {
		d.timer = time.AfterFunc(wait, func() { close(passed) })
	} else {
		close(passed)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

var _ interface {
	net.Conn
	SetLinger(int) error
} = (*memoryConn)(nil)
