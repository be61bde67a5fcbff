package server

import (
	"context"
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
	var frames []*frame
	for open := true; ; {
		echoes := c.echoes.take() // first: what was queued before them goes before them
		echoed := size(echoes)
		frames = append(c.queue.Drain(frames[:0]), echoes...)
		if !c.writeAll(frames) || !open {
			break
		}
		c.echoes.wrote(echoed)
		if cap(frames) > keepFrames {
			frames = nil // an idle connection holds little
		}
		select {
		case _, open = <-c.queue.Ready():
		case <-c.echoes.wake:
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

// keepFrames is how long a list of frames may be to be used again.
const keepFrames = 64

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
		err = c.ws.WriteFrame(frames[written].data)
		written++
	}
	if err == nil {
		err = c.ws.Flush()
	}
	if err == nil {
		return true
	}
	c.broken(err)
	frames = c.queue.Drain(frames)
	c.giveBack(frames[c.sent(frames, written):])
	return false
}

// sent returns how many of the frames may have reached the peer when only the
// first few were written before the connection broke: those behind are certain
// not to have.
func (c *conn) sent(frames []*frame, written int) int {
	end, flushed := c.ws.Offsets() // end of the last one written
	for n := written; n > 0; n-- {
		if end <= flushed {
			return n
		}
		size := len(frames[n-1].data)
		end -= int64(size + header(size)) // at the earliest
	}
	return 0
}

func size(frames []*frame) (bytes int64) {
	for _, f := range frames {
		bytes += int64(len(f.data))
	}
	return bytes
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

// giveBack bounces frames to their senders: the peer has left without them. It
// waits for senders whose queue is full, but not for long.
func (c *conn) giveBack(frames []*frame) {
	if c.s.anySource {
		return // the source of a message may be anyone
	}
	patience, cancel := context.WithTimeout(context.Background(), roomWait)
	defer cancel()
	var bounce []byte
	for _, f := range frames {
		e, err := codec.DecodeEnvelope(f.data)
		if err != nil || c.owns(e.SourceUUID) {
			continue // an answer to c itself, or a bounce
		}
		if sender := c.s.registry.lookup(e.SourceUUID); sender != nil {
			bounce = appendBounce(bounce[:0], f.data, &e, unknownPeer)
			back := newFrame(bounce)
			if sender.queue.Put(patience, back) == nil {
				c.s.stats.givenBack.Add(1)
				continue
			}
			back.free()
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
