package server

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// What a client sends to itself comes back behind all that it sent before, and
// not before that is out of this server's hands.
func TestAnEchoWaitsForWhatWasSentBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, WithWriteTimeout(time.Hour), WithKeepalive(time.Hour, time.Hour))
		a, b, c := join(t, s).register(alice), join(t, s).register(bob), join(t, s).register(carol)
		start := time.Now()
		for i := range 40 { // more than fit through to a peer that does not read
			a.send(alice, bob, fmt.Sprint(i))
		}
		a.send(alice, alice, "first echo")
		a.send(alice, carol, "to others all goes on")
		a.send(alice, alice, "second echo")
		if m := c.receive(); m.Description != "to others all goes on" {
			t.Errorf("%+v", m)
		}
		// Alice's own bounces are not held up, and show that no echo was before them.
		a.send(alice, dave, "")
		if m := a.receive(); m.Error != notRegistered(dave) {
			t.Fatalf("%q came while bob had not read", m.Description)
		}
		for i := range 40 {
			if m := b.receive(); m.Description != fmt.Sprint(i) {
				t.Errorf("%+v", m)
			}
		}
		for _, want := range []string{"first echo", "second echo"} {
			if m := a.receive(); m.Description != want {
				t.Errorf("%q, want %q", m.Description, want)
			}
		}
		if late := time.Since(start); late != 0 {
			t.Errorf("the echoes came after %v", late)
		}
	})
}

// When the peer leaves without having read, its senders get the rest back, and
// the echo behind that.
func TestAnEchoComesBehindWhatIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		a, b := join(t, s).register(alice), join(t, s).register(bob)
		for i := range 40 {
			a.send(alice, bob, fmt.Sprint(i))
		}
		a.send(alice, alice, "echo")
		synctest.Wait()
		b.Abort()
		returned := 0
		for {
			m := a.receive()
			if m.Description == "echo" {
				break
			}
			if m.Error != notRegistered(bob) {
				t.Errorf("%+v", m)
			}
			returned++
		}
		if returned == 0 || returned == 40 {
			t.Errorf("%d of 40 came back", returned)
		}
		if st := s.Stats(); st.GivenBack != uint64(returned) || st.Dropped != 0 {
			t.Errorf("%d came back: %+v", returned, st)
		}
	})
}

// Echoes that are held are bounded like everything else: their sender waits.
func TestHeldEchoesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, WithQueueBytes(1), WithWriteTimeout(time.Hour), WithKeepalive(time.Hour, time.Hour))
		a, b := join(t, s).register(alice), join(t, s).register(bob)
		for i := range 18 { // one of them waits in bob's queue
			a.send(alice, bob, fmt.Sprint(i))
		}
		for i := range 5 {
			a.send(alice, alice, fmt.Sprint(i))
		}
		synctest.Wait()
		for c := range s.conns {
			if c.owns(alice) {
				if held := c.echoes.bytes.Load(); held == 0 || held > int64(len(message(alice, alice, "0"))) {
					t.Errorf("%d bytes of echoes are held", held)
				}
			}
		}
		for i := range 18 {
			if m := b.receive(); m.Description != fmt.Sprint(i) {
				t.Errorf("%+v", m)
			}
		}
		for i := range 5 {
			if m := a.receive(); m.Description != fmt.Sprint(i) {
				t.Errorf("%+v", m)
			}
		}
	})
}
