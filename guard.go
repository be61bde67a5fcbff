package relay

import (
	"context"
	"log/slog"
	"net"
	"runtime/debug"

	"github.com/seed73300619/relay/supervisor"
)

// Functions of the program run on the client's goroutines, where a panic of
// theirs would end the whole program. For the token source see [Client.token].

// guardedLog is the program's log handler. When it panics a line is lost, an
// event says so, and the client goes on.
type guardedLog struct {
	slog.Handler
	panicked func(*supervisor.PanicError)
}

func (g guardedLog) Enabled(ctx context.Context, level slog.Level) (enabled bool) {
	defer g.recover()
	return g.Handler.Enabled(ctx, level)
}

func (g guardedLog) Handle(ctx context.Context, record slog.Record) error {
	defer g.recover()
	return g.Handler.Handle(ctx, record)
}

func (g guardedLog) WithAttrs(attrs []slog.Attr) (with slog.Handler) {
	defer g.recover()
	with = g // in case of a panic: the line comes without them
	return guardedLog{g.Handler.WithAttrs(attrs), g.panicked}
}

func (g guardedLog) WithGroup(name string) (with slog.Handler) {
	defer g.recover()
	with = g
	return guardedLog{g.Handler.WithGroup(name), g.panicked}
}

// recover must be deferred.
func (g guardedLog) recover() {
	if value := recover(); value != nil {
		g.panicked(&supervisor.PanicError{Value: value, Stack: debug.Stack()})
	}
}

// guardedDial is the program's way to open a connection. Its panic is a failed
// attempt, which is retried.
func guardedDial(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		defer func() {
			if value := recover(); value != nil {
				conn, err = nil, &supervisor.PanicError{Value: value, Stack: debug.Stack()}
			}
		}()
		return dial(ctx, network, address)
	}
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)
