package relay_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// refuseHandshakes counts the handshakes that reach the relay, and refuses them.
func refuseHandshakes(r *relaytest.Relay) (attempts *atomic.Int64, restore func()) {
	attempts = new(atomic.Int64)
	restore = r.Handle(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		attempts.Add(1)
		http.Error(w, "not now", http.StatusServiceUnavailable)
	}))
	return attempts, restore
}

// connectWithin is Connect with a bound.
func connectWithin(t *testing.T, c *relay.Client, d time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return c.Connect(ctx)
}

func TestTryConnectMakesOneAttemptAndReturnsItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		attempts, restore := refuseHandshakes(r)
		c := r.Client("a")
		err := c.TryConnect(t.Context())
		if handshake, ok := errors.AsType[*transport.HandshakeError](err); !ok || handshake.Status != 503 {
			t.Errorf("%v, want the handshake's error", err)
		}
		if c.State() != relay.Idle {
			t.Errorf("state %v after a failed attempt, want idle", c.State())
		}
		time.Sleep(time.Hour)
		if n := attempts.Load(); n != 1 || c.State() != relay.Idle {
			t.Errorf("%d attempts within an hour, state %v; want one attempt, idle", n, c.State())
		}
		start := time.Now()
		for range 10 { // each at once, whatever the backoff would be by now
			_ = c.TryConnect(t.Context())
		}
		if n, took := attempts.Load(), time.Since(start); n != 11 || took != 0 {
			t.Errorf("%d attempts within %v, want 11 at once", n, took)
		}
		restore()
		if err := c.TryConnect(t.Context()); err != nil || c.State() != relay.Connected || time.Since(start) != 0 {
			t.Errorf("%v, state %v, after %v", err, c.State(), time.Since(start))
		}
		if err := c.TryConnect(t.Context()); err != nil || c.Stats().Connects != 1 {
			t.Errorf("%v, %d connects; want a no-op when connected", err, c.Stats().Connects)
		}
	})
}

func TestTryConnectDuringBackoffAttemptsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		attempts, restore := refuseHandshakes(r)
		c := r.Client("a")
		_ = connectWithin(t, c, 5*time.Minute)
		before := attempts.Load()
		if c.State() != relay.Backoff {
			t.Fatalf("state %v, want backoff", c.State())
		}
		start := time.Now()
		if err := c.TryConnect(t.Context()); err == nil || attempts.Load() != before+1 || time.Since(start) != 0 {
			t.Errorf("%v after %v and %d attempts, want one at once", err, time.Since(start), attempts.Load()-before)
		}
		synctest.Wait()
		if c.State() != relay.Backoff {
			t.Errorf("state %v, want backoff again: a connection is still wanted", c.State())
		}
		restore()
		if err := c.TryConnect(t.Context()); err != nil || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestTryConnectJoinsAnAttemptUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		var attempts atomic.Int64
		r.Script(func(conn transport.Conn) {
			attempts.Add(1)
			answer(conn)
			time.Sleep(3 * time.Second)
			tell(conn, okReply)
			untilEnd(conn)
		})
		c := r.Client("a")
		results := make(chan error)
		for range 10 {
			go func() { results <- c.TryConnect(context.Background()) }()
			go func() { results <- c.Connect(context.Background()) }()
			time.Sleep(100 * time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.TryConnect(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, relay.ErrNotConnected) {
			t.Errorf("%v, want the end of ctx, not connected", err)
		}
		for range 20 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if n := attempts.Load(); n != 1 {
			t.Errorf("%d attempts, want one for all", n)
		}
	})
}

func TestConnectsContextEndsOnlyTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		attempts, restore := refuseHandshakes(r)
		c := r.Client("a")
		err := connectWithin(t, c, 20*time.Second)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, relay.ErrNotConnected) {
			t.Errorf("%v, want DeadlineExceeded and ErrNotConnected", err)
		}
		if handshake, ok := errors.AsType[*transport.HandshakeError](err); !ok || handshake.Status != 503 {
			t.Errorf("%v does not hold the last failure", err)
		}
		before := attempts.Load()
		time.Sleep(2 * time.Minute)
		if attempts.Load() == before {
			t.Error("the client did not go on trying")
		}
		restore()
		time.Sleep(61 * time.Second)
		if c.State() != relay.Connected {
			t.Errorf("state %v a minute after the relay was back", c.State())
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Connect(ctx); err != nil {
			t.Errorf("Connect when connected: %v, want a no-op", err)
		}
	})
}

func TestConnectWithAnEndedContextSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		r.Stop()
		cause := errors.New("the user is tired")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		err := r.Client("a").Connect(ctx)
		if !errors.Is(err, cause) || !errors.Is(err, relay.ErrNotConnected) {
			t.Errorf("%v, want the cause and ErrNotConnected", err)
		}
	})
}

