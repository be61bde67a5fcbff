package server

import (
	"context"
	"math/bits"
	"sync"
	"time"

	"github.com/seed73300619/relay/actor"
)

// A queue holds the frames that wait for a connection's writer, bounded by
// their bytes; a single frame always fits. Any goroutine may put, one drains.
type queue = actor.Mailbox[*frame]

func newQueue(limit int) *queue {
	return &queue{MaxBytes: limit, Size: func(f *frame) int { return len(f.data) }}
}

// tryPut queues f, if there is room now.
func (c *conn) tryPut(f *frame) bool {
	if !c.queue.TryPut(f) {
		return false
	}
	c.wake()
	return true
}

// put queues f when there is room. The error is [actor.ErrClosed] when the
// connection has ended, or that of ctx.
func (c *conn) put(ctx context.Context, f *frame) error {
	err := c.queue.Put(ctx, f)
	if err == nil {
		c.wake()
	}
	return err
}

// A frame is a copy of one message in a buffer that is used again.
type frame struct {
	data   []byte
	end    int64     // where it ends in its connection's stream, once written
	epoch  *epoch    // of its sender, which is told when the frame is freed; may be nil
	queued time.Time // when, of those that are timed
}

// Buffers come in powers of two from 256 bytes to 64 KiB, so that a small
// message does not hold a large one's memory. Larger ones are made and let go.
const (
	smallestFrame = 8
	largestFrame  = 16
)

var framePools [largestFrame + 1]sync.Pool

// newFrame copies data. Whoever drains the frame, or cannot put it, frees it.
func newFrame(data []byte) *frame {
	f := emptyFrame(len(data))
	f.data = append(f.data, data...)
	return f
}

// emptyFrame has room for size bytes, and may grow.
func emptyFrame(size int) *frame {
	class := max(bits.Len(uint(max(size, 1)-1)), smallestFrame)
	if class > largestFrame {
		return &frame{data: make([]byte, 0, size)}
	}
	f, _ := framePools[class].Get().(*frame)
	if f == nil {
		f = &frame{data: make([]byte, 0, 1<<class)}
	}
	return f
}

// free ends the frame, which is written or will never be, and gives its memory
// back: nobody may use it any more.
func (f *frame) free() {
	if f.epoch != nil {
		f.epoch.done(1)
		f.epoch = nil
	}
	f.queued = time.Time{}
	if class := bits.Len(uint(cap(f.data))) - 1; class <= largestFrame { // rounded down, if it has grown
		f.data = f.data[:0]
		framePools[class].Put(f)
	}
}
