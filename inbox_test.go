package relay_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/transport"
)

// pair connects a sender and a reader whose Inbox holds little.
func pair(t *testing.T, r *relaytest.Relay, policy relay.InboxPolicy, opts ...relay.Option) (sender, reader *relay.Client) {
	t.Helper()
	opts = append(opts, relay.WithInbox(policy), relay.WithUUID(nobody))
	sender, reader = r.Client("sender"), r.Client("reader", opts...)
	connect(t, reader)
	connect(t, sender)
	return sender, reader
}

// flood sends n messages of 1000 bytes or so and waits until they were handed on.
func flood(t *testing.T, c *relay.Client, n int) {
	t.Helper()
	for i := range n {
		if err := c.Send(t.Context(), to(nobody, padded(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func padded(i int) string { return fmt.Sprintf("%06d%s", i, strings.Repeat("x", 1000)) }

// received are the numbers of padded messages.
func unpadded(texts []string) []string {
	var s []string
	for _, text := range texts {
		s = append(s, strings.TrimLeft(text[:5], "0")+text[5:6])
	}
	return s
}

// drain takes what is in the Inbox now.
func drain(c *relay.Client) []string {
	var got []string
	for {
		synctest.Wait()
		select {
		case m, ok := <-c.Inbox():
			if !ok {
				return unpadded(got)
			}
			got = append(got, m.Description)
		default:
			return unpadded(got)
		}
	}
}

const smallInbox = 100_000 // bytes; what the channel itself holds comes on top

func TestT21_AnInboxThatNobodyReadsDropsByItsPolicy(t *testing.T) {
	for _, policy := range []relay.Overflow{relay.DropOldest, relay.DropNewest} {
		t.Run(policy.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				sender, reader := pair(t, r, relay.InboxPolicy{MaxBytes: smallInbox, WhenFull: policy})
				var dropped []string
				var watching sync.WaitGroup
				watching.Go(func() {
					for e := range reader.Events() {
						if e, ok := e.(relay.Dropped); ok {
							if e.Err == nil {
								t.Error("no reason")
							}
							dropped = append(dropped, e.Message.Description)
						}
					}
				})
				flood(t, sender, 500)
				stats := reader.Stats()
				if stats.InboxBytes > smallInbox || stats.InboxBytes < smallInbox*9/10 {
					t.Errorf("%d bytes wait, the bound is %d", stats.InboxBytes, smallInbox)
				}
				time.Sleep(10 * time.Minute) // pings are answered all the while
				got := drain(reader)
				if stats.Received != 500 || stats.Dropped != uint64(500-len(got)) || stats.Connects != 1 {
					t.Errorf("read %d, %+v", len(got), stats)
				}
				if policy == relay.DropOldest {
					// The channel holds 8 of its own, and the pump one, taken at any time.
					equal(t, "the first", got[:8], numbers(0, 8))
					equal(t, "the last", got[9:], numbers(500-len(got)+9, 500))
				} else {
					equal(t, "read", got[:82], numbers(0, 82))
				}
				lost := reader.Stats().EventsLost
				_ = reader.Close()
				watching.Wait()
				if len(dropped)+int(lost) != int(stats.Dropped) {
					t.Errorf("%d Dropped events, %d events lost, %d dropped", len(dropped), lost, stats.Dropped)
				}
			})
		})
	}
}

func TestT21_AnInboxThatWaitsLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		sender, reader := pair(t, r, relay.InboxPolicy{MaxBytes: smallInbox}, relay.WithHeartbeat(time.Second, time.Second))
		w := watching(reader)
		start := time.Now()
		var sending sync.WaitGroup
		sending.Go(func() {
			for i := range 300 { // the connection and the relay's queue hold the rest
				_ = sender.Send(context.Background(), to(nobody, padded(i)))
			}
		})
		sending.Wait()
		synctest.Wait()
		stalled := of[relay.Stalled](w)
		if len(stalled) != 1 || stalled[0].Bytes > smallInbox || stalled[0].Bytes < smallInbox*9/10 || time.Since(start) > time.Second {
			t.Fatalf("Stalled events after %v: %v", time.Since(start), stalled)
		}
		if bytes := reader.Stats().InboxBytes; bytes > smallInbox {
			t.Errorf("%d bytes wait", bytes)
		}
		// The heartbeat concludes nothing while the reader waits for the program,
		// though nothing can be heard; this relay would, after 10 seconds.
		time.Sleep(8 * time.Second)
		if again := of[relay.Stalled](w); len(again) != 1 {
			t.Errorf("one stall was told %d times", len(again))
		}
		got := unpadded(receive(t, reader, 300))
		equal(t, "read", got, numbers(0, 300))
		if stats := reader.Stats(); stats.Connects != 1 || stats.Dropped != 0 {
			t.Errorf("%+v", stats)
		}
	})
}

