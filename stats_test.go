package relay_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// size is how many bytes a message of ours takes, encoded as the client sends it.
func size(t *testing.T, c *relay.Client, m relay.Message) uint64 {
	t.Helper()
	m.SourceUUID, m.SourceName, m.DescriptionType = c.UUID(), c.Name(), relay.Offer
	frame, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return uint64(len(frame))
}

func TestObserve_StatsOfAScriptedRun(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		a, b := r.Client("a"), r.Client("b")
		connect(t, a)
		connect(t, b)
		var bytes uint64
		for _, text := range numbers(0, 20) { // of which 8 fit into b's channel
			m := to(b.UUID(), text)
			bytes += size(t, a, m)
			if err := a.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		lost := to(nobody, "lost")
		if err := a.Send(t.Context(), lost); err != nil { // and returned, with an error inside
			t.Fatal(err)
		}
		a.Outbox() <- to(b.UUID(), strings.Repeat("x", 2<<20)) // refused
		synctest.Wait()

		got := a.Stats()
		want := relay.Stats{
			State: relay.Connected, Connects: 1,
			Sent: 21, SentBytes: bytes + size(t, a, lost),
			Received: 1, ReceivedBytes: got.ReceivedBytes, Returned: 1,
			Dropped: 1, Refused: 1,
			Unconfirmed: 1, Inbox: 1,
		}
		if got.ReceivedBytes <= size(t, a, lost) {
			t.Errorf("%d bytes came back of a message of %d", got.ReceivedBytes, size(t, a, lost))
		}
		if got != want {
			t.Errorf("the sender:\n got %+v\nwant %+v", got, want)
		}
		got = b.Stats()
		want = relay.Stats{State: relay.Connected, Connects: 1, Received: 20, ReceivedBytes: bytes, Inbox: 20, InboxBytes: got.InboxBytes}
		if got != want || got.InboxBytes == 0 {
			t.Errorf("the receiver:\n got %+v\nwant %+v", got, want)
		}
		equal(t, "received", receive(t, b, 20), numbers(0, 20))
		time.Sleep(time.Second) // a's last message is confirmed
		if a, b := a.Stats(), b.Stats(); a.Unconfirmed != 0 || b.Inbox != 0 || b.InboxBytes != 0 {
			t.Errorf("left over: %d unconfirmed, %d unread of %d bytes", a.Unconfirmed, b.Inbox, b.InboxBytes)
		}

		// The connection breaks, and the relay is away: what is accepted waits.
		restore := r.Refuse()
		r.Cut()
		synctest.Wait()
		for _, text := range numbers(0, 5) {
			a.Outbox() <- to(b.UUID(), text)
		}
		synctest.Wait()
		after := a.Stats()
		if after.State != relay.Backoff || after.Backoff <= 0 || after.Backoff > time.Second || after.Outbox != 5 || after.Disconnects.Of(1006) != 1 || after.Disconnects.Total() != 1 {
			t.Errorf("without a connection: %+v", after)
		}
		restore()
		connect(t, a)
		if err := a.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after := a.Stats(); after.State != relay.Connected || after.Backoff != 0 || after.Outbox != 0 || after.Connects != 2 || after.Sent != 26 {
			t.Errorf("with a new one: %+v", after)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		end := a.Stats()
		if end.State != relay.Closed || end.Disconnects.Of(1000) != 1 || end.Disconnects.Total() != 2 || end.RoundTrip != 0 {
			t.Errorf("at the end: %+v", end)
		}
	})
}

func TestObserve_AttemptsByResult(t *testing.T) {
	for _, test := range []struct {
		name    string
		options []relay.Option
		arrange func(r *relaytest.Relay)
		count   func(relay.Stats) uint64
	}{
		{name: "token", options: []relay.Option{relay.WithTokenSource(func(context.Context) (string, error) { return "", errors.New("none") })},
			arrange: func(*relaytest.Relay) {}, count: func(s relay.Stats) uint64 { return s.FailedToken }},
		{name: "network", arrange: func(r *relaytest.Relay) { r.Refuse() }, count: func(s relay.Stats) uint64 { return s.FailedNetwork }},
		{name: "status", arrange: func(r *relaytest.Relay) { r.Respond(http.StatusServiceUnavailable, nil) }, count: func(s relay.Stats) uint64 { return s.FailedStatus }},
		{name: "registration", arrange: func(r *relaytest.Relay) { r.Reject(1011, "not today") }, count: func(s relay.Stats) uint64 { return s.FailedRegistration }},
		{name: "nothing answered", arrange: func(r *relaytest.Relay) { r.Freeze() }, count: func(s relay.Stats) uint64 { return s.FailedNetwork }},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				test.arrange(r)
				c := r.Client("a", test.options...)
				for range 3 {
					if c.TryConnect(t.Context()) == nil {
						t.Fatal("connected")
					}
				}
				s := c.Stats()
				sum := s.FailedToken + s.FailedNetwork + s.FailedTLS + s.FailedStatus + s.FailedRegistration + s.Abandoned
				if test.count(s) != 3 || sum != 3 || s.Connects != 0 || s.Disconnects.Total() != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
	t.Run("TLS", func(t *testing.T) {
		r := relaytest.New(t)
		c, err := relay.New(strings.Replace(r.URL, "ws:", "wss:", 1))
		if err != nil {
			t.Fatal(err)
		}
		if c.TryConnect(t.Context()) == nil || c.Stats().FailedTLS != 1 {
			t.Errorf("%+v", c.Stats())
		}
		_ = c.Close()
	})
	t.Run("abandoned", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *relaytest.Relay) {
			defer r.Freeze()()
			c := r.Client("a")
			go func() { _ = c.Connect(t.Context()) }()
			synctest.Wait()
			if err := c.Close(); err != nil || c.Stats().Abandoned != 1 {
				t.Errorf("%v, %+v", err, c.Stats())
			}
		})
	})
}

