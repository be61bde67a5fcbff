package relay

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
)

// A relay handles the messages of one connection in order and delivers a
// message addressed to its sender. So a short message to ourselves that comes
// back proves that all before it has been handed on; if it comes back as
// undelivered, likewise. A pong proves nothing: the stock relay answers pings
// while messages still wait. See the package documentation, "Delivery".

// barrierMark begins the description of every barrier. The nonce behind it is
// the client's own, so that nobody can forge a confirmation.
const barrierMark = "relay-barrier "

// barrierMessage makes the barrier with a number.
func (c *Client) barrierMessage(number uint64) Message {
	id := c.UUID()
	return Message{
		SourceUUID:      id,
		SourceName:      c.cfg.name,
		PeerUUID:        id,
		DescriptionType: codec.Offer,
		Description:     c.nonce + strconv.FormatUint(number, 10),
	}
}

func newNonce() string { return barrierMark + uuid.NewString() + " " }

// isBarrier tells barriers from messages, also those that an earlier client
// with our UUID left behind: no program wants to see them.
func (s *session) isBarrier(m *Message) bool {
	id := s.UUID()
	return m.PeerUUID == id && m.SourceUUID == id && strings.HasPrefix(m.Description, barrierMark)
}

// confirm, on the reader's side, tells the writer that a barrier came back.
func (s *session) confirm(m *Message) {
	number, ok := strings.CutPrefix(m.Description, s.nonce)
	if !ok {
		return
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return
	}
	s.timed.stop(n, time.Since(s.began))
	s.came.Store(max(n, s.came.Load())) // a late one takes nothing back
	s.status.rouse()
}

// askEvery bounds how many messages go without a barrier behind them. With each the
// relay has as much again to do as with a message, and what waits for it is memory
// that has left the cache.
const askEvery = 256

// askIfDue writes a barrier behind askEvery messages, or after each quarter of a
// smaller window, so that under load confirmations come back while there is still
// room to write.
func (s *session) askIfDue() error {
	if s.unasked < max(min(s.cfg.window/4, askEvery), 1) && s.unaskedBytes < windowBytes/4 {
		return nil
	}
	return s.ask(nil)
}

// askIfLast writes a barrier when nothing more can follow before it: the window
// is full, or the session ends.
func (s *session) askIfLast() error {
	if s.unasked == 0 || !s.windowFull() && !s.ending() {
		return nil
	}
	return s.ask(nil)
}

// ask writes a barrier, for a Flush that waits for it or for ourselves.
func (s *session) ask(waits *request) error {
	s.out.publish() // the next to tell what waits may be long in coming, if writing is slow
	s.askAt = 0
	s.unasked, s.unaskedBytes = 0, 0
	s.out.barriers++
	e := entry{barrier: s.out.barriers, request: waits}
	m := s.barrierMessage(e.barrier)
	frame, err := s.encode(&m)
	if err != nil {
		return err // our own name and UUID were checked by New
	}
	s.timed.start(e.barrier, time.Since(s.began))
	return s.put(&e, frame)
}

// timing takes the time of one barrier after another, from the writer's asking to
// the reader's meeting it. The zero value is ready.
type timing struct {
	number atomic.Uint64 // of the barrier under way; 0: none
	asked  time.Duration // when; the writer's while number is 0, then the reader's
	took   atomic.Int64  // the last one, in nanoseconds
}

func (t *timing) start(number uint64, now time.Duration) {
	if t.number.Load() == 0 {
		t.asked = now
		t.number.Store(number)
	}
}

func (t *timing) stop(number uint64, now time.Duration) {
	if asked := t.number.Load(); asked != 0 && number >= asked {
		t.took.Store(int64(now - t.asked))
		t.number.Store(0)
	}
}
