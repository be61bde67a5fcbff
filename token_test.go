package relay_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/supervisor"
	"github.com/seed73300619/relay/transport"
)

// tokens is a token source that numbers its tokens.
type tokens struct{ n atomic.Int64 }

func (s *tokens) next(context.Context) (string, error) {
	return fmt.Sprintf("token-%d", s.n.Add(1)), nil
}

// guarded lets a handler see the Authorization of each handshake; a non-zero
// status refuses it, and a close code refuses the registration.
type guarded struct {
	mu     sync.Mutex
	seen   []http.Header
	status int
	code   int
}

func (g *guarded) set(status, code int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status, g.code = status, code
}

func (g *guarded) headers() []http.Header {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen
}

func (g *guarded) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		g.mu.Lock()
		g.seen = append(g.seen, req.Header.Clone())
		status, code := g.status, g.code
		g.mu.Unlock()
		if status != 0 {
			w.WriteHeader(status)
			return
		}
		conn, err := new(transport.Upgrader).Upgrade(w, req)
		if err != nil {
			return
		}
		defer func() { _ = conn.Abort() }()
		if code != 0 {
			answer(conn)
			_ = conn.Close(code, "")
			return
		}
		answer(conn, okReply)
		alive(conn)
	})
}

func guard(t *testing.T, status, code int) (*relaytest.Relay, *guarded) {
	r := relaytest.NewInMemory(t)
	g := &guarded{status: status, code: code}
	r.Handle(g.handler())
	return r, g
}

// A token that is good for one connection: each attempt carries a fresh one, after
// a failure and after a loss, beside the headers, which stay the same.
func TestT27_EachAttemptCarriesAFreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, g := guard(t, 503, 0)
		c := r.Client("a", relay.WithTokenSource(new(tokens).next),
			relay.WithHeader(http.Header{"X-A": {"1", "2"}, "Authorization": {"replaced"}}))
		for range 5 {
			_ = c.TryConnect(t.Context())
		}
		g.set(0, 0)
		connect(t, c)
		const losses = 20
		for range losses {
			time.Sleep(time.Minute) // healthy: the next attempt comes within a second
			r.Cut()
			time.Sleep(time.Second)
		}
		if n := len(g.headers()); n != 6+losses {
			t.Fatalf("%d attempts, want %d", n, 6+losses)
		}
		for i, header := range g.headers() {
			if got := header["Authorization"]; len(got) != 1 || got[0] != fmt.Sprintf("Bearer token-%d", i+1) {
				t.Errorf("attempt %d: Authorization %q", i, got)
			}
			if got := header["X-A"]; len(got) != 2 || got[0] != "1" || got[1] != "2" {
				t.Errorf("attempt %d: X-A %q", i, got)
			}
		}
		if n := c.Stats().Connects; n != 1+losses {
			t.Errorf("%d connects", n)
		}
	})
}

func TestUserinfoIsSentAsBasicAuthorization(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, g := guard(t, 503, 0)
		c, err := relay.New(strings.Replace(r.URL, "ws://", "ws://user:password@", 1), relay.WithDialContext(r.DialContext))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.TryConnect(t.Context())
		_ = c.Close()
		if user, password, ok := (&http.Request{Header: g.headers()[0]}).BasicAuth(); !ok || user != "user" || password != "password" {
			t.Errorf("user %q, password %q", user, password)
		}
	})
}

// An error, a panic, an end of the goroutine: each is a failed attempt, which is
// retried, and tells its cause.
func TestT27_AFailingTokenSourceIsRetried(t *testing.T) {
	boom := errors.New("the vault is closed")
	tests := []struct {
		name   string
		source func(context.Context) (string, error)
		is     func(error) bool
	}{
		{"an error", func(context.Context) (string, error) { return "", boom }, func(err error) bool { return errors.Is(err, boom) }},
		{"a panic", func(context.Context) (string, error) { panic(boom) }, func(err error) bool {
			caught, ok := errors.AsType[*supervisor.PanicError](err)
			return ok && caught.Value == boom && len(caught.Stack) > 0 && errors.Is(err, boom)
		}},
		{"a panic with a text", func(context.Context) (string, error) { panic("boom") }, func(err error) bool {
			caught, ok := errors.AsType[*supervisor.PanicError](err)
			return ok && caught.Value == "boom"
		}},
		{"an end of its goroutine", func(context.Context) (string, error) { runtime.Goexit(); return "", nil }, func(err error) bool {
			return err != nil
		}},
		{"a context of its own that ends", func(ctx context.Context) (string, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			<-ctx.Done()
			return "", ctx.Err()
		}, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		{"an end that is not of its context", func(context.Context) (string, error) { return "", context.Canceled },
			func(err error) bool { return errors.Is(err, context.Canceled) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, g := guard(t, 0, 0)
				var asked tokens
				c := r.Client("a", relay.WithTokenSource(func(ctx context.Context) (string, error) {
					if token, err := asked.next(ctx); asked.n.Load() > 5 {
						return token, err
					}
					return test.source(ctx)
				}))
				err := c.TryConnect(t.Context())
				if !test.is(err) || !strings.Contains(err.Error(), "token source") {
					t.Errorf("%v", err)
				}
				if err := connectWithin(t, c, 5*time.Minute); err != nil {
					t.Fatal(err)
				}
				if n := len(g.headers()); asked.n.Load() != 6 || n != 1 {
					t.Errorf("asked %d times, %d handshakes; want 6 and 1", asked.n.Load(), n)
				}
			})
		})
	}
}

