package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/supervisor"
	"github.com/seed73300619/relay/transport"
)

// Errors to test for with [errors.Is].
var (
	// ErrClosed is returned by calls on a client that has ended. When it ended
	// because of a failure, the error also matches that failure.
	ErrClosed = errors.New("relay: client has ended")
	// ErrNotConnected accompanies the context's error when a call gave up
	// while there was no connection to the relay.
	ErrNotConnected = errors.New("relay: not connected")
	// ErrAddress means that the address given to [New] is not that of a relay.
	ErrAddress = errors.New("relay: bad relay address")
	// ErrTooLarge means that a message, encoded, is over the limit of
	// [WithMaxMessageBytes]. It was not sent.
	ErrTooLarge = errors.New("relay: message too large")
	// ErrInDoubt is returned by [Client.Flush] when the connection was lost
	// before the relay confirmed everything: an [InDoubt] event carries what
	// may or may not have been handed on.
	ErrInDoubt = errors.New("relay: connection lost before the relay confirmed")

	// errGoodbye ends a session that was closed on purpose.
	errGoodbye = errors.New("relay: goodbye")
	// errSilent ends a session whose relay does not answer pings.
	errSilent = errors.New("relay: nothing heard from the relay within the heartbeat's bound")
	// errInboxFull ends a session under the policy Disconnect.
	errInboxFull = errors.New("relay: inbox full")
)

// Close codes of the relay protocol, beside those of RFC 6455.
const (
	closeNormal         = 1000 // RFC 6455: goodbye
	closeInvalidPayload = 1007 // RFC 6455: a text message that is not UTF-8
	closeTooBig         = 1009 // RFC 6455: over 1 MiB
	closeBadMessage     = 4000 // a message that did not decode
	closeUnauthorized   = 4001 // no token, or no valid one
	closeForbidden      = 4002 // not this user, or not registered
	closeOverLimit      = 4003 // over the relay's configured message limit
	closeReplaced       = 4004 // somebody else registered our UUID
)

// RegistrationError means that the relay was reached and did not register the
// client, or took its registration away (close codes 4001, 4002 and 4004).
// Whether the client tries again is told in the package documentation under
// "What is retried".
type RegistrationError struct {
	UUID   uuid.UUID // the client's
	Code   int       // the close code, 0 when the connection was not closed by the relay
	Reason string    // the relay's own words: the close reason or the error reply
	Err    error     // what went wrong underneath: a *transport.CloseError, a *codec.DecodeError, a timeout, …

	// Takeovers is, with Code 4004, how often in a row another client has taken
	// the UUID, this time included: see [WithConflict].
	Takeovers int
}

func (e *RegistrationError) Error() string {
	s := "relay: not registered as " + e.UUID.String()
	switch {
	case e.Code != 0:
		s += fmt.Sprintf(": closed with %d", e.Code)
		if hint := closeHints[e.Code]; hint != "" {
			s += " (" + hint + ")"
		}
		if e.Reason != "" {
			s += fmt.Sprintf(": %q", e.Reason)
		}
		if e.Takeovers > 1 {
			s += fmt.Sprintf(", %d times in a row", e.Takeovers)
		}
	case e.Reason != "":
		s += fmt.Sprintf(": the relay answered %q", e.Reason)
	case timedOut(e.Err):
		s += ": no reply within the timeout; is this a relay?"
	case e.Err != nil:
		s += ": " + e.Err.Error()
	default:
		s += ": the relay refused without a reason"
	}
	return s
}

// Unwrap returns Err.
func (e *RegistrationError) Unwrap() error { return e.Err }

// closeHints say what to do about a close code.
var closeHints = map[int]string{
	closeUnauthorized: "the token is missing or malformed",
	closeForbidden:    "the token is not accepted, or the UUID belongs to another user",
	closeReplaced:     "the same UUID registered elsewhere: is this program running twice?",
}

// UnsentError is returned by [Client.Close] and [Client.Shutdown] when messages
// that the client had accepted were not sent. They are the caller's again, in
// the order in which they were accepted.
type UnsentError struct {
	Messages []Message
	Err      error // why: the context's error, or that of the failure that ended the client
}

func (e *UnsentError) Error() string {
	s := fmt.Sprintf("relay: %d messages were not sent", len(e.Messages))
	if len(e.Messages) == 1 {
		s = "relay: 1 message was not sent"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns Err.
func (e *UnsentError) Unwrap() error { return e.Err }

// permanent is the one table of what is not retried; the package documentation
// shows it under "What is retried". The exceptions that need memory, one
// fresh token, one ghost of our own and [WithConflict], are decided by
// [lenience.forgive] and [Client.taken].
func permanent(err error) bool {
	if registration, ok := errors.AsType[*RegistrationError](err); ok {
		return registrationPermanent(registration)
	}
	if handshake, ok := errors.AsType[*transport.HandshakeError](err); ok {
		return handshakePermanent(handshake)
	}
	if closed, ok := errors.AsType[*transport.CloseError](err); ok {
		return closePermanent(closed.Code)
	}
	return supervisor.IsPermanent(err) ||
		errors.Is(err, transport.ErrInvalidHeader) || errors.Is(err, transport.ErrInvalidURL)
}

func closePermanent(code int) bool {
	return code == closeUnauthorized || code == closeForbidden || code == closeReplaced
}

// registrationPermanent: a relay that refused or talked nonsense will do so
// again; one that closed, died or kept silent may have been starting up.
func registrationPermanent(err *RegistrationError) bool {
	if err.Code != 0 {
		return closePermanent(err.Code)
	}
	return !transient(err.Err)
}

func handshakePermanent(err *transport.HandshakeError) bool {
	switch {
	case err.Status == http.StatusRequestTimeout, err.Status == http.StatusTooEarly,
		err.Status == http.StatusTooManyRequests, err.Status >= 500:
		return false
	case err.Status != 0:
		return true // a refusal, a redirect, or no relay at all
	case err.Step == transport.StepTLS:
		return !transient(err.Err) // a certificate or a version will not mend itself
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err.Err) // a proxy's
	return untrusted
}

// transient tells a network in trouble from a peer that said something.
func transient(err error) bool {
	_, system := errors.AsType[syscall.Errno](err) // reset, no route to host, …
	return system || timedOut(err) || errors.Is(err, context.Canceled) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, transport.ErrClosed) || errors.Is(err, transport.ErrProtocol)
}

// timedOut reports whether a bound was reached: of a context, or of the network.
func timedOut(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// blamesTraffic reports whether the relay closed because of something that we
// sent: what it had not confirmed is then suspect and is not sent again.
func blamesTraffic(err error) bool {
	closed, ok := errors.AsType[*transport.CloseError](err)
	if !ok {
		return false
	}
	switch closed.Code {
	case closeInvalidPayload, closeTooBig, closeBadMessage, closeOverLimit:
		return true
	}
	return false
}

func tooLarge(size, limit int) error {
	return fmt.Errorf("%w: %d bytes encoded, the limit is %d", ErrTooLarge, size, limit)
}
