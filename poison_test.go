package relay_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// blaming is a relay's end of a connection that is closed for one message. Like
// any relay it reads nothing of that connection any more.
type blaming struct {
	transport.Conn
	code   int
	poison string
	seen   *atomic.Int64
}

func (b blaming) ReadFrame() ([]byte, bool, error) {
	frame, binary, err := b.Conn.ReadFrame()
	if m, decode := codec.DecodePeerConnection(frame); err != nil || decode != nil || m.Description != b.poison {
		return frame, binary, err
	}
	b.seen.Add(1)
	_ = b.Conn.Close(b.code, "because of it")
	return nil, false, io.EOF
}

// oneToTen are the messages of case T19; the third is the poison.
var oneToTen = numbers(1, 11)

// sendTen sends them in one of three ways.
func sendTen(t *testing.T, c *relay.Client, way string) {
	t.Helper()
	for _, text := range oneToTen {
		c.Outbox() <- to(nobody, text)
		if way != "one by one" {
			continue
		}
		if err := c.Flush(t.Context()); errors.Is(err, relay.ErrInDoubt) != (text == "3") {
			t.Errorf("Flush after message %s: %v", text, err)
		}
	}
}

// A relay that blames message 3 of 10: it is reported, and the others arrive, if
// the relay had confirmed them or had not had them yet. There is one connection
// more, and no more attempts than for any other loss: the backoff goes on where
// it was.
func TestT19_PoisonIsReportedAndHarmsNoOther(t *testing.T) {
	for _, code := range []int{1007, 1009, 4000, 4003} {
		for _, way := range []string{"one by one", "at once, WithResend(1)", "at once"} {
			for _, healthy := range []bool{true, false} {
				t.Run(fmt.Sprintf("close code %d, %s, on a healthy connection: %v", code, way, healthy), func(t *testing.T) {
					bubble(t, func(t *testing.T, r *relaytest.Relay) {
						p, seen := &tape{}, new(atomic.Int64)
						r.Script(func(conn transport.Conn) { p.serve(blaming{conn, code, "3", seen}) })
						var opts []relay.Option
						if way == "at once, WithResend(1)" {
							opts = append(opts, relay.WithResend(1))
						}
						c := r.Client("sender", opts...)
						w := watching(c)
						restore := r.Refuse()
						c.Inbox()
						time.Sleep(5 * time.Minute) // the pauses are long by now
						restore()
						connect(t, c)
						if healthy {
							time.Sleep(time.Minute)
						}
						sendTen(t, c, way)
						time.Sleep(2 * time.Minute)

						// Of those written with it nobody knows: they are suspects, too.
						first, last := 3, 3
						if doubts := w.doubts(); way == "at once" && len(doubts) > 0 {
							first, last = number(doubts[0]), number(doubts[len(doubts)-1])
						}
						equal(t, "in doubt", w.doubts(), numbers(min(first, 3), max(last, 3)+1))
						others := append(numbers(1, 3), numbers(last+1, 11)...)
						equal(t, "handled", p.texts(), others)
						for _, e := range of[relay.InDoubt](w) {
							if closed, ok := errors.AsType[*transport.CloseError](e.Err); !ok || closed.Code != code || closed.Reason != "because of it" {
								t.Errorf("in doubt because of %v", e.Err)
							}
						}
						if stats := c.Stats(); stats.Connects != 2 || stats.Sent != 10 || stats.Resent != 0 || seen.Load() != 1 {
							t.Errorf("the poison was sent %d times; %+v", seen.Load(), stats)
						}
						checkPauseAfterLoss(t, w, healthy)
					})
				})
			}
		}
	}
}

func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

// checkPauseAfterLoss checks the pause after the last connection that was lost.
func checkPauseAfterLoss(t *testing.T, w *watch, healthy bool) {
	t.Helper()
	for _, change := range slices.Backward(of[relay.StateChange](w)) {
		if change.From != relay.Connected {
			continue
		}
		lo, hi := 30*time.Second, time.Minute
		if healthy {
			lo, hi = 0, time.Second
		}
		if change.Retry < lo || change.Retry > hi {
			t.Errorf("%v; want a pause between %v and %v", change, lo, hi)
		}
		return
	}
	t.Error("no connection was lost")
}

// Of what is sent again the poison is not.
func TestT19_ThePoisonOfAFloodIsNotSentTwice(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		seen := 0
		p.react = func(conn transport.Conn, m relay.Message) bool {
			if m.Description == "0500" {
				seen++
				p.deaf = true // a relay that closes handles nothing more, and confirms nothing
				go func() { _ = conn.Close(4003, "Message length exceeds limit.") }()
			}
			return true
		}
		r.Script(func(conn transport.Conn) {
			p.setDeaf(false)
			p.serve(conn)
		})
		c := r.Client("sender", relay.WithResend(10000))
		w := watching(c)
		var a account
		for i := range 1000 {
			text := fmt.Sprintf("%04d", i)
			c.Outbox() <- to(nobody, text)
			a.accepted = append(a.accepted, text)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		<-w.done
		if seen != 1 || !slices.Contains(w.doubts(), "0500") {
			t.Errorf("the poison was sent %d times", seen)
		}
		outcomes{delivered: p.texts(), doubtful: w.doubts()}.audit(t, true, a)
	})
}
