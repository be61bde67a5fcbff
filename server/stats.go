package server

import (
	"maps"
	"sync/atomic"
)

// Stats are a server's figures. Those without "now" in their comment count
// since [New].
type Stats struct {
	Connections  int // open now, those in their opening handshake included
	Unregistered int // of these now, without a registration
	Clients      int // UUIDs registered now
	QueuedBytes  int // waiting in all queues now

	Accepted uint64 // connections opened
	// Connections refused with 503: the server is shutting down, there are too
	// many, too many have not registered; and with 429: too many from an address.
	RejectedStopping, RejectedConnections, RejectedUnregistered, RejectedAddress uint64
	NotUpgraded                                                                  uint64 // requests that were none for a WebSocket, or of a foreign Origin

	Registrations uint64 // that were successful
	Takeovers     uint64 // of a UUID by another connection
	// Registrations refused: over the limit of their connection (error reply);
	// 4001 and 4002 by the Authenticator; 4002 because the UUID is another
	// user's; 1013 because the user has too many connections; 1011 because the
	// Authenticator could not tell.
	RefusedRegistrations, RefusedUnauthorized, RefusedForbidden, RefusedOwned, RefusedUser, RefusedAuth uint64

	RegisterTimeouts uint64 // connections closed because they had not registered in time
	WriteTimeouts    uint64 // connections closed because they did not read
	LogPanics        uint64 // lines lost because the handler of WithLogger panicked
	Throttled        uint64 // times that a connection was not read because of its rate

	Received       uint64 // messages of any kind
	ReceivedBytes  uint64
	Forwarded      uint64 // messages put into their receiver's queue
	ForwardedBytes uint64

	BouncedUnknownPeer   uint64 // the receiver was not registered
	BouncedOtherUser     uint64 // the receiver was another user's
	BouncedUnreadPeer    uint64 // the receiver's queue was full
	BouncedForeignSource uint64 // the source was not registered on the connection
	BouncedTooLarge      uint64 // over the limit once re-encoded
	GivenBack            uint64 // Forwarded, then bounced: the receiver left without them
	Dropped              uint64 // Forwarded, then lost with the receiver: their sender had gone, or had no room

	// Connections ended, by close code. 1006 is without one, 0 any code that
	// neither RFC 6455 nor ProxyStore defines.
	Closed map[int]uint64

	Handshake    Histogram // from the request for the upgrade to the first registration's answer
	AuthAccepted Histogram // the Authenticator's answers
	AuthRefused  Histogram
	AuthFailed   Histogram // those that were no answer
	QueueWait    Histogram // from the receiver's queue to its socket; of one message in 16
}

// counters are the counting part of Stats.
type counters struct {
	rejected                                           [rejections]atomic.Uint64
	notUpgraded, registrations, takeovers              atomic.Uint64
	refusedRegistrations, refusedUnauthorized          atomic.Uint64
	refusedForbidden, refusedOwned, refusedUser        atomic.Uint64
	registerTimeouts, writeTimeouts, throttled         atomic.Uint64
	received, receivedBytes, forwarded, forwardedBytes atomic.Uint64
	givenBack, dropped, logPanics                      atomic.Uint64
	bounced                                            [verdicts]atomic.Uint64
	handshake, authAccepted, authRefused, authFailed   histogram
	queueWait                                          histogram
}

// Stats returns the figures of this moment. It may be called at any time,
// by any goroutine; it takes microseconds, a millisecond with ten thousand
// connections.
func (s *Server) Stats() Stats {
	n := &s.stats
	st := Stats{
		Clients:              s.registry.size(),
		RejectedStopping:     n.rejected[rejectedStopping].Load(),
		RejectedConnections:  n.rejected[rejectedConnections].Load(),
		RejectedUnregistered: n.rejected[rejectedUnregistered].Load(),
		RejectedAddress:      n.rejected[rejectedAddress].Load(),
		NotUpgraded:          n.notUpgraded.Load(),
		Registrations:        n.registrations.Load(),
		Takeovers:            n.takeovers.Load(),
		RefusedRegistrations: n.refusedRegistrations.Load(),
		RefusedUnauthorized:  n.refusedUnauthorized.Load(),
		RefusedForbidden:     n.refusedForbidden.Load(),
		RefusedOwned:         n.refusedOwned.Load(),
		RefusedUser:          n.refusedUser.Load(),
		RegisterTimeouts:     n.registerTimeouts.Load(),
		WriteTimeouts:        n.writeTimeouts.Load(),
		LogPanics:            n.logPanics.Load(),
		Throttled:            n.throttled.Load(),
		Received:             n.received.Load(),
		ReceivedBytes:        n.receivedBytes.Load(),
		Forwarded:            n.forwarded.Load(),
		ForwardedBytes:       n.forwardedBytes.Load(),
		BouncedUnknownPeer:   n.bounced[unknownPeer].Load(),
		BouncedOtherUser:     n.bounced[otherUser].Load(),
		BouncedUnreadPeer:    n.bounced[unreadPeer].Load(),
		BouncedForeignSource: n.bounced[foreignSource].Load(),
		BouncedTooLarge:      n.bounced[tooLarge].Load(),
		GivenBack:            n.givenBack.Load(),
		Dropped:              n.dropped.Load(),
		Handshake:            n.handshake.snapshot(),
		AuthAccepted:         n.authAccepted.snapshot(),
		AuthRefused:          n.authRefused.snapshot(),
		AuthFailed:           n.authFailed.snapshot(),
		QueueWait:            n.queueWait.snapshot(),
	}
	st.RefusedAuth = st.AuthFailed.Count
	st.Connections, st.Unregistered = s.places.count()
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Accepted = s.accepted
	st.Closed = maps.Clone(s.closed)
	for c := range s.conns {
		st.QueuedBytes += c.queue.Stats().Bytes
	}
	return st
}

// known reduces the close codes, which a peer chooses, to those that mean
// something.
func known(code int) int {
	if code >= 1000 && code <= 1015 || code >= codeUnknown && code <= codeTakenOver {
		return code
	}
	return 0
}
