package relay_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// haunted is a relay that leaves registrations unanswered while it is silent,
// and evicts whoever is registered when it is told to.
type haunted struct {
	silent atomic.Bool
	early  atomic.Bool // answers registrations with 4004
	evict  chan struct{}
}

func (h *haunted) serve(conn transport.Conn) {
	switch {
	case h.silent.Load():
		answer(conn)
		untilEnd(conn)
		return
	case h.early.Load():
		answer(conn)
		_ = conn.Close(4004, "again")
		return
	}
	answer(conn, okReply)
	gone := make(chan struct{})
	go func() {
		alive(conn)
		close(gone)
	}()
	select {
	case <-h.evict:
		_ = conn.Close(4004, "registered elsewhere")
		<-gone
	case <-gone:
	}
}

func haunt(t *testing.T) (*relaytest.Relay, *haunted) {
	r, h := relaytest.NewInMemory(t), &haunted{evict: make(chan struct{})}
	r.Script(h.serve)
	return r, h
}

// checkEvicted fails unless the client has ended because of a 4004.
func checkEvicted(t *testing.T, c *relay.Client) {
	t.Helper()
	synctest.Wait()
	err := c.Err()
	taken, ok := errors.AsType[*relay.RegistrationError](err)
	closed, also := errors.AsType[*transport.CloseError](err)
	if c.State() != relay.Closed || !ok || taken.Code != 4004 || !also || closed.Code != 4004 || taken.UUID != c.UUID() {
		t.Fatalf("state %v, error %v; want the end with 4004", c.State(), err)
	}
	if !strings.Contains(err.Error(), "running twice") || !strings.Contains(err.Error(), c.UUID().String()) {
		t.Errorf("%q does not tell what to look for", err)
	}
}

func TestAnEvictionEndsTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := haunt(t)
		c := r.Client("a")
		connect(t, c)
		time.Sleep(time.Minute)
		h.evict <- struct{}{}
		checkEvicted(t, c)
	})
}

func TestOneEvictionByOurOwnGhostIsForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := haunt(t)
		c := r.Client("a")
		h.silent.Store(true)
		_ = c.TryConnect(t.Context()) // abandoned after ten seconds
		h.silent.Store(false)
		connect(t, c)
		time.Sleep(50 * time.Second)
		h.evict <- struct{}{} // the ghost has arrived
		time.Sleep(2 * time.Second)
		if c.State() != relay.Connected || c.Stats().Connects != 2 {
			t.Fatalf("state %v after %d connects, error %v; want connected again", c.State(), c.Stats().Connects, c.Err())
		}
		h.evict <- struct{}{} // that was no ghost
		checkEvicted(t, c)
	})
}

func TestAGhostIsForgottenAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := haunt(t)
		c := r.Client("a")
		h.silent.Store(true)
		_ = c.TryConnect(t.Context())
		h.silent.Store(false)
		connect(t, c)
		time.Sleep(61 * time.Second)
		h.evict <- struct{}{}
		checkEvicted(t, c)
	})
}

func TestAGhostIsForgivenBeforeRegisteringToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := haunt(t)
		c := r.Client("a")
		h.silent.Store(true)
		_ = c.TryConnect(t.Context())
		h.silent.Store(false)
		h.early.Store(true)
		err := c.TryConnect(t.Context())
		if taken, ok := errors.AsType[*relay.RegistrationError](err); !ok || taken.Code != 4004 || c.State() != relay.Idle {
			t.Fatalf("%v, state %v; want a 4004 that is forgiven", err, c.State())
		}
		_ = c.TryConnect(t.Context())
		checkEvicted(t, c)
	})
}

// A connection that was lost after it had been answered leaves no ghost.
func TestALostConnectionIsNoGhost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := haunt(t)
		c := r.Client("a")
		connect(t, c)
		r.Cut()
		connect(t, c)
		time.Sleep(time.Second)
		h.evict <- struct{}{}
		checkEvicted(t, c)
	})
}

// Two programs with one UUID do not throw each other out for ever.
func TestTwoClientsWithOneUUIDSettleIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		a := r.Client("a")
		b := r.Client("b", relay.WithUUID(a.UUID()))
		connect(t, a)
		connect(t, b)
		time.Sleep(time.Minute)
		checkEvicted(t, a)
		if b.State() != relay.Connected || b.Stats().Connects != 1 {
			t.Errorf("the other is %v after %d connects", b.State(), b.Stats().Connects)
		}
	})
}
