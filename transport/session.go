package transport

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// goodbyeTimeout bounds the close frame that the reading goroutine sends by
// itself; after that the socket is closed.
const goodbyeTimeout = time.Second

// A link carries the frames of a session: over a socket or in memory.
type link interface {
	// put appends a frame to what waits and returns its end in the stream, take
	// hands all that waits over to write, pending is how much waits, in bytes.
	// These three are called under the session's mutex and never block.
	put(op opcode, p []byte) (end int64)
	take()
	pending() int

	// write sends what was taken, sendClose a close frame that no offset counts.
	// Both are called by whoever holds the right to write.
	write(timeout time.Duration) error
	sendClose(payload []byte, timeout time.Duration) error

	// read returns the next message; without keep it is thrown away and the
	// memory of the message before stays as it is. drain reads and discards
	// whatever still comes after read failed, until the peer closes its end. Both are called
	// by whoever holds the right to read.
	read(keep bool) (p []byte, binary bool, err error)
	drain()

	flushed() int64
	received() int64

	// close closes the link in good order and may wait for the peer; cut closes
	// it at once. Both unblock everybody and may be called repeatedly.
	close()
	cut(discard bool) error
}

// session is a [Conn] over a link: who may read, who may write, and how it ends.
type session struct {
	link   link
	limits limits

	closing  atomic.Bool // Close was called
	shutting sync.Once
	frames   atomic.Uint64
	pongs    atomic.Uint64

	began     time.Time
	pinged    atomic.Int64 // when the ping that no pong has answered was sent, since began; 0: there is none
	roundTrip atomic.Int64 // of the last pong that answered a ping

	readErr  error // set once, under reading
	writeErr error // set once, under writing: a frame may be half written
	goneBye  bool  // under writing: a close frame was sent

	mu       sync.Mutex // guards what follows and link.put, take, pending; never held over a wait
	reading  bool       // somebody has the right to read the link
	writing  bool       // likewise; both end soon after shut
	over     bool       // shut was called
	changed  sync.Cond  // broadcast when one of these has changed
	cause    error      // why no more frames may be queued
	buffered int64
	control  control
	wake     func() // of OnWake; may be nil
}

// control holds the control frames that the next Flush sends. RFC 6455 allows
// answering the latest ping only, so a flood of pings costs no memory.
type control struct {
	ping, pong bool
	payload    string // of the pong
}

func newSession(limits limits) *session {
	s := &session{limits: limits, began: time.Now()}
	s.changed.L = &s.mu
	return s
}

func (s *session) ReadFrame() ([]byte, bool, error) {
	s.acquire(&s.reading)
	defer s.release(&s.reading)
	if s.readErr != nil {
		return nil, false, s.ended()
	}
	p, binary, err := s.link.read(true)
	switch {
	case err != nil:
		return nil, false, s.readFailed(err)
	case s.closing.Load():
		return nil, false, s.ended() // gives way to Close, which reads on
	}
	s.frames.Add(1)
	return p, binary, nil
}

// acquire takes the right to read or to write, which is nearly always there at
// once. A channel for each would cost more time, and 112 bytes of every connection.
func (s *session) acquire(right *bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for *right {
		s.changed.Wait()
	}
	*right = true
}

func (s *session) release(right *bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*right = false
	s.changed.Broadcast()
}

// readFailed ends the session because of err and tells the peer why, if that is
// any use. What waits in the buffer is not sent any more: it
// certainly never left, which is better to know than to be in doubt.
func (s *session) readFailed(err error) error {
	s.readErr = err
	cause := s.end(err)
	code, reason := codeNoStatus, ""
	var goodbye *CloseError
	switch {
	case errors.As(err, &goodbye):
		code = goodbye.Code
	case errors.Is(err, ErrFrameTooLarge):
		code, reason = codeTooLarge, fmt.Sprintf("frame exceeds limit of %d bytes", s.limits.maxFrameBytes)
	case errors.Is(err, ErrProtocol):
		text := strings.TrimPrefix(err.Error(), ErrProtocol.Error()+": ")
		code, reason = codeProtocolError, strings.TrimPrefix(text, "websocket: ")
	default:
		return cause
	}
	bound := time.AfterFunc(goodbyeTimeout, func() { s.shut(false) })
	defer bound.Stop()
	s.acquire(&s.writing)
	defer s.release(&s.writing)
	_ = s.goodbye(code, reason) // best effort: the session is over either way
	return cause
}

func (s *session) WriteFrame(p []byte) error {
	s.mu.Lock()
	if err := s.cause; err != nil {
		s.mu.Unlock()
		return err
	}
	s.buffered = s.link.put(opText, p)
	full := s.link.pending() > flushBytes
	s.mu.Unlock()
	if full {
		return s.Flush()
	}
	return nil
}

func (s *session) Flush() error {
	s.acquire(&s.writing)
	defer s.release(&s.writing)
	s.mu.Lock()
	if err := s.cause; err != nil {
		s.mu.Unlock()
		return err
	}
	s.putControl()
	s.link.take()
	s.mu.Unlock()
	return s.send()
}

