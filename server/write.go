package server

import (
	"sync"
	"time"

	"github.com/seed73300619/relay/codec"
)

// What c.writing says of a connection.
const (
	asleep  int32 = iota // nothing waits to be written, and there is no writer
	writing              // there is one
	asked                // there is one, and it has to look again for what waits
)

// wake has what waits written, by a goroutine that is there only meanwhile: its
// stack would be four of the kilobytes that an idle connection costs. It is called
// whenever something may wait: a frame, an echo, a ping, the end.
func (c *conn) wake() {
	// What waits was put there before, and is found by whoever has yet to turn
	// asked into writing.
	if c.writing.Load() != asked && c.writing.Swap(asked) == asleep {
		go c.write() // serve waits for it
	}
}

// write writes until nothing waits any more. Once the connection has ended it
// closes it, and is never started again.
func (c *conn) write() {
	for {
		c.writing.Store(writing)
		ended := c.ctx.Err() != nil // then nothing is queued any more
		if !c.flush() || ended {
			c.close()
			c.pending.Done()
			return
		}
		if c.alive.due.Swap(false) {
			c.keepAlive()
		}
		if c.writing.CompareAndSwap(writing, asleep) {
			return
		}
	}
}

// batchBytes is about how much is written in one go. Room for senders that wait is
// made as often, also when the peer reads slowly.
const batchBytes = 32 << 10

// A batch is what is written in one go. Its memory is borrowed.
type batch struct{ frames []*frame }

var batches = sync.Pool{New: func() any { return new(batch) }}

// flush writes all that is queued, and the pings and pongs that are due. It
// returns false if the connection broke.
func (c *conn) flush() bool {
	b := batches.Get().(*batch)
	defer batches.Put(b)
	var echoes []*frame
	var before uint64 // frames queued before the echoes were released
	for {
		if len(echoes) == 0 {
			if echoes = c.echoes.take(); len(echoes) > 0 {
				before = c.queue.Stats().Put
			}
		}
		b.frames = c.queue.DrainBytes(b.frames[:0], batchBytes)
		left, echoed := c.queue.Stats(), int64(0)
		if left.Taken >= before {
			b.frames, echoed, echoes = append(b.frames, echoes...), size(echoes), nil
		}
		if left.Items == 0 {
			c.behind.Store(false)
		}
		if !c.writeAll(b.frames) {
			return false
		}
		c.echoes.wrote(echoed)
		if left.Items == 0 {
			return true
		}
	}
}

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
	end, _ := c.ws.Offsets()
	var err error
	for written < len(frames) && err == nil {
		before := end
		err = c.ws.WriteFrame(frames[written].data)
		if end, _ = c.ws.Offsets(); end == before {
			break // it did not even get into the buffer
		}
		frames[written].end = end
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
		back := newBounce(f.data, &e, unknownPeer)
		if sender.put(sender.ctx, back) == nil {
			c.s.stats.givenBack.Add(1)
			continue
		}
		back.free()
		f.epoch = nil // what is lost is never confirmed
		c.s.stats.dropped.Add(1)
	}
}
