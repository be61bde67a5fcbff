package server

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/seed73300619/relay/transport"
)

// A keepalive pings, and finds out when the peer is dead.
type keepalive struct {
	timer    *time.Timer // under the connection's mu
	due      atomic.Bool // it has fired; the rest is for who writes
	asked    bool        // a ping was sent, and this is when to look for an answer
	frames   uint64      // read when it was
	received int64       // bytes, likewise
}

// crawl is how many bytes of one message within the timeout are a sign of life.
// Over the slowest of links there are more; who sends a byte now and then, so
// that no message ever ends, is as good as dead.
const crawl = 1 << 10

// startTimers has the first ping go out at a random time, so that connections that
// came at once do not go on pinging at once.
func (c *conn) startTimers() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.code != 0 { // nobody would stop them any more
		return
	}
	c.pending.Add(2)
	c.registering = time.AfterFunc(c.cfg.registerTimeout, c.checkRegistered)
	c.alive.timer = time.AfterFunc(c.cfg.pingInterval-rand.N(c.cfg.pingInterval/2+1), c.remind)
}

// stopTimer is called under mu.
func (c *conn) stopTimer(t *time.Timer) {
	if t != nil && t.Stop() {
		c.pending.Done()
	}
}

// checkRegistered is called by a timer.
func (c *conn) checkRegistered() {
	defer c.pending.Done()
	if !c.registered() {
		c.s.stats.registerTimeouts.Add(1)
		c.end(codePolicy, reasonIdle)
	}
}

// remind is called by a timer, again and again.
func (c *conn) remind() {
	defer c.pending.Done()
	c.alive.due.Store(true)
	c.wake()
}

// keepAlive is called when the timer has fired and nothing is left to be written: a
// peer that is busy reading cannot answer a ping behind all that, and is watched by
// the write timeout.
func (c *conn) keepAlive() {
	c.queue.Compact() // a burst has let it grow to kilobytes
	next, ok := c.alive.tick(c.ws, c.cfg)
	if !ok {
		c.end(codeInternal, reasonSilent)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.code == 0 { // as above
		c.pending.Add(1)
		c.alive.timer.Reset(next)
	}
}

// tick pings when it is time, and returns when it wants to be called again. ok is
// false if the peer has sent nothing whole since it was asked, and nothing to
// speak of.
func (k *keepalive) tick(ws transport.Conn, cfg *config) (next time.Duration, ok bool) {
	if k.asked {
		if ws.Frames() == k.frames && ws.Received()-k.received < crawl {
			return 0, false
		}
		if rest := cfg.pingInterval - cfg.pingTimeout; rest > 0 {
			k.asked = false
			return rest, true
		}
	}
	k.asked, k.frames, k.received = true, ws.Frames(), ws.Received()
	ws.Ping()
	return cfg.pingTimeout, true
}
