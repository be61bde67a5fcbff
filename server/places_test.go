package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
)

func TestConnectionsWithoutARegistrationAreCounted(t *testing.T) {
	s := newServer(t, WithMaxUnregistered(2))
	url := listen(t, s)
	dial(t, url).register(alice) // does not count
	silent := dial(t, url)
	dial(t, url)
	status, _, retry := refusal(t, url)
	if status != 503 || retry == "" {
		t.Error(status, retry)
	}
	silent.register(bob)
	dial(t, url).register(carol)
	if st := s.Stats(); st.RejectedUnregistered != 1 || st.Unregistered != 1 || st.Connections != 4 {
		t.Errorf("%+v", st)
	}
}

func TestConnectionsOfAnAddressAreCounted(t *testing.T) {
	s := newServer(t, WithMaxConnectionsPerAddress(2))
	url := listen(t, s)
	first := dial(t, url)
	dial(t, url)
	status, body, retry := refusal(t, url)
	if status != 429 || body != "Too many connections from this address." || retry == "" {
		t.Error(status, body, retry)
	}
	if n := s.Stats().RejectedAddress; n != 1 {
		t.Errorf("%d rejected", n)
	}
	first.Abort()
	eventually(t, "its place is free", func() bool { return s.Stats().Connections == 1 })
	dial(t, url)
}

func TestConnectionsOfAUserAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, WithMaxConnectionsPerUser(2), WithAuthenticator(becoming("x", "x", "x", "x", "y", "x")))
		first := join(t, s).register(alice, alice) // again is not more
		join(t, s).register(bob)
		third := join(t, s)
		third.write(encode(codec.Registration{Name: "third", UUID: carol}))
		third.expectClose(1013, "Too many connections of this user.")
		join(t, s).register(carol)
		first.Close(1000, "")
		synctest.Wait()
		join(t, s).register(dave)
		if st := s.Stats(); st.RefusedUser != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestNothingIsKeptOfWhoHasLeft(t *testing.T) {
	s := newServer(t, WithAuthenticator(becoming("x", "y")))
	url := listen(t, s)
	a, b, c := dial(t, url).register(alice), dial(t, url).register(bob), dial(t, url)
	for _, p := range []peer{a, b, c} {
		p.Abort()
	}
	eventually(t, "all have left", func() bool { return s.Stats().Connections == 0 })
	if n, m, u := len(s.places.byAddress), len(s.places.byUser), s.Stats().Unregistered; n != 0 || m != 0 || u != 0 {
		t.Errorf("%d addresses, %d users, %d unregistered are left", n, m, u)
	}
}

func TestWhenceARequestComes(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	tests := []struct {
		name, peer      string
		forwarded       []string
		remote, counted string
	}{
		{"without a proxy", "192.0.2.1:5000", nil, "192.0.2.1:5000", "192.0.2.1"},
		{"who is no proxy is not believed", "192.0.2.1:5000", []string{"198.51.100.7"}, "192.0.2.1:5000", "192.0.2.1"},
		{"a proxy that says nothing", "10.0.0.1:5000", nil, "10.0.0.1", "10.0.0.1"},
		{"a proxy is believed", "10.0.0.1:5000", []string{"198.51.100.7"}, "198.51.100.7", "198.51.100.7"},
		{"the client's own claim is not", "10.0.0.1:5000", []string{"203.0.113.9, 198.51.100.7"}, "198.51.100.7", "198.51.100.7"},
		{"nor in a header of its own", "10.0.0.1:5000", []string{"203.0.113.9", "198.51.100.7"}, "198.51.100.7", "198.51.100.7"},
		{"two proxies", "10.0.0.1:5000", []string{"203.0.113.9, 198.51.100.7, 10.9.9.9"}, "198.51.100.7", "198.51.100.7"},
		{"nothing but proxies", "10.0.0.1:5000", []string{"10.1.1.1, 10.2.2.2"}, "10.1.1.1", "10.1.1.1"},
		{"nonsense behind a proxy", "10.0.0.1:5000", []string{"203.0.113.9, nonsense, 10.2.2.2"}, "10.2.2.2", "10.2.2.2"},
		{"with a port", "10.0.0.1:5000", []string{"198.51.100.7:1234"}, "198.51.100.7", "198.51.100.7"},
		{"IPv6 with a port", "[fd00::1]:5000", []string{"[2001:db8:1:2:3:4:5:6]:1234"}, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		{"IPv6 counts by its /64", "[2001:db8:1:2:3:4:5:6]:5000", nil, "[2001:db8:1:2:3:4:5:6]:5000", "2001:db8:1:2::"},
		{"IPv4 in IPv6", "[::ffff:192.0.2.1]:5000", nil, "[::ffff:192.0.2.1]:5000", "192.0.2.1"},
		{"a Unix socket", "@", nil, "@", "invalid IP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = tt.peer
			for _, v := range tt.forwarded {
				r.Header.Add("X-Forwarded-For", v)
			}
			remote, address := origin(r, proxies)
			if remote != tt.remote || address.String() != tt.counted {
				t.Errorf("%s, counted as %s; want %s, %s", remote, address, tt.remote, tt.counted)
			}
		})
	}
}

