package relay_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// account is what one sender knows: what the client accepted, and what it
// refused.
type account struct{ accepted, refused []string }

// send sends n messages by the Outbox, by Send, or by both in turns, with
// random pauses, and closes the account when the client ends.
func send(c *relay.Client, name string, n int, way string, random *rand.Rand) account {
	var a account
	for i := range n {
		text := fmt.Sprintf("%s:%04d", name, i)
		if way == "Outbox" || way == "both" && random.IntN(2) == 0 {
			select {
			case c.Outbox() <- to(nobody, text):
				a.accepted = append(a.accepted, text)
			case <-c.Done():
				a.refused = append(a.refused, text)
			}
		} else {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(random.IntN(4000))*time.Millisecond)
			if err := c.Send(ctx, to(nobody, text)); err == nil {
				a.accepted = append(a.accepted, text)
			} else {
				a.refused = append(a.refused, text)
			}
			cancel()
		}
		if random.IntN(4) == 0 {
			time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
		}
	}
	return a
}

// outcomes are the four ways in which a message can end.
type outcomes struct{ delivered, doubtful, bounced, unsent []string }

// audit checks that every accepted message ended in exactly one way, that no
// refused one ended in any, and that nothing came twice or out of order. With
// resend, what was delivered may be so again.
func (o outcomes) audit(t *testing.T, resend bool, accounts ...account) {
	t.Helper()
	ways := make(map[string]string)
	for _, text := range o.delivered {
		if ways[text] == "d" && !resend {
			t.Errorf("%s was delivered twice", text)
		}
		ways[text] = "d"
	}
	note := func(texts []string, way string) {
		for _, text := range texts {
			ways[text] += way
		}
	}
	note(o.doubtful, "?")
	note(o.bounced, "b")
	note(o.unsent, "u")
	allowed := []string{"d", "?", "d?", "b", "u"}
	if resend { // what was not confirmed when the client ended may have been handed on
		allowed = append(allowed, "du")
	}
	for _, a := range accounts {
		for _, text := range a.accepted {
			if !slices.Contains(allowed, ways[text]) {
				t.Errorf("%s was accepted and ended as %q (d: delivered, ?: in doubt, b: bounced, u: unsent)", text, ways[text])
			}
			delete(ways, text)
		}
		for _, text := range a.refused {
			if ways[text] != "" {
				t.Errorf("%s was refused and ended as %q", text, ways[text])
			}
		}
	}
	for text, way := range ways {
		t.Errorf("%s ended as %q and nobody sent it", text, way)
	}
	last := make(map[string]string)
	for _, text := range o.delivered {
		if slices.Contains(o.doubtful, text) {
			continue // one that was in flight when its connection was lost may come late
		}
		name, _, _ := strings.Cut(text, ":")
		if text < last[name] && !resend {
			t.Errorf("%s was delivered after %s", text, last[name])
		}
		last[name] = text
	}
}

// trouble does things to a relay at random moments, for a while.
func trouble(r *relaytest.Relay, random *rand.Rand, times int) {
	pause := func(most int) { time.Sleep(time.Duration(random.IntN(most)) * time.Millisecond) }
	for range times {
		pause(700)
		switch random.IntN(6) {
		case 0, 1:
			r.Cut()
		case 2:
			r.Stop()
			pause(5000)
			r.Start()
		case 3:
			thaw := r.Freeze()
			pause(1500) // shorter than the heartbeat
			thaw()
		case 4:
			thaw := r.Freeze()
			time.Sleep(20 * time.Second) // longer
			pause(20000)
			thaw()
		case 5:
			thaw := r.Freeze()
			pause(1000)
			r.Cut()
			thaw()
		}
	}
}

// seed is printed by a test that fails, and can be set here to repeat it.
func seed(t *testing.T) uint64 {
	s := rand.Uint64()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", s)
		}
	})
	return s
}

