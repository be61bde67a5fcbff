package server

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/seed73300619/relay/codec"
)

// oddities are the warnings that a peer could flood the log with.
type oddities struct {
	fatal    limiter
	fast     limiter
	auth     limiter
	fight    limiter
	bounced  [verdicts]limiter
	rejected [rejections]limiter
}

// A limiter lets one through per second.
type limiter struct {
	last   atomic.Pointer[time.Time] // with its monotonic reading: no change of the clock matters
	hidden atomic.Int64
}

// allow reports whether to log now, and how many were hidden before.
func (l *limiter) allow() (hidden int64, ok bool) {
	last := l.last.Load()
	if last == nil || time.Since(*last) >= time.Second {
		now := time.Now()
		ok = l.last.CompareAndSwap(last, &now)
	}
	if !ok {
		l.hidden.Add(1)
		return 0, false
	}
	return l.hidden.Swap(0), true
}

// maxLoggedName is how much of a name goes into the log.
const maxLoggedName = 64

// shorten bounds what a client calls itself; the log's handler escapes it.
func shorten(name string) string {
	if len(name) > maxLoggedName {
		end := maxLoggedName
		for !utf8.RuneStart(name[end]) {
			end--
		}
		name = name[:end] + "…"
	}
	return name
}

// kind returns which of the codec's errors err is.
func kind(err error) error {
	for _, k := range []error{
		codec.ErrSyntax, codec.ErrNotObject, codec.ErrUnknownType, codec.ErrUnexpectedType, codec.ErrUnknownField,
		codec.ErrMissingField, codec.ErrUUID, codec.ErrInvalidUTF8, codec.ErrBinary,
	} {
		if errors.Is(err, k) {
			return k
		}
	}
	return nil
}

// guardedLog is the program's log handler. When it panics a line is lost and
// counted, and the connection that it was about goes on.
type guardedLog struct {
	slog.Handler
	panics *atomic.Uint64
}

func (g guardedLog) Enabled(ctx context.Context, level slog.Level) bool {
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
	return guardedLog{g.Handler.WithAttrs(attrs), g.panics}
}

func (g guardedLog) WithGroup(name string) (with slog.Handler) {
	defer g.recover()
	with = g
	return guardedLog{g.Handler.WithGroup(name), g.panics}
}

// recover must be deferred.
func (g guardedLog) recover() {
	if recover() != nil {
		g.panics.Add(1)
	}
}
