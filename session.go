package relay

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

const (
	// confirmEvery is how long a written message waits before the relay is asked
	// to confirm it: what is in doubt after a loss is at most that old, and a
	// quiet client costs the relay nothing.
	confirmEvery = 100 * time.Millisecond
	// settleAfter is how long a connection must have lived, and a pong must have
	// come, before the backoff starts again from its first step.
	settleAfter = 10 * time.Second
	// partingGrace is how long the reader may still find the relay's goodbye after
	// the writer has failed: a close code tells more than a broken pipe.
	partingGrace = time.Second
)

// session is one registered connection: an errgroup of a reader, a writer and a
// heartbeat. It shares nothing with the client but the outbox, whose writer it
// is, the inbox, and the counters, so an old session cannot hurt a new one.
//
// The supervisor goroutine is the writer, with an intake while there is much to write,
// and the heartbeat is a timer: of a client that is idle there are two goroutines.
type session struct {
	*Client
	conn  transport.Conn
	began time.Time
	heart heartbeat

	came  atomic.Uint64 // the last barrier that came back
	timed timing        // of one barrier at a time
	end   int64         // the writer's: of what it wrote last, in the connection's stream
	frame *[]byte       // likewise, borrowed from frames while there is something to send

	// The writer's. It is woken when the next of these times has come, since the
	// session began; 0: never.
	alarm   *time.Timer   // wakes it; nil: there is nothing to be woken for
	rings   time.Duration // when the alarm does
	askAt   time.Duration // the next barrier is due
	stuckAt time.Duration // the relay will have confirmed nothing for too long
	leaveAt time.Duration // the last confirmation is not waited for any longer

	inRow        int         // messages sent since the writer last waited
	unasked      int         // messages written that no barrier follows yet
	unaskedBytes int         // and their size
	full         bool        // the window is full, and was when the writer last waited
	writing      atomic.Bool // the writer waits for the kernel, which the write timeout bounds
	left         atomic.Bool // the connection was closed by us, on purpose
	lost         error       // what ended the reader; the reader's, and then run's
}

func (c *Client) newSession(conn transport.Conn) *session {
	s := &session{Client: c, conn: conn, began: time.Now()}
	s.end, _ = conn.Offsets() // of the registration
	conn.OnWake(c.status.rouse)
	return s
}

// run talks until the connection is lost or closed, and tells why.
//
// Reader and writer are in system calls that know no context, so what ends the
// session for them is always that the connection is cut, and the group's context is
// only what the reader has while it waits for the program. It is not made from ctx, the
// end of which cuts the connection, too ([Client.abandon]): contexts that are chained
// cost an idle client 700 bytes.
func (s *session) run(ctx context.Context) error {
	g, common := errgroup.WithContext(context.WithoutCancel(ctx))
	g.Go(func() error {
		defer s.cut()
		s.lost = s.read(common)
		return s.lost
	})
	s.startHeartbeat(ctx, func(err error) {
		g.Go(func() error { return err })
		<-common.Done() // so that the group has heard of it first
		s.cut()
	})
	if ctx.Err() != nil {
		s.cut() // it ended before abandon could know of this session
	}

	err := s.write(ctx)
	if ctx.Err() == nil && !errors.Is(err, os.ErrDeadlineExceeded) { // who took nothing for so long has not said goodbye either
		select {
		case <-common.Done():
		case <-time.After(partingGrace):
		}
	}
	s.heart.stop()
	g.Go(func() error { return err }) // the group knows whose error came first
	<-common.Done()
	s.cut()
	return s.over(g.Wait())
}

// cut ends the connection for reader and writer.
func (s *session) cut() {
	_ = s.conn.Abort()
	s.status.rouse()
}

// over settles what is left after reader and writer have ended, and returns why
// they have.
func (s *session) over(err error) error {
	if s.lost != nil && errors.Is(err, transport.ErrClosed) {
		err = s.lost // parting takes a while, and the others learn only that it is over
	}
	if err = s.scrub(err); s.left.Load() {
		err = errGoodbye
	}
	s.stopAlarm()
	_, flushed := s.conn.Offsets()
	resend := s.cfg.resend > 0 && !blamesTraffic(err)
	s.doubt(s.out.reclaim(flushed, resend, err), err)
	return err
}

// read delivers what the relay sends. Once the writer has closed the
// connection it reads on until the relay has closed its side.
func (s *session) read(ctx context.Context) error {
	if err := s.in.resume(ctx); err != nil {
		return err
	}
	for {
		frame, binary, err := s.conn.ReadFrame()
		if err != nil {
			s.part(err)
			return err
		}
		if err := s.receive(ctx, frame, binary); err != nil {
			return err
		}
	}
}

// receive handles a frame. It is no part of read, which would hold the half KiB of
// stack that this needs while it waits, and its goroutine is to manage with 4.
func (s *session) receive(ctx context.Context, frame []byte, binary bool) error {
	m, err := decode(frame, binary)
	if err != nil {
		if errors.Is(err, codec.ErrInvalidUTF8) {
			return errors.Join(err, s.conn.Close(closeInvalidPayload, "invalid UTF-8"))
		}
		s.malformed(err)
		return nil
	}
	if s.isBarrier(&m) {
		s.confirm(&m)
		return nil
	}
	s.stats.received.Add(1)
	s.stats.receivedBytes.Add(uint64(len(frame)))
	if m.Undelivered() {
		s.stats.returned.Add(1)
	}
	return s.in.deliver(ctx, &m)
}

// part ends a connection on which a close frame has been exchanged as such ends
// are ended, so that the relay reads ours before the socket is gone.
func (s *session) part(err error) {
	_, closed := errors.AsType[*transport.CloseError](err)
	if closed || errors.Is(err, transport.ErrProtocol) || errors.Is(err, transport.ErrFrameTooLarge) {
		_ = s.conn.Close(0, "")
	}
}

func decode(frame []byte, binary bool) (Message, error) {
	if binary {
		return Message{}, &codec.DecodeError{Err: codec.ErrBinary}
	}
	return codec.DecodePeerConnection(frame)
}

// malformed reports a frame that is no message; the connection lives.
func (s *session) malformed(err error) {
	s.stats.malformed.Add(1)
	s.in.undecodable(err)
	s.events.emitMinor(Malformed{Err: err})
}