func TestTheHeartbeatGivesTheRelayItsTimeAfterAStall(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		sender, reader := pair(t, r, relay.InboxPolicy{MaxBytes: 5000}, relay.WithHeartbeat(time.Second, 10*time.Second))
		for i := range 40 {
			if err := sender.Send(t.Context(), to(nobody, padded(i))); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		time.Sleep(14*time.Second + 700*time.Millisecond) // a ping is on its way, and long overdue
		thaw := r.Freeze()
		_ = receive(t, reader, 40)
		time.Sleep(5 * time.Second)
		if reader.State() != relay.Connected {
			t.Error("taken for dead before the heartbeat's timeout was over")
		}
		thaw()
		time.Sleep(5 * time.Second)
		if reader.Stats().Connects != 1 {
			t.Error("reconnected")
		}
	})
}

// What the reader had in its hands when the connection ended is not lost.
func TestAStalledInboxOutlivesItsConnection(t *testing.T) {
	for _, end := range []string{"a reconnect", "the end of the client", "the end of the client, after all else was read"} {
		t.Run(end, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				sender, reader := pair(t, r, relay.InboxPolicy{MaxBytes: 5000})
				w := watching(reader)
				flood(t, sender, 30)
				if len(of[relay.Stalled](w)) != 1 {
					t.Fatal("not stalled")
				}
				had := int(reader.Stats().Received)
				switch end {
				case "a reconnect":
					r.Cut()
					time.Sleep(time.Minute)
					connect(t, reader)
				case "the end of the client":
					restore := r.Reject(4004, "gone")
					r.Cut()
					<-reader.Done()
					restore()
				default:
					r.Stop()
					time.Sleep(time.Minute)
					_ = unpadded(receive(t, reader, had-1)) // all but the one in its hands
					r.Reject(4004, "gone")
					r.Start()
					<-reader.Done()
					equal(t, "read last", unpadded(receive(t, reader, 1)), numbers(had-1, had))
					return
				}
				equal(t, "read", unpadded(receive(t, reader, had)), numbers(0, had))
				if reader.Stats().Dropped != 0 {
					t.Error("dropped")
				}
			})
		})
	}
}

func TestT21_AnInboxThatDisconnects(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		sender, reader := pair(t, r, relay.InboxPolicy{MaxBytes: smallInbox, WhenFull: relay.Disconnect})
		w := watching(reader)
		for i := range 200 {
			_ = sender.Send(t.Context(), to(nobody, padded(i)))
		}
		time.Sleep(100 * time.Millisecond)
		if !slices.ContainsFunc(of[relay.StateChange](w), func(change relay.StateChange) bool {
			return change.From == relay.Connected && change.To == relay.Backoff && change.Err != nil
		}) {
			t.Fatalf("still connected: %v", w.all())
		}
		dropped := of[relay.Dropped](w)
		if len(dropped) != 1 || reader.Stats().Dropped != 1 {
			t.Errorf("%d Dropped events, %+v", len(dropped), reader.Stats())
		}
		got := drain(reader)
		equal(t, "read", got, numbers(0, len(got)))
		if len(got) < smallInbox/2000 || len(got)+1 != int(reader.Stats().Received) {
			t.Errorf("%d read, and all but the one that was dropped had arrived: %+v", len(got), reader.Stats())
		}
		time.Sleep(time.Minute)
		if reader.State() != relay.Connected || reader.Stats().Connects != 2 {
			t.Error("it did not come back:", reader.State())
		}
	})
}

func TestT21_PingsAreAnsweredWhileTheInboxSpills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t, server.WithKeepalive(time.Second, time.Second))
		sender, reader := pair(t, r, relay.InboxPolicy{})
		flood(t, sender, 5000)
		time.Sleep(time.Hour)
		if reader.Stats().Connects != 1 || reader.State() != relay.Connected {
			t.Errorf("%+v", reader.Stats())
		}
		equal(t, "read", drain(reader), numbers(0, 5000))
	})
}

func TestSeveralReadersCompeteWithoutLoss(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		sender, reader := pair(t, r, relay.InboxPolicy{})
		var mu sync.Mutex
		var got []string
		note := func(m relay.Message) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, m.Description)
		}
		var reading sync.WaitGroup
		for range 4 {
			reading.Go(func() {
				for m := range reader.Inbox() {
					note(m)
				}
			})
			reading.Go(func() {
				for {
					m, err := reader.Recv(context.Background())
					if err != nil {
						return
					}
					note(m)
				}
			})
		}
		flood(t, sender, 3000)
		_ = reader.Close()
		reading.Wait()
		slices.Sort(got)
		equal(t, "read", unpadded(got), numbers(0, 3000))
	})
}

