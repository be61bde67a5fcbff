package relay_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// A Flush that gave up must not take the news with it that something is in doubt.
func TestTheFlushAfterOneThatGaveUpIsTold(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		r.Script(p.serve)
		c := r.Client("c")
		connect(t, c)
		thaw := r.Freeze()
		c.Outbox() <- to(nobody, "x")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		r.Cut()
		thaw()
		time.Sleep(10 * time.Second)
		if err := c.Flush(t.Context()); !errors.Is(err, relay.ErrInDoubt) {
			t.Errorf("%v, with %+v", err, c.Stats())
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Errorf("told twice: %v", err)
		}
	})
}

// narrow limits what a connection takes in a second.
type narrow struct {
	net.Conn
	rate int
}

func (n narrow) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		chunk := p[:min(len(p), n.rate/10)]
		time.Sleep(100 * time.Millisecond)
		m, err := n.Conn.Write(chunk)
		written += m
		if err != nil {
			return written, err
		}
		p = p[len(chunk):]
	}
	return written, nil
}

// Behind large messages on a slow line a ping goes out late: that is no silence
// of the relay's.
func TestASlowLineIsNotADeadRelay(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		r.Script(p.serve)
		c := r.Client("c", relay.WithDialContext(func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := r.DialContext(ctx, network, address)
			return narrow{conn, 32 << 10}, err
		}))
		connect(t, c)
		for range 10 {
			c.Outbox() <- to(nobody, strings.Repeat("x", 1<<20-1000))
		}
		time.Sleep(10 * time.Minute)
		if s := c.Stats(); len(p.texts()) != 10 || s.Connects != 1 || s.InDoubt != 0 {
			t.Errorf("%d came through: %+v", len(p.texts()), s)
		}
	})
}

// lazy takes its time for one write.
type lazy struct {
	net.Conn
	next *atomic.Bool
}

func (l lazy) Write(p []byte) (int, error) {
	if l.next.CompareAndSwap(true, false) {
		time.Sleep(60 * time.Millisecond)
	}
	return l.Conn.Write(p)
}

// A relay that takes nothing any more is noticed within the heartbeat's bound,
// also when the program sends so much that no ping gets through to it, whenever
// it begins to, and when a beat meets a write that the kernel just keeps.
func TestT10_ARelayThatTakesNothingIsNoticedWithinTheHeartbeat(t *testing.T) {
	for name, when := range map[string]struct {
		after time.Duration
		lazy  bool
	}{
		"at once":             {},
		"in the last moment":  {after: 2900 * time.Millisecond},
		"and a beat meets it": {after: 2910 * time.Millisecond, lazy: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				var isLazy atomic.Bool
				c := r.Client("c", relay.WithHeartbeat(2*time.Second, time.Second), relay.WithTimeout(time.Minute),
					relay.WithDialContext(func(ctx context.Context, network, address string) (net.Conn, error) {
						conn, err := r.DialContext(ctx, network, address)
						return lazy{conn, &isLazy}, err
					}))
				connect(t, c)
				w := watching(c)
				thaw := r.Freeze()
				frozen := time.Now()
				time.Sleep(when.after)
				isLazy.Store(when.lazy)
				sent := 0
				for c.State() == relay.Connected {
					select {
					case c.Outbox() <- to(nobody, strings.Repeat("x", 10_000)):
						sent++
					case <-time.After(10 * time.Millisecond):
					}
				}
				if took := time.Since(frozen); took > 3*time.Second+100*time.Millisecond { // a step of the heartbeat
					t.Errorf("noticed after %v", took)
				}
				thaw()
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				<-w.done
				if s := c.Stats(); sent == 0 || int(s.Returned+s.InDoubt) != sent {
					t.Errorf("%d sent: %+v", sent, s)
				}
			})
		})
	}
}

// A relay that answers pings and confirms nothing stops the Outbox: once, an
// event says so.
func TestARelayThatConfirmsNothingIsReported(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		p.setDeaf(true)
		r.Script(p.serve)
		c := r.Client("c", relay.WithResend(10))
		connect(t, c)
		w := watching(c)
		for i := range 10 {
			c.Outbox() <- to(nobody, fmt.Sprint(i))
		}
		time.Sleep(time.Hour)
		if told := of[relay.Unconfirmed](w); len(told) != 1 || told[0].Messages != 10 {
			t.Errorf("told %v", told)
		}
		if c.State() != relay.Connected {
			t.Error(c.State())
		}
	})
}

// What the reader had in its hands when the connection ended can be read while
// there is no other.
func TestWhatWasReceivedCanBeReadWithoutAConnection(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		r.Script(func(conn transport.Conn) {
			answer(conn, okReply)
			for i := range 30 {
				tell(conn, message(fmt.Sprint(i)))
			}
			time.Sleep(time.Second)
		})
		c := r.Client("c", relay.WithInbox(relay.InboxPolicy{MaxBytes: 500}))
		connect(t, c)
		time.Sleep(500 * time.Millisecond)
		r.Stop()
		time.Sleep(time.Minute)
		received := int(c.Stats().Received)
		got := receive(t, c, received)
		equal(t, "read", got, numbers(0, received))
	})
}

func TestShutdownKeepsItsCallersBound(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		p.setDeaf(true)
		r.Script(p.serve)
		c := r.Client("c")
		connect(t, c)
		c.Outbox() <- to(nobody, "x")
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		if d := took(func() { _ = c.Shutdown(ctx) }); d != 5*time.Minute {
			t.Errorf("Shutdown waited %v for the confirmation", d)
		}
	})
}

func TestRunTellsWhyTheClientEndedAlsoWhenItsContextHas(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		r.Reject(4002, "no")
		c := r.Client("c")
		ctx, cancel := context.WithCancel(t.Context())
		_ = c.Connect(ctx)
		<-c.Done()
		cancel()
		for range 100 { // which of the two is seen first is chance
			if err := c.Run(ctx); !is[*relay.RegistrationError](err) {
				t.Fatalf("Run: %v, Err: %v", err, c.Err())
			}
		}
	})
}

// What a removed client was writing comes back to the group when that client
// loses its relay.
func TestGroupTakesBackWhatARemovedClientWasWriting(t *testing.T) {
	bubble(t, func(t *testing.T, _ *relaytest.Relay) {
		g := newTrio(t)
		g.relays[0].Freeze()
		const n = 100
		go func() {
			for i := range n {
				g.group.Outbox() <- to(nobody, fmt.Sprintf("%04d%s", i, strings.Repeat("x", 4000)))
			}
		}()
		synctest.Wait()
		removed := g.clients[0]
		g.group.Remove(removed)
		time.Sleep(time.Second)
		g.relays[0].Stop()
		time.Sleep(time.Minute)
		if got := len(g.handled()); got+int(removed.Stats().InDoubt) != n {
			t.Errorf("%d by the others, %d in doubt, of %d", got, removed.Stats().InDoubt, n)
		}
	})
}
