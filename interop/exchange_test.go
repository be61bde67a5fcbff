package interop

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
)

// onEachPair runs the test for both kinds of peer on both sides, on each kind of
// relay, a fresh one each time.
func onEachPair(t *testing.T, test func(t *testing.T, r testRelay, first, second peerKind)) {
	t.Helper()
	for _, kind := range []relayKind{realKind, ourKind} {
		for _, first := range bothKind {
			for _, second := range bothKind {
				t.Run(first.name+" and "+second.name+" on "+kind.name, func(t *testing.T) {
					test(t, startRelay(t, kind), first, second)
				})
			}
		}
	}
}

func TestPeers_talk_to_each_other(t *testing.T) {
	t.Parallel()
	onEachPair(t, func(t *testing.T, r testRelay, first, second peerKind) {
		alice := first.new(t, r.URL(), peerConfig{name: "alice é 漢 😀"})
		bob := second.new(t, r.URL(), peerConfig{name: "bob"})
		connect(t, alice, bob)

		t.Run("in order both ways at the same time", func(t *testing.T) {
			var running sync.WaitGroup
			for _, way := range [][2]peer{{alice, bob}, {bob, alice}} {
				running.Go(func() { sendNumbered(t, way[0], way[1].UUID(), 200) })
				running.Go(func() { receiveNumbered(t, way[1], way[0], 200) })
			}
			running.Wait()
		})
		t.Run("any text", func(t *testing.T) {
			for _, text := range []string{"", string(oddRunes), "{\"sdp\": \"v=0\\r\\n\"}", strings.Repeat("漢😀", 5000)} {
				send(t, alice, bob.UUID(), text)
				m := receive(t, bob)
				if m.Description != text || m.SourceName != alice.Name() || m.SourceUUID != alice.UUID() || m.PeerUUID != bob.UUID() ||
					m.DescriptionType != relay.Offer || m.Undelivered() {
					t.Errorf("received %.200q, want the description %.100q from %s", fmt.Sprint(m), text, alice.Name())
				}
			}
		})
		t.Run("900 KB", func(t *testing.T) {
			text := strings.Repeat("0123456789abcdef", 900<<10/16)
			send(t, alice, bob.UUID(), text)
			send(t, bob, alice.UUID(), text)
			for _, p := range []peer{alice, bob} {
				if m := receive(t, p); m.Description != text {
					t.Errorf("%s received %d bytes, not the %d that were sent", p.Name(), len(m.Description), len(text))
				}
			}
		})
		t.Run("what goes to an unknown peer comes back", func(t *testing.T) {
			unknown := uuid.New()
			for _, p := range []peer{alice, bob} {
				send(t, p, unknown, "is anybody there?")
				m := receive(t, p)
				want := "Cannot forward peer connection message to peer " + unknown.String() +
					" because this peer is not registered this relay server."
				if !m.Undelivered() || m.Error != want || m.SourceUUID != p.UUID() || m.PeerUUID != unknown || m.Description != "is anybody there?" {
					t.Errorf("received %+v, want the message back with the error %q", m, want)
				}
			}
		})
		t.Run("to oneself", func(t *testing.T) {
			for _, p := range []peer{alice, bob} {
				send(t, p, p.UUID(), "note to self")
				if m := receive(t, p); m.Description != "note to self" || m.SourceUUID != p.UUID() || m.Undelivered() {
					t.Errorf("received %+v", m)
				}
			}
		})
		t.Run("no more after one has closed", func(t *testing.T) {
			if err := bob.Close(); err != nil {
				t.Fatal(err)
			}
			untilUnregistered(t, alice, bob.UUID())
		})
	})
}

// sendNumbered reports with Errorf, as do all that run beside the test.
func sendNumbered(t *testing.T, from peer, to uuid.UUID, n int) {
	for i := range n {
		if err := from.Send(soon(t), offer(to, fmt.Sprint(i))); err != nil {
			t.Errorf("%s sends message %d: %v", from.Name(), i, err)
			return
		}
	}
}