// A source that never answers costs an attempt its bound, and is called once at a
// time.
func TestT27_ATokenSourceThatBlocksIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, g := guard(t, 0, 0)
		release := make(chan struct{})
		var running atomic.Int64
		c := r.Client("a", relay.WithTimeout(3*time.Second), relay.WithTokenSource(func(context.Context) (string, error) {
			running.Add(1)
			defer running.Add(-1)
			<-release // deaf to its context
			return "late", nil
		}))
		start := time.Now()
		err := c.TryConnect(t.Context())
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "token source") || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		c.Inbox()
		time.Sleep(time.Minute)
		if n := running.Load(); n != 1 {
			t.Errorf("%d calls at a time, want one: it is never called twice at a time", n)
		}
		if d := took(func() { _ = c.Close() }); d > 3*time.Second {
			t.Errorf("Close took %v", d)
		}
		close(release)
		if n := len(g.headers()); n != 0 {
			t.Errorf("%d handshakes without a token", n)
		}
	})
}

// injections are tokens that would be more than one header line.
var injections = []string{"a\r\nX-Evil: 1", "a\r\n\r\nGET /Evil HTTP/1.1", "a\nb", "a\rb", "a\r\n", "\r\n", "\x00", "a\x7fb"}

func TestT27_ATokenThatNoHeaderCanCarryEndsTheClient(t *testing.T) {
	for _, token := range injections {
		t.Run(fmt.Sprintf("%q", token), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, g := guard(t, 0, 0)
				c := r.Client("a", relay.WithTokenSource(func(context.Context) (string, error) { return token, nil }))
				checkInjection(t, c)
				if n := len(g.headers()); n != 0 {
					t.Errorf("%d handshakes", n)
				}
			})
		})
	}
}

// checkInjection checks that a client ends because of its token, without
// repeating it.
func checkInjection(t *testing.T, c *relay.Client) {
	t.Helper()
	err := c.Connect(t.Context())
	if !errors.Is(err, relay.ErrClosed) || !errors.Is(c.Err(), transport.ErrInvalidHeader) || !errors.Is(err, transport.ErrInvalidHeader) {
		t.Errorf("%v, the end is %v; want the end because of a header", err, c.Err())
	}
	if text := err.Error(); strings.Contains(text, "Evil") || !strings.Contains(text, "token source") {
		t.Errorf("%q", text)
	}
}

// Over sockets not a byte leaves, not even a connection is made.
func TestT27_NoByteOfAnInjectionIsSent(t *testing.T) {
	leavesNothing(t)
	for _, token := range injections {
		url, accepted := wireRelay(t, func(net.Conn) bool { return true })
		c, err := relay.New(url, relay.WithTokenSource(func(context.Context) (string, error) { return token, nil }))
		if err != nil {
			t.Fatal(err)
		}
		checkInjection(t, c)
		_ = c.Close()
		if n := accepted.Load(); n != 0 {
			t.Errorf("%q: %d connections", token, n)
		}
	}
}

// refusals of a token, before the WebSocket and after it.
var refusals = []struct {
	name         string
	status, code int
}{
	{"HTTP 401", 401, 0},
	{"close code 4001", 0, 4001},
}

func TestT27_ARefusedTokenIsTriedFreshExactlyOnce(t *testing.T) {
	for _, refusal := range refusals {
		t.Run(refusal.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, g := guard(t, refusal.status, refusal.code)
				c := r.Client("a", relay.WithTokenSource(new(tokens).next))
				err := c.Connect(t.Context())
				if !errors.Is(err, relay.ErrClosed) || len(g.headers()) != 2 {
					t.Fatalf("%v after %d attempts, want the end after two", err, len(g.headers()))
				}
				first, second := g.headers()[0].Get("Authorization"), g.headers()[1].Get("Authorization")
				if first != "Bearer token-1" || second != "Bearer token-2" {
					t.Errorf("tokens %q and %q", first, second)
				}
			})
			synctest.Test(t, func(t *testing.T) {
				r, g := guard(t, refusal.status, refusal.code)
				if err := r.Client("a").Connect(t.Context()); err == nil || len(g.headers()) != 1 {
					t.Errorf("without a token source: %v after %d attempts, want one", err, len(g.headers()))
				}
			})
		})
	}
}

func TestT27_AFreshTokenThatWorksEarnsAnotherChance(t *testing.T) {
	for _, refusal := range refusals {
		t.Run(refusal.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, g := guard(t, 0, 0)
				c := r.Client("a", relay.WithTokenSource(new(tokens).next))
				connect(t, c)
				for range 3 { // the token expires, and a fresh one works
					time.Sleep(time.Minute)
					g.set(refusal.status, refusal.code)
					before := len(g.headers())
					r.Cut()
					for len(g.headers()) == before {
						time.Sleep(time.Millisecond)
					}
					g.set(0, 0)
					connect(t, c)
				}
				g.set(refusal.status, refusal.code)
				before := len(g.headers())
				r.Cut()
				<-c.Done()
				if n := len(g.headers()) - before; n != 2 {
					t.Errorf("the client ended after %d attempts, want 2", n)
				}
			})
		})
	}
}

// Trouble between the two refusals does not make it three.
func TestT27_ARefusedTokenIsRememberedOverOtherFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, g := guard(t, 401, 0)
		c := r.Client("a", relay.WithTokenSource(new(tokens).next))
		_ = c.TryConnect(t.Context())
		g.set(503, 0)
		_ = c.TryConnect(t.Context())
		g.set(0, 4001)
		err := c.TryConnect(t.Context())
		if refused, ok := errors.AsType[*relay.RegistrationError](err); !ok || refused.Code != 4001 || c.State() != relay.Closed {
			t.Errorf("%v, state %v; want the end with 4001", err, c.State())
		}
	})
}
