package transport

import (
	"errors"
	"fmt"
	"time"
)

// Conn is one WebSocket connection. One goroutine calls ReadFrame, one
// goroutine calls WriteFrame and Flush; all other methods may be called from
// any goroutine at any time.
//
// After the connection has ended, ReadFrame, WriteFrame and Flush return why:
// the peer's [*CloseError] if it said goodbye first, [ErrClosed] after Close or
// Abort, else the first error met.
type Conn interface {
	// ReadFrame returns the next message, put together if it came in fragments,
	// and whether it was binary. Text is not checked for valid UTF-8. The memory
	// of p is the connection's: it is valid until the next call.
	//
	// The error is a [*CloseError] when the peer closed (its close frame has then
	// been answered), [ErrFrameTooLarge] or [ErrProtocol] when the peer broke the
	// rules (it has then been told), one that matches [io.ErrUnexpectedEOF]
	// when the connection ended without a close frame, or what the network said.
	// After an error every call returns an error.
	ReadFrame() (p []byte, binary bool, err error)

	// WriteFrame puts p into the write buffer as one text frame; p may be reused
	// afterwards. It does no I/O unless more than 64 KiB wait: then it flushes.
	WriteFrame(p []byte) error

	// Flush sends what the buffer holds, and the ping and the pong that are due.
	// It waits for the kernel to take the bytes. A peer that takes nothing for the
	// write timeout is an error that matches [os.ErrDeadlineExceeded], after which
	// the connection is of no use.
	Flush() error

	// OnWake has f called whenever a ping or a pong waits for Flush, also now if one
	// does: whoever writes may be asleep, or not be there while there is nothing to
	// write. It is called by the goroutine that reads or pings, and must not wait. A
	// connection has one such function, that of the last call.
	OnWake(f func())

	// Ping asks for a ping with the next Flush.
	Ping()

	// Offsets returns two positions in the stream of written bytes: the end of
	// the message written last, and how far the kernel has taken the stream.
	// A message whose end is beyond flushed has certainly not reached the peer,
	// one whose end is not beyond it may have. Exact also after an error, as
	// soon as the failed call has returned. Only the difference between
	// positions of one connection means anything.
	Offsets() (buffered, flushed int64)

	// Received returns how many bytes were read so far. Any change is a sign
	// of life, also in the middle of a large message.
	Received() int64

	// Frames returns how many messages, pings and pongs were read whole so far.
	// A peer for which it stands still is silent, or dribbles the bytes of one
	// message: see Received.
	Frames() uint64

	// Pongs returns how many pongs were read so far, asked for or not.
	Pongs() uint64

	// RoundTrip returns how long the pong read last took, from when its ping was
	// given to the kernel until ReadFrame met it; 0 before the first.
	RoundTrip() time.Duration

	// Close flushes the buffer, sends a close frame, reads on until the peer's
	// close frame arrives, and closes the socket. All of this is bounded by the
	// close timeout; reaching it is an error that matches
	// [os.ErrDeadlineExceeded]. A blocked ReadFrame, WriteFrame or Flush returns.
	//
	// A reason is cut to 123 bytes at the start of a rune. A code that must not
	// be sent (0 and 1005 among them) sends a close frame without a code. If a
	// close frame was sent already, as the answer to the peer's or because the
	// peer broke the rules, that one counts. A second Close waits for the
	// first and returns nil.
	Close(code int, reason string) error

	// Abort closes the socket at once, and on TCP has the kernel throw away what
	// it has not sent yet. It never blocks and sends no close frame. Like Close
	// it unblocks everybody.
	Abort() error
}

var (
	// ErrClosed is what a connection returns after Close or Abort.
	ErrClosed = errors.New("transport: connection closed")
	// ErrProtocol is matched by the error of ReadFrame when the peer broke
	// RFC 6455. It has been sent close code 1002.
	ErrProtocol = errors.New("transport: protocol violation")
	// ErrFrameTooLarge is returned by ReadFrame when a message of the peer is
	// over the limit. It has been sent close code 1009.
	ErrFrameTooLarge = errors.New("transport: frame too large")
	// ErrInvalidURL is returned by Dial when the address is no ws or wss URL
	// with a host. The text does not repeat the address: it may hold a secret.
	ErrInvalidURL = errors.New("transport: invalid URL")
	// ErrInvalidHeader is matched by the error of Dial when a header of the
	// caller cannot be sent. The text names the header, never its value.
	ErrInvalidHeader = errors.New("transport: invalid header")
)

// CloseError is the peer's goodbye.
type CloseError struct {
	Code   int    // 1005 if the close frame had none
	Reason string // may be empty
}

// Error implements error.
func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("transport: closed by the peer with code %d", e.Code)
	}
	return fmt.Sprintf("transport: closed by the peer with code %d: %q", e.Code, e.Reason)
}

const (
	defaultTimeout       = 10 * time.Second
	defaultWriteTimeout  = 10 * time.Second
	defaultCloseTimeout  = 5 * time.Second
	defaultMaxFrameBytes = 1 << 20
)

// limits are the bounds of one connection.
type limits struct {
	write, close  time.Duration
	maxFrameBytes int
}

// newLimits replaces what is not positive by its default.
func newLimits(write, closing time.Duration, maxFrameBytes int) limits {
	l := limits{defaultWriteTimeout, defaultCloseTimeout, defaultMaxFrameBytes}
	if write > 0 {
		l.write = write
	}
	if closing > 0 {
		l.close = closing
	}
	if maxFrameBytes > 0 {
		l.maxFrameBytes = maxFrameBytes
	}
	return l
}
