package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
)

func TestEventsThatNobodyReads(t *testing.T) {
	for _, asked := range []bool{false, true} {
		name := "and nobody asked for"
		if asked {
			name = "though the channel was asked for"
		}
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				r.Stop()
				c := r.Client("c", relay.WithBackoff(time.Second, time.Second))
				if asked {
					_ = c.Events()
				}
				_ = c.Inbox()
				time.Sleep(2 * time.Hour)
				r.Start()
				connect(t, c)
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				read := uint64(0)
				var last relay.Event
				for last = range c.Events() {
					read++
				}
				// Every attempt was two changes: to Connecting, and to Backoff or Connected.
				lost := c.Stats().EventsLost
				if total := read + lost; total < 10_000 || total%2 != 1 {
					t.Errorf("%d read + %d lost", read, lost)
				}
				if change, ok := last.(relay.StateChange); !ok || change.To != relay.Closed || read < 16 {
					t.Errorf("read %d, the last one is %v", read, last)
				}
			})
		})
	}
}

// No change is missing, doubled or out of order for a program that reads.
func TestStateChangesFormAChain(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		c := r.Client("c", relay.WithBackoff(10*time.Millisecond, time.Second))
		w := watching(c)
		connect(t, c)
		for range 100 {
			r.Cut()
			time.Sleep(time.Second)
		}
		r.Stop()
		time.Sleep(time.Minute)
		_ = c.Close()
		<-w.done
		state, at := relay.Idle, time.Time{}
		for _, e := range of[relay.StateChange](w) {
			if e.From != state || e.To == state || e.At.Before(at) {
				t.Fatalf("%v follows a change to %v", e, state)
			}
			if e.To == relay.Backoff && (e.Err == nil || e.Retry <= 0) {
				t.Errorf("%v says neither why nor how long", e)
			}
			state, at = e.To, e.At
		}
		if lost := c.Stats().EventsLost; state != relay.Closed || lost != 0 || len(w.all()) < 300 {
			t.Errorf("the last state is %v; %d events, %d lost", state, len(w.all()), lost)
		}
	})
}

func TestWhatIsDroppedByCloseIsCounted(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		sender, reader := pair(t, r, relay.InboxPolicy{})
		flood(t, sender, 200)
		synctest.Wait()
		_ = reader.Close()
		read := 0
		for range reader.Inbox() {
			read++
		}
		seen := 0
		for e := range reader.Events() {
			if _, ok := e.(relay.Dropped); ok {
				seen++
			}
		}
		stats := reader.Stats()
		if read+int(stats.Dropped) != 200 || seen+int(stats.EventsLost) != int(stats.Dropped) {
			t.Errorf("read %d, saw %d Dropped events, %+v", read, seen, stats)
		}
	})
}
