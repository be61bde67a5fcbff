package relay_test

import (
	"bytes"
	"runtime"
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

// What an idle client and its side of this relay take, heap and stacks: 34 KiB. A stack
// that has grown once, for something large in a function that all messages come
// through, is 4 more.
func TestWhatAnIdleClientCosts(t *testing.T) {
	if raceEnabled || runtime.GOOS != "linux" {
		t.Skip("the race detector takes as much again, and other systems are other systems")
	}
	const few, many, limit = 10, 200, 37 << 10
	r := relaytest.New(t)
	come := func(n int) {
		for range n {
			c := r.Client("c")
			connect(t, c)
			if err := c.Send(t.Context(), to(c.UUID(), "x")); err != nil {
				t.Fatal(err)
			}
			receive(t, c, 1)
			if err := c.Flush(t.Context()); err != nil { // nothing is left to be confirmed
				t.Fatal(err)
			}
		}
	}
	come(few) // what is made once is made for these
	before := inUse()
	come(many)
	if each := (inUse() - before) / many; each > limit {
		t.Errorf("%d bytes, want at most %d", each, limit)
	} else {
		t.Logf("%d bytes", each)
	}
}

// inUse returns what heap and stacks take, in bytes, once what nobody needs has been
// given back: pools are emptied by the second collection, and a stack is halved by each.
func inUse() int {
	for range 5 {
		runtime.GC()
	}
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int(s.HeapInuse + s.StackInuse)
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
