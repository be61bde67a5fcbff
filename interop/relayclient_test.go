package interop

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/transport"
)

// The tests in the files relayclient*_test.go are named after what the
// documentation of the real RelayClient lists: arguments, properties, methods,
// exceptions. Each shows that ours does that, on the real relay and on ours.

func TestRelayClient_address(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		for _, path := range []string{"", "/", "/any/path?and=query"} {
			c := newClient(t, r.URL()+path)
			if err := c.TryConnect(soon(t)); err != nil {
				t.Errorf("with the path %q: %v", path, err)
			}
		}
	})
}

func TestRelayClient_ValueError(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "127.0.0.1:8700", "http://127.0.0.1:8700", "WS//127.0.0.1", "ws:/127.0.0.1", "ws://", "wss://", "://", "ws://127.0.0.1:x"} {
		if c, err := relay.New(address); !errors.Is(err, relay.ErrAddress) || c != nil {
			t.Errorf("New(%q): %v, want ErrAddress", address, err)
		}
		if _, err := relay.Dial(soon(t), address); !errors.Is(err, relay.ErrAddress) {
			t.Errorf("Dial(%q): %v, want ErrAddress", address, err)
		}
	}
}

func TestRelayClient_client_name(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	onEachRelay(t, func(t *testing.T, r testRelay) {
		for name, c := range map[string]*relay.Client{
			host:    newClient(t, r.URL()),
			"alice": newClient(t, r.URL(), relay.WithName("alice")),
		} {
			send(t, c, c.UUID(), "who am I?")
			if m := receive(t, c); m.SourceName != name || c.Name() != name {
				t.Errorf("the client is called %q and writes as %q, want %q", c.Name(), m.SourceName, name)
			}
		}
	})
}

func TestRelayClient_client_uuid(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		id := uuid.New()
		given := newClient(t, r.URL(), relay.WithUUID(id))
		random, other := newClient(t, r.URL()), newClient(t, r.URL())
		connect(t, given, random, other)
		if given.UUID() != id {
			t.Errorf("UUID is %v, want the given %v", given.UUID(), id)
		}
		if random.UUID() == other.UUID() || random.UUID().Version() != 4 {
			t.Errorf("default UUIDs are %v and %v, want two random ones", random.UUID(), other.UUID())
		}
		for _, c := range []*relay.Client{given, random} {
			send(t, other, c.UUID(), "found you")
			if m := receive(t, c); m.Description != "found you" || m.SourceUUID != other.UUID() {
				t.Errorf("received %+v", m)
			}
		}
	})
}

func TestRelayClient_extra_headers(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		for _, kind := range bothKind {
			recorded := record(t, r)
			p := kind.new(t, recorded.URL, peerConfig{header: map[string]string{"Authorization": "Bearer secret", "X-Extra": "one, two"}})
			connect(t, p)
			if got := recorded.headers("authorization"); !slices.Equal(got, []string{"[Bearer secret]"}) {
				t.Errorf("%s: Authorization was %v", kind.name, got)
			}
			if got := recorded.headers("x-extra"); !slices.Equal(got, []string{"[one, two]"}) {
				t.Errorf("%s: X-Extra was %v", kind.name, got)
			}
		}
	})
	t.Run("sent again at each connection", func(t *testing.T) {
		r := startRelay(t, ourKind)
		recorded := record(t, r)
		c := newClient(t, recorded.URL, peerConfig{header: map[string]string{"X-Extra": "again"}}.options()...)
		connect(t, c)
		r.Kill(t)
		r.Start(t)
		eventually(t, patience, "reconnected", func() bool { return c.Stats().Connects == 2 })
		for i, got := range recorded.headers("x-extra") {
			if got != "[again]" {
				t.Errorf("attempt %d: X-Extra was %v", i+1, got)
			}
		}
	})
}

func TestRelayClient_reconnect_task(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		eager := newClient(t, r.URL(), peerConfig{}.options()...)
		lazy := newClient(t, r.URL(), peerConfig{noReconnect: true}.options()...)
		connect(t, eager, lazy)
		r.Stop(t)
		eventually(t, patience, "the loss is noticed", func() bool {
			return eager.State() != relay.Connected && lazy.State() != relay.Connected
		})
		r.Start(t)
		eventually(t, patience, "true: reconnects by itself", func() bool { return eager.State() == relay.Connected })
		if s := lazy.State(); s != relay.Idle || lazy.Stats().Connects != 1 {
			t.Errorf("false: is %v after %d connects without being asked", s, lazy.Stats().Connects)
		}
		send(t, lazy, lazy.UUID(), "now")
		if m := receive(t, lazy); m.Description != "now" || lazy.Stats().Connects != 2 {
			t.Errorf("false: received %+v after %d connects", m, lazy.Stats().Connects)
		}
	})
}

