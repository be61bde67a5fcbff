package relay_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

func TestCloseInAnyState(t *testing.T) {
	hold := func(conn transport.Conn) { _, _, _ = conn.ReadFrame(); _, _, _ = conn.ReadFrame() }
	want := func(c *relay.Client) { _ = c.Inbox(); synctest.Wait() }
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, r *relaytest.Relay, c *relay.Client)
		unsent  []string
		bound   time.Duration
	}{
		{"before first use", func(*testing.T, *relaytest.Relay, *relay.Client) {}, nil, 0},
		{"idle", func(_ *testing.T, _ *relaytest.Relay, c *relay.Client) { _ = c.Outbox(); synctest.Wait() }, nil, 0},
		{"connected", func(t *testing.T, _ *relaytest.Relay, c *relay.Client) { connect(t, c) }, nil, 0},
		{"while the upgrade is not answered", func(_ *testing.T, r *relaytest.Relay, c *relay.Client) {
			r.Handle(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }))
			want(c)
		}, nil, 10 * time.Second},
		{"while the registration is not answered", func(_ *testing.T, r *relaytest.Relay, c *relay.Client) {
			r.Script(hold)
			want(c)
		}, nil, 10 * time.Second},
		{"in a pause between attempts", func(_ *testing.T, r *relaytest.Relay, c *relay.Client) {
			r.Stop()
			want(c)
			time.Sleep(time.Hour)
		}, nil, 0},
		{"on a frozen link", func(t *testing.T, r *relaytest.Relay, c *relay.Client) {
			connect(t, c)
			r.Freeze()
		}, nil, 10 * time.Second},
		{"while a Flush waits", func(t *testing.T, r *relaytest.Relay, c *relay.Client) {
			p := &tape{deaf: true}
			r.Script(p.serve)
			connect(t, c)
			_ = c.Send(t.Context(), to(nobody, "0"))
			go func() {
				if err := c.Flush(context.Background()); err == nil {
					t.Error("a Flush that was not confirmed returned nil")
				}
			}()
			synctest.Wait()
		}, nil, 10 * time.Second},
		{"with messages for a relay that is down", func(_ *testing.T, r *relaytest.Relay, c *relay.Client) {
			r.Stop()
			for _, text := range numbers(0, 50) {
				c.Outbox() <- to(nobody, text)
			}
		}, numbers(0, 50), 10 * time.Second},
		{"with an outbox that is full and a Send that waits", func(t *testing.T, r *relaytest.Relay, c *relay.Client) {
			r.Stop()
			for _, text := range numbers(0, 256) {
				c.Outbox() <- to(nobody, text)
			}
			for range 3 {
				go func() {
					if err := c.Send(context.Background(), to(nobody, "late")); !errors.Is(err, relay.ErrClosed) {
						t.Error(err)
					}
				}()
			}
			synctest.Wait()
		}, numbers(0, 256), 10 * time.Second},
		{"with a Send that was taken and waits", func(t *testing.T, r *relaytest.Relay, c *relay.Client) {
			r.Stop()
			go func() {
				if err := c.Send(context.Background(), to(nobody, "late")); !errors.Is(err, relay.ErrClosed) {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}, nil, 10 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				c := r.Client("c")
				test.prepare(t, r, c)
				var err error
				if d := took(func() { err = c.Close() }); d > test.bound {
					t.Errorf("Close took %v", d)
				}
				equal(t, "unsent", unsent(t, err), test.unsent)
				if err := c.Close(); err != nil {
					t.Error("second Close:", err)
				}
				checkEnded(t, c)
			})
		})
	}
}

// checkEnded checks what holds after every end without a failure.
func checkEnded(t *testing.T, c *relay.Client) {
	t.Helper()
	select {
	case <-c.Done():
	default:
		t.Error("Done is open")
	}
	if c.State() != relay.Closed || c.Err() != nil {
		t.Error(c.State(), c.Err())
	}
	for range c.Inbox() { // what the channel itself held, then its end
	}
	ctx := context.Background()
	_, recv := c.Recv(ctx)
	for name, err := range map[string]error{
		"Recv": recv, "Send": c.Send(ctx, to(nobody, "")), "Flush": c.Flush(ctx), "Connect": c.Connect(ctx), "TryConnect": c.TryConnect(ctx),
	} {
		if !errors.Is(err, relay.ErrClosed) {
			t.Errorf("%s after the end: %v", name, err)
		}
	}
	if err := c.Run(ctx); err != nil {
		t.Error("Run after the end:", err)
	}
	var last relay.Event
	for e := range c.Events() {
		last = e
	}
	if change, ok := last.(relay.StateChange); !ok || change.To != relay.Closed || change.Err != nil {
		t.Errorf("the last event is %v", last)
	}
}

