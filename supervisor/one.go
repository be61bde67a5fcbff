package supervisor

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// RunOne is Run for one service, in the goroutine of the caller: where there are
// many services, each with its supervisor, that is half as many stacks. It changes
// three things. StopTimeout has no effect. Wake is received from only between two
// starts of the service; what was in its buffer when the service failed is ignored. And
// runtime.Goexit, called by the service, ends the caller.
func (s *Supervisor) RunOne(ctx context.Context, service Service) error {
	if service.Serve == nil {
		return fmt.Errorf("supervisor: service %q has no Serve", service.Name)
	}
	var c child
	c.Service, c.backoff = service, s.Backoff
	c.backoff.Reset()
	for ctx.Err() == nil {
		if over, err := s.ended(ctx, &c, s.call(ctx, &c)); over {
			return err
		}
	}
	return nil
}

// call starts the service and returns what became of it.
func (s *Supervisor) call(ctx context.Context, c *child) (err error) {
	if s.OnStart != nil {
		s.OnStart(c.Name)
	}
	c.life = &life{Context: ctx, started: time.Now()}
	if s.CatchPanics {
		defer func() {
			if v := recover(); v != nil {
				err = &PanicError{Value: v, Stack: debug.Stack()}
			}
		}()
	}
	return c.Serve(c.life)
}

// ended decides what follows when the service has returned err. Unless all is over,
// it returns when the service is to be started again.
func (s *Supervisor) ended(ctx context.Context, c *child, err error) (over bool, _ error) {
	s.drainWake()
	c.settle(s)
	switch {
	case ctx.Err() != nil:
		s.reportPanic(c, err)
		return true, nil
	case err == nil:
		return true, nil
	}
	f := s.failure(c, err)
	if f.Permanent {
		return true, err
	}
	s.pause(ctx, f.After)
	return false, nil
}

// drainWake forgets what came while nothing waited.
func (s *Supervisor) drainWake() {
	for {
		select {
		case _, open := <-s.Wake:
			if open {
				continue
			}
		default:
		}
		return
	}
}

// pause waits until d is over, or something comes from Wake, or ctx ends.
func (s *Supervisor) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for wake := s.Wake; ; wake = nil {
		select {
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		case _, open := <-wake:
			if open {
				return
			}
		}
	}
}
