package relay_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
)

// The main job, in one bubble: two programs talk, the relay is away for an hour,
// what was said meanwhile arrives when it is back, in order, and nothing is left.
func TestTwoProgramsTalkThroughARelayThatGoesAwayForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		alice, bob := r.Client("alice"), r.Client("bob")
		for _, c := range []*relay.Client{alice, bob} {
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
		}

		say(t, alice, bob, 0, 100)
		hear(t, bob, 0, 100)
		if err := alice.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}

		r.Stop()
		time.Sleep(time.Hour)
		if alice.State() != relay.Backoff {
			t.Fatalf("after an hour without a relay alice is %v", alice.State())
		}
		say(t, alice, bob, 100, 100)
		r.Start()
		// Whoever comes back first must not speak to nobody.
		if err := bob.TryConnect(t.Context()); err != nil {
			t.Fatal(err)
		}
		hear(t, bob, 100, 100)

		for _, c := range []*relay.Client{alice, bob} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if s := c.Stats(); s.Connects != 2 || s.InDoubt != 0 || s.Dropped != 0 || s.Returned != 0 {
				t.Errorf("%v: %+v", c, s)
			}
		}
		r.Close()
	})
}

// say sends n numbered messages.
func say(t *testing.T, from, to *relay.Client, first, n int) {
	t.Helper()
	for i := first; i < first+n; i++ {
		select {
		case from.Outbox() <- relay.Message{PeerUUID: to.UUID(), Description: fmt.Sprint(i)}:
		case <-from.Done():
			t.Fatal(from.Err())
		}
	}
}

// hear expects them, each once and in order.
func hear(t *testing.T, c *relay.Client, first, n int) {
	t.Helper()
	for i := first; i < first+n; i++ {
		m, err := c.Recv(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m.Description != fmt.Sprint(i) {
			t.Fatalf("%v got %q, want %d", c, m.Description, i)
		}
	}
}
