package server

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

func notRegistered(peer uuid.UUID) string {
	return "Cannot forward peer connection message to peer " + peer.String() + " because this peer is not registered this relay server."
}

func foreign(peer, source uuid.UUID) string {
	return "Cannot forward peer connection message to peer " + peer.String() + " because its source " + source.String() +
		" is not registered on this connection."
}

func TestAMessageArrivesAsTheBytesThatWereSent(t *testing.T) {
	for _, frame := range []string{
		message(alice, bob, "hello"),
		message(alice, bob, ""),
		message(alice, bob, strings.Repeat("é", 1000)),
		strings.ReplaceAll(message(alice, bob, "compact"), ": ", ":"),
		strings.Replace(message(alice, bob, "not escaped: "), "not", "né🙂t", 1),
		strings.Replace(message(alice, bob, "of a peer"), `"error": null`, `"error": "mine"`, 1),
		"\n" + strings.Replace(message(alice, bob, "spaced"), "{", "{ \t\r\n", 1) + "\n",
		message(alice, bob, strings.Repeat("x", 1<<20-len(message(alice, bob, "")))),
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			a, b := join(t, s).register(alice), join(t, s).register(bob)
			a.write(frame)
			if got := b.read(); got != frame {
				t.Errorf("sent     %.300s\nreceived %.300s", frame, got)
			}
		})
	}
}

func TestWhatDecodersCouldReadDifferentlyIsEncodedAgain(t *testing.T) {
	good := message(alice, bob, "hello")
	for _, frame := range []string{
		strings.Replace(good, "{", `{"peer_uuid": "`+carol.String()+`", `, 1), // the last one counts
		strings.Replace(good, bob.String(), strings.ToUpper(bob.String()), 1),
		strings.Replace(good, `"peer_uuid"`, `"peer\u005fuuid"`, 1),
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			a, b := join(t, s).register(alice), join(t, s).register(bob)
			a.write(frame)
			if got := b.read(); got != good {
				t.Errorf("sent     %s\nreceived %s", frame, got)
			}
		})
	}
}

func TestWhatCannotBeDeliveredComesBackWhole(t *testing.T) {
	tests := []struct {
		name     string
		opts     []Option
		from, to uuid.UUID
		error    string // "": it arrives
	}{
		{name: "to a peer", from: alice, to: bob},
		{name: "to oneself", from: alice, to: alice},
		{name: "to nobody", from: alice, to: carol, error: notRegistered(carol)},
		{name: "from somebody else", from: bob, to: bob, error: foreign(bob, bob)},
		{name: "from anybody where that is allowed", opts: []Option{WithAnySource()}, from: carol, to: bob},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, test.opts...)
				a, b := join(t, s).register(alice), join(t, s).register(bob)
				want := codec.PeerConnection{
					SourceUUID: test.from, SourceName: "a", PeerUUID: test.to,
					DescriptionType: codec.Answer, Description: `{"sdp": "…"}`, Error: "",
				}
				a.write(encode(want))
				receiver := b
				if want.Error = test.error; test.error != "" || test.to == alice {
					receiver = a
				}
				if got := receiver.receive(); got != want {
					t.Errorf("received %+v, want %+v", got, want)
				}
			})
		})
	}
}

func TestABounceReplacesTheErrorThatWasThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := join(t, newServer(t)).register(alice)
		a.write(strings.Replace(message(alice, bob, ""), `"error": null`, `"error": "mine"`, 1))
		if got := a.receive().Error; got != notRegistered(bob) {
			t.Error(got)
		}
	})
}

func TestABounceNeverExceedsTheLimitOfAFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := join(t, newServer(t)).register(alice)
		a.write(message(alice, bob, strings.Repeat("x", 1<<20-len(message(alice, bob, "")))))
		if m := a.receive(); m.Error != notRegistered(bob) || m.PeerUUID != bob || m.Description != "" {
			t.Errorf("%q, description of %d bytes", m.Error, len(m.Description))
		}
	})
}

var floodMessages = 100_000

func TestAFloodIsSlowedDownAndNothingIsLost(t *testing.T) {
	n := floodMessages
	s := newServer(t)
	url := listen(t, s)
	a, b := dial(t, url).register(alice), dial(t, url).register(bob)
	var sender sync.WaitGroup
	sender.Go(func() {
		frame := message(alice, bob, "        ########")
		at := strings.Index(frame, "########")
		for i := range n {
			if err := a.WriteFrame([]byte(frame[:at] + fmt.Sprintf("%08d", i) + frame[at+8:])); err != nil {
				t.Error(err)
				return
			}
		}
		a.Flush()
	})
	for i := range n {
		frame := b.read()
		if !strings.Contains(frame, fmt.Sprintf(" %08d\"", i)) {
			t.Fatalf("message %d: %s", i, frame)
		}
	}
	sender.Wait()
	eventually(t, "the last is counted", func() bool { return s.Stats().Forwarded >= uint64(n) })
	if st := s.Stats(); st.Forwarded != uint64(n) || st.BouncedUnreadPeer != 0 {
		t.Errorf("%d forwarded, %d bounced", st.Forwarded, st.BouncedUnreadPeer)
	}
}

