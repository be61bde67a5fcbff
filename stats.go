package relay

import "sync/atomic"

// counters are what Stats is read from.
type counters struct {
	sent, received, returned, resent, inDoubt, dropped, malformed, connects atomic.Uint64
}

// Stats are counters since New. Reading them costs nothing.
type Stats struct {
	Sent       uint64 // messages written to a connection
	Received   uint64 // messages that arrived, the returned included
	Returned   uint64 // of those, ours that the relay could not deliver
	Resent     uint64 // messages written again because of WithResend
	InDoubt    uint64 // messages reported by InDoubt
	Dropped    uint64 // messages reported by Dropped
	Malformed  uint64 // frames that were no message
	Connects   uint64 // registrations with the relay that succeeded
	EventsLost uint64 // events that nobody read in time
	InboxBytes int    // unread, waiting behind the Inbox
}

// Stats returns the counters as they are now.
func (c *Client) Stats() Stats {
	ring, spill := c.events.ring.Stats(), c.in.spill.Stats()
	return Stats{
		Sent:       c.stats.sent.Load(),
		Received:   c.stats.received.Load(),
		Returned:   c.stats.returned.Load(),
		Resent:     c.stats.resent.Load(),
		InDoubt:    c.stats.inDoubt.Load(),
		Dropped:    c.stats.dropped.Load(),
		Malformed:  c.stats.malformed.Load(),
		Connects:   c.stats.connects.Load(),
		EventsLost: uint64(ring.Dropped) + c.events.lost.Load(),
		InboxBytes: spill.Bytes,
	}
}
