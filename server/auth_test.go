package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

// asks is an Authenticator.
type asks func(context.Context, *Credentials) (User, error)

func (f asks) Authenticate(ctx context.Context, c *Credentials) (User, error) { return f(ctx, c) }

// becoming returns an Authenticator that gives its answers in turn.
func becoming(users ...string) asks {
	return func(context.Context, *Credentials) (User, error) {
		id := users[0]
		users = users[1:]
		return User{ID: id, Name: "name of " + id}, nil
	}
}

func TestUsersDoNotReachEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, WithAuthenticator(becoming("x", "y", "x")))
		a, b, c := join(t, s).register(alice), join(t, s).register(bob), join(t, s).register(carol)
		a.send(alice, bob, "to another user")
		if m := a.receive(); m.Error != "The requested peer "+bob.String()+" is owned by a different user." {
			t.Errorf("%+v", m)
		}
		a.send(alice, carol, "to the same")
		if m := c.receive(); m.Description != "to the same" {
			t.Errorf("%+v", m)
		}
		b.send(bob, bob, "to oneself")
		if m := b.receive(); m.Undelivered() || m.Description != "to oneself" {
			t.Errorf("%+v: what came from the other user should not be here", m)
		}
		synctest.Wait() // a message is counted after it is handed over
		if st := s.Stats(); st.BouncedOtherUser != 1 || st.Forwarded != 2 {
			t.Errorf("%+v", st)
		}
	})
}

func TestT41_AUUIDIsItsUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, WithAuthenticator(becoming("x", "y", "x", "y")))
		first := join(t, s).register(alice)
		thief := join(t, s)
		thief.write(encode(codec.Registration{Name: "thief", UUID: alice}))
		thief.expectClose(4002, "ForbiddenError: The client UUID "+alice.String()+" is already registered to another user.")
		first.send(alice, alice, "still there")
		first.receive()

		second := join(t, s).register(alice) // the same user
		first.expectClose(4004, takenOver)
		second.Close(1000, "")
		synctest.Wait()
		join(t, s).register(alice) // nobody's any more
		synctest.Wait()            // it is counted after it is answered
		if st := s.Stats(); st.RefusedOwned != 1 || st.Takeovers != 1 || st.Registrations != 3 {
			t.Errorf("%+v", st)
		}
	})
}

// The bounce of a lost message goes to who has the sender's UUID now, but not if
// that is another user.
func TestNothingIsGivenBackToAnotherUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, WithAuthenticator(becoming("x", "x", "y")))
		a, b := join(t, s).register(alice), join(t, s).register(bob)
		for range 40 { // bob does not read
			a.send(alice, bob, strings.Repeat("secret", 10<<10))
		}
		a.Close(1000, "")
		synctest.Wait()
		other := join(t, s).register(alice)
		b.Abort()
		synctest.Wait()
		other.send(alice, alice, "mine")
		if m := other.receive(); m.Description != "mine" {
			t.Errorf("another user's message came back: %.80q", m.Description)
		}
		if st := s.Stats(); st.GivenBack != 0 || st.Dropped == 0 {
			t.Errorf("%d given back, %d dropped", st.GivenBack, st.Dropped)
		}
	})
}

