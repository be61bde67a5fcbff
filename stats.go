package relay

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"time"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

// Stats are a client's figures. Those with "now" in their comment are of this
// moment, the others count since [New]. The zero value is that of a client which
// has done nothing. Two Stats can be compared.
type Stats struct {
	State   State         // now
	Backoff time.Duration // now: the pause before the next attempt, as long as it was when it began; 0: none

	RoundTrip   time.Duration // now: of the connection's last ping and its pong; 0: none yet, or no connection
	ConfirmTime time.Duration // now: from asking the relay to confirm until it did, the last time; 0 likewise

	Connects uint64 // registrations with the relay that succeeded
	// Attempts to connect that failed: because of the token source; of the
	// network (name, connection, proxy, timeout); of TLS; with an HTTP status
	// instead of the upgrade; at the registration. Abandoned are those that the
	// end of the client cut short.
	FailedToken, FailedNetwork, FailedTLS, FailedStatus, FailedRegistration, Abandoned uint64

	Disconnects Disconnects // connections that ended after they were registered, by close code
	Silent      uint64      // of those, given up because nothing was heard: see WithHeartbeat

	Sent          uint64 // messages written to a connection
	SentBytes     uint64 // and their size, encoded
	Received      uint64 // messages that arrived, the returned included
	ReceivedBytes uint64 // and their size, encoded
	Returned      uint64 // of those, ours that the relay could not deliver
	Resent        uint64 // messages written again because of WithResend
	InDoubt       uint64 // messages reported by InDoubt
	Malformed     uint64 // frames that were no message

	// Messages let go, which Dropped reports unless the client has ended; each of
	// them is also one of those that follow.
	Dropped uint64
	Refused uint64 // from the Outbox, and too large or impossible to encode; Send returns an error instead
	// Received, and no room in the Inbox: by the policies DropOldest, DropNewest
	// and Disconnect, and unread when the client was closed.
	DroppedOldest, DroppedNewest, DroppedDisconnect, DroppedUnread uint64

	Outbox      int // now: messages accepted and not yet written
	Unconfirmed int // now: messages written and not yet confirmed by the relay
	Inbox       int // now: messages that arrived and were not taken, those in the channel included
	InboxBytes  int // now: size in memory of those that wait behind the channel

	EventsLost uint64 // events that nobody read in time
}

// Stats returns the figures as they are now. It allocates nothing, takes well
// under a microsecond, and makes no other goroutine wait longer than that. The
// figures are read one after another: while messages flow they are not of the
// same instant.
func (c *Client) Stats() Stats {
	n := c.stats
	s := Stats{
		State:              c.State(),
		Backoff:            time.Duration(n.backoff.Load()),
		Connects:           n.connects.Load(),
		FailedToken:        n.failedToken.Load(),
		FailedNetwork:      n.failedNetwork.Load(),
		FailedTLS:          n.failedTLS.Load(),
		FailedStatus:       n.failedStatus.Load(),
		FailedRegistration: n.failedRegistration.Load(),
		Abandoned:          n.abandoned.Load(),
		Silent:             n.silent.Load(),
		Sent:               n.sent.Load(),
		SentBytes:          n.sentBytes.Load(),
		Received:           n.received.Load(),
		ReceivedBytes:      n.receivedBytes.Load(),
		Returned:           n.returned.Load(),
		Resent:             n.resent.Load(),
		InDoubt:            n.inDoubt.Load(),
		Malformed:          n.malformed.Load(),
		Dropped:            n.dropped.Load(),
		Refused:            n.refused.Load(),
		DroppedOldest:      n.droppedOldest.Load(),
		DroppedNewest:      n.droppedNewest.Load(),
		DroppedDisconnect:  n.droppedDisconnect.Load(),
		DroppedUnread:      n.droppedUnread.Load(),
		Outbox:             int(n.outbox.Load() + n.intake.Load()),
		Unconfirmed:        int(n.unconfirmed.Load()),
		EventsLost:         uint64(c.events.ring.Stats().Dropped) + c.events.lost.Load(),
	}
	for i := range s.Disconnects {
		s.Disconnects[i] = uint64(n.disconnects[i].Load())
	}
	s.Inbox, s.InboxBytes = c.in.unread()
	if live := c.live.Load(); live != nil {
		s.RoundTrip, s.ConfirmTime = live.conn.RoundTrip(), time.Duration(live.timed.took.Load())
	}
	return s
}

