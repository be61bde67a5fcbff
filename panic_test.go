package relay_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/supervisor"
)

// moody is a log handler, and more, that panics while it is in the mood.
type moody struct {
	slog.Handler
	in     atomic.Bool
	panics atomic.Int64
}

func (m *moody) think() {
	if m.in.Load() {
		m.panics.Add(1)
		panic("not today")
	}
}

func (m *moody) Enabled(context.Context, slog.Level) bool  { m.think(); return true }
func (m *moody) Handle(context.Context, slog.Record) error { m.think(); return nil }
func (m *moody) WithAttrs([]slog.Attr) slog.Handler        { m.think(); return m }
func (m *moody) WithGroup(string) slog.Handler             { m.think(); return m }
func (m *moody) token(context.Context) (string, error)     { m.think(); return "t", nil }
func (m *moody) dial(r *relaytest.Relay) relay.Option {
	return relay.WithDialContext(func(ctx context.Context, network, address string) (net.Conn, error) {
		m.think()
		return r.DialContext(ctx, network, address)
	})
}

// panicked fails unless err holds the panic of somebody moody.
func panicked(t *testing.T, err error) {
	t.Helper()
	if caught, ok := errors.AsType[*supervisor.PanicError](err); !ok || caught.Value != "not today" || len(caught.Stack) == 0 {
		t.Errorf("%v, want a *supervisor.PanicError", err)
	}
}

// A client whose user's function panics at each attempt fails with a typed
// error, tries again, and hurts no other client of the program.
func TestT50_APanicOfWhatOpensConnectionsIsAFailedAttempt(t *testing.T) {
	for name, option := range map[string]func(*moody, *relaytest.Relay) relay.Option{
		"token source":  func(m *moody, _ *relaytest.Relay) relay.Option { return relay.WithTokenSource(m.token) },
		"dial function": (*moody).dial,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				m, talking := new(moody), talk(t, r)
				m.in.Store(true)
				c := r.Client("victim", option(m, r))
				told := watching(c)
				panicked(t, c.TryConnect(t.Context()))
				c.Inbox()
				time.Sleep(5 * time.Minute)
				if c.State() == relay.Closed || c.Stats().Connects != 0 {
					t.Errorf("%v, %+v", c.State(), c.Stats())
				}
				m.in.Store(false)
				connect(t, c)
				failed := 0
				for _, change := range of[relay.StateChange](told) {
					if change.Err != nil {
						panicked(t, change.Err)
						failed++
					}
				}
				if n := m.panics.Load(); n < 5 || failed != int(n) {
					t.Errorf("%d panics, %d failures told", n, failed)
				}
				equal(t, "received by the client once it is well", talkTo(t, r, c), []string{"hello"})
				talking()
			})
		})
	}
}

// A handler that panics at every line costs the lines, not the client.
func TestT50_APanicOfTheLogHandlerIsAnEvent(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		m, talking := new(moody), talk(t, r)
		m.in.Store(true)
		c := r.Client("victim", relay.WithLogger(slog.New(m)))
		told := watching(c)
		restore := r.Refuse()
		_ = c.TryConnect(t.Context())
		c.Inbox()
		time.Sleep(time.Minute)
		restore()
		connect(t, c)
		equal(t, "received by the client", talkTo(t, r, c), []string{"hello"})
		talking()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		<-told.done
		events := of[relay.LogPanic](told)
		if n := m.panics.Load(); n < 5 || len(events)+int(c.Stats().EventsLost) != int(n) {
			t.Errorf("%d panics, %d events, %+v", n, len(events), c.Stats())
		}
		for _, event := range events {
			panicked(t, event.Err)
		}
	})
}

// goexits is a log handler that ends the goroutine that logs first.
type goexits struct {
	slog.Handler
	once *sync.Once
}

func (goexits) Enabled(context.Context, slog.Level) bool { return true }
func (g goexits) Handle(context.Context, slog.Record) error {
	g.once.Do(runtime.Goexit)
	return nil
}
func (g goexits) WithAttrs([]slog.Attr) slog.Handler { return g }

// What ends the client's own goroutine, or that of an attempt, ends the client: nobody
// waits for ever.
func TestAGoexitOfTheProgramsFunctionsEndsTheClient(t *testing.T) {
	for name, option := range map[string]relay.Option{
		"log handler": relay.WithLogger(slog.New(goexits{once: new(sync.Once)})),
		"dial function": relay.WithDialContext(func(context.Context, string, string) (net.Conn, error) {
			runtime.Goexit()
			return nil, nil
		}),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				c := r.Client("victim", option)
				if err := c.Connect(t.Context()); !errors.Is(err, supervisor.ErrGoexit) || !errors.Is(c.Err(), supervisor.ErrGoexit) {
					t.Errorf("Connect: %v; the client ended with %v", err, c.Err())
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// talk has two clients of the program exchange a message each second. The
// returned function ends this, and fails unless each came, over one connection.
func talk(t *testing.T, r *relaytest.Relay) (check func()) {
	one, other := r.Client("one"), r.Client("other")
	connect(t, one)
	connect(t, other)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			if err := one.Send(t.Context(), to(other.UUID(), "x")); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
		}
		ended <- n
	}()
	t.Cleanup(cancel)
	return func() {
		cancel()
		n := <-ended
		synctest.Wait()
		if got := len(receive(t, other, n)); got != n {
			t.Errorf("%d of %d messages between the others", got, n)
		}
		if s := other.Stats(); s.Dropped > 0 || s.Received != uint64(n) {
			t.Errorf("%d messages sent, %+v", n, s)
		}
	}
}

// talkTo sends a client a message and returns what it receives.
func talkTo(t *testing.T, r *relaytest.Relay, c *relay.Client) []string {
	t.Helper()
	from := r.Client("friend")
	if err := from.Send(t.Context(), to(c.UUID(), "hello")); err != nil {
		t.Fatal(err)
	}
	return receive(t, c, 1)
}