func TestCloseFromAHundredGoroutines(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		r.Stop()
		c := r.Client("c")
		c.Outbox() <- to(nobody, "0")
		var mu sync.Mutex
		var all []string
		var closing sync.WaitGroup
		for range 100 {
			closing.Go(func() {
				err := c.Close()
				mu.Lock()
				defer mu.Unlock()
				all = append(all, unsent(t, err)...)
			})
		}
		closing.Wait()
		equal(t, "unsent", all, []string{"0"})
	})
}

func TestCloseInsideAReceiveLoop(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		sender, reader := pair(t, r, relay.InboxPolicy{})
		flood(t, sender, 1000)
		n := 0
		for range reader.Inbox() {
			if n++; n == 10 {
				if err := reader.Close(); err != nil {
					t.Error(err)
				}
			}
		}
		if n < 10 || n > 10+17 {
			t.Errorf("read %d", n)
		}
		if stats := reader.Stats(); int(stats.Dropped)+n != 1000 {
			t.Errorf("read %d, %+v", n, stats)
		}
	})
}

func TestCloseSendsWhatWasAccepted(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		r.Script(p.serve)
		c := r.Client("c")
		for _, text := range numbers(0, 1000) {
			c.Outbox() <- to(nobody, text)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		equal(t, "handled", p.texts(), numbers(0, 1000))
		if n := c.Stats().InDoubt; n != 0 {
			t.Errorf("%d in doubt: Close did not wait for the confirmation", n)
		}
		checkEnded(t, c)
	})
}

func TestShutdownWaitsForTheRelayToComeBack(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		r.Script(p.serve)
		r.Stop()
		c := r.Client("c")
		for _, text := range numbers(0, 100) {
			c.Outbox() <- to(nobody, text)
		}
		go func() {
			time.Sleep(time.Hour)
			r.Start()
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		if err := c.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		equal(t, "handled", p.texts(), numbers(0, 100))
	})
}

func TestShutdownCarriesItsContextsReason(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		r.Stop()
		c := r.Client("c")
		c.Outbox() <- to(nobody, "0")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var err error
		if d := took(func() { err = c.Shutdown(ctx) }); d != time.Minute || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %v: %v", d, err)
		}
	})
}

func TestMessagesSentWhileClosing(t *testing.T) {
	for _, way := range []string{"Outbox", "Send", "both"} {
		for _, down := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, relay down: %v", way, down), func(t *testing.T) {
				s := seed(t)
				for round := range uint64(20) {
					bubble(t, func(t *testing.T, r *relaytest.Relay) {
						random := rand.New(rand.NewPCG(s, round))
						p := &tape{}
						r.Script(p.serve)
						c := r.Client("c")
						w := watching(c)
						if down {
							r.Stop()
						}
						accounts := make([]account, 4)
						var senders sync.WaitGroup
						for i := range accounts {
							own := rand.New(rand.NewPCG(s, round<<8+uint64(i)))
							senders.Go(func() { accounts[i] = send(c, fmt.Sprint("s", i), 100, way, own) })
						}
						time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
						rest := unsent(t, c.Close())
						senders.Wait()
						<-w.done
						outcomes{delivered: p.texts(), doubtful: w.doubts(), unsent: rest}.audit(t, false, accounts...)
					})
				}
			})
		}
	}
}

