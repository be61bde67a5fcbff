package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/supervisor"
	"github.com/seed73300619/relay/transport"
)

// ghostMemory is how long a registration that we wrote and abandoned may still
// reach the relay and throw out the one that we made after it.
const ghostMemory = time.Minute

// begin starts the supervisor goroutine, at the first use. Shutdown waits for it.
func (c *Client) begin() {
	c.begun.Do(func() {
		c.out.startCollecting()
		c.workers.Go(c.supervise)
	})
}

// supervise runs the connection, one after another, until the client is closed
// or a failure is permanent. It owns the connection: nobody else starts one.
func (c *Client) supervise() {
	s := supervisor.Supervisor{
		Backoff:   supervisor.Backoff{Min: c.cfg.backoffMin, Max: c.cfg.backoffMax},
		Settle:    -1, // a session says itself when it is well
		Wake:      c.hurry,
		OnFailure: c.failed,
	}
	c.finish(s.Run(c.running, supervisor.Service{Name: "connection", Serve: c.serve}))
}

// serve is one life of the connection: wait until it is wanted, connect, talk
// until it is lost. A nil return ends the client.
func (c *Client) serve(ctx context.Context) error {
	for c.awaitDemand(ctx) {
		c.enter(Connecting, nil, 0)
		conn, err := c.attempt(ctx)
		if err == nil {
			err = c.talk(ctx, conn)
		} else if _, keep := c.status.wanted(); !keep && !permanent(err) {
			c.enter(Idle, err, 0) // whoever calls TryConnect sets the pace
			continue
		}
		if errors.Is(err, errGoodbye) || ctx.Err() != nil || c.closing() && !c.moreToSend() {
			return nil
		}
		if permanent(err) && !c.lenience.forgive(err, c.cfg.tokenSource != nil) {
			return supervisor.Permanent(err)
		}
		return err
	}
	return nil
}

// talk has the outbox written and the inbox filled until the connection is lost.
func (c *Client) talk(ctx context.Context, conn transport.Conn) error {
	c.out.stopCollecting()
	c.connected()
	err := c.newSession(conn).run(ctx)
	c.status.keepTrying(c.cfg.reconnect || c.out.queue.len() > 0)
	c.out.startCollecting()
	if closed, ok := errors.AsType[*transport.CloseError](err); ok && closePermanent(closed.Code) {
		return &RegistrationError{UUID: c.cfg.uuid, Code: closed.Code, Reason: closed.Reason, Err: closed}
	}
	return err
}

// awaitDemand waits, Idle, until a connection is wanted, and reports false when
// the client is to end instead.
func (c *Client) awaitDemand(ctx context.Context) bool {
	for ctx.Err() == nil {
		if c.ending() {
			return c.moreToSend()
		}
		if wanted, _ := c.status.wanted(); wanted {
			return true
		}
		c.enter(Idle, nil, 0)
		select {
		case <-c.status.wake:
		case <-c.close:
		case <-ctx.Done():
		}
	}
	return false
}

// attempt is connect, given up when the client is closed and has nothing to send.
func (c *Client) attempt(ctx context.Context) (transport.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-c.close:
			c.out.collecting.Wait() // it ends with close, and leaves the queue to us
			if c.out.purge(); c.out.queue.len() == 0 {
				cancel()
			}
		case <-ctx.Done():
		}
	})
	defer watch.Wait()
	defer cancel()
	return c.connect(ctx)
}

