// Package gate is a listener in front of an [net/http.Server] whose connections
// are upgraded and then last: it bounds how many of them are still on their
// way there (TLS, request, upgrade), and how fast they come in.
//
// Nobody is refused at the gate. A connection for which there is no room waits,
// the next ones in the kernel's backlog, so that a herd which comes back after a
// restart is spread out instead of turned away. Those that dribble their bytes
// cannot keep the others waiting: when it is full, the gate cuts the connection
// that has been on its way longest, once that has had [Grace].
//
// Accept returns an error only when its inner listener does. [http.Server]
// retries the temporary ones, such as no file descriptor being left; a limit as
// an error would end it.
package gate

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// Grace is how long a connection may be on its way before it is cut to make
// room for others.
const Grace = time.Second

// Limits are the bounds of a [Listener].
type Limits struct {
	MaxHandshakes int     // connections on their way at a time; 0: 4096
	AcceptRate    float64 // connections a second, on average; 0: no bound
	Burst         int     // how many may come at once before AcceptRate holds; 0: a second's worth, at least 1
}

// Stats are a listener's figures, since New but for Handshakes.
type Stats struct {
	Handshakes int    // connections that are on their way now
	Accepted   uint64 // connections that were let in
	Delayed    uint64 // those of them that had to wait for room, or for the rate
	Cut        uint64 // those of them that were cut on their way, to make room
}

// A Listener is made by [New]. TLS goes on top of it, by [tls.NewListener], so
// that its handshake is bounded too. Its methods may be called by any goroutine.
type Listener struct {
	net.Listener
	turn   chan struct{} // held by the one Accept that is at work
	wake   chan struct{} // a place became free, or the limits changed; of one signal
	closed chan struct{} // closed by the first Close
	close  func()

	mu      sync.Mutex // never held over a wait
	limits  Limits
	pace    pace
	pending list.List // of *place, those that came first in front
	stats   Stats
}

// A place is held by a connection until it is upgraded or closed.
type place struct {
	conn  net.Conn // as the inner listener returned it
	since time.Time
	entry *list.Element // nil: given back
}

// New returns a listener that takes its connections from inner, and owns it.
func New(inner net.Listener, limits Limits) *Listener {
	l := &Listener{
		Listener: inner,
		turn:     make(chan struct{}, 1),
		wake:     make(chan struct{}, 1),
		closed:   make(chan struct{}),
	}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	l.SetLimits(limits)
	return l
}

// SetLimits changes the limits at once. Connections that are on their way stay.
func (l *Listener) SetLimits(limits Limits) {
	if limits.MaxHandshakes <= 0 {
		limits.MaxHandshakes = 4096
	}
	l.mu.Lock()
	l.limits = limits
	l.pace.set(limits.AcceptRate, limits.Burst)
	l.mu.Unlock()
	l.signal()
}

// Stats returns the figures of this moment.
func (l *Listener) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	stats := l.stats
	stats.Handshakes = l.pending.Len()
	return stats
}

// ConnState is for [http.Server]: a connection that is hijacked has arrived.
func (l *Listener) ConnState(c net.Conn, state http.ConnState) {
	if state != http.StateHijacked {
		return
	}
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	if c, ok := c.(interface{ arrive() }); ok {
		c.arrive()
	}
}

// Accept returns the next connection for which there is room.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	p := &place{conn: conn}
	if !l.admit(p) {
		_ = conn.Close() // nobody has seen it
		return nil, net.ErrClosed
	}
	return l.wrap(p), nil
}

// Close makes Accept return [net.ErrClosed], also one that is waiting for room.
// Connections that were let in stay.
func (l *Listener) Close() error {
	l.close()
	return l.Listener.Close()
}

// admit waits until there is room for p. It returns false if l is closed first.
func (l *Listener) admit(p *place) bool {
	for delayed := false; ; {
		wait, cut, ok := l.try(p, delayed)
		switch {
		case ok:
			return true
		case cut != nil:
			reset(cut.conn)
			continue
		}
		delayed = true
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-l.wake:
			timer.Stop()
		case <-l.closed:
			timer.Stop()
			return false
		}
	}
}

// try lets p in, or names the connection to cut, or says when to try again if
// nothing happens before.
func (l *Listener) try(p *place, delayed bool) (wait time.Duration, cut *place, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if wait = l.pace.wait(now); wait > 0 {
		return wait, nil, false
	}
	if l.pending.Len() >= l.limits.MaxHandshakes {
		oldest := l.pending.Front().Value.(*place)
		if wait = Grace - now.Sub(oldest.since); wait > 0 {
			return wait, nil, false
		}
		l.stats.Cut++
		l.remove(oldest)
		return 0, oldest, false
	}
	l.pace.take(now)
	p.since = now
	p.entry = l.pending.PushBack(p)
	l.stats.Accepted++
	if delayed {
		l.stats.Delayed++
	}
	return 0, nil, true
}

// leave gives a place back, once.
func (l *Listener) leave(p *place) {
	l.mu.Lock()
	l.remove(p)
	l.mu.Unlock()
	l.signal()
}

func (l *Listener) remove(p *place) {
	if p.entry != nil {
		l.pending.Remove(p.entry)
		p.entry = nil
	}
}

func (l *Listener) signal() {
	select {
	case l.wake <- struct{}{}:
	default: // one is enough
	}
}
