// Package supervisor keeps services running: it starts them, restarts with
// backoff those that fail, gives up on errors that are permanent, and stops
// them all when its context ends.
//
// A service is a function that runs until its context ends:
//
//	var s supervisor.Supervisor
//	err := s.Run(ctx, supervisor.Service{Name: "feed", Serve: feed.Run})
//
// What a service returns decides what follows. nil: it is done, and is not
// started again. An error marked by Permanent: Run stops the other services and
// returns it. Any other error: the service is started again after a delay that
// doubles from failure to failure and begins anew once the service has been
// healthy for a while. What a service returns after its context was cancelled
// is not looked at.
//
// Run fits where Serve does, so supervisors nest.
package supervisor

import (
	"context"
	"time"
)

const defaultSettle = 10 * time.Second

// Service is something to keep running.
type Service struct {
	// Name tells the services apart in hooks and errors. It is a label only:
	// it may be empty, and two services may share it.
	Name string

	// Serve runs the service. It must return when ctx ends, and must have ended
	// its own goroutines by then. It is called again after it has failed, never
	// twice at a time.
	Serve func(ctx context.Context) error
}

// Supervisor says how services are kept running. Its zero value restarts each
// service on its own, 1 s doubling to 60 s apart.
//
// A Supervisor is configuration only: Run does not change it, and may be called
// many times, at the same time too. Its fields must not change during a Run.
type Supervisor struct {
	// Backoff gives the delays between restarts. Every service has a copy of
	// its own, which starts from the first step. An error with a method
	// RetryAfter() time.Duration raises the delay that follows to at least that
	// time, or 10 minutes if that is less, and up to a quarter of it (or the
	// whole range of a first delay, if that is more) on top.
	Backoff Backoff

	// Settle is how long a run must last for the service to count as healthy:
	// the failure after it starts from the first step of the backoff. 0 means
	// 10 s. If negative, only a run that called Healthy counts, however long.
	Settle time.Duration

	// Strategy says which other services a failure takes along.
	Strategy Strategy

	// CatchPanics turns a panic of a service into a failure with a *PanicError.
	// One of a service that is being stopped is told to OnFailure and changes
	// nothing. Otherwise a panic ends the program, as anywhere else.
	CatchPanics bool

	// StopTimeout is how long a service may take to return after its context
	// was cancelled. One that takes longer ends Run with a *StuckError. 0 means
	// to wait for ever.
	StopTimeout time.Duration

	// Wake ends the delays of all services that wait for a restart, whenever
	// something is received from it. What comes while none waits is received
	// and ignored. The program owns the channel; closing it means nothing more
	// will come. nil is fine.
	Wake <-chan struct{}

	// OnStart is called before each start of a service, OnFailure after each
	// failure. They are called one at a time, on the goroutine that called Run:
	// while they run, nothing is started, stopped or noticed. nil is fine.
	OnStart   func(name string)
	OnFailure func(Failure)
}

// Failure tells of a service that has failed.
type Failure struct {
	Service   string        // its name
	Err       error         // what it returned, or a *PanicError
	Attempt   int           // how many failures in a row this is, from 1; a healthy run ends the row
	After     time.Duration // the delay before it is started again, unless Permanent
	Permanent bool          // it will not be started again: Run ends
}

// Strategy says which services are restarted when one fails.
//
// All but OneForOne take the order of the services given to Run as the order in
// which they depend on each other: they are started first to last, and stopped
// last to first, each after the one before it has returned. Nothing is started
// while something that comes after it still stops. A service that is done is no
// part of this: it is not started again by the failure of another, and does not
// count as a failure itself.
type Strategy uint8

const (
	OneForOne  Strategy = iota // the one that failed
	OneForAll                  // all of them
	RestForOne                 // the one that failed and those after it
)

// String returns the name of the constant.
func (s Strategy) String() string {
	switch s {
	case OneForOne:
		return "OneForOne"
	case OneForAll:
		return "OneForAll"
	case RestForOne:
		return "RestForOne"
	}
	return "Strategy(?)"
}

// Run runs the services, each in a goroutine of its own, until ctx ends, all
// are done, or one fails with a permanent error. It returns after all of them
// have returned.
//
// The error is nil when ctx has ended or all services are done (or there are
// none), and else that of the service, as it was returned. Whether ctx has
// ended is asked of ctx, never of an error. When a service does not stop within
// StopTimeout, the error is a *StuckError, joined with the failure that made
// Run stop services, if one did. A service without Serve is an error before
// anything is started.
func (s *Supervisor) Run(ctx context.Context, services ...Service) error {
	r, err := newRun(ctx, s, services)
	if err != nil {
		return err
	}
	for r.step() {
		r.await()
	}
	return r.result()
}

// Healthy tells the supervisor that the service whose Serve was given ctx, or a
// context made from it, is well: the next failure of this run starts from the
// first step of the backoff. It may be called many times and from any
// goroutine. With any other context it does nothing.
func Healthy(ctx context.Context) {
	if l, ok := ctx.Value(lifeKey{}).(*life); ok {
		l.healthy.Store(true)
	}
}