func TestWhoMayNotRegisterIsClosed(t *testing.T) {
	const canary = "canary-b81c"
	tests := []struct {
		name   string
		answer error
		panics bool
		code   int
		reason string
		logged string
		count  func(Stats) uint64
	}{
		{"unauthorized", &RefusedError{Code: CodeUnauthorized, Reason: "UnauthorizedError: no."}, false,
			4001, "UnauthorizedError: no.", "UnauthorizedError: no.", func(s Stats) uint64 { return s.RefusedUnauthorized }},
		{"forbidden, with a cause for the log", &RefusedError{CodeForbidden, "ForbiddenError: no.", errors.New("audience of somebody else")}, false,
			4002, "ForbiddenError: no.", "audience of somebody else", func(s Stats) uint64 { return s.RefusedForbidden }},
		{"a reason that is too long", &RefusedError{CodeForbidden, strings.Repeat("é", 100), nil}, false,
			4002, strings.Repeat("é", 61), "é", func(s Stats) uint64 { return s.RefusedForbidden }},
		{"any other error", errors.New("the endpoint is down"), false,
			1011, "", "the endpoint is down", func(s Stats) uint64 { return s.RefusedAuth }},
		{"a panic", nil, true,
			1011, "", "panicked: oh", func(s Stats) uint64 { return s.RefusedAuth }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out syncBuffer
			s := newServer(t, WithLogger(slog.New(slog.NewTextHandler(&out, nil))),
				WithAuthenticator(asks(func(_ context.Context, c *Credentials) (User, error) {
					if got := c.Header.Get("Authorization"); got != "Bearer "+canary || c.RemoteAddr == "" {
						t.Errorf("credentials: %q from %q", got, c.RemoteAddr)
					}
					if tt.panics {
						panic("oh")
					}
					return User{ID: "ignored"}, tt.answer
				})))
			d := transport.Dialer{Header: http.Header{"Authorization": {"Bearer " + canary}}}
			ws, err := d.Dial(t.Context(), listen(t, s))
			if err != nil {
				t.Fatal(err)
			}
			defer ws.Abort()
			p := peer{t, ws}
			p.write(encode(codec.Registration{Name: "who", UUID: alice}))
			p.expectClose(tt.code, tt.reason)
			if st := s.Stats(); st.Clients != 0 || st.Registrations != 0 || tt.count(st) != 1 {
				t.Errorf("%+v", st)
			}
			if log := out.String(); !strings.Contains(log, tt.logged) || strings.Contains(log, canary) {
				t.Errorf("the log says %s", log)
			}
		})
	}
}

func TestASlowAuthenticatorHoldsUpNobodyElseAndIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := false
		s := newServer(t, WithAuthTimeout(3*time.Second), WithAuthenticator(asks(func(ctx context.Context, _ *Credentials) (User, error) {
			if slow {
				<-ctx.Done()
				return User{}, ctx.Err()
			}
			return User{ID: "x"}, nil
		})))
		a, b := join(t, s).register(alice), join(t, s).register(bob)
		slow = true
		start := time.Now()
		waiting := join(t, s)
		waiting.write(encode(codec.Registration{Name: "waiting", UUID: carol}))
		synctest.Wait()
		a.send(alice, bob, "meanwhile")
		b.receive()
		if d := time.Since(start); d != 0 {
			t.Errorf("others waited for %v", d)
		}
		waiting.expectClose(1011, "")
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("the client waited for %v", d)
		}
		last := join(t, s)
		last.write(encode(codec.Registration{Name: "last", UUID: carol}))
		synctest.Wait()
		start = time.Now()
		for _, p := range []peer{a, b, last} {
			go func() { // answers the goodbye
				for _, _, err := p.ReadFrame(); err == nil; _, _, err = p.ReadFrame() {
				}
				p.Close(1000, "")
			}()
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("Shutdown waited for the Authenticator for %v", d)
		}
	})
}

func TestConnectionsTellWhoIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, WithAuthenticator(becoming("x", "y")))
		opened := time.Now()
		a := join(t, s).register(alice)
		join(t, s)
		synctest.Wait() // the order is theirs
		c := join(t, s).register(bob)
		time.Sleep(time.Second)
		c.send(bob, alice, "of another user")
		c.receive()
		a.send(alice, alice, "hello")
		a.receive()
		a.send(alice, carol, "nobody there")
		a.receive()
		synctest.Wait()
		list := s.Connections()
		if len(list) != 3 || list[0].ID >= list[1].ID || list[1].ID >= list[2].ID {
			t.Fatalf("%+v", list)
		}
		if got := list[0]; got.User != (User{"x", "name of x"}) || len(got.Clients) != 1 || got.Clients[0] != (Registered{alice, "test"}) ||
			!got.Opened.Equal(opened) || got.Received != 3 || got.Sent != 3 || got.ReceivedBytes == 0 || got.SentBytes == 0 || got.Behind {
			t.Errorf("%+v", got)
		}
		if got := list[1]; len(got.Clients) != 0 || got.User != (User{}) || got.Received != 0 {
			t.Errorf("%+v", got)
		}
		if got := list[2]; got.User.ID != "y" || got.Clients[0].UUID != bob {
			t.Errorf("%+v", got)
		}
		if st := s.Stats(); st.Unregistered != 1 || st.Connections != 3 || st.AuthAccepted.Count != 2 || st.Handshake.Count != 2 || st.QueueWait.Count == 0 {
			t.Errorf("%+v", st)
		}
	})
}