// Disconnects counts connections that have ended, by the code of the close frame
// that ended them, whoever sent it: 1000 after Close, 1006 if there was none, and 0
// for codes that neither RFC 6455 nor ProxyStore defines.
type Disconnects [22]uint64

const (
	firstCode, lastCode           = 1000, 1015 // of RFC 6455
	firstRelayCode, lastRelayCode = closeBadMessage, closeReplaced
)

// place is where a code is counted: a peer chooses codes, and must not choose how
// many there are.
func place(code int) int {
	switch {
	case code >= firstCode && code <= lastCode:
		return 1 + code - firstCode
	case code >= firstRelayCode && code <= lastRelayCode:
		return 2 + lastCode - firstCode + code - firstRelayCode
	}
	return 0
}

// Of returns the number for one code.
func (d Disconnects) Of(code int) uint64 { return d[place(code)] }

// Total returns the number of all connections that have ended.
func (d Disconnects) Total() (sum uint64) {
	for _, n := range d {
		sum += n
	}
	return sum
}

// All returns the codes, always the same and in ascending order, each with its
// number.
func (d Disconnects) All() iter.Seq2[int, uint64] {
	return func(yield func(int, uint64) bool) {
		for i, n := range d {
			code := 0
			switch {
			case i > 1+lastCode-firstCode:
				code = firstRelayCode + i - (2 + lastCode - firstCode)
			case i > 0:
				code = firstCode + i - 1
			}
			if !yield(code, n) {
				return
			}
		}
	}
}

// counters are what Stats is read from.
type counters struct {
	sent, sentBytes, received, receivedBytes        atomic.Uint64
	returned, resent, inDoubt, malformed            atomic.Uint64
	dropped, refused, droppedOldest, droppedNewest  atomic.Uint64
	droppedDisconnect, droppedUnread                atomic.Uint64
	connects, failedToken, failedNetwork, failedTLS atomic.Uint64
	failedStatus, failedRegistration, abandoned     atomic.Uint64
	silent                                          atomic.Uint64
	disconnects                                     [len(Disconnects{})]atomic.Uint32
	backoff, outbox, intake, unconfirmed            atomic.Int64
}

// attempt counts an attempt to connect by how it ended; ending tells that the
// client does, too.
func (n *counters) attempt(err error, ending bool) {
	_, registration := errors.AsType[*RegistrationError](err)
	handshake, dialed := errors.AsType[*transport.HandshakeError](err)
	switch {
	case err == nil:
		n.connects.Add(1)
	case ending && errors.Is(err, context.Canceled):
		n.abandoned.Add(1)
	case registration:
		n.failedRegistration.Add(1)
	case !dialed:
		n.failedToken.Add(1)
	case handshake.Status != 0:
		n.failedStatus.Add(1)
	case handshake.Step == transport.StepTLS:
		n.failedTLS.Add(1)
	default:
		n.failedNetwork.Add(1)
	}
}

// disconnect counts the end of a registered connection.
func (n *counters) disconnect(err error) {
	n.disconnects[place(closeCode(err))].Add(1)
	if errors.Is(err, errSilent) {
		n.silent.Add(1)
	}
}

// closeCode returns the code of the close frame that ended a connection: the
// relay's, or ours when it broke the rules.
func closeCode(err error) int {
	const abnormal, protocolError = 1006, 1002 // RFC 6455
	closed, ok := errors.AsType[*transport.CloseError](err)
	switch {
	case ok:
		return closed.Code
	case errors.Is(err, errGoodbye):
		return closeNormal
	case errors.Is(err, codec.ErrInvalidUTF8):
		return closeInvalidPayload
	case errors.Is(err, transport.ErrFrameTooLarge):
		return closeTooBig
	case errors.Is(err, transport.ErrProtocol):
		return protocolError
	}
	return abnormal
}

// drop counts a message that was let go because of err.
func (n *counters) drop(err error, policy Overflow) {
	n.dropped.Add(1)
	switch {
	case errors.Is(err, ErrClosed):
		n.droppedUnread.Add(1)
	case errors.Is(err, errInboxFull):
		n.droppedDisconnect.Add(1)
	case !errors.Is(err, errInboxOverflow):
		n.refused.Add(1)
	case policy == DropOldest:
		n.droppedOldest.Add(1)
	default:
		n.droppedNewest.Add(1)
	}
}
