package relay_test

import (
	"testing"
	"testing/synctest"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
)

// What had arrived when a group was closed is read from its Inbox, told of, or
// counted by its client.
func TestGroupCloseTellsWhatNobodyRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g relay.Group
		sender, reader := pair(t, relaytest.NewInMemory(t), relay.InboxPolicy{})
		if err := g.Add(reader); err != nil {
			t.Fatal(err)
		}
		dropped := make(chan int)
		go func() {
			n := 0
			for e := range g.Events() {
				if _, ok := e.Event.(relay.Dropped); ok {
					n++
				}
			}
			dropped <- n
		}()
		flood(t, sender, 120)
		synctest.Wait()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		read := 0
		for range g.Inbox() {
			read++
		}
		told, unread, left := <-dropped, int(reader.Stats().DroppedUnread), len(reader.Inbox())
		if sum := read + told + unread; sum != 120 || left != 0 {
			t.Errorf("%d read, %d told of, %d counted as unread and %d left behind, of 120", read, told, unread, left)
		}
		t.Logf("%d read, %d told of, %d counted as unread", read, told, unread)
	})
}
