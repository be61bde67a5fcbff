package relay_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
)

// evictedAfter waits until the client has ended with a 4004, and returns how
// often in a row its UUID had been taken.
func evictedAfter(t *testing.T, c *relay.Client) int {
	t.Helper()
	<-c.Done()
	taken, ok := errors.AsType[*relay.RegistrationError](c.Err())
	if !ok || taken.Code != 4004 || taken.UUID != c.UUID() {
		t.Fatalf("ended with %v, want a 4004 for %v", c.Err(), c.UUID())
	}
	return taken.Takeovers
}

func contending(times int) relay.Option {
	return relay.WithConflict(relay.ConflictPolicy{WhenTaken: relay.Contend, Times: times})
}

func TestWhoYieldsSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		a := r.Client("a")
		w := watching(a)
		b := r.Client("b", relay.WithUUID(a.UUID()))
		connect(t, a)
		connect(t, b)
		if n := evictedAfter(t, a); n != 1 {
			t.Errorf("taken %d times, want once", n)
		}
		<-w.done
		if got := of[relay.Taken](w); len(got) != 1 || got[0] != (relay.Taken{UUID: a.UUID(), Times: 1}) {
			t.Errorf("events %v", got)
		}
		if strings.Contains(a.Err().Error(), "in a row") {
			t.Errorf("one takeover is no duel: %v", a.Err())
		}
	})
}

// Two that both contend come to an end, and each says that it is a duel.
func TestT30_ADuelIsBoundedAndSaid(t *testing.T) {
	const times = 4
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		a := r.Client("a", contending(times))
		b := r.Client("b", contending(times), relay.WithUUID(a.UUID()))
		wa, wb := watching(a), watching(b)
		connect(t, a)
		connect(t, b)
		loser, winner, w := a, b, wa
		select {
		case <-a.Done():
		case <-b.Done():
			loser, winner, w = b, a, wb
		}
		if n := evictedAfter(t, loser); n != times+1 {
			t.Errorf("the loser was thrown out %d times, want %d", n, times+1)
		}
		if !strings.Contains(loser.Err().Error(), "5 times in a row") {
			t.Errorf("%q does not tell of the duel", loser.Err())
		}
		<-w.done
		for i, e := range of[relay.Taken](w) {
			next := loser.UUID()
			if i == times {
				next = uuid.Nil
			}
			if e != (relay.Taken{UUID: loser.UUID(), Next: next, Times: i + 1}) {
				t.Errorf("event %d is %+v", i, e)
			}
			if strings.Contains(e.String(), "two programs") != (i > 0) {
				t.Errorf("event %d reads %q", i, e)
			}
		}
		time.Sleep(time.Hour)
		if winner.State() != relay.Connected {
			t.Errorf("the winner is %v: %v", winner.State(), winner.Err())
		}
		if n := r.Server().Stats().Registrations; n > 2*(times+1)+1 {
			t.Errorf("%d registrations", n)
		}
	})
}

// One takeover in a while is no duel: whoever contends is there for good.
func TestARowOfTakeoversEndsAfterTenQuietMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := haunt(t)
		c := r.Client("a", contending(1))
		w := watching(c)
		connect(t, c)
		for range 5 {
			h.evict <- struct{}{}
			time.Sleep(11 * time.Minute)
		}
		if c.State() != relay.Connected {
			t.Fatalf("%v: %v", c.State(), c.Err())
		}
		for _, e := range of[relay.Taken](w) {
			if e.Times != 1 {
				t.Errorf("%v, after a quiet time", e)
			}
		}
		h.evict <- struct{}{}
		time.Sleep(9 * time.Minute)
		h.evict <- struct{}{}
		if n := evictedAfter(t, c); n != 2 {
			t.Errorf("taken %d times in a row, want 2", n)
		}
	})
}

// The pauses of a duel grow, because no connection in it becomes healthy.
func TestADuelDoesNotHammerTheRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := haunt(t)
		h.early.Store(true)
		c := r.Client("a", contending(6))
		begun := time.Now()
		_ = c.Connect(t.Context())
		if n := evictedAfter(t, c); n != 7 {
			t.Errorf("taken %d times", n)
		}
		if d := time.Since(begun); d < 15*time.Second {
			t.Errorf("seven registrations within %v", d)
		}
	})
}

func TestOurOwnGhostTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := haunt(t)
		c := r.Client("a", contending(1))
		h.silent.Store(true)
		_ = c.TryConnect(t.Context())
		h.silent.Store(false)
		connect(t, c)
		for range 2 { // the ghost, and one takeover that may be answered
			h.evict <- struct{}{}
			time.Sleep(2 * time.Second)
			if c.State() != relay.Connected {
				t.Fatalf("%v: %v", c.State(), c.Err())
			}
		}
		h.evict <- struct{}{}
		if n := evictedAfter(t, c); n != 2 {
			t.Errorf("taken %d times in a row, want 2", n)
		}
	})
}

func newUUID() relay.Option {
	return relay.WithConflict(relay.ConflictPolicy{WhenTaken: relay.NewUUID})
}

// A client under a new UUID loses nothing of what it had accepted: the relay
// would close whoever sends from a UUID that is not its own.
func TestANewUUIDGoesOnWhereTheOldOneStopped(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		peer := r.Client("peer")
		connect(t, peer)
		a := r.Client("a", newUUID())
		w := watching(a)
		connect(t, a)
		was := a.UUID()
		rival := r.Client("rival", relay.WithUUID(was))
		connect(t, rival)
		synctest.Wait() // a knows: what it wrote before would be in doubt

		m := to(peer.UUID(), "0")
		m.SourceUUID = was // as a program may that asked for it once
		a.Outbox() <- m
		a.Outbox() <- to(peer.UUID(), "1")
		equal(t, "from the new UUID", receive(t, peer, 2), numbers(0, 2))
		if err := peer.Send(t.Context(), to(a.UUID(), "found")); err != nil {
			t.Fatal(err)
		}
		equal(t, "under the new UUID", receive(t, a, 1), []string{"found"})
		if a.UUID() == was || a.State() != relay.Connected || rival.State() != relay.Connected {
			t.Errorf("%v is %v, the rival %v", a.UUID(), a.State(), rival.State())
		}
		if got := of[relay.Taken](w); len(got) != 1 || got[0] != (relay.Taken{UUID: was, Next: a.UUID(), Times: 1}) {
			t.Errorf("events %v", got)
		}
	})
}

func TestWhatIsSentAgainIsFromTheNewUUID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := relaytest.NewInMemory(t), &tape{deaf: true}
		r.Script(p.serve)
		a := r.Client("a", newUUID(), relay.WithResend(64))
		connect(t, a)
		was := a.UUID()
		for _, text := range numbers(0, 10) {
			a.Outbox() <- to(nobody, text)
		}
		time.Sleep(time.Second) // written, not confirmed
		p.mu.Lock()
		conn := p.owners[was]
		p.mu.Unlock()
		p.setDeaf(false)
		_ = conn.Close(4004, "registered elsewhere")
		if err := a.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, "handled", p.texts(), numbers(0, 10))
		for _, m := range p.messages {
			if m.SourceUUID != a.UUID() || m.SourceUUID == was {
				t.Errorf("message %s is from %v, not from %v", m.Description, m.SourceUUID, a.UUID())
			}
		}
		if n := a.Stats().Resent; n != 10 {
			t.Errorf("%d sent again", n)
		}
	})
}

func TestWithConflictRefusesWhatMakesNoSense(t *testing.T) {
	for _, policy := range []relay.ConflictPolicy{{WhenTaken: relay.Contend + 1}, {WhenTaken: relay.Contend, Times: -1}} {
		if _, err := relay.New("ws://127.0.0.1:1", relay.WithConflict(policy)); err == nil || !strings.Contains(err.Error(), "WithConflict") {
			t.Errorf("%v: %v", policy, err)
		}
	}
	if s := relay.Yield.String() + ", " + relay.NewUUID.String() + ", " + relay.Contend.String(); s != "yield, new UUID, contend" {
		t.Error(s)
	}
}
