package server

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

const (
	takenOver = "Relay received a registration with the same ID. This might mean that the endpoint is running in multiple locations."
	crowded   = "ForbiddenError: Too many clients are registered on this connection."
)

func TestAConnectionMayRegisterAgainAndMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		a := join(t, s).register(alice, alice, bob, alice)
		a.write(encode(codec.Registration{Name: "another name", UUID: alice}))
		if got := a.read(); got != registered {
			t.Fatal(got)
		}
		c := join(t, s).register(carol)
		for _, id := range []uuid.UUID{alice, bob} {
			c.send(carol, id, "hello")
			if m := a.receive(); m.PeerUUID != id || m.Undelivered() {
				t.Errorf("%+v", m)
			}
		}
		synctest.Wait()
		if st := s.Stats(); st.Clients != 3 || st.Registrations != 6 || st.Takeovers != 0 {
			t.Errorf("%+v", st)
		}
		a.Close(1000, "")
		synctest.Wait()
		if n := s.Stats().Clients; n != 1 {
			t.Errorf("%d clients after the connection of two has ended, want 1", n)
		}
	})
}

func TestT41_TenThousandUUIDsOnOneSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		p := join(t, s)
		const asked, room = 10_000, 64 // the default of WithMaxRegistrations
		ids := make([]uuid.UUID, asked)
		answers := make(map[codec.RelayMessage]int)
		for i := range ids {
			ids[i] = uuid.New()
			p.write(encode(codec.Registration{Name: "another", UUID: ids[i]}))
			m, err := codec.Decode([]byte(p.read()))
			if err != nil {
				t.Fatal(err)
			}
			answers[m]++
		}
		refused := codec.Response{Message: crowded, Error: true}
		if answers[codec.Response{Success: true}] != room || answers[refused] != asked-room || len(answers) != 2 {
			t.Errorf("answers: %v, want %d good ones and %d of %+v", answers, room, asked-room, refused)
		}
		p.register(ids[0], ids[room-1]) // its own still work
		p.send(ids[0], ids[room-1], "within")
		if m := p.receive(); m.Undelivered() {
			t.Errorf("%+v", m)
		}
		for _, id := range []uuid.UUID{ids[room], ids[asked-1]} {
			p.send(ids[0], id, "beyond")
			if m := p.receive(); m.Error != notRegistered(id) {
				t.Errorf("%+v", m)
			}
			p.send(id, ids[0], "in the name of one that was refused")
			if m := p.receive(); m.Error != foreign(ids[0], id) {
				t.Errorf("%+v", m)
			}
		}
		synctest.Wait()
		st := s.Stats()
		if st.Clients != room || st.RefusedRegistrations != asked-room || st.BouncedForeignSource != 2 {
			t.Errorf("%+v", st)
		}
		t.Logf("%d UUIDs on one socket: %d registered, %d refused", asked, st.Clients, st.RefusedRegistrations)
	})
}

func TestATakeoverIsAnsweredAtOnceThoughTheOldConnectionIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		old := join(t, s).register(alice, bob)
		start := time.Now()
		p := join(t, s).register(alice) // old does not answer the close frame
		if d := time.Since(start); d != 0 {
			t.Errorf("answered after %v", d)
		}
		synctest.Wait()
		if st := s.Stats(); st.Clients != 1 || st.Takeovers != 1 {
			t.Errorf("all but what was taken over should have gone: %+v", st)
		}
		p.send(alice, alice, "still there")
		p.receive()
		old.expectClose(4004, takenOver)
		synctest.Wait()
		p.send(alice, alice, "still there")
		p.receive()
		if n := s.Stats().Closed[4004]; n != 1 {
			t.Errorf("%d connections closed with 4004", n)
		}
	})
}

func TestWhatIsLateFromATakenOverConnectionIsNotHandled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		b := join(t, s).register(bob)
		old := join(t, s).register(alice)
		for range 100 { // unread, they keep the connection from being closed at once
			old.send(alice, alice, "early")
		}
		synctest.Wait()
		join(t, s).register(alice)
		synctest.Wait() // until the old connection has ended
		old.WriteFrame([]byte(message(alice, bob, "late")))
		old.WriteFrame([]byte(encode(codec.Registration{Name: "late", UUID: bob})))
		old.Flush()
		synctest.Wait()
		old.expectClose(4004, takenOver)
		b.send(bob, bob, "first")
		if m := b.receive(); m.Description != "first" {
			t.Errorf("%+v", m)
		}
	})
}

func TestAConnectionThatDoesNotRegisterIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		start := time.Now()
		good := join(t, s).register(alice)
		join(t, s).expectClose(1008, "Client has not registered in time.")
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("closed after %v", d)
		}
		if st := s.Stats(); st.RegisterTimeouts != 1 {
			t.Errorf("%+v", st)
		}
		good.send(alice, alice, "still there")
		good.receive()
	})
}

// The end of the old connection arrives in every possible moment of the new
// one's registration: the UUID must stay with the new one.
func TestT48_TheLateEndOfAConnectionUnregistersNothingOfItsSuccessor(t *testing.T) {
	rounds := 10_000
	if testing.Short() {
		rounds = 1000
	}
	s := newServer(t)
	old := join(t, s).register(alice, bob)
	for i := range rounds {
		var wg sync.WaitGroup
		p := join(t, s)
		wg.Go(func() {
			switch i % 3 {
			case 0:
				old.Abort()
			case 1:
				old.Close(1000, "")
			case 2:
				old.write("[]") // the relay closes it
			}
		})
		p.register(alice, bob)
		wg.Wait()
		if i%3 == 2 {
			old.Abort()
		}
		p.send(alice, alice, "")
		if m := p.receive(); m.Undelivered() {
			t.Fatalf("round %d: %s", i, m.Error)
		}
		p.send(bob, bob, "")
		if m := p.receive(); m.Undelivered() {
			t.Fatalf("round %d: %s", i, m.Error)
		}
		old = p
	}
	st := s.Stats()
	if st.Clients != 2 || st.Registrations != 2*uint64(rounds+1) || st.BouncedUnknownPeer != 0 {
		t.Errorf("%d clients, %d registrations, %d bounced", st.Clients, st.Registrations, st.BouncedUnknownPeer)
	}
	t.Logf("%d rounds, %d takeovers: both UUIDs stayed with the new connection each time", rounds, st.Takeovers)
}

// Many connections fight for one UUID: in the end exactly one is open, and it
// has the UUID.
func TestAFightForAUUIDLeavesOneOwner(t *testing.T) {
	s := newServer(t)
	for round := uint64(1); round <= 100; round++ {
		var wg sync.WaitGroup
		peers := make([]peer, 8)
		for i := range peers {
			p := join(t, s)
			peers[i] = p
			wg.Go(func() {
				p.WriteFrame([]byte(encode(codec.Registration{Name: "fighter", UUID: alice})))
				p.Flush()
				for _, _, err := p.ReadFrame(); err == nil; _, _, err = p.ReadFrame() {
				}
				p.Close(1000, "")
			})
		}
		eventually(t, "all have registered and one is left", func() bool {
			st := s.Stats()
			return st.Registrations == 8*round && st.Connections == 1
		})
		if n := s.Stats().Clients; n != 1 {
			t.Fatalf("%d clients", n)
		}
		for _, p := range peers {
			p.Abort()
		}
		wg.Wait()
		eventually(t, "none is left", func() bool { return s.Stats().Connections == 0 })
	}
}

func TestAConnectionOfServeConnEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		client, server := transport.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.ServeConn(ctx, server) }()
		p := peer{t, client}.register(alice)
		cancel()
		p.expectClose(1001, "")
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