// putControl queues the control frames that are due.
func (s *session) putControl() {
	c := &s.control
	if c.pong {
		s.link.put(opPong, []byte(c.payload))
	}
	if c.ping {
		s.link.put(opPing, nil)
		s.pinged.CompareAndSwap(0, s.now())
	}
	*c = control{}
}

// send writes what was taken from the buffer.
func (s *session) send() error {
	if s.writeErr != nil {
		return s.writeErr
	}
	if err := s.link.write(s.limits.write); err != nil {
		s.writeErr = err
		return s.end(err)
	}
	return nil
}

func (s *session) OnWake(f func()) {
	s.mu.Lock()
	s.wake = f
	due := s.control.ping || s.control.pong
	s.mu.Unlock()
	if due {
		f()
	}
}

func (s *session) Ping() {
	s.mu.Lock()
	s.control.ping = true
	wake := s.wake
	s.mu.Unlock()
	if wake != nil {
		wake()
	}
}

// gotPing is called by the link, in the reading goroutine.
func (s *session) gotPing(payload string) {
	s.frames.Add(1)
	s.mu.Lock()
	s.control.pong, s.control.payload = true, payload
	wake := s.wake
	s.mu.Unlock()
	if wake != nil {
		wake()
	}
}

// gotPong is called by the link, in the reading goroutine.
func (s *session) gotPong() {
	if sent := s.pinged.Swap(0); sent != 0 {
		s.roundTrip.Store(s.now() - sent)
	}
	s.frames.Add(1)
	s.pongs.Add(1)
}

// now is the time since the session began, never 0.
func (s *session) now() int64 { return int64(time.Since(s.began)) + 1 }

func (s *session) Offsets() (buffered, flushed int64) {
	flushed = s.link.flushed()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buffered, flushed
}

func (s *session) Received() int64 { return s.link.received() }

func (s *session) Frames() uint64 { return s.frames.Load() }

func (s *session) Pongs() uint64 { return s.pongs.Load() }

func (s *session) RoundTrip() time.Duration { return time.Duration(s.roundTrip.Load()) }

func (s *session) Close(code int, reason string) error {
	if !s.closing.CompareAndSwap(false, true) {
		s.awaitShut()
		return nil
	}
	over := s.ended() != nil
	s.end(ErrClosed)
	// Every wait below ends when the link is cut, so one timer bounds them all.
	bound := time.AfterFunc(s.limits.close, func() { s.shut(false) })
	var err error
	if !over {
		err = s.lastWords(code, reason)
	}
	s.awaitPeer()
	s.link.close()
	if !bound.Stop() {
		err = fmt.Errorf("transport: close not answered within %v: %w", s.limits.close, os.ErrDeadlineExceeded)
	}
	s.shut(false)
	return err
}

// lastWords flushes the buffer and sends the close frame.
func (s *session) lastWords(code int, reason string) error {
	s.acquire(&s.writing)
	defer s.release(&s.writing)
	if s.goneBye {
		return nil
	}
	s.mu.Lock()
	s.link.take()
	s.mu.Unlock()
	if err := s.send(); err != nil {
		return err
	}
	return s.goodbye(code, reason)
}

// goodbye sends the close frame, if none was sent and the stream is whole.
func (s *session) goodbye(code int, reason string) error {
	if s.goneBye || s.writeErr != nil {
		return s.writeErr
	}
	s.goneBye = true
	if err := s.link.sendClose(closePayload(code, reason), s.limits.write); err != nil {
		s.writeErr = err
		return err
	}
	return nil
}

// awaitPeer reads on until the peer has closed. To close a socket with
// unread input would make the kernel reset the connection, and the peer could
// lose the close frame. A goroutine in ReadFrame gives way after
// its next frame.
func (s *session) awaitPeer() {
	s.acquire(&s.reading)
	defer s.release(&s.reading)
	for s.readErr == nil {
		_, _, s.readErr = s.link.read(false)
	}
	if errors.Is(s.readErr, ErrProtocol) || errors.Is(s.readErr, ErrFrameTooLarge) {
		s.link.drain()
	}
}

func (s *session) Abort() error {
	s.closing.Store(true)
	s.end(ErrClosed)
	return s.shut(true)
}

// shut closes the link at once and lets everybody go.
func (s *session) shut(discard bool) (err error) {
	s.shutting.Do(func() {
		err = s.link.cut(discard)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.over = true
		s.changed.Broadcast()
	})
	return err
}

func (s *session) awaitShut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.over {
		s.changed.Wait()
	}
}

// end notes why the session ends and returns the reason to report: the first
// one, except that after Close and Abort it is ErrClosed unless the peer had
// said goodbye before.
func (s *session) end(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, said := err.(*CloseError)
	if s.cause == nil || said && s.cause != ErrClosed {
		s.cause = err
	} else if _, goodbye := s.cause.(*CloseError); !goodbye && err == ErrClosed {
		s.cause = ErrClosed
	}
	return s.cause
}

// ended returns why the session has ended, nil while it has not.
func (s *session) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}
