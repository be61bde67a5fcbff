package links_test

import (
	"errors"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/chaos/faultproxy"
	"github.com/seed73300619/relay/chaos/process"
	"github.com/seed73300619/relay/chaos/referee"
)

// The proxy holds the registration of a first attempt, which the client abandons,
// and lets it through after the client has registered on another link.
func TestT55_TheClientsOwnGhostCostsOneCycle(t *testing.T) {
	each(t, func(t *testing.T, r *process.Relay) {
		p := newProxy(t, r)
		ghosts := make(chan *faultproxy.Link, 1)
		p.OnNew(func(l *faultproxy.Link) {
			p.OnNew(nil)
			// The client registers once it has the whole answer to its handshake.
			l.At(faultproxy.Down, 1, func(l *faultproxy.Link) { l.Hold(faultproxy.Up) })
			ghosts <- l
		})
		g := newGame(t, r, p, eager(relay.WithTimeout(2*time.Second))...)
		ghost := <-ghosts
		if ghost.Held(faultproxy.Up) == 0 || len(g.sender.losses()) > 0 {
			t.Fatalf("%d bytes held, %d losses; want an abandoned registration", ghost.Held(faultproxy.Up), len(g.sender.losses()))
		}
		t.Logf("%d bytes of an abandoned registration are held", ghost.Held(faultproxy.Up))
		g.offer(100, 100)
		g.sender.settle(t)

		g.offer(100, 100) // on their way when the ghost arrives
		ghost.Release(faultproxy.Up)
		eventually(t, "evicted by its ghost", func() bool { return len(g.sender.losses()) == 1 })
		checkTaken(t, g.sender.losses()[0].Err)
		g.offer(100, 100)
		connect(t, g.sender.Client)
		g.offer(100, 100)
		g.sender.settle(t)
		if stats := g.sender.Stats(); stats.Connects != 2 || g.sender.Err() != nil || len(g.sender.losses()) != 1 {
			t.Errorf("%d connects, %d losses, %v; want one extra cycle", stats.Connects, len(g.sender.losses()), g.sender.Err())
		}

		// What comes now is no ghost.
		rival, err := relay.Dial(soon(t), r.URL, relay.WithUUID(g.sender.UUID()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { rival.Close() })
		select {
		case <-g.sender.Done():
		case <-soon(t).Done():
			t.Fatal("a rival does not end the client")
		}
		checkTaken(t, g.sender.Err())
		account := g.end(referee.Rules{})
		if account.Once < 200 || account.Sent != 400 {
			t.Errorf("%v", account)
		}
	})
}

// With a rival from the start the client ends at once.
func TestT55_ARivalEndsTheClient(t *testing.T) {
	each(t, func(t *testing.T, r *process.Relay) {
		g := newGame(t, r, newProxy(t, r), eager()...)
		g.offer(100, 100)
		g.sender.settle(t)
		rival, err := relay.Dial(soon(t), r.URL, relay.WithUUID(g.sender.UUID()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { rival.Close() })
		select {
		case <-g.sender.Done():
		case <-soon(t).Done():
			t.Fatal("a rival does not end the client")
		}
		checkTaken(t, g.sender.Err())
		if stats := g.sender.Stats(); stats.Connects != 1 || rival.State() != relay.Connected {
			t.Errorf("%d connects, the rival is %v", stats.Connects, rival.State())
		}
		g.end(referee.Rules{})
	})
}

func checkTaken(t *testing.T, err error) {
	t.Helper()
	if taken, ok := errors.AsType[*relay.RegistrationError](err); !ok || taken.Code != 4004 {
		t.Errorf("%v; want a 4004", err)
	}
}
