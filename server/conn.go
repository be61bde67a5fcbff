package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

// Why a connection is closed; the 4000s are ProxyStore's, texts included. See
// also CodeUnauthorized and CodeForbidden.
const (
	codeGoingAway  = 1001
	codeProtocol   = 1002
	codeAbnormal   = 1006 // never sent: the peer is gone without a word
	codeNotUTF8    = 1007
	codePolicy     = 1008
	codeTooLarge   = 1009
	codeInternal   = 1011
	codeTryLater   = 1013
	codeUnknown    = 4000
	codeTooLong    = 4003
	codeTakenOver  = 4004
	reasonUnknown  = "Unknown message type."
	reasonTooLong  = "Message length exceeds limit."
	reasonStranger = "ForbiddenError: Client has not registered and authenticated with the relay server."
	reasonTaken    = "Relay received a registration with the same ID. " +
		"This might mean that the endpoint is running in multiple locations."
	reasonSilent  = "keepalive ping timeout"
	reasonUnread  = "Client does not read its messages."
	reasonIdle    = "Client has not registered in time."
	reasonCrowded = "Too many connections."
	reasonAddress = "Too many connections from this address."
	reasonUser    = "Too many connections of this user."
)

// A conn is one connection. A goroutine of its own runs read; another one runs
// write while there is something to write.
type conn struct {
	s       *Server
	cfg     *config // of when it was opened
	ws      transport.Conn
	id      uint64
	remote  string        // its address, for the log
	asked   time.Time     // for the connection
	opening time.Duration // how long that took
	place   *place
	queue   *queue // what is to be written to it
	echoes  echoes // what it has sent to itself

	credentials *Credentials // nil without an Authenticator
	in, out     traffic

	// The reader's.
	rates   *rates // nil: there is no limit
	greeted bool   // its first registration was answered

	writing atomic.Int32   // asleep, writing or asked
	pending sync.WaitGroup // the last writer, and timers

	// behind is set when a sender has waited for room in vain, until the queue
	// has been emptied: nobody waits meanwhile.
	behind atomic.Bool

	ctx  context.Context // ended by end: nothing more is handled or queued
	stop context.CancelFunc

	alive keepalive

	mu          sync.Mutex
	registering *time.Timer  // nil once it has registered
	user        User         // changed by the reader until the end, under mu
	clients     []Registered // likewise
	code        int          // of the end; 0: not ended
	reason      string
}

// traffic counts messages.
type traffic struct{ messages, bytes atomic.Uint64 }

func (t *traffic) add(messages, bytes uint64) {
	t.messages.Add(messages)
	t.bytes.Add(bytes)
}

// read handles what comes in until the socket is closed. Once the connection
// has ended it discards, so that the peer's half of the closing handshake is
// found behind whatever it had sent before.
func (c *conn) read() {
	for {
		frame, binary, err := c.ws.ReadFrame()
		if err != nil {
			c.broken(err)
			return
		}
		if c.ctx.Err() == nil {
			c.handle(frame, binary)
			c.pace(len(frame))
		}
	}
}

// handle handles one message.
func (c *conn) handle(frame []byte, binary bool) {
	s := c.s
	s.stats.received.Add(1)
	s.stats.receivedBytes.Add(uint64(len(frame)))
	c.in.add(1, uint64(len(frame)))
	if limit := c.cfg.maxMessageBytes; limit > 0 && len(frame) > limit {
		c.fail(codeTooLong, reasonTooLong, nil)
		return
	}
	if binary {
		c.fail(codeUnknown, reasonUnknown, codec.ErrBinary)
		return
	}
	e, err := codec.DecodeEnvelope(frame)
	if err == nil {
		c.route(frame, &e)
		return
	}
	if errors.Is(err, codec.ErrUnexpectedType) {
		var m codec.RelayMessage
		m, err = codec.Decode(frame)
		if r, ok := m.(codec.Registration); ok {
			c.register(r)
			return
		}
	}
	if errors.Is(err, codec.ErrInvalidUTF8) {
		c.fail(codeNotUTF8, "", err)
		return
	}
	c.fail(codeUnknown, reasonUnknown, err)
}

// fail ends the connection for what the peer has sent. Only the kind of err is
// logged: its text may quote the message.
func (c *conn) fail(code int, reason string, err error) {
	if hidden, ok := c.s.oddities.fatal.allow(); ok {
		c.cfg.logger.Warn("closing a connection for what it sent", "conn", c.id, "remote", c.remote,
			"code", code, "reason", reason, "error", kind(err), "hidden", hidden)
	}
	c.end(code, reason)
}

// broken ends the connection after a failed read or write. Both goroutines
// may come here, for the same failure or another.
func (c *conn) broken(err error) {
	var bye *transport.CloseError
	switch {
	case errors.Is(err, transport.ErrClosed): // by ourselves
		return
	case errors.As(err, &bye):
		c.end(bye.Code, bye.Reason)
	case errors.Is(err, transport.ErrFrameTooLarge):
		c.end(codeTooLarge, fmt.Sprintf("frame exceeds limit of %d bytes", maxFrameBytes))
	case errors.Is(err, transport.ErrProtocol):
		c.end(codeProtocol, "")
	case errors.Is(err, os.ErrDeadlineExceeded):
		if c.end(codePolicy, reasonUnread) {
			c.s.stats.writeTimeouts.Add(1)
		}
		c.ws.Abort() // nothing, not even a goodbye, fits through
	default:
		c.cut()
	}
	c.close()
}

// cut ends the connection without a word.
func (c *conn) cut() {
	c.end(codeAbnormal, "")
	c.ws.Abort()
}

// end unregisters everything that c owns and has the connection closed behind
// what is in its queue. It does not wait. The first call decides, and returns
// true.
func (c *conn) end(code int, reason string) bool {
	c.mu.Lock()
	ended := c.code != 0
	if !ended {
		c.code, c.reason = code, reason
		c.queue.Close() // now: the writer may be leaving, and nobody would take what came later
		c.stopTimer(c.registering)
		c.stopTimer(c.alive.timer)
	}
	c.mu.Unlock()
	if ended {
		return false
	}
	c.stop()
	c.wake()
	for _, client := range c.clients { // unchanged from here on
		if c.s.registry.remove(client.UUID, c) {
			c.cfg.logger.Info("unregistered", "conn", c.id, "uuid", client.UUID, "name", client.Name, "code", code)
		}
	}
	return true
}

// close says goodbye and closes the socket, in bounded time. The connection
// has ended.
func (c *conn) close() {
	c.mu.Lock()
	code, reason := c.code, c.reason
	c.mu.Unlock()
	if err := c.ws.Close(code, reason); err != nil {
		c.cfg.logger.Debug("closed", "conn", c.id, "code", code, "error", err)
	}
}

// userID tells who the peer is, for other goroutines than the reader.
func (c *conn) userID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.user.ID
}

func (c *conn) registered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.clients) > 0
}

// owns reports whether id was registered on this connection. Only the reader
// may ask before the end.
func (c *conn) owns(id uuid.UUID) bool {
	for i := range c.clients {
		if c.clients[i].UUID == id {
			return true
		}
	}
	return false
}
