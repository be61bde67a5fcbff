package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// handshakeBytes bounds what the peer may send before the handshake is over.
const handshakeBytes = 64 << 10

var errHandshakeSize = errors.New("the answer is too long")

// wire is the net.Conn that gorilla sees. It passes the opening handshake
// through; after that gorilla only reads, what the checker has nothing against,
// and the close frames that it would write about a violation are dropped: the
// session writes its own.
type wire struct {
	net.Conn
	ahead     ahead
	bytewise  bool // before open: the frame behind the answer is for the checker
	open      bool // set once, before the session starts: the handshake is over
	count     atomic.Int64
	err       error // of the last Read that brought nothing, or of a Write in the handshake
	checker   checker
	violation error // what the checker has found; nothing more is read
}

func (w *wire) Read(p []byte) (int, error) {
	switch {
	case w.violation != nil:
		w.err = w.violation
		return 0, w.err
	case w.open:
	case w.count.Load() > handshakeBytes:
		w.err = errHandshakeSize
		return 0, w.err
	case w.bytewise:
		p = p[:min(len(p), 1)]
	}
	n, err := w.receive(p)
	if n > 0 && w.open {
		if n, w.violation = w.checker.check(p[:n]); n == 0 {
			err = w.violation
		}
	}
	if n > 0 {
		return n, nil // an error comes again with the next call
	}
	w.err = err
	return 0, err
}

