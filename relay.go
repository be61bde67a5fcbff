package relay

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/supervisor"
)

// Message is what peers send each other through a relay. PeerUUID says to whom.
// On sending, a zero SourceUUID and SourceName are filled in by the client, and
// an empty DescriptionType becomes [Offer]. Description is the payload: any
// UTF-8 text. It may be kept and copied freely.
//
// A stock Python PeerManager ends its whole process when it receives a
// Description that is no SDP of its own format: send such peers only what they
// expect.
type Message = codec.PeerConnection

// DescriptionType is the type of [Message.DescriptionType].
type DescriptionType = codec.DescriptionType

// The two description types of the protocol; a relay does not care which.
const (
	Offer  = codec.Offer
	Answer = codec.Answer
)

// Client is a connection to a relay that is made again whenever it is lost. The
// program sends on [Client.Outbox] and receives on [Client.Inbox]; everything
// else is there for the beginning, the end and the curious. All methods may be
// called concurrently.
//
// Make one with [New] or [Dial]; the zero value is of no use.
type Client struct {
	cfg    config
	log    *slog.Logger
	nonce  string       // of our barriers
	outbox chan Message // Outbox: closed by the program, if at all
	out    *outbox
	in     *inbox
	events *eventQueue[Event]
	stats  *counters
	live   atomic.Pointer[session] // nil while there is none
	status *status

	hurry chan struct{} // one slot, cuts the backoff short; never closed
	close chan struct{} // closed when no new message is accepted any more

	asking chan struct{} // one slot, taken while the token source runs; never closed; nil: there is none

	begun   sync.Once // starts the supervisor goroutine, or makes sure that it never starts
	accept  sync.Once // closes close
	running context.Context
	cancel  context.CancelCauseFunc // ends what was begun with running
	workers sync.WaitGroup          // the supervisor goroutine
	done    chan struct{}           // closed by finish
	err     error                   // why; set before done is closed
	unsent  []Message               // likewise; taken by the first Close

	collected sync.Once   // hands out unsent
	bounded   atomic.Bool // by the ctx of Shutdown, so that the writer needs no bound of its own

	identity  atomic.Pointer[identity] // who we are; changed between connections only
	lenience  lenience                 // the supervisor goroutine's
	conflicts conflicts                // likewise
	sent      http.Header              // of the last handshake; likewise
	failures  int                      // in a row, since a connection was last healthy; likewise
}

// New checks its arguments and returns a client that is not connected. It opens
// no connection and starts no goroutine; a client that is never used need not be
// closed. The first message sent, or a call of Inbox, Recv, Send, Connect,
// TryConnect or Run, connects.
//
// The address must be ws://host[:port][/path] or wss://…; otherwise the error
// matches [ErrAddress]. An option that is nil or given a value that makes no
// sense is an error, too.
func New(address string, opts ...Option) (*Client, error) {
	cfg, err := configure(address, opts)
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg:    cfg,
		nonce:  newNonce(),
		outbox: make(chan Message),
		events: newEventQueue[Event](),
		stats:  new(counters),
		hurry:  make(chan struct{}, 1),
		close:  make(chan struct{}),
		done:   make(chan struct{}),
	}
	if c.log = cfg.logger; c.log != silent {
		c.log = slog.New(guardedLog{cfg.logger.Handler(), c.logPanicked}).With("relay", cfg.shown)
	}
	c.identity.Store(&identity{uuid: cfg.uuid})
	if least, err := c.barrierMessage(math.MaxUint64).Append(nil); err != nil || len(least) > cfg.maxMessage {
		return nil, fmt.Errorf("relay: WithMaxMessageBytes: %d is too small for the client's own messages of up to %d bytes", cfg.maxMessage, len(least))
	}
	if cfg.tokenSource != nil {
		c.asking = make(chan struct{}, 1)
	}
	c.status = newStatus()
	c.out = newOutbox(c.outbox, c.close, cfg.outbox, c.need, c.stats)
	c.in = newInbox(cfg.inbox, c.overflow, c.stall)
	c.running, c.cancel = context.WithCancelCause(context.Background())
	return c, nil
}

