package interop

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed73300619/relay"
)

// unreadFor is how long nobody reads, and what is said meanwhile. A relay closes a
// client that answers no ping within 40 to 60 seconds, and the real client answers
// none once 16 messages are unread.
func unreadFor(t *testing.T) (d, every time.Duration) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	if os.Getenv("RELAY_TEST_LONG") != "" {
		return 5 * time.Minute, 20 * time.Millisecond
	}
	return time.Minute, time.Second / 5
}

func TestT22_AClientThatNobodyReadsStaysConnected(t *testing.T) {
	t.Parallel()
	d, every := unreadFor(t)
	// Both relays in one test: it waits, and must take one place only of the
	// few for parallel tests.
	var running sync.WaitGroup
	for _, kind := range []relayKind{realKind, ourKind} {
		r := startRelay(t, kind)
		deaf := newClient(t, r.URL(), relay.WithName("deaf"))
		talker := newClient(t, r.URL(), relay.WithName("talker"))
		connect(t, deaf, talker)
		running.Go(func() {
			n := talk(t, talker, deaf, every, time.After(d))
			for name, c := range map[string]*relay.Client{"deaf": deaf, "talker": talker} {
				if s := c.Stats(); c.State() != relay.Connected || s.Connects != 1 || s.Dropped+s.InDoubt > 0 {
					t.Errorf("on %s, the %s one is %v after %d messages: %+v", kind.name, name, c.State(), n, s)
				}
			}
			t.Logf("on %s: %d messages of 1 KB, unread for %v, %d bytes wait", kind.name, n, d, deaf.Stats().InboxBytes)
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

// talk sends messages of 1 KB until then, and returns how many.
func talk(t *testing.T, from, to peer, every time.Duration, until <-chan time.Time) (n int) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	padding := strings.Repeat("x", 1000)
	for {
		select {
		case <-tick.C:
		case <-until:
			return n
		}
		if err := from.Send(soon(t), offer(to.UUID(), fmt.Sprintf("%d %s", n, padding))); err != nil {
			t.Errorf("message %d: %v", n, err)
			return n
		}
		n++
	}
}

func numbered(t *testing.T, m relay.Message) (n int) {
	t.Helper()
	if _, err := fmt.Sscanf(m.Description, "%d ", &n); err != nil {
		t.Errorf("%.40q: %v", m.Description, err)
	}
	return n
}

// Past the bound the policies that drop stay connected to the real relay, and
// count. Under Wait the client says that it is stalled; after a minute or so the
// relay closes it, and what is sent to it comes back. Once it is read again,
// everything that had reached it is there, and the client comes back by itself.
func TestT22_PastItsBoundThePolicyOfTheInboxDecides(t *testing.T) {
	t.Parallel()
	d, every := unreadFor(t)
	const bound = 20_000 // reached after some 6 seconds
	r := startRelay(t, realKind)
	var running sync.WaitGroup
	for _, policy := range []relay.Overflow{relay.DropOldest, relay.DropNewest, relay.Wait} {
		deaf := newClient(t, r.URL(), relay.WithName("deaf"), relay.WithInbox(relay.InboxPolicy{MaxBytes: bound, WhenFull: policy}))
		talker := newClient(t, r.URL(), relay.WithName("talker"))
		events := deaf.Events()
		connect(t, deaf, talker)
		running.Go(func() {
			if policy == relay.Wait {
				waits(t, talker, deaf, every, events)
				return
			}
			n := talk(t, talker, deaf, every, time.After(d))
			if err := talker.Flush(soon(t)); err != nil {
				t.Error(err)
			}
			eventually(t, patience, "all has arrived", func() bool { return deaf.Stats().Received == uint64(n) })
			s := deaf.Stats()
			if s.Connects != 1 || s.State != relay.Connected || s.Dropped == 0 || s.InboxBytes > bound {
				t.Errorf("%v: %+v", policy, s)
			}
			kept, last := n-int(s.Dropped), -1
			for range kept {
				last = numbered(t, receive(t, deaf))
			}
			if want := map[relay.Overflow]int{relay.DropOldest: n - 1, relay.DropNewest: kept - 1}[policy]; last != want {
				t.Errorf("%v: the last of %d kept is %d, want %d", policy, kept, last, want)
			}
			t.Logf("%v: %d messages, unread for %v: connected, %d kept, %d dropped", policy, n, d, kept, s.Dropped)
		})
	}
	running.Wait()
}

func waits(t *testing.T, talker, deaf *relay.Client, every time.Duration, events <-chan relay.Event) {
	stop := make(chan time.Time)
	var talking sync.WaitGroup
	n := 0
	talking.Go(func() { n = talk(t, talker, deaf, every, stop) })
	stalled := time.Time{}
	for e := range events {
		if _, ok := e.(relay.Stalled); ok {
			stalled = time.Now()
			break
		}
	}
	late := time.Now().Add(3 * time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for talker.Stats().Returned == 0 && time.Now().Before(late) {
		<-tick.C
	}
	closed := time.Since(stalled)
	close(stop)
	talking.Wait()
	if err := talker.Flush(soon(t)); err != nil {
		t.Error(err)
	}
	before := deaf.Stats()
	if before.State != relay.Connected || before.Connects != 1 || closed < 20*time.Second {
		t.Errorf("closed after %v, %+v", closed, before)
	}
	last, err := talker.Recv(soon(t))
	if err != nil || !last.Undelivered() {
		t.Errorf("%+v, %v", last, err)
	}
	first := numbered(t, last) // of those that came back
	if back := talker.Stats().Returned; int(back) != n-first {
		t.Errorf("%d came back, from number %d of %d on", back, first, n)
	}
	// Now it is read, until the connection turns out to be lost.
	got := 0
	for again := false; !again; {
		m := receive(t, deaf)
		switch i := numbered(t, m); {
		case m.Undelivered():
			t.Errorf("%d came back to the wrong one", i)
		case i != got:
			t.Errorf("message %d is number %d", got, i)
			return
		}
		got++
		if s := deaf.Stats(); got == int(s.Received) {
			eventually(t, patience, "it is connected again, or more arrives", func() bool {
				s = deaf.Stats()
				return s.Connects == 2 && s.State == relay.Connected || got < int(s.Received)
			})
			again = got == int(s.Received)
		}
	}
	if err := errors.Join(talker.Send(soon(t), offer(deaf.UUID(), "1000000 again")), talker.Flush(soon(t))); err != nil {
		t.Error(err)
	}
	if i := numbered(t, receive(t, deaf)); i != 1000000 {
		t.Errorf("number %d after the reconnect", i)
	}
	t.Logf("wait: %d messages: closed by the relay %v after the stall, %d of them received in order (%d when stalled), %d lost, the last %d came back",
		n, closed.Round(time.Second), got, before.Received, first-got, n-first)
	if s := deaf.Stats(); s.Connects != 2 || s.Dropped != 0 || got > first {
		t.Errorf("%d of %d, %+v", got, first, s)
	}
}