func TestClosingTheOutbox(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		r.Script(p.serve)
		c := r.Client("c")
		for _, text := range numbers(0, 1000) {
			c.Outbox() <- to(nobody, text)
		}
		close(c.Outbox())
		if err := c.Send(t.Context(), to(nobody, "late")); !errors.Is(err, relay.ErrClosed) {
			t.Error("a Send after it:", err)
		}
		<-c.Done()
		equal(t, "handled", p.texts(), numbers(0, 1000))
		checkEnded(t, c)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestClosingTheOutboxWhileTheRelayIsDown(t *testing.T) {
	for _, pending := range []int{0, 10} {
		t.Run(fmt.Sprint(pending, " messages"), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				p := &tape{}
				r.Script(p.serve)
				r.Stop()
				c := r.Client("c", relay.WithBackoff(time.Hour, time.Hour))
				_ = c.Inbox()
				time.Sleep(24 * time.Hour)
				start := time.Now()
				for _, text := range numbers(0, pending) {
					c.Outbox() <- to(nobody, text)
				}
				close(c.Outbox())
				if pending == 0 {
					<-c.Done()
					if d := time.Since(start); d > 0 {
						t.Errorf("nothing to send, and the end took %v", d)
					}
					return
				}
				time.Sleep(12 * time.Hour)
				r.Start()
				<-c.Done()
				equal(t, "handled", p.texts(), numbers(0, pending))
				checkEnded(t, c)
			})
		})
	}
}

func TestTheInboxClosesAfterEverythingWasRead(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		sender, reader := pair(t, r, relay.InboxPolicy{})
		flood(t, sender, 1000)
		close(reader.Outbox())
		<-reader.Done()
		time.Sleep(time.Hour)
		equal(t, "read", unpadded(receive(t, reader, 1000)), numbers(0, 1000))
		if _, err := reader.Recv(t.Context()); !errors.Is(err, relay.ErrClosed) {
			t.Error(err)
		}
		if _, ok := <-reader.Inbox(); ok {
			t.Error("the Inbox is open")
		}
	})
}

func TestRun(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(r *relaytest.Relay, c *relay.Client, cancel func())
		want func(err error) bool
	}{
		{"nil when its context ends", func(_ *relaytest.Relay, _ *relay.Client, cancel func()) { cancel() },
			func(err error) bool { return err == nil }},
		{"nil after Close", func(_ *relaytest.Relay, c *relay.Client, _ func()) { _ = c.Close() },
			func(err error) bool { return err == nil }},
		{"nil after the Outbox was closed", func(_ *relaytest.Relay, c *relay.Client, _ func()) { close(c.Outbox()) },
			func(err error) bool { return err == nil }},
		{"what was not sent", func(r *relaytest.Relay, c *relay.Client, cancel func()) {
			r.Stop()
			time.Sleep(time.Second)
			c.Outbox() <- to(nobody, "0")
			cancel()
		}, func(err error) bool {
			unsent, ok := errors.AsType[*relay.UnsentError](err)
			return ok && len(unsent.Messages) == 1
		}},
		{"a permanent failure", func(r *relaytest.Relay, _ *relay.Client, _ func()) { r.Reject(4002, "no"); r.Cut() },
			func(err error) bool {
				refused, ok := errors.AsType[*relay.RegistrationError](err)
				return ok && refused.Code == 4002
			}},
		{"a permanent failure while it shuts down", func(r *relaytest.Relay, c *relay.Client, cancel func()) {
			r.Stop()
			time.Sleep(time.Second)
			c.Outbox() <- to(nobody, "0")
			r.Reject(4002, "no")
			r.Start()
			cancel()
		}, func(err error) bool {
			unsent, ok := errors.AsType[*relay.UnsentError](err)
			return ok && len(unsent.Messages) == 1 && errors.As(err, new(*relay.RegistrationError))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				c := r.Client("c")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ended := make(chan error)
				go func() { ended <- c.Run(ctx) }()
				connect(t, c)
				test.do(r, c, cancel)
				if err := <-ended; !test.want(err) {
					t.Errorf("Run: %v", err)
				}
				_ = c.Close()
			})
		})
	}
}