// Bob never reads. Alice, who floods him, is held up for a second, once, and
// then gets her messages back; after ten seconds he is thrown out. Carol and
// Dave notice nothing.
func TestT40_APeerThatDoesNotReadHarmsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, WithQueueBytes(10_000))
		a := join(t, s).register(alice)
		join(t, s).register(bob)
		c, d := join(t, s).register(carol), join(t, s).register(dave)

		start := time.Now()
		const n = 200
		go func() {
			frame := []byte(message(alice, bob, strings.Repeat("x", 1000)))
			for range n {
				a.WriteFrame(frame)
				a.Flush()
			}
		}()
		synctest.Wait()
		c.send(carol, dave, "hello")
		d.receive()
		if d := time.Since(start); d != 0 {
			t.Errorf("the others waited for %v", d)
		}
		bounced := 0
		for ; s.Stats().Forwarded+uint64(bounced) < n+1; bounced++ {
			if m := a.receive(); !strings.HasSuffix(m.Error, " does not read its messages; its queue on this relay server is full.") {
				t.Fatal(m.Error)
			}
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("the sender was held up for %v", d)
		}
		if bounced < 100 {
			t.Errorf("%d bounced", bounced)
		}

		// What Bob had not taken in comes back when he is thrown out.
		for i := bounced; i < n-16; i++ { // 16 fit into the pipe
			if m := a.receive(); m.Error != notRegistered(bob) {
				t.Fatal(m.Error)
			}
		}
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("thrown out after %v", d)
		}
		a.send(alice, bob, "")
		if m := a.receive(); m.Error != notRegistered(bob) {
			t.Error(m.Error)
		}
		synctest.Wait()
		if st := s.Stats(); st.Closed[1008] != 1 || st.GivenBack == 0 || st.Dropped != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// Of the frames of a batch, those are sent that the peer can read.
func TestWhatWasSentOfABrokenBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := transport.Pipe()
		defer client.Abort()
		c := &conn{ws: server}
		var frames []*frame
		for i := range 40 {
			f := newFrame([]byte(message(alice, bob, fmt.Sprint(i))))
			frames = append(frames, f)
			server.WriteFrame(f.data)
			f.end, _ = server.Offsets()
		}
		if err := server.Flush(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		server.Abort()
		readable := 0
		for _, _, err := client.ReadFrame(); err == nil; _, _, err = client.ReadFrame() {
			readable++
		}
		if n := c.sent(frames); n != readable || n == 0 || n == 40 {
			t.Errorf("%d sent, %d could be read", n, readable)
		}
	})
}

// As soon as the peer takes in a byte its senders wait for it again.
func TestAPeerThatReadsAgainIsWaitedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, WithQueueBytes(1), WithWriteTimeout(time.Hour), WithKeepalive(time.Hour, time.Hour))
		a, b := join(t, s).register(alice), join(t, s).register(bob)
		sent := 0
		for s.Stats().BouncedUnreadPeer == 0 {
			a.send(alice, bob, fmt.Sprint(sent))
			sent++
			if time.Sleep(2 * time.Second); sent > 20 {
				t.Fatal("nothing bounced")
			}
			synctest.Wait()
		}
		if m := a.receive(); m.Description != fmt.Sprint(sent-1) {
			t.Errorf("%+v", m)
		}
		for i := range sent - 1 {
			if m := b.receive(); m.Description != fmt.Sprint(i) {
				t.Errorf("%+v", m)
			}
		}
		for range 100 {
			a.send(alice, bob, "")
			b.receive()
		}
		if n := s.Stats().BouncedUnreadPeer; n != 1 {
			t.Errorf("%d bounced", n)
		}
	})
}

// A sender that reads nothing, not even its bounces, is held up by itself and
// thrown out as any other.
func TestASenderThatReadsNoBouncesEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, WithQueueBytes(1))
		a := join(t, s).register(alice)
		start := time.Now()
		for a.WriteFrame([]byte(message(alice, bob, ""))) == nil && a.Flush() == nil {
		}
		synctest.Wait()
		if d := time.Since(start); d > 10*time.Second || s.Stats().Closed[1008] != 1 {
			t.Errorf("after %v: %+v", d, s.Stats())
		}
	})
}

// On a real socket: nothing fits through any more, so there is no goodbye.
func TestAPeerThatDoesNotReadItsSocketIsCutOff(t *testing.T) {
	s := newServer(t, WithWriteTimeout(100*time.Millisecond))
	url := listen(t, s)
	a := dial(t, url).register(alice)
	dial(t, url).register(bob)
	frame := []byte(message(alice, bob, strings.Repeat("x", 100_000)))
	var reader sync.WaitGroup
	reader.Go(func() {
		for _, _, err := a.ReadFrame(); err == nil; _, _, err = a.ReadFrame() {
		}
	})
	for s.Stats().Closed[1008] == 0 {
		if err := a.WriteFrame(frame); err != nil {
			t.Fatal(err)
		}
	}
	a.Close(1000, "")
	reader.Wait()
	eventually(t, "both are gone", func() bool { return s.Stats().Connections == 0 })
}
