// Package actor has mailboxes, and actors that read them.
//
// A Mailbox is a queue with bounds: by number and by size of the messages, with
// a choice of what gives way when it is full. It is useful without actors, where
// a channel is too small or a slice is too large.
//
// An Actor is a Mailbox and a function that handles its messages one at a time,
// so that the function's state needs no lock. When the function fails or panics
// the actor is restarted with backoff, and the mail waits for it:
//
//	a := actor.Actor[Order]{Name: "orders", Receive: handle}
//	go a.Run(ctx) // in an errgroup, or under a supervisor.Supervisor
//	err := a.Tell(ctx, order)
//
// Ask sends a question and waits for the answer.
package actor

import (
	"context"
	"errors"
	"slices"
	"sync"

	// The one import between the four leaf packages: restarting with backoff is
	// what makes a loop over a mailbox an actor, and it should exist once.
	"github.com/seed73300619/relay/supervisor"
)

// maxBatch is how many messages an actor takes out of its mailbox at a time:
// enough for the cost of taking to vanish.
const maxBatch = 64

// compactEvery is how often an actor must have nothing left to do before memory is
// given back. Doing it every time, and growing again, was a tenth of the work of an
// actor that handles messages as fast as they come.
const compactEvery = 16

// Actor handles the messages of its Mailbox, one at a time, in order.
//
// Set the fields, call Run once, and Tell or Ask from any goroutine, before Run
// too. The exported fields must not be changed after first use. An Actor must
// not be copied.
//
// The Mailbox may be used directly: Close ends the actor once it has handled
// what is inside, and after the end Drain returns what was not handled. A
// running actor takes messages in small batches: up to an eighth of the bounds
// of the Mailbox (one message at least, 64 at most) are in its hands beside it.
type Actor[M any] struct {
	Name    string // in hooks and errors of the supervisor
	Mailbox Mailbox[M]

	// Start, if set, is called before the first message and again after each
	// failure: the place to build the state that Receive works on. Its error is
	// a failure as one of Receive.
	Start func(ctx context.Context) error

	// Receive handles a message. An error or a panic is a failure: the actor
	// waits by the backoff and goes on with the next message. An error marked by
	// supervisor.Permanent ends the actor. ctx ends when Run's does.
	Receive func(ctx context.Context, m M) error

	// OnFailure, if set, is called with each message whose handling failed and
	// why (a panic is a *supervisor.PanicError). The message is not handled
	// again, unless OnFailure puts it into a mailbox. It is called between the
	// failure and the restart, on the goroutine of Run, and so must not wait for
	// the actor. What failed because ctx ended is not told.
	OnFailure func(m M, err error)

	// Supervisor says how the actor is restarted. CatchPanics is taken for set;
	// Strategy means nothing with the one service there is.
	Supervisor supervisor.Supervisor

	run   sync.Once
	init  sync.Once
	ended chan struct{} // closed by Run at its end; made by end

	// Owned by the goroutine of the service, and by Run's while there is none.
	batch   []M  // taken out of the mailbox
	next    int  // batch[next:] is yet to be handled
	idle    uint // how often nothing was left to handle
	started bool // by Start: what fails now is the handling of batch[next-1]
}

// errRunTwice is permanent, for an actor restarted by a supervisor around it.
var errRunTwice = supervisor.Permanent(errors.New("actor: Run called twice"))

// Tell puts m into the mailbox, as Mailbox.Put does: it returns ErrClosed when
// the actor has ended. That it returns nil does not mean that m was handled.
func (a *Actor[M]) Tell(ctx context.Context, m M) error { return a.Mailbox.Put(ctx, m) }

// Run handles messages until ctx ends, the Mailbox is closed and empty, or a
// failure is permanent, which is the only error it returns (but for the
// *supervisor.StuckError of a StopTimeout). Then the actor has ended: the
// Mailbox is closed, every Tell and Ask returns ErrClosed, and messages that
// were not handled are in the Mailbox, in order. An actor runs once: another
// call of Run returns an error.
func (a *Actor[M]) Run(ctx context.Context) error {
	err := errRunTwice
	a.run.Do(func() { err = a.supervise(ctx) })
	return err
}

