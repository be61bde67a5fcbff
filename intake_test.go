package relay_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// burst sends n messages, from number first on, without a pause: that takes an intake.
func burst(c *relay.Client, first, n int) {
	for i := range n {
		c.Outbox() <- to(nobody, fmt.Sprint(first+i))
	}
}

// What comes alone after a burst is sent at once, and so is what comes alone after
// that, when the intake has gone.
func TestAfterABurstASingleMessageIsSentAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		r.Script(p.serve)
		c := r.Client("c")
		connect(t, c)
		sent := 0
		for _, n := range []int{15, 1, 16, 1, 17, 1, 500, 1, 1, 100, 1} {
			burst(c, sent, n)
			sent += n
			synctest.Wait()
			if got := p.texts(); !slices.Equal(got, numbers(0, sent)) {
				t.Fatalf("%d of %d have arrived, or not in order", len(got), sent)
			}
		}
		time.Sleep(time.Second)
		if got := ours(); got != 2 {
			t.Errorf("%d goroutines of a client that has sent all", got)
		}
	})
}

// A relay that does not read holds everybody up, and then lets all go on, in order:
// messages of the Outbox, of Send, and a Flush behind them.
func TestABurstWaitsForARelayThatDoesNotRead(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		gate := make(chan struct{})
		p := &tape{react: func(transport.Conn, relay.Message) bool { <-gate; return true }}
		r.Script(p.serve)
		c := r.Client("c")
		connect(t, c)
		var sending sync.WaitGroup
		sending.Go(func() {
			for i := range 500 {
				if i%7 == 6 {
					if err := c.Send(context.Background(), to(nobody, fmt.Sprint(i))); err != nil {
						t.Error(err)
					}
					continue
				}
				burst(c, i, 1)
			}
			if err := c.Flush(context.Background()); err != nil {
				t.Error(err)
			}
		})
		start := time.Now()
		for range 500 {
			synctest.Wait()
			gate <- struct{}{}
		}
		sending.Wait()
		if late := time.Since(start); late != 0 {
			t.Errorf("something waited for a timer, %v", late)
		}
		if got := p.texts(); !slices.Equal(got, numbers(0, 500)) {
			t.Errorf("%d of 500 have arrived, or not in order", len(got))
		}
	})
}

// The program closes its channel while the intake waits, or has gone.
func TestClosingTheOutboxAfterABurstEndsTheClient(t *testing.T) {
	for n := 16; n < 100; n++ {
		bubble(t, func(t *testing.T, r *relaytest.Relay) {
			p := &tape{}
			r.Script(p.serve)
			c := r.Client("c")
			connect(t, c)
			burst(c, 0, n)
			synctest.Wait()
			close(c.Outbox())
			synctest.Wait()
			if c.State() != relay.Closed || len(p.texts()) != n {
				t.Errorf("%v, %d of %d have arrived", c.State(), len(p.texts()), n)
			}
		})
	}
}

// What the intake holds when the connection is lost goes out over the next, before
// what is accepted meanwhile.
func TestTheIntakeEndsWithItsConnection(t *testing.T) {
	for _, n := range []int{17, 40, 300} {
		bubble(t, func(t *testing.T, r *relaytest.Relay) {
			gate := make(chan struct{})
			p := &tape{react: func(transport.Conn, relay.Message) bool { <-gate; return true }}
			r.Script(p.serve)
			c := r.Client("c", relay.WithBackoff(time.Minute, time.Minute), relay.WithResend(1000), relay.WithOutbox(1000))
			connect(t, c)
			go burst(c, 0, n)
			synctest.Wait()
			r.Cut()
			close(gate) // all handle what comes from now on
			synctest.Wait()
			was := len(p.texts())
			burst(c, n, 50)
			synctest.Wait()
			if got := c.Stats().Outbox; got != n+50 {
				t.Errorf("%d of %d messages wait in the outbox", got, n+50)
			}
			time.Sleep(2 * time.Minute)
			if got := p.texts(); !slices.Equal(got[was:], numbers(0, n+50)) {
				t.Errorf("after the loss %d of %d have arrived, or not in order", len(got)-was, n+50)
			}
		})
	}
}

// Close says of each message what became of it, those included that an intake holds.
func TestCloseAccountsForWhatTheIntakeHolds(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		gate := make(chan struct{})
		defer close(gate)
		p := &tape{react: func(transport.Conn, relay.Message) bool { <-gate; return true }}
		var once sync.Once
		r.Script(func(conn transport.Conn) {
			serve := func() { _ = conn.Abort() } // later ones
			once.Do(func() { serve = func() { p.serve(conn) } })
			serve()
		})
		c := r.Client("c")
		connect(t, c)
		accepted := 0
		for more := true; more; {
			select {
			case c.Outbox() <- to(nobody, fmt.Sprint(accepted)):
				accepted++
			case <-time.After(time.Second):
				more = false
			}
		}
		rest := unsent(t, c.Close())
		doubtful := int(c.Stats().InDoubt)
		if len(rest) == 0 || doubtful == 0 || len(rest)+doubtful != accepted {
			t.Errorf("%d accepted, %d unsent, %d in doubt", accepted, len(rest), doubtful)
		}
		if !slices.Equal(rest, numbers(doubtful, accepted)) {
			t.Errorf("what is unsent is not what was sent last, in order: %q", rest)
		}
	})
}
