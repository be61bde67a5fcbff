package gate

import "net"

// A tcpConn gives its place back when it is closed. The *net.TCPConn is there
// with all its methods: the code above sets its options, and writes to it with
// one system call what lies in several buffers.
type tcpConn struct {
	*net.TCPConn
	gate  *Listener
	place *place
}

// An anyConn is the same for a network that is not TCP.
type anyConn struct {
	net.Conn
	gate  *Listener
	place *place
}

func (l *Listener) wrap(p *place) net.Conn {
	if tcp, ok := p.conn.(*net.TCPConn); ok {
		return &tcpConn{tcp, l, p}
	}
	return &anyConn{p.conn, l, p}
}

func (c *tcpConn) arrive() { c.gate.leave(c.place) }
func (c *anyConn) arrive() { c.gate.leave(c.place) }

// Socket tells package transport that nothing stands between it and the socket.
func (c *tcpConn) Socket() *net.TCPConn { return c.TCPConn }

// Close also gives the place back.
func (c *tcpConn) Close() error {
	c.arrive()
	return c.TCPConn.Close()
}

// Close also gives the place back.
func (c *anyConn) Close() error {
	c.arrive()
	return c.Conn.Close()
}

// reset closes a connection without waiting for its peer, and without keeping
// anything of it: neither bytes nor a state of TCP.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
