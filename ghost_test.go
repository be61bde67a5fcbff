package relay_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
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

func TestT55_OneEvictionByOurOwnGhostIsForgiven(t *testing.T) {
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

func TestT55_AGhostIsForgottenAfterAMinute(t *testing.T) {
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

func TestT55_AGhostIsForgivenBeforeRegisteringToo(t *testing.T) {
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
func TestT55_ALostConnectionIsNoGhost(t *testing.T) {
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

// Two programs with one UUID, both on their way back, do not throw each other out
// for ever: one ends, with the UUID in its error, and the other stays.
func TestT30_TwoClientsWithOneUUIDSettleIt(t *testing.T) {
	for round := range 20 {
		bubble(t, func(t *testing.T, r *relaytest.Relay) {
			a := r.Client("a")
			b := r.Client("b", relay.WithUUID(a.UUID()))
			if round%2 == 0 { // a is connected, and both have met before the relay goes away
				connect(t, a)
				time.Sleep(time.Minute)
			}
			r.Stop()
			_ = a.Inbox()
			_ = b.Inbox()
			time.Sleep(5 * time.Minute)
			r.Start()
			time.Sleep(5 * time.Minute)
			winner, loser := a, b
			if a.State() == relay.Closed {
				winner, loser = b, a
			}
			checkEvicted(t, loser)
			time.Sleep(time.Hour)
			if winner.State() != relay.Connected || winner.Err() != nil {
				t.Errorf("the other is %v: %v", winner.State(), winner.Err())
			}
			for _, c := range []*relay.Client{a, b} {
				if n := c.Stats().Connects; n > 2 || n < 1 {
					t.Errorf("%v: %d registrations, want one or two", c, n)
				}
			}
			if n := r.Server().Stats().Registrations; n != 2 {
				t.Errorf("the relay has seen %d registrations since it is back, want one of each", n)
			}
		})
	}
}

// halfOpen is a connection that can die without the other end being told: what
// comes is not seen, what is written goes nowhere, and closing it is not noticed.
type halfOpen struct {
	net.Conn
	dead atomic.Bool
	once sync.Once
	gone chan struct{} // closed by Close
}

func (c *halfOpen) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.dead.Load() {
		return n, err
	}
	<-c.gone
	return 0, net.ErrClosed
}

func (c *halfOpen) Write(p []byte) (int, error) {
	if c.dead.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *halfOpen) Close() error {
	c.once.Do(func() { close(c.gone) })
	if c.dead.Load() {
		return c.Conn.SetReadDeadline(time.Unix(1, 0)) // for who reads: the other end sees nothing
	}
	return c.Conn.Close()
}

// A client whose link died unnoticed comes back, and the relay closes what it
// still holds of the old connection with 4004. That is nobody else, and no end.
func TestT30_OurOwnHalfOpenConnectionIsReplaced(t *testing.T) {
	for _, policy := range []relay.Conflict{relay.Yield, relay.Contend} {
		t.Run(policy.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				var mu sync.Mutex
				var conns []*halfOpen
				c := r.Client("a", relay.WithConflict(relay.ConflictPolicy{WhenTaken: policy}), relay.WithHeartbeat(5*time.Second, 5*time.Second),
					relay.WithDialContext(func(ctx context.Context, network, address string) (net.Conn, error) {
						base, err := r.DialContext(ctx, network, address)
						if err != nil {
							return nil, err
						}
						mu.Lock()
						defer mu.Unlock()
						conns = append(conns, &halfOpen{Conn: base, gone: make(chan struct{})})
						return conns[len(conns)-1], nil
					}))
				w := watching(c)
				connect(t, c)
				const losses = 5
				for i := range losses {
					time.Sleep(12 * time.Second) // healthy, and shorter than the relay's own keepalive
					mu.Lock()
					conns[i].dead.Store(true)
					mu.Unlock()
					for c.Stats().Connects != uint64(i+2) {
						time.Sleep(time.Second)
					}
				}
				time.Sleep(time.Hour)
				if c.State() != relay.Connected || c.Err() != nil || c.Stats().Connects != losses+1 {
					t.Errorf("state %v after %d connects: %v", c.State(), c.Stats().Connects, c.Err())
				}
				if taken := of[relay.Taken](w); len(taken) > 0 {
					t.Errorf("taken by itself: %v", taken)
				}
				stats := r.Server().Stats()
				if stats.Registrations != losses+1 || stats.Takeovers != losses {
					t.Errorf("%d registrations, %d of them replaced another; want %d and %d", stats.Registrations, stats.Takeovers, losses+1, losses)
				}
				for _, conn := range conns {
					_ = conn.Conn.Close()
				}
			})
		})
	}
}