func TestReconfigureChangesTheLimits(t *testing.T) {
	s := newServer(t, WithMaxConnections(1))
	url := listen(t, s)
	old := dial(t, url).register(alice)
	if status, _, _ := refusal(t, url); status != 503 {
		t.Error(status)
	}
	if err := s.Reconfigure(WithMaxConnections(2), WithMaxMessageBytes(-1)); err == nil {
		t.Error("nonsense was taken")
	}
	if status, _, _ := refusal(t, url); status != 503 {
		t.Error("a refused configuration has changed something:", status)
	}
	if err := s.Reconfigure(WithMaxConnections(2), WithMaxMessageBytes(300)); err != nil {
		t.Fatal(err)
	}
	p := dial(t, url).register(bob)
	large := message(bob, bob, fmt.Sprintf("%300d", 0))
	p.write(large)
	p.expectClose(4003, "Message length exceeds limit.")
	old.write(message(alice, alice, fmt.Sprintf("%300d", 0))) // keeps what it was opened with
	old.receive()
}

func TestShutdownSpreadsTheEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		spread, gap time.Duration
		took        time.Duration
	}{
		"none":         {0, 0, 0},
		"few":          {10 * time.Second, 10 * time.Millisecond, 40 * time.Millisecond},
		"many in time": {20 * time.Millisecond, 4 * time.Millisecond, 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, WithShutdownSpread(tt.spread))
				start, ends := time.Now(), make(chan time.Duration, 5)
				for range cap(ends) {
					p := join(t, s)
					go func() {
						p.expectClose(1001, "")
						ends <- time.Since(start)
					}()
				}
				synctest.Wait()
				if err := s.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				var at []time.Duration
				for range cap(ends) {
					at = append(at, <-ends)
				}
				slices.Sort(at)
				for i, d := range at {
					if want := time.Duration(i) * tt.gap; d != want {
						t.Errorf("end %d after %v, want %v", i, d, want)
					}
				}
			})
		})
	}
}

// What ends take, such as their lines in a slow log, does not add to the window.
func TestT33_ShutdownKeepsToItsWindowWhenEndsAreSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, gap = 20, 5 * time.Millisecond
		s := newServer(t, WithShutdownSpread(n*gap), WithLogger(slog.New(slowLog{slog.DiscardHandler})))
		var start time.Time
		ends := make(chan time.Duration, n)
		for range n {
			p := join(t, s).register(uuid.New())
			go func() {
				p.expectClose(1001, "")
				ends <- time.Since(start)
			}()
		}
		synctest.Wait()
		start = time.Now()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		var at []time.Duration
		for range n {
			at = append(at, <-ends)
		}
		slices.Sort(at)
		for i, d := range at {
			if want := time.Duration(i) * gap; d != want {
				t.Errorf("end %d after %v, want %v", i, d, want)
			}
		}
	})
}

// A slowLog takes 3 ms for the line of a client that has gone.
type slowLog struct{ slog.Handler }

func (slowLog) Enabled(context.Context, slog.Level) bool { return true }

func (slowLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "unregistered" {
		time.Sleep(3 * time.Millisecond)
	}
	return nil
}