func TestObserve_DisconnectsByCode(t *testing.T) {
	codes := map[int]int{1000: 1000, 1001: 1001, 1007: 1007, 1009: 1009, 1011: 1011, 1012: 1012, 1013: 1013, 4000: 4000, 4003: 4003, 4004: 4004, 3999: 0, 4999: 0, 0: 1005}
	for sent, counted := range codes {
		bubble(t, func(t *testing.T, r *relaytest.Relay) {
			r.Script(func(conn transport.Conn) {
				answer(conn, okReply)
				_ = conn.Close(sent, "")
			})
			c := r.Client("a", relay.WithReconnect(false)) // or it might be back already
			c.Inbox()
			synctest.Wait()
			s := c.Stats()
			if s.Disconnects.Of(counted) != 1 || s.Disconnects.Total() != 1 || s.Silent != 0 {
				t.Errorf("closed with %d: %v, want one at %d", sent, s.Disconnects, counted)
			}
		})
	}
	var all []int
	d := relay.Stats{}.Disconnects
	for code := range d.All() {
		all = append(all, code)
	}
	if len(all) != len(d) || all[0] != 0 || all[1] != 1000 || all[16] != 1015 || all[17] != 4000 || all[21] != 4004 {
		t.Errorf("codes %v", all)
	}
}

func TestObserve_SilenceIsCounted(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		c := r.Client("a", relay.WithHeartbeat(2*time.Second, time.Second))
		connect(t, c)
		thaw := r.Freeze()
		time.Sleep(4 * time.Second)
		if s := c.Stats(); s.Silent != 1 || s.Disconnects.Of(1006) != 1 {
			t.Errorf("%+v", s)
		}
		thaw()
	})
}

func TestObserve_DropsByQueueAndPolicy(t *testing.T) {
	const n = 200
	for _, test := range []struct {
		policy relay.Overflow
		count  func(relay.Stats) uint64
	}{
		{relay.DropOldest, func(s relay.Stats) uint64 { return s.DroppedOldest }},
		{relay.DropNewest, func(s relay.Stats) uint64 { return s.DroppedNewest }},
		{relay.Disconnect, func(s relay.Stats) uint64 { return s.DroppedDisconnect }},
	} {
		t.Run(test.policy.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				sender := r.Client("sender")
				reader := r.Client("reader", relay.WithInbox(relay.InboxPolicy{MaxBytes: 4 << 10, WhenFull: test.policy}))
				connect(t, reader)
				for _, text := range numbers(0, n) {
					_ = sender.Send(t.Context(), to(reader.UUID(), text))
				}
				_ = sender.Flush(t.Context())
				synctest.Wait()
				s := reader.Stats()
				if test.count(s) == 0 || test.count(s) != s.Dropped || s.Received != s.Dropped+uint64(s.Inbox) {
					t.Errorf("%+v", s)
				}
				waiting := uint64(s.Inbox)
				_ = reader.Close() // 8 stay in the channel
				s = reader.Stats()
				if s.DroppedUnread != waiting-8 || s.Dropped != test.count(s)+s.DroppedUnread || s.Inbox != 8 {
					t.Errorf("after Close: %+v", s)
				}
			})
		})
	}
}

func TestObserve_RoundTrips(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		c := r.Client("a")
		connect(t, c)
		thaw := r.Freeze()
		if err := c.Send(t.Context(), to(c.UUID(), "x")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Second) // a barrier after 0.1 s, a ping after 10 s
		if s := c.Stats(); s.RoundTrip != 0 || s.ConfirmTime != 0 || s.Unconfirmed != 1 {
			t.Errorf("while nothing comes back: %+v", s)
		}
		thaw()
		synctest.Wait()
		// Nothing takes time in a bubble but what is told to: both waited for the thaw.
		if s := c.Stats(); s.RoundTrip != 2*time.Second || s.ConfirmTime != 11900*time.Millisecond || s.Unconfirmed != 0 {
			t.Errorf("ping %v, confirmation %v, %d unconfirmed", s.RoundTrip, s.ConfirmTime, s.Unconfirmed)
		}
		time.Sleep(time.Minute) // pings that are answered at once
		if s := c.Stats(); s.RoundTrip >= time.Millisecond {
			t.Errorf("ping %v", s.RoundTrip)
		}
		r.Stop()
		synctest.Wait()
		if s := c.Stats(); s.RoundTrip != 0 || s.ConfirmTime != 0 {
			t.Errorf("without a connection: %+v", s)
		}
	})
}

func TestObserve_StatsAllocateNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		c := r.Client("a")
		connect(t, c)
		if n := testing.AllocsPerRun(100, func() { _ = c.Stats() }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}