// A thousand calls of Recv give up among a thousand messages: none is lost
// between two calls, and the connection lives.
func TestT26_RecvThatGivesUpLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		sender, reader := pair(t, r, relay.InboxPolicy{})
		var sending sync.WaitGroup
		sending.Go(func() {
			for i := range 1000 {
				time.Sleep(2500 * time.Microsecond)
				_ = sender.Send(context.Background(), to(nobody, padded(i)))
			}
		})
		var got []string
		gaveUp := 0
		for len(got) < 1000 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			m, err := reader.Recv(ctx)
			cancel()
			switch {
			case err == nil:
				got = append(got, m.Description)
			case errors.Is(err, context.DeadlineExceeded):
				gaveUp++
			default:
				t.Fatal(err)
			}
		}
		sending.Wait()
		equal(t, "read", unpadded(got), numbers(0, 1000))
		if gaveUp < 1000 || reader.Stats().Connects != 1 || reader.State() != relay.Connected {
			t.Errorf("gave up %d times, %+v", gaveUp, reader.Stats())
		}
		t.Logf("%d calls gave up, %d messages read", gaveUp, len(got))
	})
}

// A context that has ended before the call takes no message, or returns the one
// it took: both may happen, and nothing is lost.
func TestT26_RecvWithAnEndedContextLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		sender, reader := pair(t, r, relay.InboxPolicy{})
		flood(t, sender, 1000)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		var got []string
		gaveUp := 0
		for range 1000 {
			m, err := reader.Recv(ended)
			switch {
			case err == nil:
				got = append(got, m.Description)
			case errors.Is(err, context.Canceled):
				gaveUp++
			default:
				t.Fatal(err)
			}
		}
		got = append(got, receive(t, reader, 1000-len(got))...)
		equal(t, "read", unpadded(got), numbers(0, 1000))
		t.Logf("%d of 1000 calls with an ended context gave up", gaveUp)
		if reader.Stats().Connects != 1 || reader.State() != relay.Connected {
			t.Errorf("%+v", reader.Stats())
		}
	})
}

func TestFiftyThousandMessagesIntoAnUnreadInbox(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		const n = 50_000
		reader := r.Client("reader", relay.WithUUID(nobody))
		r.Script(func(conn transport.Conn) {
			if _, _, err := conn.ReadFrame(); err != nil {
				return
			}
			_ = conn.WriteFrame([]byte(`{"success": true, "message_type": "relay_response"}`))
			for i := range n {
				frame, _ := relay.Message{PeerUUID: nobody, DescriptionType: relay.Offer, Description: fmt.Sprint(i)}.Append(nil)
				if conn.WriteFrame(frame) != nil {
					return
				}
			}
			_ = conn.Flush()
			_, _, _ = conn.ReadFrame()
		})
		connect(t, reader)
		for reader.Stats().Received < n {
			time.Sleep(time.Millisecond)
		}
		for i := range n {
			if m := <-reader.Inbox(); m.Description != fmt.Sprint(i) {
				t.Fatalf("message %d is %q", i, m.Description)
			}
		}
	})
}

func TestTheHeartbeatFindsADeadLink(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		random := seed(t)
		for i := range uint64(20) {
			c := r.Client("c", relay.WithHeartbeat(7*time.Second, 3*time.Second))
			connect(t, c)
			time.Sleep(time.Duration((random>>i)%20000) * time.Millisecond)
			thaw := r.Freeze()
			lost := took(func() {
				for c.State() == relay.Connected {
					time.Sleep(10 * time.Millisecond)
				}
			})
			if lost > 10*time.Second+200*time.Millisecond || lost < 3*time.Second {
				t.Errorf("noticed after %v", lost)
			}
			thaw()
			_ = c.Close()
		}
	})
}

func TestASlowRelayIsNotDead(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		c := r.Client("c", relay.WithHeartbeat(5*time.Second, 5*time.Second))
		connect(t, c)
		for range 50 { // answers come 4 seconds late
			thaw := r.Freeze()
			time.Sleep(4 * time.Second)
			thaw()
			time.Sleep(10 * time.Millisecond)
		}
		if c.Stats().Connects != 1 {
			t.Errorf("%d connects", c.Stats().Connects)
		}
	})
}

// A relay that answers no ping, but sends a large message slowly, is alive.
func TestATrickleIsASignOfLife(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		frame, _ := relay.Message{PeerUUID: nobody, DescriptionType: relay.Offer, Description: strings.Repeat("x", 60<<10)}.Append(nil)
		r.Handle(trickle(frame, 2*time.Second, 512))
		c := r.Client("c", relay.WithHeartbeat(3*time.Second, 3*time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var m relay.Message
		var err error
		d := took(func() { m, err = c.Recv(ctx) })
		if err != nil || len(m.Description) != 60<<10 || d < 3*time.Minute || c.Stats().Connects != 1 {
			t.Errorf("after %v: %d bytes, %v, %+v", d, len(m.Description), err, c.Stats())
		}
	})
}
