package relay

import "sync"

const (
	// intakeAfter messages that come one after another start an intake.
	intakeAfter = 16
	// What an intake holds at most: about as much as goes with one system call.
	intakeMessages = 64
	intakeBytes    = 64 << 10
)

// intake takes what the program sends, while the writer encodes and writes what
// came before. A send on the Outbox waits for who receives. If that is the writer,
// it has to let all others run after each message to learn whether there is another
// one; an intake takes turns with the program alone, and the writer finds many at
// once. A thousand busy clients get a third more done.
//
// It is there only while much is sent: an idle client does not pay for it, and a
// message that comes alone has nobody more to pass.
type intake struct {
	rouse   func()        // wakes the writer
	quit    chan struct{} // closed by stopIntake
	running sync.WaitGroup
	room    chan struct{} // one slot: there is room again; never closed
	stats   *counters

	mu       sync.Mutex
	queue    fifo
	held     int // size of the messages in queue
	messages int // how many there may be
	bytes    int // about how large they may be, together
	full     bool
	closed   bool // the program has closed its channel; whoever receives next learns it, too
	hungry   bool // the writer has found nothing, and is to be roused
}

// startIntake starts an intake, if there is anything for it to do; there is none yet.
// It has the outbox' channels until stopIntake.
func (s *session) startIntake() {
	o := s.out
	messages, bytes := s.roomAhead(0)
	if o.messages == nil || o.queue.len() > 0 || messages <= 0 || bytes <= 0 {
		return
	}
	in := &intake{
		messages: messages,
		bytes:    bytes,
		rouse:    s.status.rouse,
		quit:     make(chan struct{}),
		room:     make(chan struct{}, 1),
		stats:    s.stats,
	}
	o.intake = in
	offered := o.messages
	in.running.Go(func() { in.run(offered, o.requests, o.closing) })
}

// stopIntake ends the intake, if there is one, and queues what it has taken.
func (o *outbox) stopIntake() {
	in := o.intake
	if in == nil {
		return
	}
	close(in.quit)
	in.running.Wait()
	o.intake = nil
	o.queue.take(&in.queue)
	in.stats.intake.Store(0)
	o.publish()
}

// takeIn queues what the intake has taken. Nothing else is queued.
func (s *session) takeIn() {
	in, o := s.out.intake, s.out
	in.mu.Lock()
	o.queue, in.queue = in.queue, o.queue
	in.messages, in.bytes = s.roomAhead(in.held)
	in.held = 0
	on := !in.closed && in.messages > 0 && in.bytes > 0
	in.hungry = o.queue.len() == 0
	was := in.full
	in.full = false
	in.stats.intake.Store(0)
	o.publish()
	in.mu.Unlock()
	switch {
	case !on:
		o.stopIntake()
	case was:
		notify(in.room)
	}
}

// roomAhead returns how much an intake may hold, from which has been taken what is
// queued, held bytes of it: what the window leaves, so that no more is accepted with
// an intake than without. It may be taking one more message meanwhile.
func (s *session) roomAhead(held int) (messages, bytes int) {
	o := s.out
	return min(intakeMessages, o.limit, s.cfg.window-o.window.messages-o.queue.messages-1),
		min(intakeBytes, windowBytes-o.bytes-held)
}

// run takes messages and requests until it is stopped, the program has closed
// messages, or the client is closed.
func (in *intake) run(messages <-chan Message, requests <-chan *request, closing <-chan struct{}) {
	for {
		var e entry
		open := true
		select {
		case e.message, open = <-messages: // a third of the time that the select below takes
		default:
			select {
			case e.message, open = <-messages:
			case e.request = <-requests:
				e.message = e.request.message
			case <-closing:
				return
			case <-in.quit:
				return
			}
		}
		if !open {
			in.end()
			return
		}
		if in.put(&e) {
			continue
		}
		select {
		case <-in.room:
		case <-closing:
			return
		case <-in.quit:
			return
		}
	}
}

// put queues e for the writer, and reports whether there is room for more.
func (in *intake) put(e *entry) (room bool) {
	in.mu.Lock()
	in.queue.push(e)
	in.held += messageSize(e.message)
	in.stats.intake.Store(int64(in.queue.messages))
	in.full = in.queue.len() >= in.messages || in.held >= in.bytes
	full, hungry := in.full, in.hungry
	in.hungry = false
	in.mu.Unlock()
	if hungry {
		in.rouse()
	}
	return !full
}

// end says that there is nothing more to take in.
func (in *intake) end() {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	in.rouse()
}
