package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/seed73300619/relay/supervisor"
	"github.com/seed73300619/relay/transport"
)

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
	c.warnIfUnverified()
	s := supervisor.Supervisor{
		Backoff:   supervisor.Backoff{Min: c.cfg.backoffMin, Max: c.cfg.backoffMax},
		Settle:    -1, // a session says itself when it is well
		Wake:      c.hurry,
		OnFailure: c.failed,
	}
	err, returned := supervisor.ErrGoexit, false
	defer func() {
		if !returned { // the log handler may call Goexit, as t.FailNow does
			if value := recover(); value != nil {
				panic(value) // recovered only to tell it from Goexit; the stack is still there to be printed
			}
			c.abandon(err)
		}
		c.finish(err)
	}()
	err = s.RunOne(c.running, supervisor.Service{Name: "connection", Serve: c.serve})
	returned = true
}

func (c *Client) warnIfUnverified() {
	if c.cfg.unverified() {
		c.log.Warn("the relay's certificate is not verified: whoever is on the network between can read and change everything")
	}
}

// serve is one life of the connection: wait until it is wanted, connect, talk
// until it is lost. A nil return ends the client.
func (c *Client) serve(ctx context.Context) error {
	for c.awaitDemand(ctx) {
		c.enter(Connecting, nil, 0)
		conn, err := c.attempt(ctx)
		if c.stats.attempt(err, ctx.Err() != nil || c.closing()); err == nil {
			err = c.talk(ctx, conn)
		} else if _, keep := c.status.wanted(); !keep && !permanent(err) {
			c.failures = 1
			c.enter(Idle, err, 0) // whoever calls TryConnect sets the pace
			continue
		}
		if errors.Is(err, errGoodbye) || ctx.Err() != nil || c.closing() && !c.moreToSend() {
			return nil
		}
		if permanent(err) && !c.lenience.forgive(err, c.cfg.tokenSource != nil) && !c.taken(err) {
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
	s := c.newSession(conn)
	c.live.Store(s)
	err := s.run(ctx)
	c.live.Store(nil)
	c.stats.disconnect(err)
	c.status.keepTrying(c.cfg.reconnect || c.out.queue.len() > 0)
	c.out.startCollecting()
	if closed, ok := errors.AsType[*transport.CloseError](err); ok && closePermanent(closed.Code) {
		return &RegistrationError{UUID: c.UUID(), Code: closed.Code, Reason: closed.Reason, Err: closed}
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
		<-c.status.wake
	}
	return false
}

// attempt is connect, given up when the client is closed and has nothing to send.
//
// It has a goroutine of its own, whose stack ends with it: a handshake needs 8 KiB,
// with TLS 16, and most of that would stay with the goroutine that owns the
// connection for as long as the client lives.
func (c *Client) attempt(ctx context.Context) (conn transport.Conn, err error) {
	// A context made from ctx would leave ctx a map, for as long as the client lives.
	attempt, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	var connecting sync.WaitGroup
	ended := make(chan struct{})
	err = supervisor.ErrGoexit
	connecting.Go(func() {
		defer close(ended)
		conn, err = c.connect(attempt)
	})
	for {
		switch {
		case ctx.Err() != nil:
			cancel(context.Cause(ctx))
		case c.closing():
			c.out.collecting.Wait() // it ends with close, and leaves the queue to us
			if c.out.purge(); c.out.queue.len() == 0 {
				cancel(nil)
			}
		}
		select {
		case <-c.status.wake:
		case <-ended:
			connecting.Wait()
			return conn, err
		}
	}
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
		Timeout:       c.cfg.timeout,
		WriteTimeout:  min(c.cfg.timeout, c.cfg.heartbeatTimeout),
		MaxFrameBytes: max(c.cfg.maxMessage, defaultMaxMessage) + bounceRoom,
	}
	if c.cfg.dialContext != nil { // who brings a network needs no proxy to reach it
		dialer.DialContext = guardedDial(c.cfg.dialContext)
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

// connected records a registration that succeeded.
func (c *Client) connected() {
	c.lenience.refused = false
	c.enter(Connected, nil, 0)
}

// failed is called by the supervisor before it waits, and before it gives up.
func (c *Client) failed(f supervisor.Failure) {
	c.failures = f.Attempt
	if f.Permanent {
		return // finish tells
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
	c.stats.backoff.Store(int64(retry))
	if was.state == to {
		return
	}
	c.events.emit(StateChange{At: time.Now(), From: was.state, To: to, Err: err, Retry: retry})
	c.logState(to, err, retry)
}

// doubt reports messages in doubt.
func (c *Client) doubt(messages []Message, cause error) {
	if len(messages) > 0 {
		c.stats.inDoubt.Add(uint64(len(messages)))
		c.events.emit(InDoubt{Messages: messages, Err: cause})
		c.log.Warn("messages in doubt", "count", len(messages), "cause", cause)
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
	why := ErrClosed
	if err != nil {
		why = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	unsent, doubtful := c.out.end(why)
	c.unsent = unsent
	c.doubt(doubtful, why)
	c.enter(Closed, err, 0)
	close(c.done)
	c.accept.Do(func() { close(c.close) }) // after done, so that whoever sees it knows why
	c.in.end()
	c.events.end()
	c.cancel(why)
}
