package server

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The same as before on real sockets, with figures: Bob registers and never
// reads, Alice floods him, Carol and Dave talk.
func TestT40_AFloodOfAPeerThatDoesNotRead(t *testing.T) {
	const bound = 3 * time.Second // of a write to Bob
	s := newServer(t, WithWriteTimeout(bound))
	url := listen(t, s)
	a, b := dial(t, url).register(alice), dial(t, url).register(bob)
	c, d := dial(t, url).register(carol), dial(t, url).register(dave)
	before := talk(c, d, func(n int) bool { return n < 500 })

	// Alice: writes until Bob has been closed, and a hundred messages more.
	start := time.Now()
	var sender, reader sync.WaitGroup
	sent, slowest, closed := 0, time.Duration(0), time.Duration(0)
	frame := []byte(message(alice, bob, strings.Repeat("x", 10_000)))
	over := make(chan struct{})
	sender.Go(func() {
		defer close(over)
		for more := 100; more > 0; {
			began := time.Now()
			if err := errors.Join(a.WriteFrame(frame), a.Flush()); err != nil {
				t.Error("the sender is thrown out:", err)
				return
			}
			slowest = max(slowest, time.Since(began))
			sent++
			if s.Stats().WriteTimeouts == 1 {
				if more == 100 {
					closed = time.Since(start)
				}
				more--
			}
		}
	})
	var unread, unknown, other atomic.Int64 // echoes
	reader.Go(func() {
		for {
			frame, _, err := a.ReadFrame()
			switch text := string(frame); {
			case err != nil:
				return
			case strings.Contains(text, "does not read its messages"):
				unread.Add(1)
			case strings.Contains(text, "not registered this relay"):
				unknown.Add(1)
			default:
				other.Add(1)
			}
		}
	})
	during := talk(c, d, func(int) bool {
		select {
		case <-over:
			return false
		default:
			return true
		}
	})
	sender.Wait()
	eventually(t, "all have had their end", func() bool {
		st := s.Stats()
		return st.Forwarded-2*uint64(len(before)+len(during))+st.BouncedUnreadPeer+st.BouncedUnknownPeer == uint64(sent) && st.QueuedBytes == 0
	})
	st := s.Stats()
	want := int64(st.BouncedUnreadPeer + st.BouncedUnknownPeer + st.GivenBack)
	eventually(t, "all echoes have come", func() bool { return unread.Load()+unknown.Load()+other.Load() >= want })
	a.Close(1000, "")
	reader.Wait()

	if got := unread.Load() + unknown.Load(); got != want || other.Load() != 0 || st.Dropped != 0 {
		t.Errorf("%d echoes and %d other messages, want %d echoes; %d dropped", got, other.Load(), want, st.Dropped)
	}
	if unread.Load() == 0 || unknown.Load() < 100 {
		t.Errorf("echoes: %d and %d", unread.Load(), unknown.Load())
	}
	if slowest > roomWait+patience/6 {
		t.Errorf("a write of the sender took %v", slowest)
	}
	if st.Closed[codePolicy] != 1 || st.WriteTimeouts != 1 || closed < bound/2 || closed > bound+patience/6 {
		t.Errorf("Bob: %d closed with 1008 after %v, want one after %v", st.Closed[codePolicy], closed, bound)
	}
	if err := readAll(b); err == nil {
		t.Error("Bob is still there")
	} else {
		t.Logf("Bob was closed after %v with 1008; as nothing more fitted into his socket, he is told: %v", closed.Round(time.Millisecond), err)
	}
	t.Logf("Alice sent %d: %d in the socket, %d echoes because he does not read, %d because he had left; her slowest write took %v",
		sent, sent-int(want), unread.Load(), unknown.Load(), slowest.Round(time.Microsecond))
	t.Logf("Carol and Dave: p99 %v of %d before, %v of %d during", quantile(before, 0.99), len(before), quantile(during, 0.99), len(during))
	if p99 := quantile(during, 0.99); p99 > time.Second {
		t.Errorf("Carol and Dave notice it: %v", p99)
	}
}

// talk sends from one to the other and back while more says so, and returns how
// long each took.
func talk(c, d peer, more func(n int) bool) (took []time.Duration) {
	for n := 0; more(n); n++ {
		start := time.Now()
		c.send(carol, dave, fmt.Sprint(n))
		there := d.receive()
		d.send(dave, carol, fmt.Sprint(n))
		if back := c.receive(); there.Description != fmt.Sprint(n) || back.Description != there.Description {
			c.t.Fatalf("%d: %+v, then %+v", n, there, back)
		}
		took = append(took, time.Since(start))
	}
	return took
}

func quantile(took []time.Duration, q float64) time.Duration {
	slices.Sort(took)
	return took[int(q*float64(len(took)-1))].Round(time.Microsecond)
}

func readAll(p peer) (err error) {
	for err == nil {
		_, _, err = p.ReadFrame()
	}
	return err
}
