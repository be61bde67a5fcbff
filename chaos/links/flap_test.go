package links_test

import (
	"flag"
	"testing"
	"time"

	"github.com/seed73300619/relay/chaos/process"
	"github.com/seed73300619/relay/chaos/referee"
)

// flapping is 30 s by hand: go test ./links -run T15 -flap 30s.
var flapping = flag.Duration("flap", 5*time.Second, "how long the link of T15 is up 50 ms, down 50 ms")

const up, down = 50 * time.Millisecond, 50 * time.Millisecond

// With the default backoff the dials are few, however often the link comes back.
func TestT15_AFlappingLinkIsNotDialedMoreOften(t *testing.T) {
	each(t, func(t *testing.T, r *process.Relay) {
		g := newGame(t, r, newProxy(t, r))
		flap(g)
		s := g.proxy.Stats()
		dials, most := s.Accepted+s.Refused, mostDials(*flapping)
		t.Logf("%d dials, %d registrations in %v; at most %d", dials, g.sender.Stats().Connects, *flapping, most)
		if dials > most || dials < 2 {
			t.Errorf("%d dials, want from 2 to %d", dials, most)
		}
		connect(t, g.sender.Client)
		g.end(referee.Rules{})
	})
}

// mostDials is how often a client with the default backoff may dial: first when it
// starts, again at once when it has lost that link, and then after pauses of at
// least half of 1, 2, 4, … up to 60 s.
func mostDials(within time.Duration) int {
	n := 2
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		if within -= pause / 2; within < 0 {
			return n
		}
		n++
	}
}

// A client that comes back at once loses nothing, and no files either.
func TestT15_AFlappingLinkLeaksNothing(t *testing.T) {
	each(t, func(t *testing.T, r *process.Relay) {
		before := process.OpenFiles(r.PID())
		g := newGame(t, r, newProxy(t, r), eager()...)
		flap(g)
		s := g.proxy.Stats()
		t.Logf("%d dials, %d registrations", s.Accepted+s.Refused, g.sender.Stats().Connects)
		if least := uint64(*flapping / (up + down) / 5); g.sender.Stats().Connects < least {
			t.Errorf("%d registrations, want %d at least", g.sender.Stats().Connects, least)
		}
		connect(t, g.sender.Client)
		if account := g.end(referee.Rules{}); account.Once == 0 {
			t.Error("nothing was delivered")
		}
		eventually(t, "as few open files of the relay as before", func() bool { return process.OpenFiles(r.PID()) <= before })
	})
}

// flap sends a message each millisecond while the link flaps.
func flap(g *game) {
	g.t.Helper()
	stop := g.proxy.Flap(up, down)
	defer stop()
	tick, enough := time.NewTicker(time.Millisecond), time.NewTimer(*flapping)
	defer tick.Stop()
	defer enough.Stop()
	m := g.next(100)
	for {
		select {
		case <-tick.C:
		case <-enough.C:
			g.Withdrawn(g.sender.UUID(), g.sent)
			return
		}
		select {
		case g.sender.Outbox() <- m:
			m = g.next(100)
		case <-enough.C:
			g.Withdrawn(g.sender.UUID(), g.sent)
			return
		case <-g.sender.Done():
			g.t.Fatalf("the sender has ended: %v", g.sender.Err())
		}
	}
}
