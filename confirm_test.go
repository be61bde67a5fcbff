package relay_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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

func TestFlushReturnsWhenEverythingBeforeItWasHandled(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		p.react = func(transport.Conn, relay.Message) bool { time.Sleep(10 * time.Millisecond); return true }
		r.Script(p.serve)
		c := r.Client("sender")
		for i := range 5 {
			for j := range 20 {
				c.Outbox() <- to(nobody, fmt.Sprint(20*i+j))
			}
			d := took(func() {
				if err := c.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
			if got := p.texts(); len(got) != 20*(i+1) || d < 180*time.Millisecond {
				t.Errorf("Flush returned after %v with %d messages handled", d, len(got))
			}
		}
	})
}

func TestFlushWhileMessagesFlow(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		r.Script(p.serve)
		c := r.Client("sender")
		ctx, cancel := context.WithCancel(t.Context())
		var flowing sync.WaitGroup
		for range 3 {
			flowing.Go(func() {
				for ctx.Err() == nil {
					_ = c.Send(ctx, to(nobody, "noise"))
					time.Sleep(time.Microsecond)
				}
			})
		}
		for i := range 100 {
			text := fmt.Sprint(i)
			if err := c.Send(t.Context(), to(nobody, text)); err != nil {
				t.Fatal(err)
			}
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(p.texts(), text) {
				t.Fatalf("Flush returned before %s was handled", text)
			}
		}
		cancel()
		flowing.Wait()
	})
}

func TestFlushWithNothingOutstanding(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		c := r.Client("sender")
		r.Stop()
		if err := c.Flush(t.Context()); err != nil {
			t.Error("never used:", err)
		}
		if c.State() != relay.Idle {
			t.Error("it connects for nothing:", c.State())
		}
		r.Start()
		connect(t, c)
		if err := c.Flush(t.Context()); err != nil {
			t.Error("connected:", err)
		}
		r.Stop()
		time.Sleep(time.Minute)
		if err := c.Flush(t.Context()); err != nil {
			t.Error("disconnected:", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = c.Send(ctx, to(nobody, "given up"))
		if err := c.Flush(t.Context()); err != nil {
			t.Error("after a Send that gave up:", err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Flush(t.Context()); !errors.Is(err, relay.ErrClosed) {
			t.Error("closed:", err)
		}
	})
}

// A pong proves nothing: the relay of this test answers pings and handles
// nothing.
func TestOnlyABarrierConfirms(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{deaf: true}
		r.Script(p.serve)
		c := r.Client("sender")
		w := watching(c)
		if err := c.Send(t.Context(), to(nobody, "0")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if err := c.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if c.State() != relay.Connected || c.Stats().Connects != 1 {
			t.Error("the relay answers pings, and was taken for dead")
		}
		r.Cut()
		time.Sleep(time.Minute)
		equal(t, "in doubt", w.doubts(), []string{"0"})
	})
}

func TestFlushTellsOfDoubt(t *testing.T) {
	lose := func(r *relaytest.Relay) { r.Stop(); time.Sleep(time.Minute); r.Start() }
	for _, test := range []struct {
		name string
		do   func(t *testing.T, r *relaytest.Relay, p *tape, c *relay.Client) error // of Flush
		want error
	}{
		{"when the connection is lost while it waits", func(t *testing.T, r *relaytest.Relay, p *tape, c *relay.Client) error {
			p.setDeaf(true)
			_ = c.Send(t.Context(), to(nobody, "1"))
			go func() { time.Sleep(time.Second); r.Stop() }()
			return c.Flush(t.Context())
		}, relay.ErrInDoubt},
		{"when the connection was lost before it was called", func(t *testing.T, r *relaytest.Relay, p *tape, c *relay.Client) error {
			p.setDeaf(true)
			_ = c.Send(t.Context(), to(nobody, "1"))
			lose(r)
			p.setDeaf(false)
			return c.Flush(t.Context())
		}, relay.ErrInDoubt},
		{"when it waits behind messages that are not written yet", func(t *testing.T, r *relaytest.Relay, p *tape, c *relay.Client) error {
			thaw := r.Freeze()
			_ = c.Send(t.Context(), to(nobody, "1"))
			for range 8 { // more than the connection holds
				go func() {
					select {
					case c.Outbox() <- to(nobody, strings.Repeat("x", 100<<10)):
					case <-c.Done():
					}
				}()
			}
			synctest.Wait()
			go func() { time.Sleep(time.Second); r.Cut(); thaw() }()
			return c.Flush(t.Context())
		}, relay.ErrInDoubt},
		{"once", func(t *testing.T, r *relaytest.Relay, p *tape, c *relay.Client) error {
			p.setDeaf(true)
			_ = c.Send(t.Context(), to(nobody, "1"))
			lose(r)
			p.setDeaf(false)
			if err := c.Flush(t.Context()); !errors.Is(err, relay.ErrInDoubt) {
				t.Error(err)
			}
			_ = c.Send(t.Context(), to(nobody, "2"))
			return c.Flush(t.Context())
		}, nil},
		{"and is silent when everything had been confirmed", func(t *testing.T, r *relaytest.Relay, p *tape, c *relay.Client) error {
			_ = c.Send(t.Context(), to(nobody, "1"))
			time.Sleep(time.Second)
			lose(r)
			return c.Flush(t.Context())
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				p := &tape{}
				r.Script(p.serve)
				c := r.Client("sender")
				connect(t, c)
				if err := test.do(t, r, p, c); !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
			})
		})
	}
}

