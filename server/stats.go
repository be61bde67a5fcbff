package server

import "sync/atomic"

// Stats are a server's figures. Those without "now" in their comment count
// since [New].
type Stats struct {
	Connections int    // open now, those in their opening handshake included
	Clients     int    // UUIDs registered now
	QueuedBytes int    // waiting in all queues now
	Accepted    uint64 // connections opened
	Rejected    uint64 // connections refused with 503

	Registrations        uint64 // that were successful
	RefusedRegistrations uint64 // over the limit of their connection
	Takeovers            uint64 // of a UUID by another connection
	Unregistered         uint64 // connections closed because they had not registered in time

	Received       uint64 // messages of any kind
	ReceivedBytes  uint64
	Forwarded      uint64 // messages put into their receiver's queue
	ForwardedBytes uint64

	BouncedUnknownPeer   uint64 // the receiver was not registered
	BouncedUnreadPeer    uint64 // the receiver's queue was full
	BouncedForeignSource uint64 // the source was not registered on the connection
	BouncedTooLarge      uint64 // over the limit once re-encoded
	GivenBack            uint64 // Forwarded, then bounced: the receiver left without them
	Dropped              uint64 // Forwarded, then lost with the receiver: their sender had gone, or had no room

	Closed map[int]uint64 // connections ended, by close code; 1006: without one
}

// counters are the counting part of Stats.
type counters struct {
	rejected, registrations, refused, takeovers, unregistered atomic.Uint64
	received, receivedBytes, forwarded, forwardedBytes        atomic.Uint64
	givenBack, dropped                                        atomic.Uint64
	bounced                                                   [verdicts]atomic.Uint64
}

// Stats returns the figures of this moment. It may be called at any time,
// by any goroutine; it takes microseconds, a millisecond with ten thousand
// connections.
func (s *Server) Stats() Stats {
	n := &s.stats
	st := Stats{
		Clients:              s.registry.size(),
		Rejected:             n.rejected.Load(),
		Registrations:        n.registrations.Load(),
		RefusedRegistrations: n.refused.Load(),
		Takeovers:            n.takeovers.Load(),
		Unregistered:         n.unregistered.Load(),
		Received:             n.received.Load(),
		ReceivedBytes:        n.receivedBytes.Load(),
		Forwarded:            n.forwarded.Load(),
		ForwardedBytes:       n.forwardedBytes.Load(),
		BouncedUnknownPeer:   n.bounced[unknownPeer].Load(),
		BouncedUnreadPeer:    n.bounced[unreadPeer].Load(),
		BouncedForeignSource: n.bounced[foreignSource].Load(),
		BouncedTooLarge:      n.bounced[tooLarge].Load(),
		GivenBack:            n.givenBack.Load(),
		Dropped:              n.dropped.Load(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Connections, st.Accepted = s.active, s.accepted
	st.Closed = make(map[int]uint64, len(s.closed))
	for code, n := range s.closed {
		st.Closed[code] = n
	}
	for c := range s.conns {
		st.QueuedBytes += c.queue.Stats().Bytes
	}
	return st
}