// connect opens a connection and registers.
func (c *Client) connect(ctx context.Context) (transport.Conn, error) {
	header, err := c.header(ctx)
	if err != nil {
		return nil, err
	}
	dialer := transport.Dialer{
		Header:        header,
		TLSConfig:     c.cfg.tlsConfig,
		DialContext:   c.cfg.dialContext,
		Timeout:       c.cfg.timeout,
		WriteTimeout:  c.cfg.timeout,
		MaxFrameBytes: max(c.cfg.maxMessage, defaultMaxMessage) + bounceRoom,
	}
	if dialer.DialContext != nil { // who brings a network needs no proxy to reach it
		dialer.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	conn, err := dialer.Dial(ctx, c.cfg.address)
	if err != nil {
		return nil, c.scrub(err)
	}
	if err := c.register(ctx, conn); err != nil {
		return nil, err
	}
	return conn, nil
}

// scrub takes out of an error what the relay repeated of our headers.
func (c *Client) scrub(err error) error {
	switch told := err.(type) {
	case *transport.CloseError:
		return &transport.CloseError{Code: told.Code, Reason: c.hide(told.Reason)}
	case *transport.HandshakeError:
		hidden := *told
		hidden.Body = c.hide(told.Body)
		return &hidden
	}
	return err
}

// hide replaces the values of our headers, with and without a scheme such as
// Bearer, in what the relay says. Short ones cannot be secrets.
func (c *Client) hide(text string) string {
	for _, values := range c.sent {
		for _, value := range values {
			_, token, ok := strings.Cut(value, " ")
			if !ok {
				token = value
			}
			if len(token) >= 6 {
				text = strings.ReplaceAll(text, token, "[hidden]")
			}
		}
	}
	return text
}

// header returns the headers of the next handshake, with a fresh token.
func (c *Client) header(ctx context.Context) (http.Header, error) {
	c.sent = c.cfg.header
	if c.cfg.tokenSource == nil {
		return c.cfg.header, nil
	}
	token, err := c.token(ctx)
	if err != nil {
		return nil, fmt.Errorf("relay: token source: %w", err)
	}
	header := c.cfg.header.Clone()
	if header == nil {
		header = make(http.Header, 1)
	}
	header.Set("Authorization", "Bearer "+token)
	if err := transport.CheckHeader(header); err != nil {
		return nil, fmt.Errorf("relay: token source: %w", err)
	}
	c.sent = header
	return header, nil
}

// token asks the user's function, which may panic or ignore its context: then
// its goroutine is left to it, the one goroutine that Close cannot wait for.
func (c *Client) token(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.timeout)
	defer cancel()
	select {
	case c.asking <- struct{}{}: // the call before has returned
	case <-ctx.Done():
		return "", ctx.Err()
	}
	type answer struct {
		token string
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		a := answer{err: errors.New("called runtime.Goexit")}
		defer func() {
			if value := recover(); value != nil {
				a.err = &supervisor.PanicError{Value: value, Stack: debug.Stack()}
			}
			answered <- a
			<-c.asking
		}()
		a.token, a.err = c.cfg.tokenSource(ctx)
	}()
	select {
	case a := <-answered:
		return a.token, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// register introduces the client on a new connection. On failure the connection
// is gone, aborted so that a registration that has not left never does.
func (c *Client) register(ctx context.Context, conn transport.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Abort() })
	defer stop()

	reply, err := exchange(conn, codec.Registration{Name: c.cfg.name, UUID: c.cfg.uuid})
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err == nil && reply.Success && !reply.Error {
		return nil
	}
	err = c.scrub(err)
	failure := &RegistrationError{UUID: c.cfg.uuid, Reason: c.hide(reply.Message), Err: err}
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

// connected records a registration that succeeded.
func (c *Client) connected() {
	c.lenience.refused = false
	c.stats.connects.Add(1)
	c.enter(Connected, nil, 0)
}

// failed is called by the supervisor before it waits, and before it gives up.
func (c *Client) failed(f supervisor.Failure) {
	if f.Permanent {
		return // finish tells
	}
	select {
	case <-c.hurry: // it was meant for the attempt that has just failed
	default:
	}
	wanted, keep := c.status.wanted()
	if keep {
		c.enter(Backoff, f.Err, f.After)
	} else {
		c.enter(Idle, f.Err, 0)
	}
	if wanted && !keep || c.ending() && !c.moreToSend() {
		c.hasten() // a TryConnect came meanwhile, or there is nothing to come back for
	}
}

// enter goes to a state and tells everybody.
func (c *Client) enter(to State, err error, retry time.Duration) {
	was := c.status.update(func(now *snapshot) {
		switch {
		case to == Connecting:
			now.started++
		case now.state == Connecting:
			now.finished = now.started
		}
		if err != nil || to == Connected {
			now.err = err
		}
		now.state = to
	})
	if was.state == to {
		return
	}
	c.events.emit(StateChange{At: time.Now(), From: was.state, To: to, Err: err, Retry: retry})
	switch {
	case to == Backoff || err != nil:
		c.log.Warn("not connected", "state", to, "error", err, "retry", retry)
	default:
		c.log.Info("state", "state", to)
	}
}

// moreToSend reports whether accepted messages wait. It is called while
// there is no connection.
func (c *Client) moreToSend() bool {
	c.out.stopCollecting()
	defer c.out.startCollecting()
	c.out.purge()
	return c.out.queue.len() > 0
}

// finish ends the client: everybody who waits is told, and why.
func (c *Client) finish(err error) {
	c.out.stopCollecting()
	c.err = err
	c.enter(Closed, err, 0)
	why := ErrClosed
	if err != nil {
		why = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	c.unsent = c.out.end(why)
	close(c.done)
	c.accept.Do(func() { close(c.close) }) // after done, so that whoever sees it knows why
	c.in.end()
	c.events.end()
	c.cancel(why)
}