func TestFlushSurvivesALossWithoutDoubt(t *testing.T) {
	for _, test := range []struct {
		name string
		opts []relay.Option
		send int
	}{
		{"because of WithResend", []relay.Option{relay.WithResend(10)}, 5},
		{"because nothing was sent", nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				p := &tape{deaf: true}
				r.Script(p.serve)
				c := r.Client("sender", test.opts...)
				connect(t, c)
				for _, text := range numbers(0, test.send) {
					_ = c.Send(t.Context(), to(nobody, text))
				}
				go func() { time.Sleep(time.Second); p.setDeaf(false); r.Cut() }()
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if err := c.Flush(ctx); err != nil {
					t.Error(err)
				}
				equal(t, "handled", p.texts(), numbers(0, test.send))
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestTheProgramNeverSeesABarrier(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		id := uuid.New()
		var barrier relay.Message
		p := &tape{}
		r.Script(func(conn transport.Conn) { // remembers a client's barrier
			p.serve(&spy{Conn: conn, saw: func(frame string) {
				if strings.Contains(frame, `"peer_uuid": "`+id.String()) {
					barrier = relay.Message{SourceUUID: id, PeerUUID: id, DescriptionType: relay.Offer,
						Description: frame[strings.Index(frame, `"description": "`)+16 : strings.Index(frame, `", "error"`)]}
				}
			}})
		})
		first := r.Client("first", relay.WithUUID(id))
		_ = first.Send(t.Context(), to(nobody, "0"))
		if err := first.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		_ = first.Close()
		if !strings.HasPrefix(barrier.Description, "relay-barrier ") {
			t.Fatalf("no barrier was seen: %+v", barrier)
		}

		// An earlier client's barrier, and a forged one, come to the next client
		// while something is unconfirmed.
		forged := barrier
		forged.Description = "relay-barrier 1"
		var frames []string
		for _, m := range []relay.Message{barrier, forged, {SourceUUID: nobody, PeerUUID: id, DescriptionType: relay.Offer, Description: "real"}} {
			frame, err := m.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			frames = append(frames, string(frame))
		}
		deaf := &tape{deaf: true}
		r.Script(func(conn transport.Conn) {
			deaf.serve(&spy{Conn: conn, saw: func(frame string) {
				if strings.Contains(frame, "trigger") {
					for _, f := range frames {
						_ = conn.WriteFrame([]byte(f))
					}
					_ = conn.Flush()
				}
			}})
		})
		second := r.Client("second", relay.WithUUID(id))
		_ = second.Send(t.Context(), to(nobody, "trigger"))
		equal(t, "received", receive(t, second, 1), []string{"real"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := second.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error("confirmed by somebody else's barrier:", err)
		}
		if stats := second.Stats(); stats.Received != 1 {
			t.Errorf("%+v", stats)
		}
	})
}

// spy shows the frames that a relay reads.
type spy struct {
	transport.Conn
	saw func(frame string)
}

func (s *spy) ReadFrame() ([]byte, bool, error) {
	frame, binary, err := s.Conn.ReadFrame()
	if err == nil {
		s.saw(string(frame))
	}
	return frame, binary, err
}

func TestTheWindowIsBounded(t *testing.T) {
	for _, test := range []struct {
		name string
		opts []relay.Option
		text string
		want int
	}{
		{"16,384 messages", nil, "x", 1 << 14},
		{"8 MiB", nil, strings.Repeat("x", 64<<10), 128},
		{"WithResend(1)", []relay.Option{relay.WithResend(1)}, "x", 1},
		{"WithResend(100)", []relay.Option{relay.WithResend(100)}, "x", 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				p := &tape{deaf: true}
				r.Script(p.serve)
				c := r.Client("sender", test.opts...)
				connect(t, c)
				accepted := 0
				for accepted < 20000 {
					select {
					case c.Outbox() <- to(nobody, test.text):
						accepted++
						continue
					case <-time.After(time.Minute):
					}
					break
				}
				// The barriers among them take a place each, and two may wait outside.
				if accepted > test.want+2 || accepted < test.want*9/10 {
					t.Errorf("%d messages were accepted by a relay that confirms nothing, want %d", accepted, test.want)
				}
			})
		})
	}
}

