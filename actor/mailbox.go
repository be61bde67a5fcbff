package actor

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrClosed is returned when a mailbox is closed, or an actor has ended.
var ErrClosed = errors.New("actor: closed")

// Overflow says what becomes of a message for which there is no room.
type Overflow uint8

const (
	Wait       Overflow = iota // Put waits until there is room
	DropOldest                 // the oldest messages make room
	DropNewest                 // the message itself is dropped
)

// String returns the name of the constant.
func (o Overflow) String() string {
	switch o {
	case Wait:
		return "Wait"
	case DropOldest:
		return "DropOldest"
	case DropNewest:
		return "DropNewest"
	}
	return "Overflow(?)"
}

// Mailbox is a queue of messages, first in, first out, bounded by number and by
// size. The zero value is empty, unbounded and ready to use.
//
// All methods may be called from any number of goroutines, on both sides. The
// messages of one goroutine keep their order, and those that wait for room get
// it in the order in which they began to wait. The exported fields must be set
// before first use and not be changed after it. A Mailbox must not be copied.
//
// Memory grows with what is inside. A consumer that finds the mailbox empty
// gives all of it back but 1 KiB, or room for eight messages if that is more, and
// room for their sizes; Compact gives back all of it.
type Mailbox[M any] struct {
	// MaxItems and MaxBytes bound what is inside; 0 means no bound. A message
	// larger than MaxBytes is accepted when nothing else is inside, so that the
	// bound is MaxBytes or one message.
	MaxItems int
	MaxBytes int

	// Size returns how many bytes a message counts for. Without it they count
	// for none, and MaxBytes has no effect. It is called by the goroutine that
	// puts.
	Size func(M) int

	// OnDrop is called with each message that is dropped, by the goroutine whose
	// Put dropped it, before Put returns. It may use the mailbox.
	OnDrop func(M)

	// Overflow says what Put does when there is no room.
	Overflow Overflow

	mu      sync.Mutex // held for a few instructions only: never over a wait or a call of the program's
	closed  bool
	ready   chan struct{} // one slot: there may be something to take; closed by Close; nil until asked for
	ring    ring[M]
	bytes   int          // of what is inside
	put     uint64       // accepted, those dropped later included
	dropped uint64       // by Overflow
	waiters []*waiter[M] // Puts that wait for room, oldest first
}

// waiter is a Put that waits. It hands its message over with the wait, so that
// whoever makes room admits it, in order, without waking it first.
type waiter[M any] struct {
	m    M
	size int
	done chan struct{} // closed by who takes the waiter off the list, with err set
	err  error
}

// MailboxStats counts what has happened to a mailbox. Put is always the sum of
// Taken, Dropped and Items.
type MailboxStats struct {
	Items   int    // inside now
	Bytes   int    // size of what is inside now
	Waiting int    // calls of Put that wait for room
	Put     uint64 // messages whose Put returned nil, or TryPut true
	Taken   uint64 // messages taken out
	Dropped uint64 // messages dropped by Overflow
}

// Put puts m in. When there is no room it does what Overflow says: a message
// that is dropped, be it m, is counted, told to OnDrop, and no error. With Wait
// it waits until there is room, until ctx ends, or until Close.
//
// The error is ErrClosed or the cause of ctx's end; m is not inside then. A ctx
// that has ended does not matter as long as there is room.
func (b *Mailbox[M]) Put(ctx context.Context, m M) error {
	size := b.size(m)
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return ErrClosed
	}
	if b.fits(size) {
		b.push(m, size)
		b.mu.Unlock()
		return nil
	}
	switch b.Overflow { // each unlocks
	case DropOldest:
		b.dropOldest(m, size)
		return nil
	case DropNewest:
		b.dropNewest(m)
		return nil
	}
	return b.wait(ctx, m, size)
}

// TryPut puts m in if there is room now, and reports whether it did. It never
// waits, never drops, and does not overtake a Put that waits.
func (b *Mailbox[M]) TryPut(m M) bool {
	size := b.size(m)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || !b.fits(size) {
		return false
	}
	b.push(m, size)
	return true
}

// Get takes the oldest message, and waits for one until ctx ends or the mailbox
// is closed and empty. The error is ErrClosed or the cause of ctx's end. A
// message that is there is returned even when ctx has ended.
func (b *Mailbox[M]) Get(ctx context.Context) (M, error) {
	for {
		if m, ok := b.TryGet(); ok {
			return m, nil
		}
		select {
		case _, open := <-b.Ready():
			if m, ok := b.TryGet(); ok {
				return m, nil
			}
			if !open {
				var none M
				return none, ErrClosed
			}
		case <-ctx.Done():
			var none M
			return none, context.Cause(ctx)
		}
	}
}

// TryGet takes the oldest message if there is one, without waiting.
func (b *Mailbox[M]) TryGet() (m M, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ring.n == 0 {
		b.ring.shrink()
		return m, false
	}
	m, size := b.ring.pop()
	b.bytes -= size
	b.taken()
	return m, true
}

// Drain takes all that is inside, appends it to buf and returns it, without
// waiting. One Drain of many messages is cheaper than as many Gets.
func (b *Mailbox[M]) Drain(buf []M) []M {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ring.n == 0 {
		b.ring.shrink()
		return buf
	}
	buf = b.ring.popAll(buf)
	b.bytes = 0
	b.taken()
	return buf
}

