package transport

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// pipeFrames may be on the way in one direction; then Flush waits.
const pipeFrames = 16

// Pipe returns the two ends of a connection in memory, with the limits that a
// zero [Dialer] and [Upgrader] give. Frames travel through channels, every wait
// is on a channel or a timer: it works inside a testing/synctest bubble. Up to
// 16 flushed frames are on their way in each direction; a peer that does not
// read blocks Flush then, up to the write timeout. What was flushed
// before Close or Abort can still be read by the other end.
func Pipe() (client, server Conn) {
	up, down := make(chan pipeFrame, pipeFrames), make(chan pipeFrame, pipeFrames)
	a := &pipeEnd{in: down, out: up, gone: make(chan struct{})}
	b := &pipeEnd{in: up, out: down, gone: make(chan struct{})}
	a.peer, b.peer = b, a
	return a.start(), b.start()
}

// pipeFrame is one frame on its way. Its payload is the receiver's.
type pipeFrame struct {
	op      opcode
	payload []byte
	end     int64 // in the stream of its sender; 0: not counted
}

// pipeEnd is the link of one end.
type pipeEnd struct {
	session *session
	peer    *pipeEnd
	in      <-chan pipeFrame // frames of the peer; never closed
	out     chan<- pipeFrame // frames to the peer; never closed
	gone    chan struct{}    // carries nothing; closed by cut, once
	cutting sync.Once

	waiting, taken []pipeFrame
	bytes          int
	end            int64
	sent, got      atomic.Int64
}

func (e *pipeEnd) start() *session {
	e.session = newSession(newLimits(0, 0, 0))
	e.session.link = e
	return e.session
}

// frameBytes stands for the header, so that an empty message has a length, too.
const frameBytes = 2

func (e *pipeEnd) put(op opcode, p []byte) int64 {
	e.end += int64(frameBytes + len(p))
	e.bytes += frameBytes + len(p)
	e.waiting = append(e.waiting, pipeFrame{op, append([]byte{}, p...), e.end})
	return e.end
}

func (e *pipeEnd) take() {
	e.taken, e.waiting, e.bytes = e.waiting, nil, 0
}

func (e *pipeEnd) pending() int { return e.bytes }

func (e *pipeEnd) write(timeout time.Duration) error {
	for _, f := range e.taken {
		if err := e.send(f, timeout); err != nil {
			return err
		}
		e.sent.Store(f.end)
	}
	e.taken = nil
	return nil
}

func (e *pipeEnd) sendClose(payload []byte, timeout time.Duration) error {
	return e.send(pipeFrame{op: opClose, payload: payload}, timeout)
}

func (e *pipeEnd) send(f pipeFrame, timeout time.Duration) error {
	select {
	case <-e.gone:
		return fmt.Errorf("transport: write: %w", net.ErrClosed)
	case <-e.peer.gone:
		return fmt.Errorf("transport: write: %w", syscall.EPIPE)
	default:
	}
	select {
	case e.out <- f:
		return nil
	default:
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case e.out <- f:
		return nil
	case <-e.gone:
		return fmt.Errorf("transport: write: %w", net.ErrClosed)
	case <-e.peer.gone:
		return fmt.Errorf("transport: write: %w", syscall.EPIPE)
	case <-timer.C:
		return fmt.Errorf("transport: write: %w", os.ErrDeadlineExceeded)
	}
}

func (e *pipeEnd) read(bool) ([]byte, bool, error) {
	for {
		f, err := e.next()
		if err != nil {
			return nil, false, fmt.Errorf("transport: read: %w", err)
		}
		e.got.Add(int64(frameBytes + len(f.payload)))
		switch f.op {
		case opPing:
			e.session.gotPing(string(f.payload))
		case opPong:
			e.session.gotPong()
		case opClose:
			return nil, false, parseClose(f.payload)
		default:
			if len(f.payload) > e.session.limits.maxFrameBytes {
				return nil, false, ErrFrameTooLarge
			}
			return f.payload, false, nil
		}
	}
}

// next waits for a frame. What was sent before the peer went comes first.
func (e *pipeEnd) next() (pipeFrame, error) {
	select {
	case <-e.gone:
		return pipeFrame{}, net.ErrClosed
	default:
	}
	select {
	case f := <-e.in:
		return f, nil
	case <-e.gone:
		return pipeFrame{}, net.ErrClosed
	case <-e.peer.gone:
	}
	select {
	case f := <-e.in:
		return f, nil
	default:
		return pipeFrame{}, io.ErrUnexpectedEOF
	}
}

func (e *pipeEnd) drain() {
	for err := error(nil); err == nil; {
		_, err = e.next()
	}
}

func (e *pipeEnd) flushed() int64  { return e.sent.Load() }
func (e *pipeEnd) received() int64 { return e.got.Load() }

func (e *pipeEnd) close() { _ = e.cut(false) }

func (e *pipeEnd) cut(bool) error {
	e.cutting.Do(func() { close(e.gone) })
	return nil
}
