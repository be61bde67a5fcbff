package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// The close codes of a refusal, as ProxyStore has them. A client that is closed
// with one of them does not try again as it is.
const (
	CodeUnauthorized = 4001 // it has not said who it is
	CodeForbidden    = 4002 // it has, and may not
)

// An Authenticator decides who a client is. Package
// [github.com/seed73300619/relay/server/auth] has some.
type Authenticator interface {
	// Authenticate is asked at each registration, as ProxyStore's relay does.
	// It may be called concurrently, and may take its time until ctx ends: it
	// holds up nobody but the client. An error refuses the client: a
	// [*RefusedError] with its code and reason, any other error with 1011,
	// after which the client tries again. A panic counts as an error.
	Authenticate(ctx context.Context, c *Credentials) (User, error)
}

// Credentials are what a connection came with. They must not be changed.
type Credentials struct {
	Header     http.Header          // of the opening handshake; nil for ServeConn
	TLS        *tls.ConnectionState // nil without TLS
	RemoteAddr string               // as it is logged
}

// A User is who a client is. Clients of one user reach each other, and take
// UUIDs over from each other; those of another user are out of reach, as in
// ProxyStore's relay.
type User struct {
	ID   string // tells users apart; "" is everybody's, without an Authenticator
	Name string // for people to read, may be empty
}

// A RefusedError is an [Authenticator]'s word that a client may not register.
type RefusedError struct {
	Code   int    // CodeUnauthorized or CodeForbidden
	Reason string // is sent to the client, cut to the 123 bytes that fit
	Err    error  // is logged; may be nil
}

func (e *RefusedError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s (close code %d): %v", e.Reason, e.Code, e.Err)
	}
	return fmt.Sprintf("%s (close code %d)", e.Reason, e.Code)
}

// Unwrap returns e.Err.
func (e *RefusedError) Unwrap() error { return e.Err }

// authenticate finds out who the peer is. If it may not register, or nobody can
// tell, the connection ends and ok is false.
func (c *conn) authenticate() (user User, ok bool) {
	if c.cfg.authenticator == nil {
		return User{}, true
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.authTimeout)
	defer cancel()
	start, n := time.Now(), &c.s.stats
	user, err := guarded(ctx, c.cfg.authenticator, c.credentials)
	if c.ctx.Err() != nil {
		return User{}, false // ended meanwhile
	}
	took := time.Since(start)
	if err == nil {
		n.authAccepted.observe(took)
		return user, true
	}
	refused, isRefusal := errors.AsType[*RefusedError](err)
	switch {
	case !isRefusal:
		n.authFailed.observe(took)
		if hidden, ok := c.s.oddities.auth.allow(); ok {
			c.cfg.logger.Error("cannot tell who a client is; it is refused until this works again",
				"conn", c.id, "remote", c.remote, "error", err, "hidden", hidden)
		}
		c.end(codeInternal, "")
	case refused.Code == CodeUnauthorized:
		n.authRefused.observe(took)
		n.refusedUnauthorized.Add(1)
		c.refuse(refused, CodeUnauthorized)
	default:
		n.authRefused.observe(took)
		n.refusedForbidden.Add(1)
		c.refuse(refused, CodeForbidden)
	}
	return User{}, false
}

func (c *conn) refuse(e *RefusedError, code int) {
	if hidden, ok := c.s.oddities.fatal.allow(); ok {
		c.cfg.logger.Warn("a client may not register", "conn", c.id, "remote", c.remote,
			"code", code, "reason", e.Reason, "error", e.Err, "hidden", hidden)
	}
	c.end(code, e.Reason)
}

// guarded asks a, which is not ours: its panics are errors.
func guarded(ctx context.Context, a Authenticator, c *Credentials) (user User, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("server: the Authenticator panicked: %v", p)
		}
	}()
	return a.Authenticate(ctx, c)
}