func receiveNumbered(t *testing.T, p, from peer, n int) {
	for i := range n {
		m, err := p.Recv(soon(t))
		if err != nil || m.Description != fmt.Sprint(i) || m.SourceUUID != from.UUID() || m.SourceName != from.Name() {
			t.Errorf("%s received %.200q, %v; want number %d from %s", p.Name(), fmt.Sprint(m), err, i, from.Name())
			return
		}
	}
}

const takenOver = "Relay received a registration with the same ID. " +
	"This might mean that the endpoint is running in multiple locations."

func TestPeers_the_second_registration_of_a_UUID_takes_it_over(t *testing.T) {
	t.Parallel()
	onEachPair(t, func(t *testing.T, r testRelay, first, second peerKind) {
		id := uuid.New()
		// With a reconnect task, the real client would end its whole process.
		old := first.new(t, r.URL(), peerConfig{name: "old", uuid: id, noReconnect: true})
		connect(t, old)
		// The real client registers again, and so takes over in its turn, when
		// it is called while its connection is closing: so recv waits already.
		lost := startReceiving(t, old)
		heir := second.new(t, r.URL(), peerConfig{name: "heir", uuid: id})
		connect(t, heir)

		err := <-lost
		if first.name == realPeer.name {
			if exception, _ := errors.AsType[*pythonError](err); exception == nil || exception.Class != "ConnectionClosedError" ||
				!strings.Contains(exception.Text, "4004") || !strings.Contains(exception.Text, takenOver) {
				t.Errorf("recv of the old one: %v; want ConnectionClosedError with 4004", err)
			}
			err = old.Send(soon(t), offer(id, "mine!"))
			if exception, _ := errors.AsType[*pythonError](err); exception == nil || exception.Class != "RelayRegistrationError" || exception.Text != takenOver {
				t.Errorf("send of the old one: %v; want RelayRegistrationError: %s", err, takenOver)
			}
		} else if refusal, _ := errors.AsType[*relay.RegistrationError](err); refusal == nil || refusal.Code != 4004 || refusal.Reason != takenOver {
			t.Errorf("Recv of the old one: %v; want a RegistrationError with 4004 and the reason", err)
		}

		send(t, heir, id, "now it is me")
		if m := receive(t, heir); m.Description != "now it is me" || m.Undelivered() {
			t.Errorf("the heir received %+v", m)
		}
	})
}

// startReceiving returns, when the peer is waiting for a message, what will
// bring the error with which that ends.
func startReceiving(t testing.TB, p peer) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	if real, ok := p.(*pythonPeer); ok {
		id, answer := real.request("recv", nil)
		// Requests begin in order: once this is answered, recv waits.
		real.connected(t)
		go func() { // ends within the bound of soon
			_, err := real.await(soon(t), id, answer)
			ended <- err
		}()
		return ended
	}
	go func() { // likewise
		_, err := p.Recv(soon(t))
		ended <- err
	}()
	return ended
}

func TestPeers_talk_over_TLS(t *testing.T) {
	t.Parallel()
	cert := newCertificate(t)
	for _, relayKind := range []relayKind{realKind, ourKind} {
		r := relayKind.new(t, cert)
		r.Start(t)
		for _, kind := range bothKind {
			t.Run(kind.name+" on "+relayKind.name, func(t *testing.T) {
				trusting := kind.new(t, r.URL(), peerConfig{name: "trusting", trusts: cert})
				careless := kind.new(t, r.URL(), peerConfig{name: "careless", insecure: true})
				connect(t, trusting, careless)
				send(t, trusting, careless.UUID(), "secret")
				send(t, careless, trusting.UUID(), "secret")
				for _, p := range []peer{trusting, careless} {
					if m := receive(t, p); m.Description != "secret" {
						t.Errorf("%s received %+v", p.Name(), m)
					}
				}
				wary := kind.new(t, r.URL(), peerConfig{name: "wary"})
				if err := wary.TryConnect(soon(t)); err == nil {
					t.Error("a certificate that nobody vouches for was trusted")
				}
			})
		}
	}
}
