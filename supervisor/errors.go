package supervisor

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrGoexit is what Run returns when a service has ended its goroutine with
// runtime.Goexit, as t.FailNow does. It is permanent.
var ErrGoexit = Permanent(errors.New("supervisor: service called runtime.Goexit"))

// Permanent marks err as one that no restart will cure: a service that returns
// it, wrapped or not, ends Run. The text of err stays as it is, and errors.Is
// and errors.As see through the mark. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether an error in err's chain was made by Permanent.
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// PanicError is a panic of a service that was caught (see
// Supervisor.CatchPanics).
type PanicError struct {
	Value any    // what panic was called with
	Stack []byte // the stack of the panicking goroutine, as debug.Stack formats it
}

// Error prints the value, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("supervisor: service panicked: %v", e.Value) }

// Unwrap returns the value when it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// StuckError says that services did not return in time after their context had
// been cancelled. Their goroutines are still there.
type StuckError struct {
	Services []string // their names, in the order in which they were given up
}

func (e *StuckError) Error() string {
	return "supervisor: still running after being stopped: " + strings.Join(e.Services, ", ")
}

// retryAfter returns the delay that an error in err's chain asks for, or 0.
func retryAfter(err error) time.Duration {
	var hint interface{ RetryAfter() time.Duration }
	if errors.As(err, &hint) {
		return hint.RetryAfter()
	}
	return 0
}
