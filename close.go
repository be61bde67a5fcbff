package relay

import (
	"context"
	"fmt"
)

// Done returns a channel that is closed when the client has ended, for whatever
// reason; [Client.Err] then tells it.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns why the client has ended: nil while it has not, and after Close,
// Shutdown and the closing of the Outbox.
func (c *Client) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// Close accepts no more messages, sends those accepted, waits for the relay's
// confirmation, says goodbye and ends the client, all within the timeout of
// [WithTimeout]. After it no goroutine of the client is left, and what is unread
// in the Inbox beyond the channel's own few messages is dropped. The error, if
// any, is an *[UnsentError] with the messages of the Outbox that were not sent:
// check it. Nil does not mean that all was confirmed: what was written and was not
// is in a last [InDoubt] event, and in [Stats]; Flush before Close returns it as
// an error. The second Close waits, too, and returns nil. It may be called from
// anywhere, also in a loop over the Inbox.
func (c *Client) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.timeout)
	defer cancel()
	return c.Shutdown(ctx)
}

// Shutdown is [Client.Close] with a bound of the caller's. While there is no
// connection and something is to be sent, it waits for one. When ctx ends, the
// connection is cut.
func (c *Client) Shutdown(ctx context.Context) error {
	c.bounded.Store(true)
	c.stopAccepting()
	c.begun.Do(func() { c.finish(nil) }) // never used: nothing to stop
	select {
	case <-c.done:
	case <-ctx.Done():
		c.abandon(context.Cause(ctx))
		<-c.done
	}
	c.workers.Wait()
	c.in.close()

	var unsent []Message
	c.collected.Do(func() { unsent, c.unsent = c.unsent, nil })
	if len(unsent) == 0 {
		return nil
	}
	why := c.err
	if why == nil {
		why = context.Cause(c.running)
	}
	return &UnsentError{Messages: unsent, Err: why}
}

// stopAccepting lets the client send what it has accepted, and end.
func (c *Client) stopAccepting() {
	c.accept.Do(func() { close(c.close) })
	c.hasten()
	c.status.rouse()
}

// abandon ends the client without waiting for anything.
func (c *Client) abandon(cause error) {
	c.cancel(cause)
	c.status.rouse()
	if s := c.live.Load(); s != nil {
		s.cut()
	}
}

// ended is the error of calls after the end.
func (c *Client) ended() error {
	if c.State() == Closed {
		<-c.done // which finish is about to close
	}
	if err := c.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return ErrClosed
}
