package faultproxy

import (
	"bytes"
	"errors"
	"io"
	"syscall"
	"time"
)

const (
	chunkBytes = 32 << 10
	// queueBytes is how much is under way in a direction before the proxy stops
	// reading; what is held does not count.
	queueBytes = 256 << 10
)

// pipe is one direction of a link; the link's mutex guards it. One goroutine
// reads into its queue, another one delivers from there.
type pipe struct {
	queue     []chunk
	queued    int   // bytes in queue, and those being delivered
	delivered int64 // bytes

	traps    []trap // by position
	latency  time.Duration
	frozen   bool // neither read nor deliver
	held     bool // do not deliver
	endless  bool // do not deliver the end
	deaf     bool // swallow what is read
	finished bool // deliver nothing but a FIN
	reset    bool // a write to the sender has found a reset: the kernel tells one caller, to the reader it looks like a FIN
}

// chunk is what was read at once, or the end of all.
type chunk struct {
	data []byte
	due  time.Time
	end  end
}

// end is how a side has ended what it sends.
type end int

const (
	notYet end = iota
	byFIN
	byReset
)

// trap is what is to be done when so many bytes have been delivered.
type trap struct {
	at    int64
	fault func(*Link)
}

// swallow lets go of what is under way and of all that is still to come.
func (p *pipe) swallow() {
	p.deaf, p.queue, p.queued = true, nil, 0
}

// finish swallows what there is and ends with a FIN.
func (p *pipe) finish() {
	p.swallow()
	p.finished = true
}

// read fills the queue of a direction until the sender has ended or the link
// has.
func (l *Link) read(d Direction) {
	buffer := make([]byte, chunkBytes)
	for l.mayRead(d) {
		n, err := l.ends[d].Read(buffer)
		l.arrived(d, buffer[:n], err)
		if err != nil {
			return
		}
	}
}

// mayRead waits until there is room, and reports false when the link has ended.
func (l *Link) mayRead(d Direction) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.pipes[d]
	for !l.closed && (p.frozen || !p.held && p.queued >= queueBytes) {
		l.changed.Wait()
	}
	return !l.closed
}

func (l *Link) arrived(d Direction, data []byte, err error) {
	l.change(func() {
		p := &l.pipes[d]
		if p.deaf || l.closed {
			return
		}
		due := time.Now().Add(p.latency)
		if len(data) > 0 {
			p.queue = append(p.queue, chunk{data: bytes.Clone(data), due: due})
			p.queued += len(data)
		}
		switch {
		case errors.Is(err, io.EOF):
			p.queue = append(p.queue, chunk{due: due, end: byFIN})
		case err != nil:
			p.queue = append(p.queue, chunk{due: due, end: byReset})
		}
	})
}

// deliver empties the queue of a direction until the sender's end has been
// passed on, the receiver has gone, or the link has ended.
func (l *Link) deliver(d Direction) {
	receiver := l.ends[1-d]
	for {
		next, fault := l.next(d)
		switch {
		case fault != nil:
			fault(l)
			continue
		case next.end == byReset:
			l.Reset()
			return
		case next.end == byFIN:
			_ = receiver.CloseWrite()
			return
		}
		n, err := receiver.Write(next.data)
		l.change(func() {
			p := &l.pipes[d]
			p.delivered += int64(n)
			p.queued = max(p.queued-len(next.data), 0) // swallowed meanwhile, perhaps
			if err != nil {
				p.swallow()
			}
			if errors.Is(err, syscall.ECONNRESET) {
				l.pipes[1-d].reset = true
			}
		})
		l.proxy.delivered(d, n)
		if err != nil {
			return // whoever reads from the receiver sees its end, and passes that on
		}
	}
}

// next waits for what is to be delivered now, or done. After the link has ended
// it is a reset.
func (l *Link) next(d Direction) (chunk, func(*Link)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.pipes[d]
	for {
		if l.closed {
			return chunk{end: byReset}, nil
		}
		if len(p.traps) > 0 && p.traps[0].at <= p.delivered {
			fault := p.traps[0].fault
			p.traps = p.traps[1:]
			return chunk{}, fault
		}
		if p.finished {
			return chunk{end: byFIN}, nil
		}
		wait := time.Duration(-1)
		if len(p.queue) > 0 && !p.frozen && !p.held && !(p.endless && p.queue[0].end != notYet) {
			if wait = time.Until(p.queue[0].due); wait <= 0 {
				return p.take(), nil
			}
		}
		l.await(wait)
	}
}

// await waits for a change, and no longer than d if that is not negative.
func (l *Link) await(d time.Duration) {
	if d < 0 {
		l.changed.Wait()
		return
	}
	rung := make(chan struct{})
	timer := time.AfterFunc(d, func() {
		l.change(func() {})
		close(rung)
	})
	l.changed.Wait()
	if !timer.Stop() { // its goroutine is ours, too
		l.mu.Unlock()
		<-rung
		l.mu.Lock()
	}
}

// take returns the front of the queue, up to the next trap.
func (p *pipe) take() chunk {
	c := p.queue[0]
	if len(p.traps) > 0 {
		if room := p.traps[0].at - p.delivered; int64(len(c.data)) > room {
			p.queue[0].data = c.data[room:]
			c.data = c.data[:room]
			return c
		}
	}
	p.queue = p.queue[1:]
	if c.end == byFIN && p.reset {
		c.end = byReset
	}
	return c
}
