package relay

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
)

const (
	defaultOutbox = 256 // messages that a client takes while it has no connection

	// What may be written and not yet confirmed by the relay. Beyond it the
	// writer waits, so that memory stays bounded and every message in doubt can
	// be reported.
	windowMessages = 1 << 14
	windowBytes    = 8 << 20
	windowBarriers = 1 << 14 // each Flush makes one, also one that gives up
)

// outbox is everything that the client has accepted and does not yet know to be
// handed on, in order. Its lists belong to one goroutine at a time: to collect
// while there is no connection, to the session's writer while there is one. The
// supervisor goroutine passes it from one to the other.
type outbox struct {
	messages <-chan Message  // what the program sends; closed by the program, if at all
	requests chan *request   // from Send and Flush; never closed
	revoked  chan struct{}   // one slot: a waiting request gave up; never closed
	limit    int             // entries that collect takes
	closing  <-chan struct{} // closed when nothing more is accepted
	need     func()          // asks for a connection
	closed   atomic.Bool     // the program has closed messages

	queue  fifo // accepted, not written
	window fifo // written, not confirmed
	fresh  int  // entries at the end of window that settle has not seen
	bytes  int  // size of the messages in window

	intake *intake // nil: there is none; the writer's

	untold error // messages are in doubt, and no Flush has said so

	barriers  uint64 // numbered so far, over all connections
	confirmed uint64 // the last that came back, or died with its connection

	quit       chan struct{} // closed by stopCollecting; nil: not collecting
	collecting sync.WaitGroup

	stats *counters
}

// request is a message from Send, or a Flush, that somebody waits for.
type request struct {
	ctx     context.Context // the caller's
	message Message
	barrier bool
	number  uint64        // a Group's, for order
	state   atomic.Int32  // waiting, begun or revoked
	err     error         // the answer, valid once done
	done    chan *request // receives the request itself, once, and always has room; never closed
}

// answer tells the caller.
func (r *request) answer(err error) {
	r.err = err
	r.done <- r
}

const (
	waiting = iota // may still be revoked
	begun          // being written
	revoked        // the caller gave up; to be skipped
)

// begin says that writing begins, unless the caller has given up.
func (r *request) begin() bool { return r.state.CompareAndSwap(waiting, begun) }

// revoke takes the request back, unless it is being written.
func (r *request) revoke() bool { return r.state.CompareAndSwap(waiting, revoked) }

// resume makes a request that was not written wait again, unless its caller,
// who could not revoke it meanwhile, has given up: that one is answered.
func (r *request) resume() bool {
	r.state.Store(waiting)
	if err := r.ctx.Err(); err != nil && r.revoke() {
		r.answer(err)
		return false
	}
	return true
}

// entry is a message, or a barrier: a message to ourselves which, when it comes
// back, proves that the relay has handed on all that was written before it.
type entry struct {
	message Message
	barrier uint64   // its number; 0: a message
	request *request // who waits for it, if anybody
	end     int64    // in window: where its last byte stands in the connection's stream
	size    int      // in window: bytes, encoded
	again   bool     // it was written to an earlier connection, too
}

// isMessage tells a message from a barrier, also before a barrier has its number.
func (e *entry) isMessage() bool {
	return e.barrier == 0 && (e.request == nil || !e.request.barrier)
}

// answer tells the one who waits, if anybody does. At most one answer is given.
func (e *entry) answer(err error) {
	if e.request != nil {
		e.request.answer(err)
	}
}

func newOutbox(messages <-chan Message, closing <-chan struct{}, limit int, need func(), stats *counters) *outbox {
	return &outbox{
		messages: messages,
		requests: make(chan *request),
		revoked:  make(chan struct{}, 1),
		closing:  closing,
		limit:    limit,
		need:     need,
		stats:    stats,
	}
}

// startCollecting gives the outbox to a goroutine that collects.
func (o *outbox) startCollecting() {
	o.quit = make(chan struct{})
	o.collecting.Go(func() { o.collect(o.quit) })
}

// stopCollecting gives the outbox back to the caller.
func (o *outbox) stopCollecting() {
	if o.quit != nil {
		close(o.quit)
		o.collecting.Wait()
		o.quit = nil
	}
}

// collect takes what the program sends while there is no connection, up to the
// limit, so that a pipeline does not stand still at every hiccup, until quit or
// the client is closed.
func (o *outbox) collect(quit <-chan struct{}) {
	for {
		o.publish()
		messages, requests := o.messages, o.requests
		if o.queue.len() >= o.limit {
			messages, requests = nil, nil
		}
		select {
		case m, open := <-messages:
			if open {
				o.queue.push(&entry{message: m})
			} else {
				o.messagesClosed()
			}
			o.need()
		case r := <-requests:
			o.queue.push(&entry{message: r.message, request: r})
			if r.barrier {
				o.purge() // it may be at the front
			}
			if o.queue.len() > 0 {
				o.need()
			}
		case <-o.revoked:
			if o.purge(); o.closed.Load() && o.queue.len() == 0 {
				o.need() // to end
			}
		case <-o.closing:
			return
		case <-quit:
			return
		}
	}
}

// purge forgets the requests whose callers have given up, and answers the
// Flushes that wait for nothing any more.
func (o *outbox) purge() {
	var kept fifo
	for o.queue.len() > 0 {
		e := o.queue.pop()
		switch {
		case e.request != nil && e.request.state.Load() == revoked:
		case !e.isMessage() && kept.len() == 0:
			if e.request.begin() {
				e.answer(o.doubt())
			}
		default:
			kept.push(&e)
		}
	}
	o.queue = kept
	o.publish()
}

