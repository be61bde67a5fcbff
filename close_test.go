package relay_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// closeStages are what a client may be about when it is closed.
var closeStages = []struct {
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
		wantNow(c)
	}, nil, 10 * time.Second},
	{"while the registration is not answered", func(_ *testing.T, r *relaytest.Relay, c *relay.Client) {
		r.Script(func(conn transport.Conn) { _, _, _ = conn.ReadFrame(); _, _, _ = conn.ReadFrame() })
		wantNow(c)
	}, nil, 10 * time.Second},
	{"in a pause between attempts", func(_ *testing.T, r *relaytest.Relay, c *relay.Client) {
		r.Stop()
		wantNow(c)
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
}

// wantNow asks a client of a bubble for a connection, and waits for what follows.
func wantNow(c *relay.Client) {
	_ = c.Inbox()
	synctest.Wait()
}

// closing calls Close n times at once, and returns what was not sent, each
// message as often as it was returned. All calls must return within the bound.
func closing(t *testing.T, c *relay.Client, n int, bound time.Duration) []string {
	t.Helper()
	var mu sync.Mutex
	var all []string
	var calls sync.WaitGroup
	start := time.Now()
	for range n {
		calls.Go(func() {
			err := c.Close()
			if d := time.Since(start); d > bound {
				t.Errorf("Close took %v, want at most %v", d, bound)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, unsent(t, err)...)
		})
	}
	calls.Wait()
	return all
}

// checkNoClient fails if a goroutine of a client, or one in a call of it, is left
// in the bubble.
func checkNoClient(t *testing.T) {
	t.Helper()
	synctest.Wait() // for calls that have their answer to return
	stacks := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		if strings.Contains(stack, "/relay.(*Client)") || strings.Contains(stack, "/relay.(*session)") {
			t.Errorf("left behind: %s", stack)
		}
	}
}

// Whatever a client is about, Close ends it within its bound, however many call
// it: each message that was not sent comes back once, the others get nil, and no
// goroutine is left.
func TestT23_CloseAtEachStage(t *testing.T) {
	for _, test := range closeStages {
		for _, callers := range []int{1, 100} {
			t.Run(fmt.Sprintf("%s, %d times", test.name, callers), func(t *testing.T) {
				bubble(t, func(t *testing.T, r *relaytest.Relay) {
					c := r.Client("c")
					test.prepare(t, r, c)
					equal(t, "unsent", closing(t, c, callers, test.bound), test.unsent)
					checkNoClient(t)
					if err := c.Close(); err != nil {
						t.Error("Close once more:", err)
					}
					checkEnded(t, c)
				})
			})
		}
	}
}

// At each step of opening a connection: nothing to send is nothing to wait for,
// and a message is given the time that Close has.
func TestT23_CloseAtEachStepOfOpening(t *testing.T) {
	for _, test := range stuckSteps {
		for _, pending := range []int{0, 1, 10} {
			t.Run(fmt.Sprintf("%s, %d messages", test.name, pending), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, err := relay.New(test.scheme+"://relay.test", test.network)
					if err != nil {
						t.Fatal(err)
					}
					bound := time.Duration(0)
					wantNow(c)
					time.Sleep(time.Second)
					for _, text := range numbers(0, pending) {
						c.Outbox() <- to(nobody, text)
						bound = 10 * time.Second
					}
					equal(t, "unsent", closing(t, c, 100, bound), numbers(0, pending))
					checkNoClient(t)
					checkEnded(t, c)
					time.Sleep(time.Hour) // for the dripping ends to notice
				})
			})
		}
	}
}

// In the midst of a write that the other side does not take: what was written is
// in doubt, what was not comes back, and nothing is both.
func TestT23_CloseDuringAStuckWrite(t *testing.T) {
	for _, callers := range []int{1, 100} {
		t.Run(fmt.Sprint(callers, " times"), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				p := &tape{}
				r.Script(p.serve)
				c := r.Client("c")
				w := watching(c)
				connect(t, c)
				r.Freeze()
				var a account
				for i := range 10 { // a few of them fill the connection
					text := fmt.Sprintf("s:%d%s", i, strings.Repeat("x", 100<<10))
					select {
					case c.Outbox() <- to(nobody, text):
						a.accepted = append(a.accepted, text)
					case <-time.After(time.Second):
					}
				}
				if n := len(a.accepted); n < 3 || n > 5 {
					t.Fatalf("%d messages were accepted: the write is not stuck", n)
				}
				rest := closing(t, c, callers, 10*time.Second)
				checkNoClient(t)
				<-w.done
				outcomes{delivered: p.texts(), doubtful: w.doubts(), unsent: rest}.audit(t, false, a)
				t.Logf("%d accepted = %d in doubt + %d unsent", len(a.accepted), len(w.doubts()), len(rest))
				if c.State() != relay.Closed || c.Err() != nil {
					t.Error(c.State(), c.Err())
				}
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

func TestT23_CloseInsideAReceiveLoop(t *testing.T) {
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
