package ops

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed73300619/relay/server"
)

// The page shows the last five minutes, second by second.
const (
	interval = time.Second
	span     = 300 // points
)

// A series is a figure that is plotted over time.
type series struct {
	id, title, unit string
	total           func(*server.Stats) uint64 // what is counted: the series is its rate
	now             func(*server.Stats) int    // or what it is
	format          func(float64) string
	least           float64 // of the plot's upper end
}

var plotted = [...]series{
	{id: "messages", title: "Messages", unit: "per second", format: number, least: 10,
		total: func(s *server.Stats) uint64 { return s.Forwarded }},
	{id: "bytes", title: "Bytes", unit: "per second", format: byteCount, least: 1000,
		total: func(s *server.Stats) uint64 { return s.ForwardedBytes }},
	{id: "bounces", title: "Bounces", unit: "per second", format: number, least: 10, total: bounces},
	{id: "connections", title: "Connections", unit: "open", format: number, least: 10,
		now: func(s *server.Stats) int { return s.Connections }},
	{id: "queued", title: "Queues", unit: "waiting to be written", format: byteCount, least: 1000,
		now: func(s *server.Stats) int { return s.QueuedBytes }},
	{id: "registrations", title: "Registrations", unit: "per second", format: number, least: 10,
		total: func(s *server.Stats) uint64 { return s.Registrations }},
}

// bounces counts the messages that came back to their senders.
func bounces(s *server.Stats) uint64 {
	return s.BouncedUnknownPeer + s.BouncedOtherUser + s.BouncedUnreadPeer +
		s.BouncedForeignSource + s.BouncedTooLarge + s.GivenBack
}

// A point is a value of each series.
type point [len(plotted)]float64

// A sample is what the relay was like at a moment. But for the snapshots it is
// not changed.
type sample struct {
	started     time.Time // the sampler
	at          time.Time
	stats       server.Stats
	connections []connection
	history     []point // up to this one, at most span of them

	next chan struct{} // closed when there is a newer sample

	mu        sync.Mutex
	snapshots map[view][]byte // as viewers have asked for them
}

// A connection is one of the relay's, with its rates since the sample before.
type connection struct {
	server.Connection
	in, out, inBytes, outBytes float64 // per second
}

// A sampler takes a sample every interval.
type sampler struct {
	relay  *server.Server
	latest atomic.Pointer[sample]
}

func newSampler(relay *server.Server) *sampler {
	s := &sampler{relay: relay}
	now := time.Now()
	first := &sample{started: now, at: now, stats: relay.Stats(), next: make(chan struct{})}
	for _, c := range relay.Connections() {
		first.connections = append(first.connections, connection{Connection: c})
	}
	var p point
	for i := range plotted {
		if plotted[i].now != nil {
			p[i] = float64(plotted[i].now(&first.stats))
		}
	}
	first.history = []point{p}
	s.latest.Store(first)
	return s
}

func (s *sampler) run(done <-chan struct{}) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			before := s.latest.Load()
			s.latest.Store(s.take(before, now))
			close(before.next)
		case <-done:
			return
		}
	}
}

// take makes the sample after another one.
func (s *sampler) take(before *sample, now time.Time) *sample {
	after := &sample{started: before.started, at: now, stats: s.relay.Stats(), next: make(chan struct{})}
	seconds := max(now.Sub(before.at).Seconds(), 1e-3)
	var p point
	for i := range plotted {
		if f := plotted[i].total; f != nil {
			p[i] = float64(f(&after.stats)-f(&before.stats)) / seconds
		} else {
			p[i] = float64(plotted[i].now(&after.stats))
		}
	}
	// What is appended lies behind the end of the slices of earlier samples.
	after.history = append(before.history[max(0, len(before.history)-span+1):], p)
	after.connections = rates(before.connections, s.relay.Connections(), seconds)
	return after
}

// rates compares the connections of two moments. Both are in the order of
// their IDs.
func rates(before []connection, now []server.Connection, seconds float64) []connection {
	list := make([]connection, len(now))
	for i, c := range now {
		for len(before) > 0 && before[0].ID < c.ID {
			before = before[1:]
		}
		var old server.Connection // nothing, for one that was opened since
		if len(before) > 0 && before[0].ID == c.ID {
			old = before[0].Connection
		}
		list[i] = connection{
			Connection: c,
			in:         float64(c.Received-old.Received) / seconds,
			out:        float64(c.Sent-old.Sent) / seconds,
			inBytes:    float64(c.ReceivedBytes-old.ReceivedBytes) / seconds,
			outBytes:   float64(c.SentBytes-old.SentBytes) / seconds,
		}
	}
	return list
}
