package relay_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// clock records when something happened.
type clock struct {
	mu    sync.Mutex
	times []time.Time
}

func (c *clock) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.times = append(c.times, time.Now())
}

// ticks returns the times.
func (c *clock) ticks() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.times)
}

// reset forgets them.
func (c *clock) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.times = nil
}

// pauses returns the times between the ticks.
func (c *clock) pauses() (pauses []time.Duration) {
	times := c.ticks()
	for i := 1; i < len(times); i++ {
		pauses = append(pauses, times[i].Sub(times[i-1]))
	}
	return pauses
}

// refused is a network without a relay.
func (c *clock) refused(context.Context, string, string) (net.Conn, error) {
	c.tick()
	return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
}

// steps are the documented ranges of the default pauses, the first included.
func steps(i int) (lo, hi time.Duration) {
	switch {
	case i == 0:
		return 0, time.Second
	case i <= 6:
		hi = time.Second << (i - 1)
	default:
		hi = time.Minute
	}
	return hi / 2, hi
}

func checkSteps(t *testing.T, pauses []time.Duration) {
	t.Helper()
	for i, pause := range pauses {
		if lo, hi := steps(i); pause < lo || pause > hi {
			t.Errorf("pause %d is %v, want it between %v and %v (all: %v)", i, pause, lo, hi, pauses)
		}
	}
}

// wanting is a client that has been asked to connect.
func wanting(t *testing.T, opts ...relay.Option) *relay.Client {
	t.Helper()
	c, err := relay.New("ws://relay.test", opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	c.Inbox()
	return c
}

func TestBackoffOfTenMinutesWithoutARelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts clock
		start := time.Now()
		c := wanting(t, relay.WithDialContext(attempts.refused))
		told := watching(c)
		time.Sleep(10 * time.Minute)
		if first := attempts.ticks()[0]; first != start {
			t.Errorf("the first attempt came after %v, want it at once", first.Sub(start))
		}
		pauses := attempts.pauses()
		if n := len(pauses); n < 12 || n > 30 {
			t.Errorf("%d pauses in ten minutes", n)
		}
		checkSteps(t, pauses)
		var promised []time.Duration
		for _, change := range of[relay.StateChange](told) {
			if change.To == relay.Backoff {
				promised = append(promised, change.Retry)
				if !errors.Is(change.Err, syscall.ECONNREFUSED) {
					t.Errorf("backoff because of %v", change.Err)
				}
			}
		}
		if !slices.Equal(promised[:len(pauses)], pauses) {
			t.Errorf("the events promised %v, the pauses were %v", promised, pauses)
		}
	})
}

func TestBackoffKeepsToItsOwnBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts clock
		wanting(t, relay.WithDialContext(attempts.refused), relay.WithBackoff(100*time.Millisecond, 400*time.Millisecond))
		time.Sleep(5 * time.Second)
		for i, pause := range attempts.pauses() {
			hi := min(100*time.Millisecond<<max(i-1, 0), 400*time.Millisecond)
			if lo := hi / 2; i > 0 && pause < lo || pause > hi {
				t.Errorf("pause %d is %v, want at most %v", i, pause, hi)
			}
		}
		if n := len(attempts.pauses()); n < 12 {
			t.Errorf("%d pauses in five seconds", n)
		}
	})
}

func TestAHundredClientsAreNeverInLockstep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clocks := make([]clock, 100)
		for i := range clocks {
			wanting(t, relay.WithDialContext(clocks[i].refused))
		}
		time.Sleep(3 * time.Minute)
		for k := 1; k <= 7; k++ { // the first attempt is everybody's own beginning
			var times []time.Time
			for i := range clocks {
				times = append(times, clocks[i].ticks()[k])
			}
			slices.SortFunc(times, time.Time.Compare)
			lo, hi := steps(k - 1)
			if spread := times[len(times)-1].Sub(times[0]); spread < (hi-lo)/2 {
				t.Errorf("attempt %d: all within %v", k, spread)
			}
			// No tenth of the clients within a hundredth of the range.
			for i := 10; i < len(times); i++ {
				if d := times[i].Sub(times[i-10]); d < (hi-lo)/100 {
					t.Errorf("attempt %d: 11 clients within %v", k, d)
				}
			}
		}
	})
}

// A hundred clients lose a healthy connection in the same instant.
func TestAFleetDoesNotComeBackInOneInstant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		var back clock
		for range 100 {
			c := r.Client("a")
			connect(t, c)
			go func() {
				for e := range c.Events() {
					if change, ok := e.(relay.StateChange); ok && change.To == relay.Connected {
						back.tick()
					}
				}
			}()
		}
		time.Sleep(time.Minute)
		back.reset()
		cut := time.Now()
		r.Cut()
		time.Sleep(time.Minute)
		times := back.ticks()
		if len(times) != 100 {
			t.Fatalf("%d came back", len(times))
		}
		if last := times[99].Sub(cut); last > time.Second || last < 500*time.Millisecond {
			t.Errorf("the last came back after %v, want a second or a little less", last)
		}
		for i := 20; i < 100; i++ {
			if d := times[i].Sub(times[i-20]); d < 20*time.Millisecond {
				t.Errorf("21 clients came back within %v", d)
			}
		}
	})
}

func TestARelayThatAcceptsAndClosesIsNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		var registrations clock
		r.Script(func(conn transport.Conn) {
			registrations.tick()
			answer(conn, okReply)
			_ = conn.Close(1011, "")
		})
		r.Client("a").Inbox()
		time.Sleep(10 * time.Minute)
		pauses := registrations.pauses()
		t.Logf("%d registrations in ten minutes", len(pauses)+1)
		if len(pauses) < 12 || len(pauses) > 30 {
			t.Errorf("%d registrations in ten minutes", len(pauses)+1)
		}
		checkSteps(t, pauses)
	})
}

// alive reads until the connection is over, and answers pings.
func alive(conn transport.Conn) {
	done := make(chan struct{})
	var pongs sync.WaitGroup
	pongs.Go(func() { pump(conn, nil, done) })
	untilEnd(conn)
	close(done)
	pongs.Wait()
}

// The backoff begins anew after ten seconds and a pong.
func TestOnlyAHealthyConnectionBeginsTheBackoffAnew(t *testing.T) {
	tests := []struct {
		name    string
		lives   time.Duration
		silent  bool // answers no ping
		healthy bool
	}{
		{"thirty seconds with pongs", 30 * time.Second, false, true},
		{"eleven seconds with pongs", 11 * time.Second, false, true},
		{"nine seconds with pongs", 9 * time.Second, false, false},
		{"thirty seconds with messages and without a pong", 30 * time.Second, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := relaytest.NewInMemory(t)
				var attempts clock
				var up atomic.Bool
				r.Script(func(conn transport.Conn) {
					attempts.tick()
					if !up.Load() {
						return
					}
					answer(conn, okReply)
					if test.silent {
						for range test.lives / time.Second {
							time.Sleep(time.Second)
							tell(conn, message("hello"))
						}
						return
					}
					end := time.AfterFunc(test.lives, func() { _ = conn.Abort() })
					defer end.Stop()
					alive(conn)
				})
				c := r.Client("a")
				c.Inbox()
				time.Sleep(5 * time.Minute) // the pauses are long by now
				up.Store(true)
				attempts.reset()
				for c.State() != relay.Connected {
					time.Sleep(time.Second)
				}
				for c.State() == relay.Connected {
					time.Sleep(time.Millisecond)
				}
				lost := time.Now()
				up.Store(false)
				time.Sleep(2 * time.Minute)
				again := attempts.ticks()[1].Sub(lost)
				if test.healthy && again > time.Second {
					t.Errorf("the next attempt came %v after the loss, want it within a second", again)
				}
				if !test.healthy && again < 29*time.Second {
					t.Errorf("the next attempt came %v after the loss, want the long pause to go on", again)
				}
			})
		})
	}
}

func TestRetryAfterIsHonouredWithinABound(t *testing.T) {
	tests := []struct {
		name, value string
		lo, hi      time.Duration // of the first pause
	}{
		{"seven seconds", "7", 7 * time.Second, 9 * time.Second},
		{"none", "0", 0, time.Second},
		{"eleven days", "1000000", 10 * time.Minute, 13 * time.Minute},
		{"thirty years", "1000000000", 10 * time.Minute, 13 * time.Minute},
		{"more than a number holds", "99999999999999999999999", 0, 13 * time.Minute},
		{"a negative time", "-7", 0, time.Second},
		{"garbage", "soon", 0, time.Second},
		{"nothing", "", 0, time.Second},
		{"a date to come", "date", 29 * time.Second, 38 * time.Second},
		{"a date that is over", "Sat, 01 Jan 2000 00:00:00 GMT", 0, time.Second},
	}
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusTooManyRequests} {
		for _, test := range tests {
			t.Run(http.StatusText(status)+", "+test.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					value := test.value
					if value == "date" {
						value = time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat)
					}
					r := relaytest.NewInMemory(t)
					r.Respond(status, http.Header{"Retry-After": {value}})
					c := r.Client("a")
					told := watching(c)
					c.Inbox()
					synctest.Wait()
					changes := of[relay.StateChange](told)
					last := changes[len(changes)-1]
					if last.To != relay.Backoff || last.Retry < test.lo || last.Retry > test.hi {
						t.Errorf("%v; want a pause between %v and %v", last, test.lo, test.hi)
					}
				})
			})
		}
	}
}

// A pause that a relay asked for does not make a client deaf.
func TestCloseDoesNotWaitForTheEndOfAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		r.Respond(503, http.Header{"Retry-After": {"600"}})
		c := r.Client("a")
		c.Inbox()
		synctest.Wait()
		if d := took(func() { _ = c.Close() }); d != 0 || c.State() != relay.Closed {
			t.Errorf("Close took %v, state %v", d, c.State())
		}
	})
}