// doubt is the answer to a Flush behind which nothing is on its way: an error
// when messages are in doubt that no Flush has told of.
func (o *outbox) doubt() error {
	err := o.untold
	o.untold = nil
	return err
}

// messagesClosed notes that the program has closed its channel.
func (o *outbox) messagesClosed() {
	o.messages = nil // never ready again
	o.closed.Store(true)
}

// publish lets Stats see how much waits here, and how much for the relay.
func (o *outbox) publish() {
	o.stats.outbox.Store(int64(o.queue.messages))
	o.stats.unconfirmed.Store(int64(o.window.messages))
}

// written moves an entry of size bytes into the window.
func (o *outbox) written(e *entry, size int, end int64) {
	e.end, e.size = end, size
	o.window.push(e)
	o.fresh++
	if e.isMessage() {
		o.bytes += messageSize(e.message)
	}
}

// unwritten marks an entry that did not even reach the write buffer.
const unwritten = math.MaxInt64

// settle answers those whose messages the kernel has taken.
func (o *outbox) settle(flushed int64) {
	for n := o.window.len(); o.fresh > 0; o.fresh-- {
		e := o.window.at(n - o.fresh)
		if e.end > flushed {
			return
		}
		if e.isMessage() {
			o.stats.sent.Add(1)
			o.stats.sentBytes.Add(uint64(e.size))
			if e.again {
				o.stats.resent.Add(1)
			}
			e.answer(nil)
		}
	}
}

// confirm forgets all up to the barrier that came back; settle has seen it.
func (o *outbox) confirm(barrier uint64) {
	if barrier <= o.confirmed || barrier > o.barriers {
		return
	}
	for o.confirmed < barrier {
		if e := o.window.at(0); e.isMessage() {
			o.bytes -= messageSize(e.message)
		} else {
			o.confirmed = e.barrier
			if e.request != nil && e.request.begin() {
				e.answer(o.doubt())
			}
		}
		o.window.drop()
	}
	o.publish()
}

// reclaim sorts out the window after the connection ended, with flushed bytes
// taken by the kernel. What certainly did not leave goes back to the front of
// the queue, in order. What did leave is returned as in doubt, or goes back too
// if it is to be sent again.
func (o *outbox) reclaim(flushed int64, resend bool, cause error) (doubtful []Message) {
	o.settle(flushed)
	var again fifo
	untold := 0 // of doubtful, those of which no Flush has been told
	for o.window.len() > 0 {
		e := o.window.pop()
		left := e.end <= flushed
		e.end = 0
		switch {
		case e.isMessage() && left && !resend:
			doubtful = append(doubtful, e.message)
			untold++
		case e.isMessage():
			if left {
				e.again = true
				e.request = nil // answered when it was written first
			}
			if e.request == nil || e.request.resume() {
				again.push(&e)
			}
		case e.request == nil: // a barrier of our own: the next connection makes its own
		case len(doubtful) > 0 && e.request.begin():
			e.answer(inDoubt(len(doubtful), cause))
			o.untold, untold = nil, 0
		case e.request.state.Load() == waiting:
			e.barrier = 0
			again.push(&e)
		}
	}
	again.take(&o.queue)
	o.queue, o.window, o.fresh, o.bytes = again, fifo{}, 0, 0
	if untold > 0 {
		o.untold = inDoubt(untold, cause)
	}
	o.purge()
	o.confirmed = o.barriers
	return doubtful
}

func inDoubt(n int, cause error) error {
	return fmt.Errorf("%w %d messages: %w", ErrInDoubt, n, cause)
}

// end answers everybody who waits and returns the messages that were not sent,
// and those that were to be sent again and are in doubt now. A message of Send is
// not among them: its caller has the error.
func (o *outbox) end(err error) (unsent, doubtful []Message) {
	for o.queue.len() > 0 {
		e := o.queue.pop()
		switch {
		case e.again:
			doubtful = append(doubtful, e.message)
		case e.request == nil:
			unsent = append(unsent, e.message)
		case e.request.begin(): // unless its caller has given up
			e.answer(err)
		}
	}
	o.publish()
	return unsent, doubtful
}

// fifo is a queue of entries in a slice. The zero value is empty.
type fifo struct {
	items    []entry
	head     int
	messages int  // of the entries
	used     bool // since shrink looked
}

func (q *fifo) len() int        { return len(q.items) - q.head }
func (q *fifo) at(i int) *entry { return &q.items[q.head+i] }

func (q *fifo) push(e *entry) {
	if e.isMessage() {
		q.messages++
	}
	q.items = append(q.items, *e)
	q.used = true
}

// shrink gives back the memory of an empty queue: a little at once, because an idle
// client is to be small, more when nothing has come since the last time.
func (q *fifo) shrink() {
	if q.len() > 0 {
		return
	}
	if cap(q.items) <= 8 || !q.used {
		q.items = nil
	}
	q.used = false
}

// take moves all of another queue behind what is in this one.
func (q *fifo) take(from *fifo) {
	for from.len() > 0 {
		e := from.pop()
		q.push(&e)
	}
}

func (q *fifo) pop() entry {
	e := *q.at(0)
	q.drop()
	return e
}

func (q *fifo) drop() {
	if q.at(0).isMessage() {
		q.messages--
	}
	q.items[q.head] = entry{} // let the strings go
	q.head++
	switch {
	case q.head == len(q.items):
		q.items, q.head = q.items[:0], 0
	case q.head >= 64 && q.head*2 >= len(q.items):
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
}
