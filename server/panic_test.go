package server

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay/codec"
)

// A client whose Authenticator panics is closed with a code after which it
// tries again; who is registered notices nothing.
func TestT50_APanicOfTheAuthenticatorRefusesOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out syncBuffer
		mad := false
		s := newServer(t, WithLogger(slog.New(slog.NewTextHandler(&out, nil))), WithAuthenticator(asks(func(context.Context, *Credentials) (User, error) {
			if mad {
				panic("not today")
			}
			return User{ID: "x"}, nil
		})))
		a, b := join(t, s).register(alice), join(t, s).register(bob)
		mad = true
		const victims = 5
		for range victims {
			victim := join(t, s)
			victim.write(encode(codec.Registration{Name: "victim", UUID: carol}))
			victim.expectClose(1011, "")
			a.send(alice, bob, "meanwhile")
			b.receive()
			time.Sleep(2 * time.Second) // of which the log tells one a second
		}
		mad = false
		a.send(alice, bob, "afterwards")
		b.receive()
		c := join(t, s).register(carol)
		c.send(carol, alice, "well again")
		a.receive()
		synctest.Wait() // a message is counted after it is handed over
		if st := s.Stats(); st.RefusedAuth != victims || st.Registrations != 3 || st.Clients != 3 || st.Forwarded != victims+2 || st.Closed[1011] != victims {
			t.Errorf("%+v", st)
		}
		if n := strings.Count(out.String(), "panicked: not today"); n != victims {
			t.Errorf("the log tells of %d panics: %s", n, out.String())
		}
	})
}

// moody is a log handler that panics whenever it is asked anything.
type moody struct{ panics atomic.Uint64 }

func (m *moody) think() { m.panics.Add(1); panic("not today") }

func (m *moody) Enabled(_ context.Context, level slog.Level) bool {
	if level == slog.LevelDebug {
		m.think()
	}
	return true
}
func (m *moody) Handle(context.Context, slog.Record) error { m.think(); return nil }
func (m *moody) WithAttrs([]slog.Attr) slog.Handler        { m.think(); return m }
func (m *moody) WithGroup(string) slog.Handler             { m.think(); return m }

// A log handler that panics costs its lines, which are counted, and no
// connection, whichever goroutine of it logs.
func TestT50_APanicOfTheLogHandlerCostsTheLine(t *testing.T) {
	m := new(moody)
	s := newServer(t, WithLogger(slog.New(m)))
	url := listen(t, s)
	a, b := dial(t, url).register(alice), dial(t, url).register(bob)
	for range 10 {
		a.send(alice, bob, "hello")
		b.receive()
		a.send(alice, carol, "nobody there")
		a.receive()
	}
	if err := s.Reconfigure(WithLogger(slog.New(m))); err != nil {
		t.Fatal(err)
	}
	bad := dial(t, url).register(dave)
	bad.write("[]")
	bad.expectClose(4000, reasonUnknown)
	dial(t, url).register(bob)
	b.expectClose(4004, reasonTaken)
	eventually(t, "both are gone, and the last message is counted", func() bool {
		st := s.Stats()
		return st.Connections == 2 && st.Forwarded == 10
	})
	st := s.Stats()
	if st.BouncedUnknownPeer != 10 || st.Registrations != 4 || st.Closed[4000] != 1 || st.Closed[4004] != 1 {
		t.Errorf("%+v", st)
	}
	if n := m.panics.Load(); st.LogPanics != n || n < 15 {
		t.Errorf("%d panics, %d counted", n, st.LogPanics)
	}
}
