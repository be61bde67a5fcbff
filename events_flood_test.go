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
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		sender, reader := pair(t, r, relay.InboxPolicy{MaxBytes: smallInbox, WhenFull: relay.DropOldest})
		events := reader.Events() // read when all is over
		flood(t, sender, 1000)
		thaw := r.Freeze()
		for range 20 {
			reader.Outbox() <- to(nobody, strings.Repeat("x", 1000))
		}
		time.Sleep(time.Second)
		r.Stop()
		thaw()
		r.Start()
		connect(t, sender)
		connect(t, reader)
		flood(t, sender, 1000)
		doubted, told := 0, 0
		for len(events) > 0 {
			switch e := (<-events).(type) {
			case relay.InDoubt:
				doubted += len(e.Messages)
			case relay.Dropped:
				told++
			}
			synctest.Wait()
		}
		stats := reader.Stats()
		if stats.InDoubt == 0 || doubted != int(stats.InDoubt) {
			t.Errorf("%d in doubt, and %d told of", stats.InDoubt, doubted)
		}
		if told == 0 || stats.DroppedOldest != uint64(told)+stats.EventsLost {
			t.Errorf("%d dropped, %d told of, %d events lost", stats.DroppedOldest, told, stats.EventsLost)
		}
	})
}
