/*
Package relay gives a program Go channels that reach other programs through a
relay server, for programs that cannot reach each other directly: behind NAT and
firewalls, on batch nodes. It speaks the protocol of ProxyStore's relay, so the
other end, and the relay between, may be Python.

	c, err := relay.Dial(ctx, "wss://relay.example.org")
	…
	c.Outbox() <- relay.Message{PeerUUID: peer, Description: "hello"}
	m := <-c.Inbox()

# Channels

A [Client] has an Outbox and an Inbox, and a program selects over both beside its
own channels. One supervisor goroutine owns the WebSocket behind them, and makes
it again, with backoff, when it is lost. Nobody else touches a socket.

[New] starts nothing; the first use connects. A call of Inbox is a use: an
accessor with an effect. So is the first message on the Outbox.

A send on the Outbox after the client has ended would wait for ever, because
nobody receives any more and the library never closes a channel that you send
on. So select on Done beside every send, and on what ends your own work: while
there is no relay the Outbox is full, for as long as that takes.

	select {
	case c.Outbox() <- m:
	case <-c.Done():
		return c.Err()
	case <-ctx.Done():
		return ctx.Err()
	}

Send and Recv are the same for programs that do not select. Inbox, Recv and
Events compete with other readers of the same client.

# Delivery

What is sent on the Outbox goes out in the order sent, across reconnects too, and
every message that the client has taken ends in one of four ways:

  - It is written, and the relay has confirmed that it handed it on. "Handed
    on" means given to the peer's connection, not read by the peer.
  - It is in doubt: written, and the connection was lost before the relay
    confirmed. An [InDoubt] event carries it, and [Stats] counts it. It may
    still arrive, or be bounced, too. It is not sent again, unless
    [WithResend] asks for at least once instead of at most once.
  - It is bounced: the relay knows no such peer. It comes back through the Inbox,
    whole, with [Message.Undelivered] true.
  - It was never sent: [Client.Close] returns it in an [*UnsentError].

A message that could not be written when the connection was lost is none of
these: it goes out first on the next connection. A message that can never be sent,
because it is too large or is no UTF-8, is refused with an error from Send or a
[Dropped] event, and harms no other.

The relay does not acknowledge anything. But it handles the messages of one
connection in order, and delivers a message that is addressed to its sender: so
the client sends a short message to itself behind its others, and when that comes
back, all before it has been handed on. This happens within 100 ms after a message
was written, is never seen by the program, and costs an idle connection nothing.
[Client.Flush] is that barrier. (A pong would prove nothing: the Python relay
answers pings while messages wait.) What is written and not confirmed is bounded:
when a relay confirms nothing the Outbox waits, and [Unconfirmed] says so.

When the relay closes the connection because of what was sent (codes 1007, 1009,
4000 and 4003), the messages not yet confirmed are suspects: reported in doubt,
and never sent again by themselves, or one bad message would loop for ever.

# Receiving

The reader never waits for the program, because a relay closes a client that does
not answer pings, after 40 to 60 seconds. What the program has not read spills
into memory, up to the bound of [WithInbox]; then its policy decides, and says so
by event. When the connection ends while the client is not reading, what the relay
had already written into it is lost; its senders were told that it was handed on.

What comes back has the client's own UUID as SourceUUID: a program that answers
what it receives checks [Message.Undelivered] first, or it answers itself for
ever. A frame that is no message is reported as [Malformed] and returned by
Recv as a *codec.DecodeError; the connection lives. One that is not even UTF-8
ends the connection, as RFC 6455 wants, and the client comes back.

# Reconnecting

The first attempt comes at once, the first one after a loss within a second (at
random, so that a fleet does not return in one instant), then pauses double from
1 s to 60 s, each between half and all of its length. They begin anew only after
a connection was healthy: ten seconds and a pong. There is no limit on attempts.
Retry-After is honoured, up to ten minutes. A relay that is silent for longer than
[WithHeartbeat] allows is taken for dead.

# What is retried

	refused, reset, timeout, DNS failure, proxy unreachable       retried
	connection lost, silent beyond the heartbeat                  retried
	upgrade cut short, or answered with garbage                   retried
	HTTP 408, 425, 429, 5xx (also a proxy's)                      retried
	any other HTTP status: 4xx, a redirect, 200                   permanent
	TLS: certificate not verified, wrong version, not TLS         permanent
	registration: no reply, closed with another code              retried
	registration: refused, or answered with something else        permanent
	close code 4001 (unauthorized)                                permanent
	close code 4002 (forbidden)                                   permanent
	close code 4004 (same UUID registered elsewhere)              permanent
	every other close code, none included                         retried
	error or panic of the token source                            retried

Three exceptions. After a 4001 or an HTTP 401, one fresh token is tried if there
is a [WithTokenSource]. A 4004 is retried once if a registration of our own was
left unanswered within the last minute: it may have arrived late, and thrown out
its successor. And [WithConflict] can make the client contend for its UUID, a
bounded number of times, or go on under a new one.

After a permanent failure the client ends: Done closes, [Client.Err] says why,
the Inbox closes once what had arrived has been read, and calls that wait return
the error, which also matches [ErrClosed].

# Errors

[ErrClosed], [ErrNotConnected], [ErrAddress], [ErrTooLarge] and [ErrInDoubt] are
for errors.Is; [*RegistrationError], [*UnsentError], *codec.DecodeError,
*codec.EncodeError, *transport.HandshakeError and *transport.CloseError are for
errors.As. No token, header value, userinfo or query of an address is in any
error, event or log.

# Ending

[Client.Close] accepts nothing new, sends what was accepted, waits for the
confirmation, says goodbye, and leaves no goroutine. Check its error: it holds
what was not sent. Closing the Outbox does the same in the background, so that a
pipeline ends as Go pipelines do: range over the Inbox until it closes.

# Concurrency

All methods of Client and Group may be called by any goroutine at any time. The
only functions of the program that the client calls are the token source, those
of WithDialContext and WithLogger, and what a TLS config holds. A panic of the
token source or the dial function is a failed attempt, one of the log handler is
a [LogPanic] event. The client's own goroutines crash loudly.

# Peers and relays that are not ours

A stock Python PeerManager that receives a description which is not an SDP of its
own format ends its whole process. This package sends what it is told to; know
your peer. On stock relays without authentication any client can pose as any
other: SourceUUID proves nothing there. One client that stops reading stalls
everybody who writes to it on a Python relay; the relay of package server bounces
instead. Nothing is on disk: what a killed program had accepted is gone.

# Testing

Package relaytest has a relay for tests, over loopback or in memory inside a
testing/synctest bubble, that crashes, freezes, refuses and rejects on demand.
The command "relay chaos" is one for clients in any language: the address that a
client dials says what it is to suffer.
*/
package relay