func TestEveryMessageEndsInExactlyOneWay(t *testing.T) {
	for _, way := range []string{"Outbox", "Send", "both"} {
		for _, resend := range []int{0, 1, 100} {
			t.Run(fmt.Sprintf("%s resend %d", way, resend), func(t *testing.T) {
				s := seed(t)
				for round := range uint64(3) {
					bubble(t, func(t *testing.T, r *relaytest.Relay) {
						random := rand.New(rand.NewPCG(s, round))
						p := &tape{}
						r.Script(p.serve)
						c := r.Client("sender", relay.WithResend(resend), relay.WithHeartbeat(5*time.Second, 3*time.Second),
							relay.WithBackoff(50*time.Millisecond, 2*time.Second), relay.WithOutbox(1+random.IntN(40)))
						w := watching(c)

						var senders sync.WaitGroup
						accounts := make([]account, 3)
						for i := range accounts {
							own := rand.New(rand.NewPCG(s, round<<8+uint64(i)))
							senders.Go(func() { accounts[i] = send(c, fmt.Sprint("s", i), 300, way, own) })
						}
						trouble(r, random, 12)
						senders.Wait()
						rest := unsent(t, c.Close())
						<-w.done
						outcomes{delivered: p.texts(), doubtful: w.doubts(), unsent: rest}.audit(t, resend > 0, accounts...)
						if stats := c.Stats(); stats.Connects < 2 || stats.InDoubt != uint64(len(w.doubts())) || resend > 0 && stats.InDoubt > 0 {
							t.Errorf("stats %+v, %d in doubt", stats, len(w.doubts()))
						}
					})
				}
			})
		}
	}
}

// severed is a connection whose client's end can be cut without touching those
// of others, and that counts down to its own end.
type severed struct {
	net.Conn
	mu    sync.Mutex
	bytes int // to be written before the connection breaks; negative: no end
}

func (c *severed) cut() {
	_ = c.Conn.(interface{ SetLinger(int) error }).SetLinger(0)
	_ = c.Close()
}

func (c *severed) limit(bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes = bytes
}

func (c *severed) Write(p []byte) (int, error) {
	c.mu.Lock()
	room := c.bytes
	if room >= 0 {
		c.bytes = max(0, room-len(p))
	}
	c.mu.Unlock()
	if room < 0 || room >= len(p) {
		return c.Conn.Write(p)
	}
	n, _ := c.Conn.Write(p[:room])
	_ = c.Close()
	return n, net.ErrClosed
}

// cutter dials a relay and keeps the last connection.
type cutter struct {
	relay *relaytest.Relay
	limit int // of bytes, for the connections to come; 0: none
	mu    sync.Mutex
	last  *severed
}

func (d *cutter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.relay.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = &severed{Conn: conn, bytes: -1}
	if d.limit > 0 {
		d.last.bytes = d.limit
	}
	return d.last, nil
}

