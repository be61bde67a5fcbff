package relay

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/supervisor"
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
type session struct {
	*Client
	conn transport.Conn

	came  atomic.Uint64 // the last barrier that came back
	ack   chan struct{} // one slot: came has changed; never closed
	wake  chan struct{} // one slot: a ping or a pong wants to go out; never closed
	timed timing        // of one barrier at a time
	frame *[]byte       // the writer's, borrowed from frames while there is something to send

	unasked      int         // messages written that no barrier follows yet
	unaskedBytes int         // and their size
	asking       *time.Timer // when the next barrier is due
	leave        *time.Timer // when the writer no longer waits for the last confirmation; nil: not leaving
	writing      atomic.Bool // the writer waits for the kernel, which the write timeout bounds
	left         atomic.Bool // the connection was closed by us, on purpose
	lost         error       // what the reader has met; the reader's, and then run's
	stuck        *time.Timer // when the relay has confirmed nothing for too long
	full         bool        // the window is full, and stuck runs
}

// frames are those that nobody encodes into.
var frames = sync.Pool{New: func() any { return new([]byte) }}

func (c *Client) newSession(conn transport.Conn) *session {
	asking, stuck := time.NewTimer(confirmEvery), time.NewTimer(confirmEvery)
	asking.Stop()
	stuck.Stop()
	s := &session{Client: c, conn: conn, ack: make(chan struct{}, 1), wake: make(chan struct{}, 1), asking: asking, stuck: stuck}
	conn.OnWake(func() { notify(s.wake) })
	return s
}

// run talks until the connection is lost or closed, and tells why.
func (s *session) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	// Reader and writer are in system calls that know no context.
	abort := context.AfterFunc(ctx, func() { _ = s.conn.Abort() })
	defer abort()

	g.Go(func() error { return s.read(ctx) })
	g.Go(func() error {
		err := s.write(ctx)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return err // who took nothing for so long has not said goodbye either
		}
		select {
		case <-ctx.Done():
		case <-time.After(partingGrace):
		}
		return err
	})
	g.Go(func() error { return s.heartbeat(ctx) })
	err := g.Wait()
	if s.lost != nil && errors.Is(err, transport.ErrClosed) {
		err = s.lost // parting takes a while, and the others learn only that it is over
	}
	if err = s.scrub(err); s.left.Load() {
		err = errGoodbye
	}

	_ = s.conn.Abort()
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
			s.lost = err
			s.part(err)
			return err
		}
		m, err := decode(frame, binary)
		if err != nil {
			if errors.Is(err, codec.ErrInvalidUTF8) {
				return errors.Join(err, s.conn.Close(closeInvalidPayload, "invalid UTF-8"))
			}
			s.malformed(err)
			continue
		}
		if s.isBarrier(m) {
			s.confirm(m)
			continue
		}
		s.stats.received.Add(1)
		s.stats.receivedBytes.Add(uint64(len(frame)))
		if m.Undelivered() {
			s.stats.returned.Add(1)
		}
		if err := s.in.deliver(ctx, m); err != nil {
			return err
		}
	}
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

