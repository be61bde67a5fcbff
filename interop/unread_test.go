package interop

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed73300619/relay"
)

// A relay closes a client that answers no ping within 40 to 60 seconds, and the
// real client answers none once 16 messages are unread.
func TestUnread_a_client_that_nobody_reads_stays_connected(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes three minutes")
	}
	// Both relays in one test: it waits, and must take one place only of the
	// few for parallel tests.
	var running sync.WaitGroup
	for _, kind := range []relayKind{realKind, ourKind} {
		r := startRelay(t, kind)
		deaf := newClient(t, r.URL(), relay.WithName("deaf"))
		talker := newClient(t, r.URL(), relay.WithName("talker"))
		connect(t, deaf, talker)
		running.Go(func() {
			n := talkFor(t, 3*time.Minute, talker, deaf)
			for name, c := range map[string]*relay.Client{"deaf": deaf, "talker": talker} {
				if s := c.Stats(); c.State() != relay.Connected || s.Connects != 1 || s.Dropped+s.InDoubt > 0 {
					t.Errorf("on %s, the %s one is %v after %d messages: %+v", kind.name, name, c.State(), n, s)
				}
			}
			for i := range n {
				m, err := deaf.Recv(soon(t))
				if err != nil || !strings.HasPrefix(m.Description, fmt.Sprintf("%d ", i)) {
					t.Errorf("on %s, message %d of %d is %.20q, %v", kind.name, i, n, m.Description, err)
					return
				}
			}
		})
	}
	running.Wait()
}

// talkFor sends some 50 messages a second, and returns how many.
func talkFor(t *testing.T, d time.Duration, from, to peer) (n int) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	padding := strings.Repeat("x", 500)
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		if err := from.Send(soon(t), offer(to.UUID(), fmt.Sprintf("%d %s", n, padding))); err != nil {
			t.Errorf("message %d: %v", n, err)
			return n
		}
		n++
	}
	return n
}
