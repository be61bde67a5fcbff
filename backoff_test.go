package relay_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
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

func TestT1_TenMinutesWithoutARelay(t *testing.T) {
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

// Each of a hundred clients keeps to the range of every step for ten minutes,
// and no two of them do the same.
func TestT1_AHundredClientsAreNeverInLockstep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clocks := make([]clock, 100)
		for i := range clocks {
			wanting(t, relay.WithDialContext(clocks[i].refused))
		}
		time.Sleep(10 * time.Minute)
		attempts, least, most := 0, 1000, 0
		seen := make(map[time.Time][]int) // who attempted in an instant
		for i := range clocks {
			checkSteps(t, clocks[i].pauses())
			times := clocks[i].ticks()
			attempts, least, most = attempts+len(times), min(least, len(times)), max(most, len(times))
			for _, at := range times[1:] { // the first attempt is everybody's own beginning
				seen[at] = append(seen[at], i)
			}
		}
		// In some 2,000 attempts of nanosecond resolution one coincidence can happen,
		// once in a thousand runs or so; two of the same clients cannot.
		together := make(map[[2]int]int)
		for _, who := range seen {
			for k := 1; k < len(who); k++ {
				together[[2]int{who[k-1], who[k]}]++
			}
		}
		for pair, n := range together {
			if n > 1 || len(together) > 2 {
				t.Errorf("clients %v attempted %d times in the same instant", pair, n)
			}
		}
		for k := 1; k <= 10; k++ {
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
		t.Logf("%d attempts of 100 clients in ten minutes, %d to %d each; %d coincidences", attempts, least, most, len(together))
	})
}

// A hundred clients lose a healthy connection in the same instant.
func TestT33_AFleetDoesNotComeBackInOneInstant(t *testing.T) {
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

// warnings counts the lines of a log that are worse than information.
type warnings struct {
	slog.Handler
	n *atomic.Int64
}

func countWarnings() (relay.Option, *atomic.Int64) {
	w := warnings{slog.DiscardHandler, new(atomic.Int64)}
	return relay.WithLogger(slog.New(w)), w.n
}

func (w warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (w warnings) WithAttrs([]slog.Attr) slog.Handler               { return w }
func (w warnings) WithGroup(string) slog.Handler                    { return w }
func (w warnings) Handle(context.Context, slog.Record) error {
	w.n.Add(1)
	return nil
}

// inTenMinutes returns the most that happened within any ten minutes.
func inTenMinutes(times []time.Time) (most int) {
	for i, first := range times {
		n := 0
		for _, at := range times[i:] {
			if at.Sub(first) < 10*time.Minute {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// A relay that registers a client and closes at once, a hundred times: it is not
// hammered, and the log is not flooded.
func TestT2_ARelayThatAcceptsAndClosesIsNotHammered(t *testing.T) {
	tests := []struct {
		name     string
		min, max time.Duration
		bound    int // registrations in ten minutes, were every pause as short as it can be
	}{
		// 0, 0.5, 1, 2, 4, 8 and 16 s, then 30 s each.
		{"the default backoff", time.Second, time.Minute, 26},
		// 0, 1, 2, 4, 8, 16, 32, 64, 128 s, then 150 s each.
		{"two seconds to five minutes", 2 * time.Second, 5 * time.Minute, 12},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := relaytest.NewInMemory(t)
				var registrations clock
				r.Script(func(conn transport.Conn) {
					registrations.tick()
					answer(conn, okReply)
					_ = conn.Close(1011, "")
				})
				logged, lines := countWarnings()
				c := r.Client("a", relay.WithBackoff(test.min, test.max), logged)
				c.Inbox()
				for len(registrations.ticks()) < 100 {
					time.Sleep(time.Minute)
				}
				times, pauses := registrations.ticks()[:100], registrations.pauses()[:99]
				n := inTenMinutes(times)
				t.Logf("100 registrations in %v, at most %d in any ten minutes; %d lines in the log", times[99].Sub(times[0]).Round(time.Second), n, lines.Load())
				if n > test.bound {
					t.Errorf("%d registrations in ten minutes, want at most %d", n, test.bound)
				}
				hi := test.min
				for i, pause := range pauses {
					if i > 1 {
						hi = min(2*hi, test.max)
					}
					if lo := hi / 2; i > 0 && pause < lo || pause > hi {
						t.Errorf("pause %d is %v, want it between %v and %v", i, pause, lo, hi)
					}
				}
				if n := c.Stats().Connects; n < 100 {
					t.Errorf("%d connects: the relay did not accept", n)
				}
				if n := lines.Load(); n != 1 {
					t.Errorf("%d warnings, want one for all of it", n)
				}
			})
		})
	}
}

// A new trouble is a new line.
func TestT2_EachBurstHasItsLine(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		logged, lines := countWarnings()
		c := r.Client("a", logged)
		for i := range 5 {
			connect(t, c)
			time.Sleep(time.Minute) // healthy
			r.Stop()
			time.Sleep(time.Hour)
			r.Start()
			connect(t, c)
			if n := lines.Load(); int(n) != i+1 {
				t.Errorf("%d warnings after %d outages of an hour", n, i+1)
			}
		}
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
func TestT3_OnlyAHealthyConnectionBeginsTheBackoffAnew(t *testing.T) {
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
				var attempts, ends clock
				var up atomic.Bool
				r.Script(func(conn transport.Conn) {
					attempts.tick()
					if !up.Load() {
						return
					}
					answer(conn, okReply)
					up.Store(false)
					defer ends.tick()
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
				attempts.reset()
				up.Store(true)
				time.Sleep(15 * time.Minute)
				if n := c.Stats().Connects; n != 1 {
					t.Fatalf("%d connects", n)
				}
				lost, times := ends.ticks()[0], attempts.ticks() // the one that connected, and those after the loss
				pauses := append([]time.Duration{times[1].Sub(lost)}, attempts.pauses()[1:]...)
				t.Logf("connected for %v; the pauses after it: %v", lost.Sub(times[0]), pauses[:4])
				if test.healthy {
					checkSteps(t, pauses) // from the first
					return
				}
				for i, pause := range pauses {
					if pause < 30*time.Second || pause > time.Minute {
						t.Errorf("pause %d after the loss is %v, want the long ones to go on", i, pause)
					}
				}
			})
		})
	}
}