func TestRelayClient_ssl_context(t *testing.T) {
	t.Parallel()
	cert := newCertificate(t)
	for _, kind := range []relayKind{realKind, ourKind} {
		t.Run(kind.name, func(t *testing.T) {
			r := kind.new(t, cert)
			r.Start(t)
			c := newClient(t, r.URL(), peerConfig{trusts: cert}.options()...)
			send(t, c, c.UUID(), "secret")
			if m := receive(t, c); m.Description != "secret" {
				t.Errorf("received %+v", m)
			}
		})
	}
}

func TestRelayClient_verify_certificate(t *testing.T) {
	t.Parallel()
	cert := newCertificate(t)
	for _, kind := range []relayKind{realKind, ourKind} {
		t.Run(kind.name, func(t *testing.T) {
			r := kind.new(t, cert)
			r.Start(t)
			careless := newClient(t, r.URL(), peerConfig{insecure: true}.options()...)
			connect(t, careless)
			// The real client tries again for ever; to ours it is permanent.
			wary := newClient(t, r.URL())
			err := wary.Connect(soon(t))
			if handshake, ok := errors.AsType[*transport.HandshakeError](err); !ok || handshake.Step != transport.StepTLS {
				t.Errorf("Connect: %v, want a *transport.HandshakeError at TLS", err)
			}
			<-wary.Done()
		})
	}
}

func TestRelayClient_timeout(t *testing.T) {
	t.Parallel()
	const bound = 300 * time.Millisecond
	onEachRelay(t, func(t *testing.T, r testRelay) {
		c := newClient(t, r.URL(), relay.WithTimeout(patience))
		connect(t, c)
	})
	for _, kind := range []relayKind{realKind, ourCommandKind} {
		t.Run(kind.name+", frozen", func(t *testing.T) {
			r := startRelay(t, kind)
			r.(interface{ Freeze() }).Freeze()
			timesOut(t, r.URL(), bound, "the upgrade is not answered", func(err error) bool {
				return errors.Is(err, context.DeadlineExceeded)
			})
		})
	}
	t.Run("a server that says nothing", func(t *testing.T) {
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		timesOut(t, "ws://"+listener.Addr().String(), bound, "the upgrade is not answered", func(err error) bool {
			return errors.Is(err, context.DeadlineExceeded)
		})
	})
	t.Run("no reply to the registration", func(t *testing.T) {
		timesOut(t, scriptedRelay(t, waitForEnd), bound, "a RegistrationError", func(err error) bool {
			refusal, ok := errors.AsType[*relay.RegistrationError](err)
			return ok && refusal.Code == 0
		})
	})
}

// timesOut checks that one attempt fails in the given time, and as it should.
func timesOut(t *testing.T, url string, bound time.Duration, what string, want func(error) bool) {
	t.Helper()
	c := newClient(t, url, relay.WithTimeout(bound))
	began := time.Now()
	err := c.TryConnect(soon(t))
	if took := time.Since(began); took < bound || took > bound+5*time.Second {
		t.Errorf("gave up after %v, want %v", took, bound)
	}
	if err == nil || !want(err) {
		t.Errorf("TryConnect: %v, want: %s", err, what)
	}
}

func TestRelayClient_name(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		for _, kind := range bothKind {
			p := kind.new(t, r.URL(), peerConfig{name: "alice"})
			if p.Name() != "alice" {
				t.Errorf("%s: the name is %q before connecting", kind.name, p.Name())
			}
			connect(t, p)
			if p.Name() != "alice" {
				t.Errorf("%s: the name is %q when connected", kind.name, p.Name())
			}
		}
	})
}

func TestRelayClient_uuid(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		for _, kind := range bothKind {
			id := uuid.New()
			p := kind.new(t, r.URL(), peerConfig{uuid: id})
			connect(t, p)
			if p.UUID() != id {
				t.Errorf("%s: the UUID is %v, want %v", kind.name, p.UUID(), id)
			}
		}
	})
}

func TestRelayClient_websocket(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		// What the real client shows by giving its websocket or raising
		// RelayNotConnectedError, ours shows by its State.
		real := startPythonPeer(t, r.URL(), peerConfig{noReconnect: true})
		ours := newClient(t, r.URL(), peerConfig{noReconnect: true}.options()...)
		if real.connected(t) || ours.State() != relay.Idle {
			t.Errorf("new: connected is %v, State is %v", real.connected(t), ours.State())
		}
		connect(t, real, ours)
		if !real.connected(t) || ours.State() != relay.Connected {
			t.Errorf("connected: connected is %v, State is %v", real.connected(t), ours.State())
		}
		r.Stop(t)
		eventually(t, patience, "the loss shows", func() bool { return !real.connected(t) && ours.State() == relay.Idle })
		if err := ours.Close(); err != nil || ours.State() != relay.Closed {
			t.Errorf("closed: %v, State is %v", err, ours.State())
		}
	})
}
