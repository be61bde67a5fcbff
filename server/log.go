package server

import (
	"errors"
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
	next   atomic.Int64 // nanoseconds since 1970
	hidden atomic.Int64
}

// allow reports whether to log now, and how many were hidden before.
func (l *limiter) allow() (hidden int64, ok bool) {
	now, next := time.Now().UnixNano(), l.next.Load()
	if now < next || !l.next.CompareAndSwap(next, now+int64(time.Second)) {
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
