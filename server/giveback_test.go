package server

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

// A frame that the socket does not even take, because the peer has said goodbye
// already, goes back to its sender, and the echo comes behind it.
func TestTheFirstFrameAfterTheGoodbyeIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		a := join(t, s).register(alice)
		near, far := transport.Pipe()
		place, _ := s.places.take(netip.Addr{}, s.config())
		c := &conn{s: s, cfg: s.config(), ws: far, place: place}
		s.open(c)
		s.registry.add(bob, c, "", newFrame(s.answerOK))
		c.clients = []Registered{{UUID: bob}}
		b := peer{t, near}
		b.read()
		go near.Close(1000, "")
		if _, _, err := far.ReadFrame(); err == nil { // the reader, before it does anything about it
			t.Fatal("no goodbye")
		}
		a.send(alice, bob, "too late")
		a.send(alice, alice, "echo")
		c.pending.Wait()
		if m := a.receive(); m.Description != "too late" || m.Error != notRegistered(bob) {
			t.Errorf("%+v", m)
		}
		if m := a.receive(); m.Description != "echo" {
			t.Errorf("%+v", m)
		}
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		s.places.give(place)
	})
}

// Also where anybody may be the source, the sender is who sent it.
func TestWhatIsGivenBackGoesToWhoSentIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, WithAnySource())
		a, b := join(t, s).register(alice), join(t, s).register(bob)
		for i := range 40 {
			a.send(carol, bob, fmt.Sprint(i))
		}
		a.send(carol, alice, "echo")
		synctest.Wait()
		b.Abort()
		for returned := 0; ; returned++ {
			m := a.receive()
			if m.Description == "echo" {
				if returned == 0 || s.Stats().Dropped != 0 {
					t.Errorf("%d came back: %+v", returned, s.Stats())
				}
				return
			}
		}
	})
}

// A peer that reads all the time, if slower than it is sent to, loses nothing.
func TestASteadyReaderIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		a, b := join(t, s).register(alice), join(t, s).register(bob)
		const n = 1000
		go func() {
			for i := range n {
				a.send(alice, bob, fmt.Sprint(i, strings.Repeat(" ", 10_000)))
			}
		}()
		for i := range n { // 100 KB a second
			if m := b.receive(); !strings.HasPrefix(m.Description, fmt.Sprint(i, " ")) {
				t.Fatalf("%.20q instead of %d", m.Description, i)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if st := s.Stats(); st.BouncedUnreadPeer != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// Who keeps a peer's queue full does not keep it from registering.
func TestAClientWhoseQueueIsFullCanRegister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, WithQueueBytes(100), WithWriteTimeout(time.Hour), WithKeepalive(time.Hour, time.Hour))
		a, b := join(t, s).register(alice), join(t, s).register(bob)
		for range 30 { // more than fits
			a.send(alice, bob, "")
		}
		time.Sleep(1100 * time.Millisecond)
		if s.Stats().BouncedUnreadPeer == 0 {
			t.Fatal("bob's queue is not full")
		}
		b.write(encode(codec.Registration{Name: "test", UUID: carol}))
		synctest.Wait()
		for {
			if frame := b.read(); frame == registered {
				break
			}
		}
		a.send(alice, carol, "welcome")
		for {
			if m := b.receive(); m.PeerUUID == carol {
				break
			}
		}
	})
}