// write sends what the program sends, in order. It drains without blocking,
// flushes when nothing more is at hand, and only then waits.
func (s *session) write(ctx context.Context) error {
	for {
		for !s.windowFull() {
			e, ok := s.next()
			if !ok {
				// Whoever has just sent may send more, once it gets to run: of
				// 300,000 messages of 64 bytes, 40 went with each system call
				// instead of two, in a third of the time. Idle, it costs nothing.
				runtime.Gosched()
				if e, ok = s.next(); !ok {
					break
				}
			}
			if err := s.send(e); err != nil {
				return err
			}
			if err := s.askIfDue(); err != nil {
				return err
			}
		}
		if err := s.askIfLast(); err != nil {
			return err
		}
		if err := s.flush(); err != nil {
			return err
		}
		if s.ending() && s.out.queue.len() == 0 && s.out.window.len() == 0 {
			return s.goodbye()
		}
		s.out.publish()
		s.rest()
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
}

// goodbye closes the connection after everything has been confirmed, or after
// the bound for that.
func (s *session) goodbye() error {
	s.left.Store(true)
	_ = s.conn.Close(closeNormal, "")
	return errGoodbye
}

// next returns what is to be sent now, if anything is at hand. What the client
// has accepted goes before what the program offers.
func (s *session) next() (entry, bool) {
	o := s.out
	if o.queue.len() > 0 {
		return o.queue.pop(), true
	}
	if s.ending() {
		return entry{}, false
	}
	select {
	case m, ok := <-o.messages:
		if !ok {
			o.take(m, ok)
			return entry{}, false
		}
		return entry{message: m}, true
	default:
	}
	select {
	case r := <-o.requests:
		return entry{message: r.message, request: r}, true
	default:
		return entry{}, false
	}
}

// wait blocks until there is something to do for the writer.
func (s *session) wait(ctx context.Context) error {
	o := s.out
	messages, requests, closing := o.messages, o.requests, s.close
	var leave <-chan time.Time
	if s.ending() {
		messages, requests, closing = nil, nil, nil
		if s.leave == nil {
			s.leave = time.NewTimer(s.cfg.timeout)
		}
		if !s.bounded.Load() {
			leave = s.leave.C
		}
	}
	if s.windowFull() {
		messages, requests = nil, nil
		if !s.full {
			s.full = true
			s.stuck.Reset(s.cfg.heartbeatTimeout)
		}
	}
	select {
	case m, ok := <-messages:
		o.take(m, ok)
	case r := <-requests:
		o.queue.push(entry{message: r.message, request: r})
	case <-s.ack:
		o.confirm(s.came.Load())
		s.full = false
		s.stuck.Stop()
	case <-s.stuck.C:
		s.events.emit(Unconfirmed{Messages: o.window.messages})
		s.log.Warn("the relay confirms nothing, and nothing more is sent until it does", "messages", o.window.messages)
	case <-s.asking.C:
		return s.ask(nil)
	case <-s.wake:
	case <-closing:
	case <-leave:
		return s.goodbye()
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// send encodes an entry into the connection's buffer. What cannot be encoded is
// refused and harms nothing else.
func (s *session) send(e entry) error {
	if !e.isMessage() {
		return s.ask(e.request)
	}
	if e.request != nil && !e.request.begin() {
		return nil
	}
	s.fill(&e.message)
	frame, err := s.encode(e.message)
	if err != nil {
		s.refuse(e, err)
		return nil
	}
	if s.unasked == 0 {
		s.asking.Reset(confirmEvery)
	}
	s.unasked++
	s.unaskedBytes += len(frame)
	return s.put(e, frame)
}

// fill completes what the program may leave out.
func (s *session) fill(m *Message) {
	// A relay takes no message from a UUID that this connection did not register.
	if who := s.identity.Load(); m.SourceUUID == uuid.Nil || who.isFormer(m.SourceUUID) {
		m.SourceUUID = who.uuid
	}
	if m.SourceName == "" {
		m.SourceName = s.cfg.name
	}
	if m.DescriptionType == "" {
		m.DescriptionType = codec.Offer
	}
}

// encode returns m as it goes over the wire, valid until the next call.
func (s *session) encode(m Message) ([]byte, error) {
	if s.frame == nil {
		s.frame = frames.Get().(*[]byte)
	}
	frame, err := m.Append((*s.frame)[:0])
	if err != nil {
		return nil, err
	}
	if cap(frame) <= 64<<10 { // one large message is no reason to keep its memory
		*s.frame = frame
	}
	if len(frame) > s.cfg.maxMessage {
		return nil, tooLarge(len(frame), s.cfg.maxMessage)
	}
	return frame, nil
}

// rest gives back what is of no use while nothing is sent.
func (s *session) rest() {
	if s.frame != nil {
		frames.Put(s.frame)
		s.frame = nil
	}
	s.out.queue.shrink()
	s.out.window.shrink()
}

// put writes a frame into the buffer and the entry into the window.
func (s *session) put(e entry, frame []byte) error {
	before, _ := s.conn.Offsets()
	s.writing.Store(true)
	err := s.conn.WriteFrame(frame)
	s.writing.Store(false)
	end, _ := s.conn.Offsets()
	if end == before {
		end = unwritten
	}
	s.out.written(e, len(frame), end)
	return err
}

// refuse reports a message that can never be sent.
func (s *session) refuse(e entry, err error) {
	if e.request != nil {
		e.answer(err)
		return
	}
	s.refused(e.message, err)
}

func (s *session) flush() error {
	s.writing.Store(true)
	err := s.conn.Flush()
	s.writing.Store(false)
	_, flushed := s.conn.Offsets()
	s.out.settle(flushed)
	return err
}

// windowFull reports that no more may be written before the relay confirms.
func (s *session) windowFull() bool {
	w := &s.out.window
	return w.messages >= s.cfg.window || s.out.bytes >= windowBytes || w.len()-w.messages >= windowBarriers
}

// heartbeat pings, and ends the session when the relay has been silent for too
// long. Whatever is read is a sign of life, and so is that the kernel gets rid of
// what a writer waits for: behind that, on a slow line, the ping goes out late.
// While the reader waits for the program nothing can be heard, so nothing is
// concluded.
func (s *session) heartbeat(ctx context.Context) error {
	began, healthy := time.Now(), false
	for pause := min(s.cfg.heartbeat, settleAfter); ; pause = s.cfg.heartbeat {
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		before, stuck, sent := s.conn.Received(), false, int64(0)
		s.conn.Ping()
		for waited := time.Duration(0); s.conn.Received() == before; {
			if waited >= s.cfg.heartbeatTimeout {
				return errSilent
			}
			step := max(s.cfg.heartbeatTimeout/20, time.Millisecond)
			if err := sleep(ctx, step); err != nil {
				return err
			}
			wasStuck, was := stuck, sent
			stuck = s.writing.Load()
			_, sent = s.conn.Offsets()
			// What the kernel takes at once, it may just keep.
			drains := wasStuck && stuck && sent > was
			if waited += step; s.in.stalled.Load() || drains {
				waited = 0
			}
		}
		if !healthy && s.conn.Pongs() > 0 && time.Since(began) >= settleAfter {
			healthy = true
			supervisor.Healthy(ctx)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