// receive is Read without what only the handshake or the checker wants. A frame
// larger than what is read ahead is read where it is wanted. What is read ahead of
// an answer that is taken byte by byte saves a system call for each: a third of what
// it cost ten thousand clients to come back.
func (w *wire) receive(p []byte) (n int, err error) {
	if (w.open || w.bytewise) && w.ahead.on() && (len(w.ahead.rest) > 0 || len(p) < farAheadBytes) {
		if len(p) >= farReadBytes {
			w.ahead.far = true
		}
		if len(w.ahead.rest) == 0 {
			n, err = w.ahead.fill()
			w.count.Add(int64(n))
		}
		return w.ahead.consume(p), err
	}
	n, err = w.Conn.Read(p)
	w.count.Add(int64(n))
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	if w.open {
		return len(p), nil
	}
	n, err := w.Conn.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

// SetWriteDeadline keeps gorilla away from the deadlines of socket.write.
func (w *wire) SetWriteDeadline(t time.Time) error {
	if w.open {
		return nil
	}
	return w.Conn.SetWriteDeadline(t)
}

// socket is the link over a real connection. TLS, if any, is beneath the
// buffer, so offsets count plain bytes: a TLS record that was not written whole
// cannot be read by the peer and does not count.
type socket struct {
	wire   *wire
	ws     *websocket.Conn
	client bool
	limit  int // of a message, in bytes

	waiting, taken, message *buffer // nil when not in use
	end                     int64
	sent                    atomic.Int64
}

// newSocket starts the session of a connection whose handshake is over.
func newSocket(w *wire, ws *websocket.Conn, client bool, limits limits) *session {
	w.open, w.checker.limit = true, limits.maxFrameBytes
	s := newSession(limits)
	s.link = &socket{wire: w, ws: ws, client: client, limit: limits.maxFrameBytes}
	ws.SetReadLimit(int64(limits.maxFrameBytes))
	ws.SetPingHandler(func(payload string) error { s.gotPing(payload); return nil })
	ws.SetPongHandler(func(string) error { s.gotPong(); return nil })
	ws.SetCloseHandler(func(int, string) error { return nil })
	return s
}

func (s *socket) put(op opcode, p []byte) int64 {
	if s.waiting == nil {
		s.waiting = newBuffer()
	}
	before := len(s.waiting.b)
	s.waiting.b = appendFrame(s.waiting.b, op, p, s.client)
	s.end += int64(len(s.waiting.b) - before)
	return s.end
}

func (s *socket) take() { s.taken, s.waiting = s.waiting, nil }

func (s *socket) pending() int {
	if s.waiting == nil {
		return 0
	}
	return len(s.waiting.b)
}

func (s *socket) write(timeout time.Duration) error {
	if s.taken == nil {
		return nil
	}
	defer func() { s.taken.free(); s.taken = nil }()
	for p := s.taken.b; len(p) > 0; {
		n, err := s.writeChunk(p[:min(len(p), flushBytes)], timeout)
		s.sent.Add(int64(n))
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// writeChunk writes p under a deadline of its own, so that slow progress is not
// taken for a dead peer.
func (s *socket) writeChunk(p []byte, timeout time.Duration) (int, error) {
	// Mostly the kernel takes all of it. Then the deadline, and that it can wake
	// another thread, is saved: a tenth of what a round trip takes.
	done, err := s.wire.ahead.tryWrite(p)
	if done < len(p) && err == nil {
		_ = s.wire.Conn.SetWriteDeadline(time.Now().Add(timeout)) // if it fails, so does Write
		var n int
		n, err = s.wire.Conn.Write(p[done:])
		done += n
	}
	if err != nil {
		err = fmt.Errorf("transport: write: %w", err)
	}
	return done, err
}

func (s *socket) sendClose(payload []byte, timeout time.Duration) error {
	_, err := s.writeChunk(appendFrame(nil, opClose, payload, s.client), timeout)
	return err
}

func (s *socket) read(keep bool) ([]byte, bool, error) {
	if keep {
		s.message.free()
		s.message = nil // nothing is held while waiting
	}
	kind, r, err := s.ws.NextReader()
	if err != nil {
		return nil, false, s.readError(err)
	}
	if !keep {
		if _, err = io.Copy(io.Discard, r); err != nil {
			return nil, false, s.readError(err)
		}
		return nil, false, nil
	}
	s.message = newBuffer()
	if s.message.b, err = appendAll(s.message.b, r, s.limit); err != nil {
		return nil, false, s.readError(err)
	}
	return s.message.b, kind == websocket.BinaryMessage, nil
}

// appendAll appends what r gives until its end. It grows with what has
// arrived, not with what a header promised.
func appendAll(b []byte, r io.Reader, limit int) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			grown := make([]byte, len(b), min(2*cap(b), max(limit+1, cap(b)+1)))
			copy(grown, b)
			b = grown
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// readError tells apart a goodbye, the end of the stream, a failure of the
// network and, if it was none of these, what gorilla found wrong.
func (s *socket) readError(err error) error {
	var goodbye *websocket.CloseError
	switch {
	case errors.Is(err, websocket.ErrReadLimit):
		return ErrFrameTooLarge
	case s.wire.violation != nil && s.wire.err == s.wire.violation:
		return s.wire.violation
	case s.wire.err == io.EOF:
		return fmt.Errorf("transport: read: %w", io.ErrUnexpectedEOF)
	case s.wire.err != nil:
		return fmt.Errorf("transport: read: %w", s.wire.err)
	case errors.As(err, &goodbye):
		return &CloseError{Code: goodbye.Code, Reason: goodbye.Text}
	case err.Error() == "websocket: bad close code 1014": // gorilla is older than its registration
		return &CloseError{Code: 1014}
	}
	return fmt.Errorf("%w: %w", ErrProtocol, err)
}

// drain says that nothing more comes from here and throws away what still
// comes from there.
func (s *socket) drain() {
	if half, ok := s.wire.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // best effort
	}
	_, _ = io.Copy(io.Discard, s.wire.Conn) // what the checker found is said
}

func (s *socket) flushed() int64  { return s.sent.Load() }
func (s *socket) received() int64 { return s.wire.count.Load() }

// close ignores the error: the goodbyes have been said, and that of TLS cannot
// be sent to a peer that is gone already.
func (s *socket) close() { _ = s.wire.Conn.Close() }

// cut closes the socket beneath TLS: the goodbye of TLS could block.
func (s *socket) cut(discard bool) error {
	raw := s.wire.Conn
	for {
		secure, ok := raw.(*tls.Conn)
		if !ok {
			break
		}
		raw = secure.NetConn()
	}
	if discard {
		if tcp, ok := raw.(interface{ SetLinger(int) error }); ok {
			_ = tcp.SetLinger(0) // best effort: the close below is what counts
		}
	}
	if err := raw.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("transport: abort: %w", err)
	}
	return nil
}
