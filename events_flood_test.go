package relay_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
)

// What a peer can cause at will takes no event away from a program that is late
// to read them.
func TestAFloodOfDroppedMessagesDisplacesNoEvent(t *testing.T) {
	for _, name := range []string{"of a client", "of a group"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				sender, reader := pair(t, r, relay.InboxPolicy{MaxBytes: smallInbox, WhenFull: relay.DropOldest})
				outbox, next := reader.Outbox(), late(reader.Events(), func(e relay.Event) relay.Event { return e })
				if name == "of a group" {
					g := new(relay.Group)
					defer func() { _ = g.Close() }()
					outbox, next = g.Outbox(), late(g.Events(), func(e relay.GroupEvent) relay.Event { return e.Event })
					if err := g.Add(reader); err != nil {
						t.Fatal(err)
					}
				}
				flood(t, sender, 1000)
				thaw := r.Freeze()
				for range 20 {
					outbox <- to(nobody, strings.Repeat("x", 1000))
				}
				time.Sleep(time.Second)
				r.Stop()
				thaw()
				r.Start()
				connect(t, sender)
				connect(t, reader)
				flood(t, sender, 1000)

				var doubted, dropped uint64
				for e := next(); e != nil; e = next() {
					switch e := e.(type) {
					case relay.InDoubt:
						doubted += uint64(len(e.Messages))
					case relay.Dropped:
						dropped++
					}
				}
				if stats := reader.Stats(); stats.InDoubt == 0 || doubted != stats.InDoubt || stats.DroppedOldest < 200 || dropped == 0 {
					t.Errorf("%d of %d in doubt told of, %d of %d dropped", doubted, stats.InDoubt, dropped, stats.DroppedOldest)
				}
			})
		})
	}
}

// late returns what takes the next of the events that wait, nil when none does.
func late[E any](events <-chan E, event func(E) relay.Event) func() relay.Event {
	return func() relay.Event {
		synctest.Wait()
		select {
		case e := <-events:
			return event(e)
		default:
			return nil
		}
	}
}
