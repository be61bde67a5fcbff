package interop

import (
	"testing"
)

func TestT54_Peers_come_back_when_the_relay_does(t *testing.T) {
	t.Parallel()
	for _, ending := range []struct {
		name string
		end  func(r testRelay, t testing.TB)
	}{
		{"after a stop", testRelay.Stop},
		{"after a kill", testRelay.Kill},
	} {
		for _, noReconnect := range []bool{false, true} {
			name := ending.name + ", by themselves"
			if noReconnect {
				name = ending.name + ", when they next send or receive"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				onEachPair(t, func(t *testing.T, r testRelay, first, second peerKind) {
					_, real := r.(*realRelay)
					if real && ending.name == "after a kill" && !noReconnect && (first.name == realPeer.name || second.name == realPeer.name) {
						// Now and then the real client redials so fast that it
						// reaches the dying listener, and ends its whole process.
						t.Log("left out: the real client may not survive this, as it redials into the dying listener and then ends its process")
						return
					}
					alice := first.new(t, r.URL(), peerConfig{name: "alice", noReconnect: noReconnect})
					bob := second.new(t, r.URL(), peerConfig{name: "bob", noReconnect: noReconnect})
					connect(t, alice, bob)
					meet(t, alice, bob)
					meet(t, bob, alice)
					ending.end(r, t)
					r.Start(t)
					meet(t, alice, bob)
					meet(t, bob, alice)
				})
			})
		}
	}
}
