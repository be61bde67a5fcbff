package transport

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Step is a part of opening a connection.
type Step uint8

// The steps in their order. What concerns the proxy, finding and reaching it
// included, is StepProxy.
const (
	StepResolve Step = iota + 1 // the name of the host
	StepConnect                 // TCP
	StepProxy                   // the proxy and its tunnel
	StepTLS                     // the TLS handshake
	StepUpgrade                 // the HTTP upgrade
)

// String returns "resolve", "connect", "proxy", "tls" or "upgrade".
func (s Step) String() string {
	switch s {
	case StepResolve:
		return "resolve"
	case StepConnect:
		return "connect"
	case StepProxy:
		return "proxy"
	case StepTLS:
		return "tls"
	case StepUpgrade:
		return "upgrade"
	}
	return "step " + strconv.Itoa(int(s))
}

// HandshakeError says at which step opening a connection came to its end, and
// why. Its text repeats nothing that could be a secret.
type HandshakeError struct {
	Step Step
	// URL is the address without user, password and query; on the server's side
	// the path alone.
	URL string
	// Status is the HTTP status that the server, or the proxy if that is the
	// step, answered or (from an Upgrader) was sent; 0 if there was none.
	Status int
	// Body is up to 1 KiB of the answer, as it came.
	Body string
	// After is what the answer's Retry-After asks for, at most an hour; 0 if
	// it does not ask.
	After time.Duration
	// Err is the cause. It matches [context.Canceled] or
	// [context.DeadlineExceeded] if the context or the timeout ended the attempt;
	// the errors of crypto/tls, crypto/x509 and net are reachable by [errors.As].
	Err error
}

// Error implements error.
func (e *HandshakeError) Error() string {
	text := "transport: " + e.Step.String()
	if e.URL != "" {
		text += " " + e.URL
	}
	if e.Status != 0 {
		text += fmt.Sprintf(": status %d %s", e.Status, http.StatusText(e.Status))
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns Err.
func (e *HandshakeError) Unwrap() error { return e.Err }

// RetryAfter returns After: how long the server asks not to be called again.
func (e *HandshakeError) RetryAfter() time.Duration { return e.After }

// maxRetryAfter bounds what a server can ask for.
const maxRetryAfter = time.Hour

// retryAfter reads a Retry-After header: seconds or a date; 0 if it is neither.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil || errors.Is(err, strconv.ErrRange) { // then it is the most there is
		return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return min(max(time.Until(date), 0), maxRetryAfter)
	}
	return 0
}
