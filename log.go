package relay

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/seed73300619/relay/transport"
)

// logState tells of a new state, and why: information, but for the first failure
// since the connection was last healthy, which is a warning, and the end because of
// a failure, which is an error. A relay that is down for a day is one warning.
//
// conn numbers the connections of this client, attempt the failures in a row; code
// and reason are the relay's own words when it closed.
func (c *Client) logState(to State, err error, retry time.Duration) {
	if c.log == silent {
		return // before it takes 2 KiB of stack to find that out
	}
	about := []slog.Attr{slog.Any("state", to), slog.Uint64("conn", c.stats.connects.Load())}
	if err == nil {
		c.log.LogAttrs(context.Background(), slog.LevelInfo, "state", about...)
		return
	}
	level := slog.LevelWarn
	switch {
	case to == Closed:
		level = slog.LevelError
	case c.failures > 1:
		level = slog.LevelInfo
	}
	about = append(about, slog.Int("attempt", c.failures), slog.Duration("delay", retry))
	if code, reason := lastWords(err); code != 0 {
		about = append(about, slog.Int("code", code), slog.String("reason", reason))
	}
	c.log.LogAttrs(context.Background(), level, "not connected", append(about, slog.Any("error", err))...)
}

// lastWords returns with what the relay closed, 0 if it did not.
func lastWords(err error) (code int, reason string) {
	if registration, ok := errors.AsType[*RegistrationError](err); ok && registration.Code != 0 {
		return registration.Code, registration.Reason
	}
	if closed, ok := errors.AsType[*transport.CloseError](err); ok {
		return closed.Code, closed.Reason
	}
	return 0, ""
}