func (a *Actor[M]) supervise(ctx context.Context) error {
	defer close(a.end())
	s := a.Supervisor
	s.CatchPanics = true
	s.OnFailure = func(f supervisor.Failure) {
		a.reportFailed(f.Err)
		if a.Supervisor.OnFailure != nil {
			a.Supervisor.OnFailure(f)
		}
	}
	err := s.Run(ctx, supervisor.Service{Name: a.Name, Serve: a.serve})
	a.Mailbox.Close()
	var stuck *supervisor.StuckError
	if !errors.As(err, &stuck) { // else Receive is still at the batch
		a.Mailbox.putBack(a.batch[a.next:])
		a.batch = nil
	}
	return err
}

// serve handles messages until one fails.
func (a *Actor[M]) serve(ctx context.Context) error {
	a.started = false
	if a.Start != nil {
		if err := a.Start(ctx); err != nil {
			return err
		}
	}
	a.started = true
	for {
		for a.next < len(a.batch) {
			if ctx.Err() != nil {
				return nil
			}
			m := a.batch[a.next]
			a.next++
			if err := a.Receive(ctx, m); err != nil {
				return err
			}
		}
		clear(a.batch)
		a.batch, a.next = a.Mailbox.take(a.batch[:0], maxBatch), 0
		if len(a.batch) > 0 {
			continue
		}
		if a.idle++; a.idle%compactEvery == 0 {
			a.Mailbox.Compact()
			a.batch = nil
		}
		select {
		case _, open := <-a.Mailbox.Ready():
			if a.batch = a.Mailbox.take(a.batch, maxBatch); len(a.batch) == 0 && !open {
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// reportFailed tells OnFailure which message failed.
func (a *Actor[M]) reportFailed(err error) {
	if a.started && a.OnFailure != nil {
		a.OnFailure(a.batch[a.next-1], err)
	}
}

func (a *Actor[M]) end() chan struct{} {
	a.init.Do(func() { a.ended = make(chan struct{}) })
	return a.ended
}

// Ask tells a the message that question makes, and waits for what is sent on
// reply. It returns when there is a reply, ctx has ended (the error is its
// cause), or the actor has ended (ErrClosed); it waits for an actor that has not
// been started.
//
// reply has room for one: the first send never waits, even when nobody asks any
// more. The actor may keep it and answer later. A question whose handling fails,
// or that is dropped, is not answered by itself: OnFailure and OnDrop may do so.
func Ask[M, R any](ctx context.Context, a *Actor[M], question func(reply chan<- R) M) (R, error) {
	var none R
	reply := make(chan R, 1) // never closed
	if err := a.Tell(ctx, question(reply)); err != nil {
		return none, err
	}
	select {
	case r := <-reply:
		return r, nil
	case <-ctx.Done():
		return none, context.Cause(ctx)
	case <-a.end():
	}
	select {
	case r := <-reply: // the last thing that it did
		return r, nil
	default:
		return none, ErrClosed
	}
}

// take is Drain for the actor: at most n messages, and no more than an eighth of
// the bounds (but one), so that what is in its hands hardly adds to them.
func (b *Mailbox[M]) take(buf []M, n int) []M {
	if b.MaxItems > 0 {
		n = min(n, max(1, b.MaxItems/8))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n = min(n, b.ring.n)
	if b.Size == nil {
		buf = b.ring.popN(buf, n)
		b.taken()
		return buf
	}
	for bytes := 0; n > 0; n-- {
		m, size := b.ring.pop()
		buf = append(buf, m)
		b.bytes -= size
		bytes += size
		if b.MaxBytes > 0 && bytes >= b.MaxBytes/8 {
			break
		}
	}
	b.taken()
	return buf
}

// putBack undoes take for messages that were not handled. It does so without
// regard to bounds and Close.
func (b *Mailbox[M]) putBack(batch []M) {
	for _, m := range slices.Backward(batch) {
		size := b.size(m)
		b.mu.Lock()
		b.ring.unpop(m, size, b.Size != nil)
		b.bytes += size
		b.mu.Unlock()
	}
}
