package interop

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
)

// registrations is how often a client has tried to register.
func registrations(c *relay.Client) uint64 {
	s := c.Stats()
	return s.Connects + s.FailedRegistration
}

// Two programs with one UUID wait for the relay, which comes up: they meet there,
// one throws the other out, and that one does not come back.
func TestT30_Of_two_clients_with_one_UUID_one_ends(t *testing.T) {
	t.Parallel()
	const rounds = 5
	onEachRelay(t, func(t *testing.T, r testRelay) {
		most := uint64(0)
		for range rounds {
			r.Stop(t)
			id := uuid.New()
			var both [2]*relay.Client
			var connecting sync.WaitGroup
			for i := range both {
				c := newClient(t, r.URL(), peerConfig{name: "rival", uuid: id}.options()...)
				both[i] = c
				// One of them may have ended before it is found connected.
				connecting.Go(func() { _ = c.Connect(soon(t)) })
			}
			eventually(t, patience, "both have tried in vain", func() bool {
				return both[0].Stats().FailedNetwork > 0 && both[1].Stats().FailedNetwork > 0
			})
			r.Start(t)
			loser, winner := both[0], both[1]
			select {
			case <-loser.Done():
			case <-winner.Done():
				loser, winner = winner, loser
			case <-time.After(patience):
				t.Fatalf("both live: %v, %v", loser.State(), winner.State())
			}
			connecting.Wait()
			refusal, ok := errors.AsType[*relay.RegistrationError](loser.Err())
			if !ok || refusal.Code != 4004 || refusal.UUID != id || refusal.Reason != takenOver || !strings.Contains(loser.Err().Error(), id.String()) {
				t.Errorf("the loser ended with %v", loser.Err())
			}
			send(t, winner, id, "mine")
			if m := receive(t, winner); m.Description != "mine" || m.Undelivered() {
				t.Errorf("the winner receives %+v", m)
			}
			for _, c := range both {
				if n := registrations(c); n > 2 {
					t.Errorf("%d registrations: %+v", n, c.Stats())
				} else {
					most = max(most, n)
				}
			}
			if winner.State() != relay.Connected {
				t.Errorf("the winner is %v: %v", winner.State(), winner.Err())
			}
			if err := winner.Close(); err != nil {
				t.Error(err)
			}
		}
		t.Logf("%d rounds, at most %d registrations of a client", rounds, most)
	})
}

// A link that dies leaves the relay with a connection on which nothing comes any
// more. The client finds that out before the relay does, and comes back: it is
// not thrown out as the rival of its own past.
func TestT30_A_client_replaces_its_own_half_open_predecessor(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		var links linkKiller
		c := newClient(t, r.URL(), append(peerConfig{name: "survivor"}.options(),
			relay.WithDialContext(links.dial), relay.WithHeartbeat(500*time.Millisecond, time.Second), relay.WithTimeout(2*time.Second))...)
		t.Cleanup(links.close)
		connect(t, c)
		const deaths = 3
		start := time.Now()
		for i := range uint64(deaths) {
			links.kill()
			eventually(t, 2*patience, "the client is back", func() bool { return c.Stats().Connects == i+2 || c.Err() != nil })
			if c.Err() != nil {
				t.Fatalf("it has ended: %v", c.Err())
			}
			send(t, c, c.UUID(), "back")
			for {
				m, err := c.Recv(soon(t))
				if err != nil {
					t.Fatal(err)
				}
				if m.Description == "back" && !m.Undelivered() {
					break
				}
			}
		}
		s := c.Stats()
		if s.Silent < deaths || s.State != relay.Connected {
			t.Errorf("%+v", s)
		}
		if n := registrations(c) - 1; n > 2*deaths {
			t.Errorf("%d registrations after %d deaths, want 2 each at most", n, deaths)
		}
		t.Logf("%d dead links in %v: %d registrations after the first, %d of them unanswered", deaths, time.Since(start).Round(time.Millisecond), registrations(c)-1, s.FailedRegistration)
	})
}

// A linkKiller makes links that can die: both sockets stay open, and no byte
// passes any more.
type linkKiller struct {
	mu    sync.Mutex
	links []*deadlyLink
}

func (k *linkKiller) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	link := &deadlyLink{Conn: conn, gone: make(chan struct{})}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.links = append(k.links, link)
	return link, nil
}

// kill ends all links there are.
func (k *linkKiller) kill() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, link := range k.links {
		link.dead.Store(true)
		_ = link.Conn.SetReadDeadline(time.Now()) // its reader stands still from here on
	}
}

// close closes the sockets of the dead.
func (k *linkKiller) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, link := range k.links {
		link.Conn.Close()
	}
}

type deadlyLink struct {
	net.Conn
	dead   atomic.Bool
	gone   chan struct{} // closed by the first Close
	closed sync.Once
}

func (l *deadlyLink) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if l.dead.Load() {
		<-l.gone
		return 0, net.ErrClosed
	}
	return n, err
}

func (l *deadlyLink) Write(p []byte) (int, error) {
	if l.dead.Load() {
		return len(p), nil
	}
	return l.Conn.Write(p)
}

func (l *deadlyLink) SetDeadline(at time.Time) error {
	return errors.Join(l.SetReadDeadline(at), l.Conn.SetWriteDeadline(at))
}

func (l *deadlyLink) SetReadDeadline(at time.Time) error {
	if l.dead.Load() {
		return os.ErrClosed
	}
	return l.Conn.SetReadDeadline(at)
}

// Close leaves a dead link's socket open: the other side hears nothing of it.
func (l *deadlyLink) Close() error {
	l.closed.Do(func() { close(l.gone) })
	if l.dead.Load() {
		return nil
	}
	return l.Conn.Close()
}
