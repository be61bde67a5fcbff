package server

import (
	"testing"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
)

// A client that speaks for others, or before it has said who it is, reaches
// nobody.
func TestT41_WhoSpeaksForOthersReachesNobody(t *testing.T) {
	const times = 1000
	s := newServer(t)
	url := listen(t, s)
	mallory, c := dial(t, url).register(alice), dial(t, url).register(carol)
	dial(t, url).register(bob)

	strangers := 0
	for _, source := range []uuid.UUID{bob, carol, dave, uuid.Nil} {
		early := dial(t, url)
		early.send(source, carol, "before it has registered")
		early.expectClose(CodeForbidden, "ForbiddenError: Client has not registered and authenticated with the relay server.")
		strangers++
	}
	for i := range times {
		source := []uuid.UUID{bob, carol, dave, uuid.Nil}[i%4] // somebody, the receiver, nobody, none
		mallory.send(source, carol, "spoofed")
		want := codec.PeerConnection{
			SourceUUID: source, SourceName: "test", PeerUUID: carol, DescriptionType: codec.Offer, Description: "spoofed", Error: foreign(carol, source),
		}
		if got := mallory.receive(); got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
	}
	mallory.send(alice, carol, "in my own name") // it was not closed for it
	if m := c.receive(); m.Description != "in my own name" || m.SourceUUID != alice {
		t.Errorf("carol receives %+v", m)
	}
	eventually(t, "every end and the last message are counted", func() bool {
		st := s.Stats()
		return st.Closed[CodeForbidden] == uint64(strangers) && st.Forwarded > 0
	})
	st := s.Stats()
	if st.BouncedForeignSource != times || st.Forwarded != 1 {
		t.Errorf("%+v", st)
	}
	t.Logf("%d spoofed messages came back, %d strangers were closed with 4002, %d message was forwarded", st.BouncedForeignSource, strangers, st.Forwarded)
}