// DrainBytes is Drain for no more than it takes to reach a size: it stops behind
// the message with which the sum of the sizes is at least bytes. What is left can
// still be had, and room is made sooner than by taking everything.
func (b *Mailbox[M]) DrainBytes(buf []M, bytes int) []M {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ring.n == 0 {
		b.ring.shrink()
		return buf
	}
	for b.ring.n > 0 && bytes > 0 {
		m, size := b.ring.pop()
		buf = append(buf, m)
		b.bytes -= size
		bytes -= size
	}
	b.taken()
	return buf
}

// Compact gives back all memory if nothing is inside, also what a mailbox keeps that
// is emptied again and again. It is for a consumer that has had nothing to do for a
// while.
func (b *Mailbox[M]) Compact() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ring.n == 0 {
		b.ring = ring[M]{}
	}
}

// Ready returns a channel for select: it can be received from when there may be
// something to take, and is closed by Close. It is the same channel at each
// call, never nil, and shared by all consumers. Whoever receives from it takes
// until nothing is left or, when several consumers share the work, at least
// once: the channel is signalled again while something is left.
//
//	for {
//		select {
//		case _, open := <-box.Ready():
//			batch = box.Drain(batch[:0])
//			handle(batch)
//			if !open { // closed, and what was inside has just been taken
//				return
//			}
//		case <-other:
//			…
//		}
//	}
func (b *Mailbox[M]) Ready() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ready == nil {
		b.ready = make(chan struct{}, 1)
		switch {
		case b.closed:
			close(b.ready)
		case b.ring.n > 0:
			b.ready <- struct{}{}
		}
	}
	return b.ready
}

// Close closes the mailbox: nothing can be put in any more, and Puts that wait
// return ErrClosed. What is inside can still be taken. Closing twice is fine.
func (b *Mailbox[M]) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	if b.ready != nil {
		close(b.ready)
	}
	for _, w := range b.waiters {
		w.err = ErrClosed
		close(w.done)
	}
	b.waiters = nil
}

// Stats returns the counters, all of the same moment.
func (b *Mailbox[M]) Stats() MailboxStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return MailboxStats{
		Items:   b.ring.n,
		Bytes:   b.bytes,
		Waiting: len(b.waiters),
		Put:     b.put,
		Taken:   b.put - b.dropped - uint64(b.ring.n),
		Dropped: b.dropped,
	}
}

func (b *Mailbox[M]) size(m M) int {
	if b.Size == nil {
		return 0
	}
	return max(0, b.Size(m))
}

// The methods below are called with mu held.

func (b *Mailbox[M]) fits(size int) bool { return len(b.waiters) == 0 && b.room(size) }

func (b *Mailbox[M]) room(size int) bool {
	return b.ring.n == 0 ||
		(b.MaxItems <= 0 || b.ring.n < b.MaxItems) &&
			(b.MaxBytes <= 0 || size <= b.MaxBytes-b.bytes)
}

func (b *Mailbox[M]) push(m M, size int) {
	b.ring.push(m, size, b.Size != nil)
	b.bytes += size
	b.put++
	if b.ring.n == 1 {
		b.signal()
	}
}

// signal tells a consumer that sleeps, or will look next, that there is
// something to take. One signal at a time is enough: who takes and leaves
// something behind signals again.
func (b *Mailbox[M]) signal() {
	if b.closed {
		return // ready is closed, which says it for ever
	}
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// taken follows every taking: Puts that wait get the room, and the next
// consumer is told when something is left.
func (b *Mailbox[M]) taken() {
	b.admit()
	if b.ring.n > 0 {
		b.signal()
	}
}

// admit lets in the Puts that wait, as far as there is room.
func (b *Mailbox[M]) admit() {
	n := 0
	for n < len(b.waiters) && b.room(b.waiters[n].size) {
		w := b.waiters[n]
		b.push(w.m, w.size)
		close(w.done)
		n++
	}
	b.waiters = slices.Delete(b.waiters, 0, n)
	if len(b.waiters) == 0 {
		b.waiters = nil
	}
}

// The methods below are called with mu held, and unlock it.

func (b *Mailbox[M]) wait(ctx context.Context, m M, size int) error {
	w := &waiter[M]{m: m, size: size, done: make(chan struct{})}
	b.waiters = append(b.waiters, w)
	b.mu.Unlock()
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.waiters, w)
	if i < 0 {
		return w.err // it was let in meanwhile, or the mailbox closed
	}
	b.waiters = slices.Delete(b.waiters, i, i+1)
	b.admit() // a smaller message behind it may fit
	return context.Cause(ctx)
}

func (b *Mailbox[M]) dropOldest(m M, size int) {
	var space [1]M // mostly one makes way for one
	dropped := space[:0]
	for !b.room(size) {
		old, oldSize := b.ring.pop()
		b.bytes -= oldSize
		b.dropped++
		if b.OnDrop != nil {
			dropped = append(dropped, old)
		}
	}
	b.push(m, size)
	b.mu.Unlock()
	for _, old := range dropped {
		b.OnDrop(old)
	}
}

func (b *Mailbox[M]) dropNewest(m M) {
	b.put++
	b.dropped++
	b.mu.Unlock()
	if b.OnDrop != nil {
		b.OnDrop(m)
	}
}
