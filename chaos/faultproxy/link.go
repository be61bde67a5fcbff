package faultproxy

import (
	"net"
	"slices"
	"sync"
	"time"
)

// Direction is one of the two ways through a link.
type Direction int

// The two directions.
const (
	Up   Direction = iota // from the client to the upstream
	Down                  // from the upstream to the client
)

func (d Direction) String() string {
	if d == Up {
		return "up"
	}
	return "down"
}

// Link is a client's connection to the proxy and the proxy's to the upstream. It
// is open until both sides have ended theirs, as far as the proxy passes that on,
// or until it is reset.
type Link struct {
	proxy *Proxy
	done  chan struct{} // closed by the proxy's goroutine that runs the link

	mu      sync.Mutex
	changed *sync.Cond // anything below
	closed  bool
	ends    [2]*net.TCPConn // where the bytes of each direction come from; the upstream's is nil until it has been dialed
	pipes   [2]pipe         // by direction
}

func newLink(p *Proxy, client *net.TCPConn) *Link {
	l := &Link{proxy: p, done: make(chan struct{})}
	l.changed = sync.NewCond(&l.mu)
	l.ends[Up] = client
	return l
}

// Done returns a channel that is closed when nothing of the link is left.
func (l *Link) Done() <-chan struct{} { return l.done }

// Delivered is how many bytes have gone all the way in a direction.
func (l *Link) Delivered(d Direction) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pipes[d].delivered
}

// Held is how many bytes have been read in a direction and not been delivered
// yet: those under way, and those that [Link.Hold] keeps.
func (l *Link) Held(d Direction) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pipes[d].queued
}

// change changes a link and wakes whoever waits for it.
func (l *Link) change(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	l.changed.Broadcast()
}

// HalfOpen makes the link swallow everything from now on, in both directions,
// the ends of either side too: both sockets stay open, and behind them is
// nobody. It is for good: only Reset, FIN and the proxy's Close end such a link.
func (l *Link) HalfOpen() {
	l.change(func() {
		l.pipes[Up].swallow()
		l.pipes[Down].swallow()
	})
}

// Freeze stops reading and delivering in both directions, so that the windows of
// both senders fill, until [Link.Thaw].
func (l *Link) Freeze() { l.setFrozen(true) }

// Thaw ends [Link.Freeze]. Nothing has been lost.
func (l *Link) Thaw() { l.setFrozen(false) }

func (l *Link) setFrozen(frozen bool) {
	l.change(func() {
		for d := range l.pipes {
			l.pipes[d].frozen = frozen
		}
	})
}

// Hold keeps what comes in a direction, its end included, in memory without
// bound, until [Link.Release]. The other direction goes on.
func (l *Link) Hold(d Direction) {
	l.change(func() { l.pipes[d].held = true })
}

// Release delivers what [Link.Hold] has kept, also when its sender has gone long
// ago.
func (l *Link) Release(d Direction) {
	l.change(func() { l.pipes[d].held = false })
}

// KeepOpen says whether the end of what comes in a direction, FIN or reset, is
// withheld from its receiver: with it on Down a client gets the relay's close
// frame, and no FIN follows.
func (l *Link) KeepOpen(d Direction, on bool) {
	l.change(func() { l.pipes[d].endless = on })
}

// Latency delivers each byte that comes from now on later by d, in both
// directions.
func (l *Link) Latency(d time.Duration) {
	l.change(func() {
		for i := range l.pipes {
			l.pipes[i].latency = d
		}
	})
}

// HalfClose ends a direction: its receiver gets a FIN, and what its sender still
// sends is swallowed. The other direction goes on.
func (l *Link) HalfClose(d Direction) {
	l.change(func() { l.pipes[d].finish() })
}

// FIN ends both directions by FIN, which no close frame precedes.
func (l *Link) FIN() {
	l.change(func() {
		l.pipes[Up].finish()
		l.pipes[Down].finish()
	})
}

// Reset cuts the link: both sides get an RST.
func (l *Link) Reset() {
	l.change(func() {
		l.closed = true
		for _, end := range l.ends {
			if end != nil {
				abort(end)
			}
		}
	})
}

func abort(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// At does something to the link when exactly n bytes have been delivered in a
// direction since the link began, before byte n+1 is; at once when it is too late
// for that. The function is called by the goroutine that delivers.
func (l *Link) At(d Direction, n int64, fault func(*Link)) {
	l.change(func() {
		p := &l.pipes[d]
		p.traps = append(p.traps, trap{at: n, fault: fault})
		slices.SortStableFunc(p.traps, func(a, b trap) int { return int(a.at - b.at) })
	})
}

// run dials the upstream, and carries bytes both ways until the link has ended.
func (l *Link) run(upstream string) {
	defer l.Reset()
	conn, err := l.proxy.dialer.DialContext(l.proxy.running, "tcp4", upstream)
	if err != nil {
		return
	}
	l.change(func() {
		l.ends[Down] = conn.(*net.TCPConn)
		if l.closed {
			abort(l.ends[Down])
		}
	})
	var carriers sync.WaitGroup
	for _, d := range []Direction{Up, Down} {
		carriers.Go(func() { l.read(d) })
		carriers.Go(func() { l.deliver(d) })
	}
	carriers.Wait()
}
