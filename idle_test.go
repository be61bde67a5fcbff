package relay_test

import (
	"bytes"
	"runtime/pprof"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay/relaytest"
)

// Of an idle client there are a reader, and the supervisor goroutine as the writer:
// each stack more would be a fourth of what the client costs.
func TestAnIdleClientHasTwoGoroutines(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		c, peer := r.Client("one"), r.Client("other")
		connect(t, c)
		connect(t, peer)
		if err := c.Send(t.Context(), to(peer.UUID(), "x")); err != nil {
			t.Fatal(err)
		}
		receive(t, peer, 1)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := ours(); got != 4 {
			t.Errorf("%d goroutines of 2 clients", got)
		}
	})
}

// ours counts the goroutines that run a client.
func ours() (n int) {
	var profile bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&profile, 2)
	for stack := range strings.SplitSeq(profile.String(), "\n\n") {
		if strings.Contains(stack, "seed73300619/relay.(*") {
			n++
		}
	}
	return n
}
