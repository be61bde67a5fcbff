package server

import (
	"math/rand/v2"
	"time"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

// write writes what is queued, and pings, until the connection has ended.
// Then it closes the connection.
func (c *conn) write() {
	register := time.NewTimer(c.s.registerTimeout)
	defer register.Stop()
	alive := newKeepalive(c.s.pingInterval, c.s.pingTimeout)
	defer alive.timer.Stop()
	for {
		b, open := c.queue.take()
		if !c.writeBatch(b) || !open {
			break
		}
		select {
		case <-c.queue.ready:
		case <-c.ws.Wake():
		case <-register.C:
			if !c.registered() {
				c.s.stats.unregistered.Add(1)
				c.end(codePolicy, reasonIdle)
			}
		case <-alive.timer.C:
			if !alive.tick(c.ws) {
				c.end(codeInternal, reasonSilent)
			}
		}
	}
	c.close()
}

// writeBatch writes b, which may be nil, and the pings and pongs that are due,
// in one go; what is queued meanwhile is the next batch. If the connection
// breaks it gives back what did not get through and returns false.
func (c *conn) writeBatch(b *batch) bool {
	if b == nil {
		b = &batch{}
	} else {
		defer b.release()
	}
	written := 0
	var err error
	for written < len(b.ends) && err == nil {
		err = c.ws.WriteFrame(b.frame(written))
		written++
	}
	if err == nil {
		err = c.ws.Flush()
	}
	if err == nil {
		return true
	}
	c.broken(err)
	c.giveBack(b, c.sent(b, written))
	if rest, _ := c.queue.take(); rest != nil {
		c.giveBack(rest, 0)
		rest.release()
	}
	return false
}

// sent returns how many of the frames of b may have reached the peer when
// only the first few were written before the connection broke: those behind
// are certain not to have.
func (c *conn) sent(b *batch, written int) int {
	end, flushed := c.ws.Offsets() // end of the last one written
	for n := written; n > 0; n-- {
		if end <= flushed {
			return n
		}
		frame := len(b.frame(n - 1))
		end -= int64(frame + header(frame)) // at the earliest
	}
	return 0
}

// header is the most that a server's frame is longer than its content
// (RFC 6455, section 5.2).
func header(frame int) int {
	switch {
	case frame <= 125:
		return 2
	case frame <= 0xffff:
		return 4
	}
	return 10
}

// giveBack bounces the frames of b from the given one on to their senders:
// the peer has left without them. It waits for senders whose queue is full,
// but not for long.
func (c *conn) giveBack(b *batch, from int) {
	if c.s.anySource {
		return // the source of a message may be anyone
	}
	expired := make(chan struct{})
	patience := time.AfterFunc(roomWait, func() { close(expired) })
	defer patience.Stop()
	var bounce []byte
	for i := from; i < len(b.ends); i++ {
		e, err := codec.DecodeEnvelope(b.frame(i))
		if err != nil || c.owns(e.SourceUUID) {
			continue // an answer to c itself, or a bounce
		}
		if sender := c.s.registry.lookup(e.SourceUUID); sender != nil {
			bounce = appendBounce(bounce[:0], b.frame(i), &e, unknownPeer)
			if ok, _ := sender.queue.putWait(bounce, nil, expired); ok {
				c.s.stats.givenBack.Add(1)
				continue
			}
		}
		c.s.stats.dropped.Add(1)
	}
}

// A keepalive pings, and finds out when the peer is dead.
type keepalive struct {
	interval, timeout time.Duration

	timer    *time.Timer
	asked    bool  // a ping was sent, and this is when to look for an answer
	received int64 // bytes when it was
}

// newKeepalive sends its first ping at a random time, so that connections
// that came at once do not go on pinging at once.
func newKeepalive(interval, timeout time.Duration) *keepalive {
	first := interval - rand.N(interval/2+1)
	return &keepalive{interval: interval, timeout: timeout, timer: time.NewTimer(first)}
}

// tick is called when the timer has fired. It returns false if the peer has
// sent nothing since it was asked.
func (k *keepalive) tick(ws transport.Conn) bool {
	if k.asked {
		if ws.Received() == k.received {
			return false
		}
		if rest := k.interval - k.timeout; rest > 0 {
			k.asked = false
			k.timer.Reset(rest)
			return true
		}
	}
	k.asked, k.received = true, ws.Received()
	ws.Ping()
	k.timer.Reset(k.timeout)
	return true
}