func TestAPermanentFailureIsTheReasonOfEverything(t *testing.T) {
	for range 20 {
		bubble(t, func(t *testing.T, r *relaytest.Relay) {
			c := r.Client("c")
			r.Stop()
			c.Outbox() <- to(nobody, "0")
			ctx := context.Background()
			var waiting sync.WaitGroup
			for name, call := range map[string]func() error{
				"Send":       func() error { return c.Send(ctx, to(nobody, "1")) },
				"Flush":      func() error { return c.Flush(ctx) },
				"Recv":       func() error { _, err := c.Recv(ctx); return err },
				"Connect":    func() error { return c.Connect(ctx) },
				"TryConnect": func() error { time.Sleep(10 * time.Second); return c.TryConnect(ctx) },
				"Outbox": func() error {
					for {
						select {
						case c.Outbox() <- to(nobody, "2"):
						case <-c.Done():
							return c.Connect(ctx)
						}
					}
				},
			} {
				for range 5 {
					waiting.Go(func() {
						err := call()
						if refused, ok := errors.AsType[*relay.RegistrationError](err); !ok || refused.Code != 4002 || !errors.Is(err, relay.ErrClosed) {
							t.Errorf("%s: %v", name, err)
						}
					})
				}
			}
			time.Sleep(5 * time.Second)
			r.Reject(4002, "no")
			r.Start()
			waiting.Wait()
			if c.State() != relay.Closed || !errors.As(c.Err(), new(*relay.RegistrationError)) {
				t.Error(c.State(), c.Err())
			}
			err := c.Close()
			if rest := unsent(t, err); !slices.Contains(rest, "0") || slices.Contains(rest, "1") || !errors.As(err, new(*relay.RegistrationError)) {
				t.Errorf("%q, %v", rest, err)
			}
		})
	}
}

// So does one that is taken in the instant in which the connection is lost.
func TestWithoutReconnectAMessageConnects(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		r.Script(p.serve)
		c := r.Client("c", relay.WithReconnect(false))
		large := strings.Repeat("x", 1<<19)
		for i := range 2 {
			p.setDeaf(true)
			connect(t, c)
			for range 17 { // more may not be unconfirmed: the last one waits for the loss
				select {
				case c.Outbox() <- to(nobody, large):
				case <-time.After(time.Second):
					go r.Cut()
					c.Outbox() <- to(nobody, fmt.Sprint(i))
				}
			}
			p.setDeaf(false)
			time.Sleep(time.Minute)
			if got := p.texts(); !slices.Contains(got, fmt.Sprint(i)) {
				t.Fatalf("message %d was not sent: %v, %+v", i, c.State(), c.Stats())
			}
		}
	})
}

func TestAThousandGoroutinesAtRandom(t *testing.T) {
	r := relaytest.New(t)
	s := seed(t)
	clients := make([]*relay.Client, 20)
	for i := range clients {
		clients[i] = r.Client("c", relay.WithBackoff(time.Millisecond, 20*time.Millisecond))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(s, uint64(i)))
			for ctx.Err() == nil {
				oneOf(random, ctx, clients[random.IntN(len(clients))], clients[random.IntN(len(clients))].UUID())
			}
		})
	}
	all.Go(func() {
		for ctx.Err() == nil {
			select {
			case <-time.After(200 * time.Millisecond):
				r.Cut()
			case <-ctx.Done():
			}
		}
	})
	all.Wait()
	for _, c := range clients {
		_ = unsent(t, c.Close())
		for range c.Inbox() {
		}
		for range c.Events() {
		}
	}
}

// oneOf does one thing to a client.
func oneOf(random *rand.Rand, ctx context.Context, c *relay.Client, peer uuid.UUID) {
	short, cancel := context.WithTimeout(ctx, time.Duration(random.IntN(20))*time.Millisecond)
	defer cancel()
	switch n := random.IntN(1000); {
	case n < 300:
		_ = c.Send(short, to(peer, "Send"))
	case n < 500:
		select {
		case c.Outbox() <- to(peer, "Outbox"):
		case <-short.Done():
		}
	case n < 700:
		_, _ = c.Recv(short)
	case n < 800:
		_ = c.Flush(short)
	case n < 850:
		_ = c.Connect(short)
	case n < 900:
		_ = c.TryConnect(short)
	case n < 930:
		_, _ = c.State(), c.Stats()
	case n < 960:
		_ = c.Run(short)
	default:
		select {
		case <-c.Events():
		case <-c.Inbox():
		case <-short.Done():
		}
	}
	if random.IntN(20000) == 0 {
		_ = c.Close()
	}
}
