package main

import (
	"bytes"
	"context"
	"net"
	"sync"

	"github.com/seed73300619/relay/codec"
)

// A tally counts what goes over the connections of clients, below them: it sees
// what they send on their own account, too, and owes nothing to anybody's counters.
type tally struct {
	mu sync.Mutex
	tallied
}

type tallied struct {
	connections   int // that were upgraded
	frames, bytes int // messages of all kinds to the relay, and their payload
	registrations int // that the relay has answered
	forwarded     int // messages from the relay
	bounced       int // likewise, but returned to their sender
	strange       int // what should not have come
}

// figures are the present ones.
func (c *tally) figures() tallied {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tallied
}

// dial is for relay.WithDialContext.
func (c *tally) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	counted := &countedConn{Conn: conn}
	counted.to.each = func(payload []byte) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.frames++
		c.bytes += len(payload)
	}
	counted.from.opened = func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.connections++
	}
	counted.from.each = c.came
	return counted, nil
}

// came counts a message from the relay.
func (c *tally) came(payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, err := codec.Decode(payload)
	switch m := m.(type) {
	case codec.Response:
		c.registrations++
	case codec.PeerConnection:
		if m.Undelivered() {
			c.bounced++
		} else {
			c.forwarded++
		}
	default:
		c.strange++
	}
	if err != nil {
		c.strange++
	}
}

// A countedConn is read by one goroutine, and written by one.
type countedConn struct {
	net.Conn
	to, from frames
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.from.take(p[:n])
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.to.take(p[:n])
	return n, err
}

// frames finds the messages in one direction of a WebSocket, behind the handshake.
// Both ends send every message in one frame, uncompressed.
type frames struct {
	each   func(payload []byte) // still masked, if it was
	opened func()               // if set, called when the handshake is over

	open bool
	rest []byte // not whole yet
}

func (f *frames) take(p []byte) {
	f.rest = append(f.rest, p...)
	if !f.open {
		_, behind, whole := bytes.Cut(f.rest, []byte("\r\n\r\n"))
		if !whole {
			return
		}
		f.open, f.rest = true, behind
		if f.opened != nil {
			f.opened()
		}
	}
	for {
		payload, size := frame(f.rest)
		if size == 0 {
			return
		}
		if f.rest[0]&0x0f == 1 {
			f.each(payload)
		}
		f.rest = f.rest[size:]
	}
}

// frame returns the payload of the first frame in b, and its size; 0: it is not
// whole.
func frame(b []byte) (payload []byte, size int) {
	if len(b) < 2 {
		return nil, 0
	}
	head, n := 2, int(b[1]&0x7f)
	switch n {
	case 126:
		head = 4
	case 127:
		head = 10
	}
	if len(b) < head {
		return nil, 0
	}
	if head > 2 {
		n = 0
		for _, digit := range b[2:head] {
			n = n<<8 | int(digit)
		}
	}
	if b[1]&0x80 != 0 {
		head += 4
	}
	if len(b) < head+n {
		return nil, 0
	}
	return b[head : head+n], head + n
}
