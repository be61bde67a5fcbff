package relaytest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// chaosHijacker puts a chaosWire between a handshake and its socket.
type chaosHijacker struct {
	http.ResponseWriter
	chaos *Chaos
	plan  plan
	wire  *chaosWire // nil before Hijack
}

// Hijack implements [http.Hijacker].
func (h *chaosHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	_ = conn.SetDeadline(time.Time{}) // those of the HTTP server; if it fails, so does all that follows
	h.wire = &chaosWire{Conn: conn, left: -1, closed: make(chan struct{})}
	if h.plan.behaviour.tamper != nil {
		h.plan.behaviour.tamper(h.plan, h.wire)
	}
	h.chaos.adopt(h.wire)
	return h.wire, rw, nil
}

// chaosWriteTimeout bounds writes of a chaosWire that nobody else bounds.
const chaosWriteTimeout = 10 * time.Second

// chaosWire is the relay's end of a socket that can be cut, slow and dead.
type chaosWire struct {
	net.Conn
	delay time.Duration // before each piece; 0: none. Set before the first Write, as is piece
	piece int

	once   sync.Once
	closed chan struct{} // closed by Close

	mu    sync.Mutex // never held over a wait
	dead  bool       // nothing passes, and Close leaves the socket open
	left  int        // bytes that may be written before the cut; -1: no cut
	reset bool       // how to cut
	over  bool       // it was cut: what the relay does to the socket after that must not show
}

var errCut = errors.New("relaytest: cut")

func (w *chaosWire) Read(p []byte) (int, error) {
	for {
		n, err := w.Conn.Read(p)
		if !w.isDead() {
			return n, err
		}
		if err != nil {
			return 0, err
		}
	}
}

func (w *chaosWire) Write(p []byte) (int, error) {
	if w.delay > 0 {
		return w.trickle(p)
	}
	w.mu.Lock()
	dead, cut, allowed := w.dead, w.left >= 0 && w.left < len(p), len(p)
	if cut {
		allowed = w.left
	}
	if w.left >= 0 {
		w.left -= allowed
	}
	w.mu.Unlock()
	switch {
	case dead:
		return len(p), nil
	case !cut:
		return w.Conn.Write(p)
	}
	n, _ := w.Conn.Write(p[:allowed])
	w.cut()
	return n, errCut
}

// trickle writes in pieces, each of which waits.
func (w *chaosWire) trickle(p []byte) (n int, err error) {
	timer := time.NewTimer(w.delay)
	defer timer.Stop()
	for n < len(p) {
		select {
		case <-timer.C:
			timer.Reset(w.delay)
		case <-w.closed:
			return n, net.ErrClosed
		}
		_ = w.Conn.SetWriteDeadline(time.Now().Add(chaosWriteTimeout)) // if it fails, so does Write
		m, err := w.Conn.Write(p[n:min(len(p), n+w.piece)])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// SetWriteDeadline leaves it to trickle where writing is slow.
func (w *chaosWire) SetWriteDeadline(t time.Time) error {
	if w.delay > 0 {
		return nil
	}
	return w.Conn.SetWriteDeadline(t)
}

// inject writes p, in one piece.
func (w *chaosWire) inject(p []byte) error {
	_ = w.SetWriteDeadline(time.Now().Add(chaosWriteTimeout)) // if it fails, so does Write
	_, err := w.Write(p)
	return err
}

// cutAt breaks the connection once n more bytes were written.
func (w *chaosWire) cutAt(n int, reset bool) {
	w.mu.Lock()
	w.left, w.reset = n, reset
	w.mu.Unlock()
	if n == 0 {
		w.cut()
	}
}

func (w *chaosWire) cut() {
	w.mu.Lock()
	r := w.reset
	w.over = true
	w.mu.Unlock()
	if r {
		reset(plainConn(w.Conn))
		return
	}
	_ = plainConn(w.Conn).Close()
}

// die lets nothing pass any more.
func (w *chaosWire) die() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
}

func (w *chaosWire) isDead() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dead
}

// Close closes the socket, unless it is dead: then it only lets go of who reads.
func (w *chaosWire) Close() error {
	w.once.Do(func() { close(w.closed) })
	if w.isDead() {
		return w.Conn.SetReadDeadline(time.Unix(1, 0))
	}
	return w.Conn.Close()
}

// CloseWrite says that nothing more comes.
func (w *chaosWire) CloseWrite() error {
	if half, ok := w.Conn.(interface{ CloseWrite() error }); ok && !w.isDead() {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetLinger lets an abort reach the socket, unless that is dead or cut.
func (w *chaosWire) SetLinger(seconds int) error {
	w.mu.Lock()
	own := w.dead || w.over
	w.mu.Unlock()
	if tcp, ok := plainConn(w.Conn).(interface{ SetLinger(int) error }); ok && !own {
		return tcp.SetLinger(seconds)
	}
	return nil
}

// hold keeps a dead socket open until the client ends it, or kill does. Nobody
// else reads any more.
func (w *chaosWire) hold() {
	if !w.isDead() {
		return
	}
	_ = w.Conn.SetReadDeadline(time.Time{}) // if it fails, so does Read
	for {
		_, err := io.Copy(io.Discard, w.Conn)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

// kill closes the socket, whatever it is.
func (w *chaosWire) kill() {
	w.once.Do(func() { close(w.closed) })
	reset(plainConn(w.Conn))
}

// plainConn is the socket beneath TLS, whose goodbye could block, and would be one.
func plainConn(c net.Conn) net.Conn {
	if secure, ok := c.(*tls.Conn); ok {
		return secure.NetConn()
	}
	return c
}
