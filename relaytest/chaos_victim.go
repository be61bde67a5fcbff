package relaytest

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

// stallFrames is how many messages ProxyStore's relay reads ahead of what it
// handles.
const stallFrames = 16

// victim is a connection to which something happens at a moment. To the healthy
// relay it is just a connection.
type victim struct {
	transport.Conn
	wire *chaosWire
	plan plan

	frames  int           // the reader's: how many have come
	replied int           // the writer's: frames written, of which the first answers the registration
	timed   bool          // the writer's: what comes after a while is on its way
	writing chan struct{} // one slot: holds the token of whoever writes; never closed

	deaf, stalled atomic.Bool // what comes is not handled, or not even read
	unread        atomic.Uint64
	closing       atomic.Bool // say ends it
	saying        sync.Once
	said          chan struct{} // closed by say when it has ended it
	ending        sync.Once
	ended         chan struct{} // closed when the connection ends from this side

	mu     sync.Mutex // guards timers
	timers []*time.Timer
	late   sync.WaitGroup // the timers' goroutines
}

func newVictim(base transport.Conn, wire *chaosWire, p plan) *victim {
	return &victim{
		Conn: base, wire: wire, plan: p, writing: make(chan struct{}, 1),
		said: make(chan struct{}), ended: make(chan struct{}),
	}
}

// ReadFrame implements [transport.Conn].
func (v *victim) ReadFrame() ([]byte, bool, error) {
	for {
		if v.stalled.Load() {
			return nil, false, v.readAhead()
		}
		p, binary, err := v.Conn.ReadFrame()
		if err != nil {
			return nil, false, v.lost(err)
		}
		v.frames++
		switch {
		case v.plan.code == codeTooLong && v.plan.size > 0 && len(p) > v.plan.size:
			v.say(codeTooLong, reasons[codeTooLong])
		case v.due():
			if v.plan.behaviour.act(v) {
				return p, binary, nil
			}
		case !v.deaf.Load():
			return p, binary, nil
		}
	}
}

// due reports whether the frame that has come is the moment.
func (v *victim) due() bool {
	return v.plan.on == onRegister && v.frames == 1 || v.plan.on == onMessage && v.frames == 1+v.plan.n
}

// lost is the end of reading. An end that say has made is news to the relay, and
// it is over before the relay aborts what is left.
func (v *victim) lost(err error) error {
	if !v.closing.Load() {
		return err
	}
	<-v.said
	return fmt.Errorf("relaytest: %w", net.ErrClosed)
}

// readAhead takes in what ProxyStore's relay would, and then reads nothing.
func (v *victim) readAhead() error {
	for range stallFrames {
		if _, _, err := v.Conn.ReadFrame(); err != nil {
			return v.lost(err)
		}
	}
	<-v.ended
	return v.lost(transport.ErrClosed)
}

// WriteFrame implements [transport.Conn].
func (v *victim) WriteFrame(p []byte) error {
	v.writing <- struct{}{}
	defer func() { <-v.writing }()
	v.replied++ // nothing is written to who has not registered
	return v.Conn.WriteFrame(p)
}

// Flush implements [transport.Conn].
func (v *victim) Flush() error {
	v.writing <- struct{}{}
	defer func() { <-v.writing }()
	err := v.Conn.Flush()
	if err == nil && v.replied > 0 && v.plan.on == onAfter && !v.timed {
		v.timed = true
		v.in(v.plan.after, func() { v.plan.behaviour.act(v) })
	}
	return err
}

// in runs f after a while, unless the connection has ended before.
func (v *victim) in(d time.Duration, f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.late.Add(1)
	v.timers = append(v.timers, time.AfterFunc(d, func() { defer v.late.Done(); f() }))
}

// say closes the connection in the relay's place.
func (v *victim) say(code int, reason string) {
	v.saying.Do(func() {
		v.closing.Store(true)
		_ = v.Conn.Close(code, reason) // a client that does not answer is what some tests want
		close(v.said)
		v.end()
	})
}

// Frames lets the healthy relay believe that a client is alive of which nothing
// is read: stall says when the pong is missed.
func (v *victim) Frames() uint64 {
	if v.stalled.Load() {
		return v.unread.Add(1)
	}
	return v.Conn.Frames()
}

// stall stops reading, and closes as a relay does that misses a pong.
func (v *victim) stall() (handle bool) {
	v.stalled.Store(true)
	v.in(v.plan.stall, func() { v.say(codeInternal, reasonSilent) })
	return false
}

// refuse answers the registration with an error.
func (v *victim) refuse() (handle bool) {
	message := v.plan.message
	if message == "" {
		message = "ForbiddenError: Not here."
	}
	v.deaf.Store(true)
	v.writing <- struct{}{}
	defer func() { <-v.writing }()
	// It is UTF-8, and a failure to write it is found by the reader.
	if reply, err := (codec.Response{Error: true, Message: message}).Append(nil); err == nil && v.Conn.WriteFrame(reply) == nil {
		_ = v.Conn.Flush()
	}
	return false
}

// inject writes bytes between two frames.
func (v *victim) inject(p []byte) {
	v.writing <- struct{}{}
	defer func() { <-v.writing }()
	if v.Conn.Flush() == nil {
		_ = v.wire.inject(p) // a failure is found by the reader
	}
}

// Close implements [transport.Conn].
func (v *victim) Close(code int, reason string) error {
	v.end()
	return v.Conn.Close(code, reason)
}

// Abort implements [transport.Conn].
func (v *victim) Abort() error {
	v.end()
	return v.Conn.Abort()
}

func (v *victim) end() { v.ending.Do(func() { close(v.ended) }) }

// finish waits for what was to happen later, or sees to it that it never does.
func (v *victim) finish() {
	v.mu.Lock()
	for _, t := range v.timers {
		if t.Stop() {
			v.late.Done()
		}
	}
	v.mu.Unlock()
	v.late.Wait()
}