func TestWhatIsConfirmedIsForgotten(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		p.react = func(transport.Conn, relay.Message) bool { return false } // keeps nothing
		r.Script(p.serve)
		c := r.Client("sender")
		large := strings.Repeat("x", 10<<10)
		before := heap()
		for i := range 3000 { // 30 MB
			m := to(nobody, large[:len(large)-i%7]+fmt.Sprint(i))
			if err := c.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if grown := heap() - before; grown > 3<<20 {
			t.Errorf("%d bytes are still held", grown)
		}
		runtime.KeepAlive(c)
	})
}

func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func TestT17_ARelayThatDiesWithAMessageInItsHands(t *testing.T) {
	for _, test := range []struct {
		name            string
		resend, forward bool
		want            []string // handled
		doubt           []string
	}{
		{"before forwarding it", false, false, []string{"0", "2"}, []string{"1"}},
		{"after forwarding it", false, true, []string{"0", "1", "2"}, []string{"1"}},
		{"before forwarding it, with WithResend", true, false, []string{"0", "1", "2"}, nil},
		{"after forwarding it, with WithResend", true, true, []string{"0", "1", "1", "2"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				p := &tape{}
				died := false
				p.react = func(conn transport.Conn, m relay.Message) bool {
					if m.Description != "1" || died {
						return true
					}
					died = true
					_ = conn.Abort()
					return test.forward
				}
				r.Script(p.serve)
				var opts []relay.Option
				if test.resend {
					opts = append(opts, relay.WithResend(10))
				}
				c := r.Client("sender", opts...)
				w := watching(c)
				for _, text := range numbers(0, 3) {
					if err := c.Send(t.Context(), to(nobody, text)); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second) // confirmed, or lost
				}
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				<-w.done
				equal(t, "handled", p.texts(), test.want)
				equal(t, "in doubt", w.doubts(), test.doubt)
				got := c.Stats()
				want := relay.Stats{
					State: relay.Closed, Sent: 3, SentBytes: 3 * got.SentBytes / got.Sent, Connects: 2, InDoubt: uint64(len(test.doubt)),
					Disconnects: got.Disconnects,
				}
				if test.resend {
					want.Resent, want.Sent, want.SentBytes = 1, 4, got.SentBytes
				}
				if got != want || got.Disconnects.Total() != 2 {
					t.Errorf("stats: got %+v, want %+v", got, want)
				}
			})
		})
	}
}

func TestResentCountsWhatIsWrittenAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{deaf: true}
		r.Script(p.serve)
		c := r.Client("sender", relay.WithResend(10))
		for _, text := range numbers(0, 3) {
			_ = c.Send(t.Context(), to(nobody, text))
		}
		w := watching(c)
		r.Stop()
		if err := c.Close(); err != nil {
			t.Errorf("%v: what may have arrived was not unsent", err)
		}
		<-w.done
		equal(t, "in doubt", w.doubts(), numbers(0, 3))
		if got := c.Stats(); got.Resent != 0 || got.Sent != 3 {
			t.Errorf("%+v", got)
		}
	})
}
