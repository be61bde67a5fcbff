package supervisor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// run is all state of one call of Supervisor.Run, and belongs to its goroutine.
// The services tell it one thing only, over exits: that they have returned.
type run struct {
	*Supervisor
	ctx      context.Context
	children []*child
	exits    chan exit // never closed; room for all, so that no service ever waits on it
	wake     <-chan struct{}
	wg       sync.WaitGroup

	now    time.Time // of the latest step
	latest error     // the latest failure
	ending bool      // everything is being stopped, nothing is started any more
	cause  error     // why; nil when ctx has ended
	stuck  []string  // names of services that were given up
}

// child is a service and where it stands.
type child struct {
	Service
	index    int
	state    state
	backoff  Backoff
	failures int       // in a row
	due      time.Time // waiting: not started before
	life     *life     // running, leaving
	giveUp   time.Time // leaving: stuck from then on; zero until cancelled, or for ever
}

type state uint8

const (
	waiting state = iota // to be started
	running
	leaving // to be stopped: cancelled, or about to be
	gone    // done, stopped for good, or stuck
)

// life is one start of a service, and the context that it is given.
type life struct {
	context.Context
	cancel  context.CancelFunc
	started time.Time
	healthy atomic.Bool
	stopped bool // cancel was called
}

type lifeKey struct{} // the key under which a life's value is the *life itself

func (l *life) Value(key any) any {
	if key == (lifeKey{}) {
		return l
	}
	return l.Context.Value(key)
}

type exit struct {
	child *child
	err   error
}

func newRun(ctx context.Context, s *Supervisor, services []Service) (*run, error) {
	r := &run{Supervisor: s, ctx: ctx, wake: s.Wake, exits: make(chan exit, len(services))}
	for i, service := range services {
		if service.Serve == nil {
			return nil, fmt.Errorf("supervisor: service %d (%q) has no Serve", i, service.Name)
		}
		c := &child{Service: service, index: i, backoff: s.Backoff}
		c.backoff.Reset()
		r.children = append(r.children, c)
	}
	return r, nil
}

// ordered reports whether services are stopped and started one by one.
func (r *run) ordered() bool { return r.Strategy != OneForOne }

// step brings the services to where they should be now, as far as that needs no
// waiting, and reports whether there is something left to wait for.
func (r *run) step() bool {
	if !r.ending && r.ctx.Err() != nil {
		r.end(nil)
	}
	r.now = time.Now()
	r.stopLeaving()
	r.startWaiting()
	for _, c := range r.children {
		if c.state != gone {
			return true
		}
	}
	return false
}

// stopLeaving cancels the services that are to stop, last to first.
func (r *run) stopLeaving() {
	for i := len(r.children) - 1; i >= 0; i-- {
		c := r.children[i]
		if c.state != leaving {
			continue
		}
		if !c.life.stopped {
			c.life.stopped = true
			c.life.cancel()
			if r.StopTimeout > 0 {
				c.giveUp = r.now.Add(r.StopTimeout)
			}
		}
		if !c.giveUp.IsZero() && !r.now.Before(c.giveUp) {
			c.state = gone
			r.stuck = append(r.stuck, c.Name)
			r.end(r.latest)
			i = len(r.children) // those after it may be leaving only now
			continue
		}
		if r.ordered() {
			return
		}
	}
}

// startWaiting starts the services that are due, first to last.
func (r *run) startWaiting() {
	for i, c := range r.children {
		if c.state == waiting && !r.now.Before(c.due) && !(r.ordered() && r.anyLeaving(i+1)) {
			r.start(c)
		}
		if r.ordered() && (c.state == waiting || c.state == leaving) {
			return
		}
	}
}

func (r *run) anyLeaving(from int) bool {
	for _, c := range r.children[from:] {
		if c.state == leaving {
			return true
		}
	}
	return false
}

func (r *run) start(c *child) {
	if r.OnStart != nil {
		r.OnStart(c.Name)
	}
	parent := r.ctx
	if r.ordered() {
		parent = context.WithoutCancel(parent) // or the end of ctx would stop all at once
	}
	ctx, cancel := context.WithCancel(parent)
	c.life = &life{Context: ctx, cancel: cancel, started: time.Now()}
	c.state = running
	r.wg.Go(func() { r.serve(c.life, c) })
}