// retryAfters are values of a Retry-After, and the range of the pause that
// follows. The date of "date" is 30 seconds off.
var retryAfters = []struct {
	name, value string
	lo, hi      time.Duration
}{
	{"seven seconds", "7", 7 * time.Second, 8750 * time.Millisecond},
	{"none", "0", 0, time.Second},
	{"eleven days", "1000000", 10 * time.Minute, 12*time.Minute + 30*time.Second},
	{"thirty years", "1000000000", 10 * time.Minute, 12*time.Minute + 30*time.Second},
	{"more than a number holds", "99999999999999999999999", 10 * time.Minute, 12*time.Minute + 30*time.Second},
	{"a negative time", "-7", 0, time.Second},
	{"a fraction", "7.5", 0, time.Second},
	{"garbage", "soon", 0, time.Second},
	{"nothing", "", 0, time.Second},
	{"a date to come", "date", 29 * time.Second, 37500 * time.Millisecond},
	{"a date that is over", "Sat, 01 Jan 2000 00:00:00 GMT", 0, time.Second},
	{"a date in a hundred years", "Sat, 01 Jan 2125 00:00:00 GMT", 10 * time.Minute, 12*time.Minute + 30*time.Second},
}

// retryAfterValue fills in the date.
func retryAfterValue(value string) string {
	if value == "date" {
		return time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat)
	}
	return value
}

func TestT4_RetryAfterIsHonouredWithinABound(t *testing.T) {
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusTooManyRequests} {
		for _, test := range retryAfters {
			t.Run(http.StatusText(status)+", "+test.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := relaytest.NewInMemory(t)
					var attempts clock
					r.Handle(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						attempts.tick()
						w.Header().Set("Retry-After", retryAfterValue(test.value))
						w.WriteHeader(status)
					}))
					c := r.Client("a")
					told := watching(c)
					c.Inbox()
					time.Sleep(13 * time.Minute)
					var promised time.Duration
					for _, change := range slices.Backward(of[relay.StateChange](told)) {
						if change.To == relay.Backoff {
							promised = change.Retry // in the end, that of the first pause
						}
					}
					waited := attempts.pauses()[0]
					if waited < test.lo || waited > test.hi || waited != promised {
						t.Errorf("the pause was %v, the event promised %v; want it between %v and %v", waited, promised, test.lo, test.hi)
					}
				})
			})
		}
	}
}

// The same over sockets, with the server of net/http: what the pause will be is
// told at once, so nobody needs to wait for it.
func TestT4_RetryAfterOverSockets(t *testing.T) {
	for _, test := range retryAfters {
		t.Run(test.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", retryAfterValue(test.value))
				w.WriteHeader(http.StatusServiceUnavailable)
			}))
			defer s.Close()
			c, err := relay.New(strings.Replace(s.URL, "http", "ws", 1))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			c.Inbox()
			if change := firstBackoff(t, c); change.Retry < test.lo || change.Retry > test.hi {
				t.Errorf("%v; want a pause between %v and %v", change, test.lo, test.hi)
			} else if refused, ok := errors.AsType[*transport.HandshakeError](change.Err); !ok || refused.Status != 503 {
				t.Errorf("%v is no *transport.HandshakeError with status 503", change.Err)
			}
		})
	}
}

// firstBackoff waits for the first pause that a client announces.
func firstBackoff(t *testing.T, c *relay.Client) relay.StateChange {
	t.Helper()
	for e := range c.Events() {
		if change, ok := e.(relay.StateChange); ok && change.To == relay.Backoff {
			return change
		}
	}
	t.Fatalf("no pause: %v", c.Err())
	return relay.StateChange{}
}

// And the client does wait: one second here, for the sake of a short test.
func TestT4_ThePauseIsKeptOverSockets(t *testing.T) {
	attempts := make(chan time.Time, 2)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		select {
		case attempts <- time.Now():
		default:
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer s.Close()
	c, err := relay.New(strings.Replace(s.URL, "http", "ws", 1), relay.WithBackoff(time.Millisecond, time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	c.Inbox()
	first, second := <-attempts, <-attempts
	t.Logf("the second attempt came after %v", second.Sub(first))
	if d := second.Sub(first); d < time.Second {
		t.Errorf("the second attempt came after %v, the relay asked for a second", d)
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
