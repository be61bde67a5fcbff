package relay

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/actor"
)

// State is what a client is doing about its connection.
type State uint8

// The states of a client. A client starts Idle and ends Closed.
const (
	Idle       State = iota // no connection, and nobody has asked for one
	Connecting              // dialing or registering
	Connected               // registered with the relay
	Backoff                 // waiting before the next attempt
	Closed                  // ended; see [Client.Err]
)

func (s State) String() string {
	switch s {
	case Idle:
		return "idle"
	case Connecting:
		return "connecting"
	case Connected:
		return "connected"
	case Backoff:
		return "backoff"
	case Closed:
		return "closed"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Event is something that happened to a client: a [StateChange], [InDoubt],
// [Dropped], [Malformed], [Stalled], [Unconfirmed], [Taken] or [LogPanic]. String
// describes it for people.
type Event interface {
	fmt.Stringer
	event()
}

// StateChange reports that the client went from one state to another.
type StateChange struct {
	At       time.Time
	From, To State
	Err      error         // why: set when a connection or an attempt failed
	Retry    time.Duration // with To == Backoff: how long until the next attempt
}

// InDoubt reports messages that were written into a connection which was lost
// before the relay confirmed them: each may have been handed on, or not. They
// are not sent again unless the program does so. With [WithResend] this is said
// only of messages for which the relay closed the connection, and of those that
// the client had no time to send again before it ended.
type InDoubt struct {
	Messages []Message
	Err      error // how the connection ended
}

// Dropped reports a message that the client let go: one to be sent that was
// refused (Err is [ErrTooLarge] or a *codec.EncodeError), or one received for
// which the Inbox had no room (Err says so).
type Dropped struct {
	Message Message
	Err     error
}

// Malformed reports a frame from the relay that was no message; Err is a
// *codec.DecodeError. The connection lives on.
type Malformed struct{ Err error }

// Stalled reports that the Inbox is full and its policy is [Wait]: the client
// has stopped reading. Unless the program reads its Inbox, the relay will close
// the connection: a Python one after 40 to 60 seconds, that of package server
// when it has got rid of nothing for 10 seconds. From then on what is sent to the
// client bounces, and the client finds out once the program reads or sends again:
// it receives what had reached it, and reconnects.
type Stalled struct{ Bytes int }

// Unconfirmed reports that the relay answers, and yet has confirmed nothing for
// the timeout of [WithHeartbeat] although as much was written as may be: the
// Outbox waits until it does. A Python relay behaves so while one of the peers
// that were written to does not read.
type Unconfirmed struct{ Messages int }

// Taken reports that another client registered with our UUID, and that the relay
// closed our connection for it. What follows is for [WithConflict] to say.
type Taken struct {
	UUID  uuid.UUID // that was taken
	Next  uuid.UUID // as which the client registers next: the same when it contends; zero: it ends
	Times int       // how often in a row, this time included; from 2 on it is a duel
}

// LogPanic reports that the handler of [WithLogger] panicked: what was to be
// logged is lost, and nothing else. Err is a *supervisor.PanicError.
type LogPanic struct{ Err error }

func (StateChange) event() {}
func (InDoubt) event()     {}
func (Dropped) event()     {}
func (Malformed) event()   {}
func (Stalled) event()     {}
func (Unconfirmed) event() {}
func (Taken) event()       {}
func (LogPanic) event()    {}

func (e StateChange) String() string {
	s := fmt.Sprintf("%v -> %v", e.From, e.To)
	if e.To == Backoff {
		s += fmt.Sprintf(" (next attempt in %v)", e.Retry.Round(time.Millisecond))
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e InDoubt) String() string {
	return fmt.Sprintf("%d messages in doubt: %v", len(e.Messages), e.Err)
}

func (e Dropped) String() string {
	return fmt.Sprintf("message from %v to %v dropped: %v", e.Message.SourceUUID, e.Message.PeerUUID, e.Err)
}

func (e Malformed) String() string { return "malformed frame: " + e.Err.Error() }

func (e Stalled) String() string {
	return fmt.Sprintf("inbox full with %d bytes unread; not reading from the relay", e.Bytes)
}

func (e Unconfirmed) String() string {
	return fmt.Sprintf("%d messages written that the relay does not confirm; nothing more is sent", e.Messages)
}

func (e Taken) String() string {
	s := fmt.Sprintf("another client registered as %v", e.UUID)
	if e.Times > 1 {
		s += fmt.Sprintf(", %d times in a row: two programs contend for it", e.Times)
	}
	switch e.Next {
	case uuid.Nil:
		return s + "; giving way"
	case e.UUID:
		return s + "; taking it back"
	}
	return s + fmt.Sprintf("; going on as %v", e.Next)
}

func (e LogPanic) String() string { return "the log handler panicked: " + e.Err.Error() }

const (
	eventBuffer = 16 // events that a channel holds by itself
	eventRing   = 64 // events that wait behind it; then the oldest are lost
)

// eventQueue hands events to the program without ever waiting for it. What the
// channel has no room for waits in a ring, so that of a burst the first events
// are kept. A goroutine moves them from there, and exists only while some wait and
// the program has asked for the channel, which is made then: many never do.
type eventQueue[E any] struct {
	ring actor.Mailbox[E]
	lost atomic.Uint64 // events for which the channel had no room at the end, or that came later

	mu      sync.Mutex // guards what follows
	out     chan E     // closed by end; nil: nobody has asked for it, and end has not come
	over    bool       // end was called
	pumping bool
	stop    chan struct{} // closed by end; made with out, for the pump
	pump    sync.WaitGroup
}

func newEventQueue[E any]() *eventQueue[E] {
	return &eventQueue[E]{ring: actor.Mailbox[E]{MaxItems: eventRing, Overflow: actor.DropOldest}}
}

// channel returns what the program reads.
func (q *eventQueue[E]) channel() <-chan E {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.out == nil {
		q.out = make(chan E, eventBuffer)
		q.stop = make(chan struct{})
	}
	q.startPump()
	return q.out
}

// emit never waits. After end it only counts.
func (q *eventQueue[E]) emit(event E) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over {
		q.lost.Add(1)
		return
	}
	if q.out != nil && !q.pumping { // nothing waits before it
		select {
		case q.out <- event:
			return
		default:
		}
	}
	_ = q.ring.Put(context.Background(), event) // the policy never waits, and nobody closes the ring
	q.startPump()
}

// emitMinor is emit for what a peer can cause at will: it leaves half of the
// ring to what matters more.
func (q *eventQueue[E]) emitMinor(event E) {
	if q.ring.Stats().Items >= eventRing/2 {
		q.lost.Add(1)
		return
	}
	q.emit(event)
}

// startPump is called with mu held.
func (q *eventQueue[E]) startPump() {
	if q.pumping || q.out == nil || q.over {
		return
	}
	q.pumping = true
	q.pump.Go(func() {
		for q.forward() {
		}
	})
}

// forward moves one event, and says whether to go on.
func (q *eventQueue[E]) forward() bool {
	q.mu.Lock()
	event, ok := q.ring.TryGet()
	q.pumping = ok
	q.mu.Unlock()
	if !ok {
		return false
	}
	select {
	case q.out <- event:
		return true
	case <-q.stop:
		q.offer(event)
		return false
	}
}

// offer puts an event into the channel; what has waited longest makes room.
func (q *eventQueue[E]) offer(event E) {
	for {
		select {
		case q.out <- event:
			return
		default:
		}
		select {
		case <-q.out:
			q.lost.Add(1)
		default: // a reader was faster
		}
	}
}

// end leaves the last events in the channel for a program that still reads, and
// closes it.
func (q *eventQueue[E]) end() {
	q.mu.Lock()
	q.over = true
	if q.out == nil {
		q.out = make(chan E, eventBuffer)
	} else {
		close(q.stop)
	}
	q.mu.Unlock()
	q.pump.Wait()
	for _, event := range q.ring.Drain(nil) {
		q.offer(event)
	}
	close(q.out)
}