// serve is the goroutine of a service. It ends with exactly one exit, or with
// the program.
func (r *run) serve(ctx context.Context, c *child) {
	err := ErrGoexit
	returned := false
	defer func() {
		if !returned {
			if v := recover(); v != nil {
				if !r.CatchPanics {
					panic(v) // recovered only to tell it from Goexit; the stack is still there to be printed
				}
				err = &PanicError{Value: v, Stack: debug.Stack()}
			}
		}
		r.exits <- exit{c, err}
	}()
	err = c.Serve(ctx)
	returned = true
}

// await waits for the next thing that matters, and takes note of it.
func (r *run) await() {
	var alarm <-chan time.Time
	if d, ok := r.untilNext(); ok {
		timer := time.NewTimer(d)
		defer timer.Stop()
		alarm = timer.C
	}
	done := r.ctx.Done()
	if r.ending {
		done = nil
	}
	select {
	case e := <-r.exits:
		r.exited(e.child, e.err)
	case <-alarm:
	case <-done:
	case _, open := <-r.wake:
		if !open {
			r.wake = nil
			return
		}
		for _, c := range r.children {
			c.due = time.Time{}
		}
	}
}

// untilNext returns the time until the next service is due or stuck. Those that
// were so at the latest step wait for something else.
func (r *run) untilNext() (time.Duration, bool) {
	var next time.Time
	for _, c := range r.children {
		var t time.Time
		switch c.state {
		case waiting:
			t = c.due
		case leaving:
			t = c.giveUp
		}
		if t.After(r.now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return time.Until(next), !next.IsZero()
}

// exited takes note that a service has returned. One that was stuck may do so,
// too, while others still stop.
func (r *run) exited(c *child, err error) {
	life := c.life
	life.cancel()
	c.settle(r.Supervisor)
	c.life, c.giveUp = nil, time.Time{}
	switch {
	case r.ending || r.ctx.Err() != nil:
		c.state = gone
		r.reportPanic(c, err)
	case life.stopped:
		c.state = waiting
		r.reportPanic(c, err)
	case err == nil:
		c.state = gone
	default:
		r.failed(c, err)
	}
}

// settle forgets the failures before a healthy life.
func (c *child) settle(s *Supervisor) {
	if c.life.healthy.Load() || s.settled(time.Since(c.life.started)) {
		c.backoff.Reset()
		c.failures = 0
	}
}

func (s *Supervisor) settled(d time.Duration) bool {
	settle := s.Settle
	if settle == 0 {
		settle = defaultSettle
	}
	return settle > 0 && d >= settle
}

// reportPanic reports a panic of a service that was being stopped: other errors
// come from being stopped, a panic hardly does.
func (s *Supervisor) reportPanic(c *child, err error) {
	if _, ok := err.(*PanicError); ok && s.OnFailure != nil {
		s.OnFailure(Failure{Service: c.Name, Err: err, Attempt: c.failures + 1})
	}
}

// failure takes note of the failure of a service, and tells of it.
func (s *Supervisor) failure(c *child, err error) Failure {
	c.failures++
	f := Failure{Service: c.Name, Err: err, Attempt: c.failures, Permanent: IsPermanent(err)}
	if !f.Permanent {
		f.After = c.backoff.atLeast(retryAfter(err))
	}
	if s.OnFailure != nil {
		s.OnFailure(f)
	}
	return f
}

// failed decides what follows from the failure of a service.
func (r *run) failed(c *child, err error) {
	f := r.failure(c, err)
	r.latest = err
	if f.Permanent {
		c.state = gone
		r.end(err)
		return
	}
	c.state = waiting
	due := time.Now().Add(f.After)
	for _, o := range r.taken(c) {
		if o.state == running {
			o.state = leaving
		}
		if o.due.Before(due) {
			o.due = due
		}
	}
}

// taken returns the services that the failure of c takes along, and c itself.
func (r *run) taken(c *child) []*child {
	switch r.Strategy {
	case OneForAll:
		return r.children
	case RestForOne:
		return r.children[c.index:]
	}
	return r.children[c.index : c.index+1]
}

// end begins to stop everything, for the failure cause or, if nil, because ctx
// has ended.
func (r *run) end(cause error) {
	if r.ending {
		return
	}
	r.ending, r.cause = true, cause
	for _, c := range r.children {
		switch c.state {
		case waiting:
			c.state = gone
		case running:
			c.state = leaving
		}
	}
}

func (r *run) result() error {
	if r.stuck == nil {
		r.wg.Wait() // the exits have been received: nothing but the last instructions of the goroutines
		return r.cause
	}
	stuck := &StuckError{Services: r.stuck}
	if r.cause == nil {
		return stuck
	}
	return errors.Join(r.cause, stuck)
}