// Dial's context is over, the client lives, and reconnects.
func TestT26_DialsContextDoesNothingAfterItHasReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		ctx, cancel := context.WithCancel(t.Context())
		c, err := relay.Dial(ctx, r.URL, relay.WithDialContext(r.DialContext))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		time.Sleep(time.Hour)
		if c.State() != relay.Connected || c.Stats().Connects != 1 {
			t.Errorf("state %v after %d connects, want the connection to live", c.State(), c.Stats().Connects)
		}
		r.Cut()
		time.Sleep(time.Minute)
		if c.State() != relay.Connected || c.Stats().Connects != 2 {
			t.Errorf("state %v after %d connects, want connected after 2", c.State(), c.Stats().Connects)
		}
		if err := c.Send(t.Context(), to(c.UUID(), "x")); err != nil {
			t.Error(err)
		}
		equal(t, "received", receive(t, c, 1), []string{"x"})
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAFailingDialLeavesNoGoroutineAndNoConnection(t *testing.T) {
	tests := []struct {
		name string
		set  func(*relaytest.Relay) (restore func())
		is   func(error) bool
	}{
		{"a relay that refuses", (*relaytest.Relay).Refuse, isEndOfCtx},
		{"a relay that is frozen", (*relaytest.Relay).Freeze, isEndOfCtx},
		{"a relay that rejects for now", func(r *relaytest.Relay) func() { return r.Reject(1013, "later") }, isEndOfCtx},
		{"a relay that rejects for good", func(r *relaytest.Relay) func() { return r.Reject(4002, "never") }, func(err error) bool {
			refused, ok := errors.AsType[*relay.RegistrationError](err)
			return ok && refused.Code == 4002
		}},
		{"a relay that forbids", func(r *relaytest.Relay) func() { return r.Respond(403, nil) }, func(err error) bool {
			handshake, ok := errors.AsType[*transport.HandshakeError](err)
			return ok && handshake.Status == 403
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := relaytest.NewInMemory(t)
				restore := test.set(r)
				ctx, cancel := context.WithTimeout(t.Context(), 33*time.Second)
				defer cancel()
				start := time.Now()
				c, err := relay.Dial(ctx, r.URL, relay.WithDialContext(r.DialContext))
				if c != nil || err == nil || !test.is(err) {
					t.Fatalf("client made: %v, error %v", c != nil, err)
				}
				if took := time.Since(start); took > 34*time.Second {
					t.Errorf("Dial returned after %v", took)
				}
				restore() // what is frozen would not notice that it is over
				time.Sleep(time.Minute)
				synctest.Wait()
				stacks := make([]byte, 1<<20)
				for stack := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
					// The client's methods, and the server's end of a connection.
					if strings.Contains(stack, "/relay.(*") || strings.Contains(stack, "http.(*conn).serve") {
						t.Errorf("left behind: %s", stack)
					}
				}
			})
		})
	}
}

func isEndOfCtx(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) && errors.Is(err, relay.ErrNotConnected)
}

// With WithReconnect(false) a lost connection comes back only when somebody
// wants it.
func TestWithoutReconnectALostConnectionComesBackOnDemandOnly(t *testing.T) {
	demands := []struct {
		name   string
		before func(*relay.Client) // while connected
		demand func(context.Context, *relay.Client) error
	}{
		{"Connect", nil, func(ctx context.Context, c *relay.Client) error { return c.Connect(ctx) }},
		{"TryConnect", nil, func(ctx context.Context, c *relay.Client) error { return c.TryConnect(ctx) }},
		{"TryConnect, when it was called before, too", func(c *relay.Client) { _ = c.TryConnect(context.Background()) },
			func(ctx context.Context, c *relay.Client) error { return c.TryConnect(ctx) }},
		{"Connect, when it was called before, too", func(c *relay.Client) { _ = c.Connect(context.Background()) },
			func(ctx context.Context, c *relay.Client) error { return c.Connect(ctx) }},
		{"Send", nil, func(ctx context.Context, c *relay.Client) error {
			return c.Send(ctx, relay.Message{PeerUUID: c.UUID()})
		}},
		{"a message on the Outbox", nil, func(ctx context.Context, c *relay.Client) error {
			c.Outbox() <- relay.Message{PeerUUID: c.UUID()}
			return c.Flush(ctx)
		}},
		{"Recv", nil, func(ctx context.Context, c *relay.Client) error {
			_, err := c.Recv(ctx)
			if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, relay.ErrNotConnected) {
				return nil // connected, and nothing came
			}
			return err
		}},
		{"Inbox", nil, func(ctx context.Context, c *relay.Client) error {
			c.Inbox()
			time.Sleep(time.Second)
			return nil
		}},
	}
	for _, test := range demands {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := relaytest.NewInMemory(t)
				c := r.Client("a", relay.WithReconnect(false))
				if err := c.Connect(t.Context()); err != nil {
					t.Fatal(err)
				}
				if test.before != nil {
					test.before(c)
				}
				time.Sleep(time.Minute)
				r.Cut()
				time.Sleep(time.Hour)
				if n := c.Stats().Connects; c.State() != relay.Idle || n != 1 {
					t.Fatalf("state %v after %d connects, want idle after 1", c.State(), n)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				if err := test.demand(ctx, c); err != nil || c.State() != relay.Connected || c.Stats().Connects != 2 {
					t.Errorf("%v, state %v after %d connects", err, c.State(), c.Stats().Connects)
				}
			})
		})
	}
}

func TestWithoutReconnectAWaitingRecvReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		c := r.Client("a", relay.WithReconnect(false))
		got := make(chan error, 1)
		go func() {
			m, err := c.Recv(context.Background())
			if err == nil && m.Description != "hello" {
				err = errors.New("got " + m.Description)
			}
			got <- err
		}()
		for range 3 {
			time.Sleep(time.Minute)
			r.Cut()
		}
		time.Sleep(time.Minute)
		if n := c.Stats().Connects; n != 4 || c.State() != relay.Connected {
			t.Errorf("state %v after %d connects, want connected after 4", c.State(), n)
		}
		peer := r.Client("b")
		if err := peer.Send(t.Context(), relay.Message{PeerUUID: c.UUID(), Description: "hello"}); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}

func TestStateNamesAreForPeople(t *testing.T) {
	var names []string
	for s := relay.Idle; s <= relay.Closed+1; s++ {
		names = append(names, s.String())
	}
	if got := strings.Join(names, " "); got != "idle connecting connected backoff closed State(5)" {
		t.Error(got)
	}
}
