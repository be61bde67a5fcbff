package relay

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

// ghostMemory is how long a registration that we wrote and abandoned may still
// reach the relay and throw out the one that we made after it.
const ghostMemory = time.Minute

// register introduces the client on a new connection. On failure the connection
// is gone, aborted so that a registration that has not left never does.
func (c *Client) register(ctx context.Context, conn transport.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Abort() })
	defer stop()

	reply, err := exchange(conn, codec.Registration{Name: c.cfg.name, UUID: c.UUID()})
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err == nil && reply.Success && !reply.Error {
		return nil
	}
	err = c.scrub(err)
	failure := &RegistrationError{UUID: c.UUID(), Reason: c.hide(reply.Message), Err: err}
	switch closed, ok := errors.AsType[*transport.CloseError](err); {
	case ok:
		failure.Code, failure.Reason = closed.Code, closed.Reason
		_ = conn.Close(0, "")
	case err != nil && transient(err):
		c.lenience.abandoned = time.Now()
	default: // it answered, so it will hear a goodbye
		_ = conn.Close(closeNormal, "")
	}
	_ = conn.Abort()
	return failure
}

// exchange sends the registration and reads the reply to it.
func exchange(conn transport.Conn, registration codec.Registration) (codec.Response, error) {
	frame, err := registration.Append(nil)
	if err != nil {
		return codec.Response{}, err
	}
	if err := conn.WriteFrame(frame); err != nil {
		return codec.Response{}, err
	}
	if err := conn.Flush(); err != nil {
		return codec.Response{}, err
	}
	answer, binary, err := conn.ReadFrame()
	if err != nil {
		return codec.Response{}, err
	}
	if binary {
		return codec.Response{}, &codec.DecodeError{Err: codec.ErrBinary}
	}
	message, err := codec.Decode(answer)
	if err != nil {
		return codec.Response{}, err
	}
	response, ok := message.(codec.Response)
	if !ok {
		return codec.Response{}, &codec.DecodeError{Err: codec.ErrUnexpectedType}
	}
	return response, nil
}

// lenience remembers what makes a permanent failure worth one more try.
type lenience struct {
	abandoned time.Time // when we last left a registration unanswered
	refused   bool      // a token was refused, and no registration has succeeded since
}

// forgive reports whether a permanent failure is to be retried all the same:
// once when a token was refused and a fresh one can be had, and once when the
// 4004 may be the doing of a registration of our own that came late.
func (l *lenience) forgive(err error, freshToken bool) bool {
	var code, status int
	if registration, ok := errors.AsType[*RegistrationError](err); ok {
		code = registration.Code
	}
	if handshake, ok := errors.AsType[*transport.HandshakeError](err); ok {
		status = handshake.Status
	}
	switch {
	case code == closeUnauthorized || status == http.StatusUnauthorized:
		first := !l.refused
		l.refused = true
		return first && freshToken
	case code == closeReplaced:
		ghost := !l.abandoned.IsZero() && time.Since(l.abandoned) < ghostMemory
		l.abandoned = time.Time{}
		return ghost
	}
	return false
}