func (d *cutter) now() *severed {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

func TestTheSumIsExactWithTheRealRelayAndAReaderWhoStays(t *testing.T) {
	s := seed(t)
	for round := range uint64(6) {
		bubble(t, func(t *testing.T, r *relaytest.Relay) {
			random := rand.New(rand.NewPCG(s, round))
			reader := r.Client("reader", relay.WithUUID(nobody))
			connect(t, reader)
			var delivered []string
			var reading sync.WaitGroup
			reading.Go(func() {
				for m := range reader.Inbox() {
					delivered = append(delivered, m.Description)
				}
			})
			var senders, receivers sync.WaitGroup
			var all outcomes
			var mu sync.Mutex
			accounts := make([]account, 2)
			for i := range accounts {
				d := &cutter{relay: r}
				c := r.Client("sender", relay.WithDialContext(d.dial), relay.WithBackoff(20*time.Millisecond, 20*time.Millisecond))
				w := watching(c)
				receivers.Go(func() {
					for m := range c.Inbox() {
						mu.Lock()
						all.bounced = append(all.bounced, m.Description)
						mu.Unlock()
					}
				})
				own := rand.New(rand.NewPCG(s, round<<8+uint64(i)))
				senders.Go(func() {
					stop := make(chan struct{})
					var cutting sync.WaitGroup
					cutting.Go(func() {
						cuts := rand.New(rand.NewPCG(s, round<<16+uint64(i)))
						for {
							select {
							case <-stop:
								return
							case <-time.After(time.Duration(cuts.IntN(300)) * time.Millisecond):
							}
							if now := d.now(); now != nil {
								now.limit(cuts.IntN(5000))
							}
						}
					})
					accounts[i] = send(c, fmt.Sprint("s", i), 400, "both", own)
					close(stop)
					cutting.Wait()
					rest := unsent(t, c.Close())
					<-w.done
					mu.Lock()
					defer mu.Unlock()
					all.unsent = append(all.unsent, rest...)
					all.doubtful = append(all.doubtful, w.doubts()...)
					if c.Stats().Connects < 5 {
						t.Errorf("only %d connects", c.Stats().Connects)
					}
				})
			}
			for range 3 {
				time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
				thaw := r.Freeze()
				time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
				thaw()
			}
			senders.Wait()
			receivers.Wait()
			time.Sleep(time.Second) // confirmed is what the relay has queued for the reader
			_ = reader.Close()
			reading.Wait()
			all.delivered = delivered
			all.audit(t, false, accounts...)
		})
	}
}

func TestALossInTheFirstFlushAfterAReconnectFiftyTimes(t *testing.T) {
	for _, resend := range []int{0, 100} {
		t.Run(fmt.Sprint("resend ", resend), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				p := &tape{}
				r.Script(p.serve)
				random := rand.New(rand.NewPCG(1, 2))
				// The handshake and the registration are under 700 bytes, so every
				// connection breaks in what is written right after them.
				d := &cutter{relay: r, limit: 700}
				c := r.Client("sender", relay.WithDialContext(d.dial), relay.WithResend(resend), relay.WithBackoff(time.Millisecond, time.Millisecond))
				w := watching(c)
				var a account
				for i := range 200 {
					text := fmt.Sprintf("s:%04d", i)
					c.Outbox() <- to(nobody, text)
					a.accepted = append(a.accepted, text)
				}
				for c.Stats().Connects < 50 {
					time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
					d.mu.Lock()
					d.limit = 500 + random.IntN(3000)
					d.mu.Unlock()
					if c.Stats().InDoubt+c.Stats().Sent > 150 { // more to do, until there were 50 connections
						text := fmt.Sprintf("s:%04d", len(a.accepted))
						c.Outbox() <- to(nobody, text)
						a.accepted = append(a.accepted, text)
					}
				}
				d.mu.Lock()
				d.limit = 0
				d.mu.Unlock()
				d.now().cut()
				rest := unsent(t, c.Close())
				<-w.done
				outcomes{delivered: p.texts(), doubtful: w.doubts(), unsent: rest}.audit(t, resend > 0, a)
			})
		})
	}
}

func TestBounced(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		c := r.Client("sender")
		for _, text := range numbers(0, 100) {
			c.Outbox() <- to(nobody, text)
		}
		for _, text := range numbers(0, 100) {
			m, err := c.Recv(t.Context())
			if err != nil || !m.Undelivered() || m.Description != text || m.PeerUUID != nobody || m.SourceUUID != c.UUID() {
				t.Fatalf("bounce of %s: %+v, %v", text, m, err)
			}
		}
		if stats := c.Stats(); stats.Sent != 100 || stats.Received != 100 || stats.Returned != 100 {
			t.Errorf("%+v", stats)
		}
	})
}

func TestOutboxWhileDisconnected(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		r.Script(p.serve)
		r.Stop()
		c := r.Client("sender", relay.WithOutbox(10))
		for _, text := range numbers(0, 10) {
			c.Outbox() <- to(nobody, text)
		}
		var eleventh time.Duration
		start := time.Now()
		var late sync.WaitGroup
		late.Go(func() {
			c.Outbox() <- to(nobody, "10")
			eleventh = time.Since(start)
			c.Outbox() <- to(nobody, "11")
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		err := c.Send(ctx, to(nobody, "a Send that gave up"))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, relay.ErrNotConnected) {
			t.Errorf("Send: %v", err)
		}
		time.Sleep(55 * time.Minute)
		r.Start()
		late.Wait()
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if eleventh < time.Hour {
			t.Errorf("an eleventh message was taken after %v", eleventh)
		}
		equal(t, "handled", p.texts(), numbers(0, 12))
	})
}

