package relay

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
)

// frames are those that nobody encodes into.
var frames = sync.Pool{New: func() any { return new([]byte) }}

// write sends what the program sends, in order. It drains without blocking,
// flushes when nothing more is at hand, and only then waits.
func (s *session) write(ctx context.Context) error {
	defer s.out.stopIntake()
	var e entry // the functions that it is handed to share this one: it is large
	for some := false; ; {
		for some || s.next(&e) {
			if err := s.send(&e); err != nil {
				return err
			}
			if err := s.askIfDue(); err != nil {
				return err
			}
			some = false
			if s.inRow++; s.inRow >= intakeAfter && s.out.intake == nil && !s.ending() {
				s.startIntake()
			}
		}
		if err := s.askIfLast(); err != nil {
			return err
		}
		if err := s.flush(); err != nil {
			return err
		}
		if s.pause() {
			continue
		}
		if s.ending() && s.out.queue.len() == 0 && s.out.window.len() == 0 {
			return s.goodbye()
		}
		s.rest()
		var err error
		if some, err = s.wait(ctx, &e); err != nil {
			return err
		}
	}
}

// pause ends the intake unless it has something to do, and reports whether something
// may be sent after all.
func (s *session) pause() bool {
	full := s.windowFull()
	if s.inRow < intakeAfter || full || s.ending() || s.out.window.len() == 0 {
		s.out.stopIntake()
	}
	s.inRow = 0
	return s.out.queue.len() > 0 && !full
}

// goodbye closes the connection after everything has been confirmed, or after
// the bound for that.
func (s *session) goodbye() error {
	s.left.Store(true)
	_ = s.conn.Close(closeNormal, "")
	return errGoodbye
}

// next puts into e what may be sent now, if anything is at hand.
func (s *session) next(e *entry) bool {
	*e = entry{}
	if s.windowFull() {
		return false
	}
	if s.take(e) {
		return true
	}
	// Whoever has just sent may send more, once it gets to run: of 300,000
	// messages of 64 bytes, 40 went with each system call instead of two, in a
	// third of the time. Idle, it costs nothing.
	runtime.Gosched()
	return s.take(e)
}

// take puts into e what comes next. What the client has accepted goes before what
// the program offers.
func (s *session) take(e *entry) bool {
	o := s.out
	switch {
	case o.intake == nil:
	case s.ending():
		o.stopIntake()
	case o.queue.len() == 0:
		s.takeIn()
	}
	if o.queue.len() > 0 {
		*e = o.queue.pop()
		return true
	}
	if s.ending() || o.intake != nil {
		return false
	}
	select {
	case m, open := <-o.messages:
		if open {
			e.message = m
			return true
		}
		o.messagesClosed()
		return false
	default:
	}
	select {
	case r := <-o.requests:
		e.message, e.request = r.message, r
		return true
	default:
		return false
	}
}

// wait blocks until there is something to do for the writer: if that is to send a
// message, it is in e.
func (s *session) wait(ctx context.Context, e *entry) (some bool, err error) {
	messages, requests := s.out.messages, s.out.requests
	if s.ending() || s.windowFull() || s.out.intake != nil {
		messages, requests = nil, nil
	}
	s.setTimes()
	s.setAlarm()
	select {
	case m, open := <-messages:
		if e.message = m; !open {
			s.out.messagesClosed()
		}
		return open, nil
	case r := <-requests:
		e.message, e.request = r.message, r
		return true, nil
	case <-s.status.wake:
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		return false, s.look()
	}
}

// setTimes starts the times that begin when the writer has to wait.
func (s *session) setTimes() {
	if s.ending() {
		switch {
		case s.bounded.Load():
			s.leaveAt = 0
		case s.leaveAt == 0:
			s.leaveAt = time.Since(s.began) + s.cfg.timeout
		}
	}
	if s.windowFull() && !s.full {
		s.full = true
		s.stuckAt = time.Since(s.began) + s.cfg.heartbeatTimeout
	}
}

// setAlarm has the writer woken when the next of its times has come.
func (s *session) setAlarm() {
	next := s.askAt
	for _, t := range [...]time.Duration{s.stuckAt, s.leaveAt} {
		if next == 0 || t != 0 && t < next {
			next = t
		}
	}
	if next == s.rings {
		return
	}
	s.rings = next
	switch after := next - time.Since(s.began); {
	case next == 0:
		s.stopAlarm()
	case s.alarm == nil:
		s.alarm = time.AfterFunc(after, s.status.rouse)
	default:
		s.alarm.Reset(after)
	}
}

func (s *session) stopAlarm() {
	if s.alarm != nil {
		s.alarm.Stop()
		s.alarm = nil
	}
}

// look does what the writer was woken for: a barrier has come back, or a time has
// come. A ping or a pong goes out with the next flush.
func (s *session) look() error {
	if came := s.came.Load(); came > s.out.confirmed {
		s.out.confirm(came)
		s.full, s.stuckAt = false, 0
	}
	if s.rings == 0 {
		return nil
	}
	now := time.Since(s.began)
	if now < s.rings {
		return nil
	}
	s.rings = -1 // the alarm is to be set again
	if due(&s.stuckAt, now) {
		s.stuck()
	}
	if due(&s.leaveAt, now) {
		return s.goodbye()
	}
	if due(&s.askAt, now) {
		return s.ask(nil)
	}
	return nil
}

// due tells that t has come, once.
func due(t *time.Duration, now time.Duration) bool {
	if *t == 0 || now < *t {
		return false
	}
	*t = 0
	return true
}

// stuck tells that the window has been full for too long.
func (s *session) stuck() {
	n := s.out.window.messages
	s.events.emit(Unconfirmed{Messages: n})
	s.log.Warn("the relay confirms nothing, and nothing more is sent until it does", "messages", n)
}

// send encodes an entry into the connection's buffer. What cannot be encoded is
// refused and harms nothing else.
func (s *session) send(e *entry) error {
	if !e.isMessage() {
		return s.ask(e.request)
	}
	if e.request != nil && !e.request.begin() {
		return nil
	}
	s.fill(&e.message)
	frame, err := s.encode(&e.message)
	if err != nil {
		s.refuse(e, err)
		return nil
	}
	if s.unasked == 0 {
		s.askAt = time.Since(s.began) + confirmEvery
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
func (s *session) encode(m *Message) ([]byte, error) {
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
func (s *session) put(e *entry, frame []byte) error {
	s.writing.Store(true)
	err := s.conn.WriteFrame(frame)
	s.writing.Store(false)
	before, end := s.end, int64(unwritten)
	if s.end, _ = s.conn.Offsets(); s.end != before {
		end = s.end
	}
	s.out.written(e, len(frame), end)
	return err
}

// refuse reports a message that can never be sent.
func (s *session) refuse(e *entry, err error) {
	if e.request != nil {
		e.answer(err)
		return
	}
	s.refused(e.message, err)
}

func (s *session) flush() error {
	s.out.publish()
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
