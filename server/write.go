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
	register := time.NewTimer(c.cfg.registerTimeout)
	defer register.Stop()
	alive := newKeepalive(c.cfg.pingInterval, c.cfg.pingTimeout)
	defer alive.timer.Stop()
	c.ws.OnWake(func() { notify(c.echoes.wake) })
	var frames, echoes []*frame
	var before uint64 // frames queued before the echoes were released
	for open := true; ; {
		if len(echoes) == 0 {
			if echoes = c.echoes.take(); len(echoes) > 0 {
				before = c.queue.Stats().Put
			}
		}
		frames = c.queue.DrainBytes(frames[:0], batchBytes)
		left, echoed := c.queue.Stats(), int64(0)
		if left.Taken >= before {
			frames, echoed, echoes = append(frames, echoes...), size(echoes), nil
		}
		if left.Items == 0 {
			c.behind.Store(false)
		}
		if !c.writeAll(frames) {
			break
		}
		c.echoes.wrote(echoed)
		if left.Items > 0 {
			continue
		}
		if !open {
			break
		}
		if cap(frames) > keepFrames {
			frames = nil // an idle connection holds little
		}
		select {
		case _, open = <-c.queue.Ready():
		case <-c.echoes.wake:
		case <-register.C:
			if !c.registered() {
				c.s.stats.registerTimeouts.Add(1)
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

const (
	// batchBytes is about how much is written in one go. Room for senders that
	// wait is made as often, also when the peer reads slowly.
	batchBytes = 32 << 10
	// keepFrames is how long a list of frames may be to be used again.
	keepFrames = 64
)

// writeAll writes frames, and the pings and pongs that are due, in one go; what
// is queued meanwhile is for the next one. If the connection breaks it gives
// back what did not get through and returns false.
func (c *conn) writeAll(frames []*frame) bool {
	defer func() {
		for i, f := range frames {
			f.free()
			frames[i] = nil
		}
	}()
	written := 0
	var err error
	for written < len(frames) && err == nil {
		before, _ := c.ws.Offsets()
		err = c.ws.WriteFrame(frames[written].data)
		if frames[written].end, _ = c.ws.Offsets(); frames[written].end == before {
			break // it did not even get into the buffer
		}
		written++
	}
	if err == nil {
		err = c.ws.Flush()
	}
	if err == nil {
		c.wrote(frames)
		return true
	}
	c.broken(err)
	frames = c.queue.Drain(frames)
	c.giveBack(frames[c.sent(frames[:written]):])
	return false
}

// wrote counts what has been written.
func (c *conn) wrote(frames []*frame) {
	if len(frames) == 0 {
		return
	}
	var now time.Time
	for _, f := range frames {
		if f.queued.IsZero() {
			continue
		}
		if now.IsZero() {
			now = time.Now()
		}
		c.s.stats.queueWait.observe(now.Sub(f.queued))
	}
	c.out.add(uint64(len(frames)), uint64(size(frames)))
}

// sent returns how many of the frames written may have reached the peer when
// the connection broke: those behind are certain not to have.
func (c *conn) sent(written []*frame) int {
	_, flushed := c.ws.Offsets()
	n := 0
	for n < len(written) && written[n].end <= flushed {
		n++
	}
	return n
}

func size(frames []*frame) (bytes int64) {
	for _, f := range frames {
		bytes += int64(len(f.data))
	}
	return bytes
}

// giveBack bounces frames to their senders: the peer has left without them. It
// waits for senders whose queue is full; one that does not read ends soon.
func (c *conn) giveBack(frames []*frame) {
	var bounce []byte
	for _, f := range frames {
		if f.epoch == nil {
			continue // an answer to c itself, or a bounce
		}
		e, err := codec.DecodeEnvelope(f.data)
		if err != nil {
			continue // not possible: it was decoded before
		}
		sender := f.epoch.owner
		if sender.ctx.Err() != nil { // it may have come back
			if again := c.s.registry.lookup(e.SourceUUID); again.conn != nil && again.user == sender.userID() {
				sender = again.conn
			}
		}
		bounce = appendBounce(bounce[:0], f.data, &e, unknownPeer)
		back := newFrame(bounce)
		if sender.queue.Put(sender.ctx, back) == nil {
			c.s.stats.givenBack.Add(1)
			continue
		}
		back.free()
		f.epoch = nil // what is lost is never confirmed
		c.s.stats.dropped.Add(1)
	}
}

// A keepalive pings, and finds out when the peer is dead.
type keepalive struct {
	interval, timeout time.Duration

	timer    *time.Timer
	asked    bool   // a ping was sent, and this is when to look for an answer
	frames   uint64 // read when it was
	received int64  // bytes, likewise
}

// crawl is how many bytes of one message within the timeout are a sign of life.
// Over the slowest of links there are more; who sends a byte now and then, so
// that no message ever ends, is as good as dead.
const crawl = 1 << 10

// newKeepalive sends its first ping at a random time, so that connections
// that came at once do not go on pinging at once.
func newKeepalive(interval, timeout time.Duration) *keepalive {
	first := interval - rand.N(interval/2+1)
	return &keepalive{interval: interval, timeout: timeout, timer: time.NewTimer(first)}
}

// tick is called when the timer has fired. It returns false if the peer has
// sent nothing whole since it was asked, and nothing to speak of.
func (k *keepalive) tick(ws transport.Conn) bool {
	if k.asked {
		if ws.Frames() == k.frames && ws.Received()-k.received < crawl {
			return false
		}
		if rest := k.interval - k.timeout; rest > 0 {
			k.asked = false
			k.timer.Reset(rest)
			return true
		}
	}
	k.asked, k.frames, k.received = true, ws.Frames(), ws.Received()
	ws.Ping()
	k.timer.Reset(k.timeout)
	return true
}