func TestASendThatGivesUpIsNeverSent(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		r.Script(p.serve)
		r.Stop()
		c := r.Client("sender", relay.WithOutbox(8))
		for i := range 100 { // more than there is room for at a time
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := c.Send(ctx, to(nobody, fmt.Sprint("given up ", i))); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
		}
		for i := range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			c.Outbox() <- to(nobody, "kept") // room again
			if err := c.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(i, err)
			}
			if i == 5 {
				break
			}
		}
		r.Start()
		if err := c.Send(t.Context(), to(nobody, "sent")); err != nil {
			t.Fatal(err)
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, "handled", p.texts(), []string{"kept", "kept", "kept", "kept", "kept", "kept", "sent"})
	})
}

func TestASendThatGivesUpInTheQueueOfAConnectionIsNotSent(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		p.handled = func(_ transport.Conn, m relay.Message) {
			if m.Description == "0" {
				time.Sleep(2 * time.Hour)
			}
		}
		r.Script(p.serve)
		r.Stop()
		// The second message waits for the first one to be confirmed.
		c := r.Client("sender", relay.WithResend(1), relay.WithHeartbeat(24*time.Hour, 24*time.Hour))
		c.Outbox() <- to(nobody, "0")
		for range 5 {
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
				defer cancel()
				if err := c.Send(ctx, to(nobody, "given up")); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		c.Outbox() <- to(nobody, "1")
		r.Start()
		if err := c.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		equal(t, "handled", p.texts(), numbers(0, 2))
	})
}

func TestFlushesThatGiveUpTakeNoRoom(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		r.Stop()
		c := r.Client("sender", relay.WithOutbox(4))
		c.Outbox() <- to(nobody, "0")
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := c.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			select {
			case c.Outbox() <- to(nobody, fmt.Sprint(i+1)):
			case <-time.After(time.Minute):
				t.Fatal("no room for message", i+1)
			}
		}
		equal(t, "unsent", unsent(t, c.Close()), numbers(0, 4))
	})
}

func TestSendReturnsOnceWritten(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		r.Script(p.serve)
		c := r.Client("sender")
		connect(t, c)
		thaw := r.Freeze()
		large := strings.Repeat("x", 100<<10) // a few of them fill the connection
		var sent []time.Time
		var sending sync.WaitGroup
		sending.Go(func() {
			for range 8 {
				if err := c.Send(context.Background(), to(nobody, large)); err != nil {
					t.Error(err)
				}
				sent = append(sent, time.Now())
			}
		})
		start := time.Now()
		time.Sleep(5 * time.Second)
		thaw()
		sending.Wait()
		if first, last := sent[0].Sub(start), sent[7].Sub(start); first > 0 || last < 5*time.Second {
			t.Errorf("the first Send returned after %v, the last one after %v", first, last)
		}
	})
}

func TestSendWithAnEndedContext(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		r.Script(p.serve)
		c := r.Client("sender")
		connect(t, c)
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("why")
		cancel(why)
		for range 100 {
			if err := c.Send(ctx, to(nobody, "never")); !errors.Is(err, why) {
				t.Fatal(err)
			}
		}
		if err := c.Flush(ctx); !errors.Is(err, why) {
			t.Fatal(err)
		}
		_ = c.Close()
		equal(t, "handled", p.texts(), nil)
	})
}

func TestWhatIsFilledIn(t *testing.T) {
	other := uuid.New()
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		r.Script(p.serve)
		c := r.Client("alice")
		for _, m := range []relay.Message{
			{PeerUUID: nobody},
			{PeerUUID: nobody, SourceUUID: other, SourceName: "bob", DescriptionType: relay.Answer, Description: "d", Error: "e"},
		} {
			if err := c.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []relay.Message{
			{PeerUUID: nobody, SourceUUID: c.UUID(), SourceName: "alice", DescriptionType: relay.Offer},
			{PeerUUID: nobody, SourceUUID: other, SourceName: "bob", DescriptionType: relay.Answer, Description: "d", Error: "e"},
		}
		if !slices.Equal(p.messages, want) {
			t.Errorf("got %+v", p.messages)
		}
	})
}

func TestNothingIsAcceptedTwiceWhileTheRelayAnswers503(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		restore := r.Respond(http.StatusServiceUnavailable, nil)
		c := r.Client("sender")
		for _, text := range numbers(0, 100) {
			c.Outbox() <- to(nobody, text)
		}
		time.Sleep(time.Hour)
		restore()
		r.Script(p.serve)
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, "handled", p.texts(), numbers(0, 100))
	})
}