// Dial is [New] followed by [Client.Connect]: it tries again by itself until ctx
// ends, and an error that is not ctx's is permanent. Then the client is closed.
// Once it has returned, the end of ctx changes nothing.
func Dial(ctx context.Context, address string, opts ...Option) (*Client, error) {
	c, err := New(address, opts...)
	if err != nil {
		return nil, err
	}
	if err := c.Connect(ctx); err != nil {
		if cause := c.Err(); cause != nil {
			err = cause
		}
		c.abandon(err)
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// Outbox returns the channel to send on. What is sent goes out in order, across
// reconnects too. While there is no connection the client takes up to
// [WithOutbox] messages; then, and whenever the relay is slower than the
// program, sends wait.
//
// Nobody receives any more once the client has ended, so select on [Client.Done]
// beside every send. The client never closes the channel. The program may: the
// client then sends what it has accepted, closes the connection, and ends.
func (c *Client) Outbox() chan<- Message {
	c.begin()
	return c.outbox
}

// Inbox connects, if need be, and returns the channel on which messages arrive:
// those of peers, and those of our own that the relay could not deliver
// ([Message.Undelivered]: check it before you answer). It is closed by the client
// after it has ended and what had arrived has been read. Several readers, and
// Recv, compete.
//
// A program that does not read costs memory up to the bound of [WithInbox].
func (c *Client) Inbox() <-chan Message {
	c.begin()
	c.want()
	return c.in.out
}

// Recv connects, if need be, and returns the next message. It returns a
// *codec.DecodeError for a frame that was no message (the next call goes on; the
// error may overtake messages that arrived before it), ctx's error when that
// ends first, and an error that matches [ErrClosed] once the client has ended
// and everything has been read.
func (c *Client) Recv(ctx context.Context) (Message, error) {
	c.begin()
	c.want()
	malformed := c.in.malformed()
	select {
	case err := <-malformed:
		return Message{}, err
	default:
	}
	for {
		var changed <-chan struct{}
		if !c.cfg.reconnect { // then a lost connection needs somebody who wants it
			changed = c.status.after(c.status.look())
			c.want()
		}
		select {
		case m, ok := <-c.in.out:
			if !ok {
				return Message{}, c.ended()
			}
			return m, nil
		case err := <-malformed:
			return Message{}, err
		case <-ctx.Done():
			return Message{}, c.gaveUp("receive", ctx)
		case <-changed:
		}
	}
}

// Send sends a message in order with those of the Outbox, connecting if need be,
// and returns once it has been written to the connection: nil does not mean that
// it has been handed on (see [Client.Flush]). An error means that it was not
// sent and will not be: [ErrTooLarge], a *codec.EncodeError, ctx's error, or one
// that matches [ErrClosed].
func (c *Client) Send(ctx context.Context, m Message) error {
	return c.request(ctx, "send", &request{ctx: ctx, message: m, done: make(chan *request, 1)})
}

// Flush waits until the relay has handed on, or bounced, everything sent before:
// "handed on" means to the peer's socket, not that the peer has read it. It is
// the round trip of a message to ourselves, and asks nothing special of the
// relay. It returns ctx's error, one that matches [ErrClosed], or one that
// matches [ErrInDoubt] when the connection was lost since the last Flush and
// something is in doubt. As with fsync only one Flush is told: where several
// goroutines send, let one of them flush, or read the [InDoubt] events.
func (c *Client) Flush(ctx context.Context) error {
	return c.request(ctx, "flush", &request{ctx: ctx, barrier: true, done: make(chan *request, 1)})
}

// request passes r to whoever owns the outbox, and waits for its answer.
func (c *Client) request(ctx context.Context, what string, r *request) error {
	if err := ctx.Err(); err != nil {
		return c.gaveUp(what, ctx)
	}
	c.begin()
	select {
	case <-c.close:
		return c.ended()
	default:
	}
	select {
	case c.out.requests <- r:
	case <-ctx.Done():
		return c.gaveUp(what, ctx)
	case <-c.close:
		return c.ended()
	case <-c.done:
		return c.ended()
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
	}
	if r.revoke() {
		notify(c.out.revoked)
		return c.gaveUp(what, ctx)
	}
	// It is being written this moment, which the write timeout bounds.
	<-r.done
	return r.err
}

// Connect connects, trying again with backoff until it succeeds, ctx ends, or a
// failure is permanent; it is a no-op when connected. The end of ctx ends this
// call only: the client goes on trying, until it is closed.
func (c *Client) Connect(ctx context.Context) error {
	c.begin()
	for {
		c.want()
		now := c.status.look()
		switch now.state {
		case Connected:
			return nil
		case Closed:
			return c.ended()
		}
		select {
		case <-c.status.after(now):
		case <-ctx.Done():
			return c.gaveUp("connect", ctx)
		}
	}
}

// TryConnect makes one attempt, at once, and returns its error; it is a no-op
// when connected, and joins an attempt that is under way. The end of ctx ends
// this call only.
func (c *Client) TryConnect(ctx context.Context) error {
	c.begin()
	attempt := c.status.try()
	c.hasten()
	for {
		now := c.status.look()
		switch {
		case now.state == Connected:
			return nil
		case now.state == Closed:
			return c.ended()
		case now.finished >= attempt:
			return now.err
		}
		select {
		case <-c.status.after(now):
		case <-ctx.Done():
			return c.gaveUp("connect", ctx)
		}
	}
}

// Run connects and blocks until the client ends, or ctx does: then it shuts the
// client down within the timeout of [WithTimeout]. It returns nil after a clean
// end, *[UnsentError], or why the client ended: it fits an errgroup and
// supervisors. Its ctx is the client's life, unlike that of any other method.
func (c *Client) Run(ctx context.Context) error {
	c.begin()
	c.want()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
	}
	return cmp.Or(c.Close(), c.Err())
}

// State returns what the client is doing now.
func (c *Client) State() State {
	return c.status.look().state
}

// Events returns the channel of events: state changes and oddities. The client
// never waits for it: a program that does not read loses events, counted in
// [Stats], after the first 16 and before the last 64. Of those, half at most are of
// the kind that a peer can cause at will ([Malformed], and [Dropped] for want of
// room in the Inbox): they displace none that says more. It is closed last of all,
// with the last 16 unread ones in it. Several readers compete.
func (c *Client) Events() <-chan Event { return c.events.channel() }

// Name returns the name under which the client registers.
func (c *Client) Name() string { return c.cfg.name }

// Address returns where the relay is, for logs and metrics: without userinfo,
// query and fragment, which may hold secrets.
func (c *Client) Address() string { return c.cfg.shown }

// UUID returns the client's address: what peers put into PeerUUID. It changes
// only under the policy [NewUUID] of [WithConflict].
func (c *Client) UUID() uuid.UUID { return c.identity.Load().uuid }

// want asks for a connection that is tried again until it succeeds.
func (c *Client) want() { c.status.want() }

// need is called when something was taken from the program while there is no
// connection.
func (c *Client) need() {
	c.want()
	if c.out.closed.Load() {
		c.hasten() // there may be nothing to wait for
	}
}

// hasten ends the present pause between two attempts.
func (c *Client) hasten() {
	notify(c.hurry)
}

// ending reports that nothing new is accepted: the client is being closed, or
// the program has closed the Outbox.
func (c *Client) ending() bool { return c.out.closed.Load() || c.closing() }

// String describes the client for logs, without secrets.
func (c *Client) String() string {
	return fmt.Sprintf("relay client %q (%v) of %s", c.cfg.name, c.UUID(), c.cfg.shown)
}

// closing reports that Close or Shutdown was called, or the client has ended.
func (c *Client) closing() bool {
	select {
	case <-c.close:
		return true
	default:
		return false
	}
}

// gaveUp is the error of a call whose ctx ended; it tells whether, and why,
// there was no connection.
func (c *Client) gaveUp(what string, ctx context.Context) error {
	now := c.status.look()
	err := context.Cause(ctx)
	switch {
	case now.state == Connected:
		return fmt.Errorf("relay: %s: %w", what, err)
	case now.err != nil:
		return fmt.Errorf("relay: %s: %w: %w; the last attempt: %w", what, err, ErrNotConnected, now.err)
	}
	return fmt.Errorf("relay: %s: %w: %w", what, err, ErrNotConnected)
}

// refused, overflow and stall are called by the writer, the inbox and the reader.
func (c *Client) refused(m Message, err error) {
	c.stats.drop(err, c.cfg.inbox.WhenFull)
	c.events.emit(Dropped{Message: m, Err: err})
}

// overflow must not displace other events: peers decide how many messages come.
func (c *Client) overflow(m Message, err error) {
	c.stats.drop(err, c.cfg.inbox.WhenFull)
	c.events.emitMinor(Dropped{Message: m, Err: err})
}

func (c *Client) stall(bytes int) {
	c.log.Warn("inbox full, not reading from the relay", "bytes", bytes)
	c.events.emit(Stalled{Bytes: bytes})
}

// logPanicked is called by whoever logs.
func (c *Client) logPanicked(err *supervisor.PanicError) { c.events.emitMinor(LogPanic{Err: err}) }
