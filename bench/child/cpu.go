package child

import (
	"context"
	"syscall"
	"time"
)

// cpu is how long this process has run, in user and in kernel mode.
func cpu(context.Context, struct{}) (time.Duration, error) {
	var used syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()), err
}

// CPU asks the child how long it has run since it was started, on all processors.
func (p *Process) CPU(ctx context.Context) (time.Duration, error) {
	return Ask[time.Duration](ctx, p, "cpu", struct{}{})
}
