package server

import (
	"sync"
	"time"
)

// A batch is a run of frames, back to back in one buffer.
type batch struct {
	data []byte
	ends []int // where each frame ends in data
}

// keepBatch is the size up to which a batch's buffer is used again.
const keepBatch = 256 << 10

// batches is shared by all queues, so that an idle one holds no buffer.
var batches = sync.Pool{New: func() any { return new(batch) }}

func (b *batch) frame(i int) []byte {
	start := 0
	if i > 0 {
		start = b.ends[i-1]
	}
	return b.data[start:b.ends[i]]
}

// release gives b's memory back: nobody may use b or a frame of it any more.
func (b *batch) release() {
	if cap(b.data) > keepBatch {
		b.data = nil
	}
	b.data, b.ends = b.data[:0], b.ends[:0]
	batches.Put(b)
}

// A queue holds the frames that wait for a connection's writer. Any goroutine
// may put, one takes.
type queue struct {
	limit int           // bytes that may wait; a single frame always may
	ready chan struct{} // 1 slot, never closed: there may be something to take

	mu     sync.Mutex    // held for a copy, never over a wait
	first  *batch        // nil: empty
	room   chan struct{} // nil unless someone waits for room; closed by take and close
	closed bool
}

func (q *queue) init(limit int) {
	q.limit, q.ready = limit, make(chan struct{}, 1)
}

// put appends a copy of frame. When the queue is full it does not, and room
// is a channel that is closed when trying again may help. A closed queue is
// never full: what is put into it is dropped, and ok is false.
func (q *queue) put(frame []byte) (room <-chan struct{}, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return nil, false
	case q.first == nil:
		q.first = batches.Get().(*batch)
	case len(q.first.data)+len(frame) > q.limit:
		if q.room == nil {
			q.room = make(chan struct{})
		}
		return q.room, false
	}
	q.first.data = append(q.first.data, frame...)
	q.first.ends = append(q.first.ends, len(q.first.data))
	q.signal()
	return nil, true
}

// putWait puts frame as soon as there is room. It gives up when patience
// receives or done is closed; full is true then.
func (q *queue) putWait(frame []byte, patience <-chan time.Time, done <-chan struct{}) (ok, full bool) {
	for {
		room, ok := q.put(frame)
		if room == nil {
			return ok, false
		}
		select {
		case <-room:
		case <-patience:
			return false, true
		case <-done:
			return false, true
		}
	}
}

// take removes and returns all frames that wait, nil if there is none. When
// open is false there will never be another one.
func (q *queue) take() (b *batch, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b, q.first = q.first, nil
	q.freed()
	return b, !q.closed
}

// close lets nothing in any more. What is in can still be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.freed()
	q.signal()
}

// bytes returns how many bytes wait.
func (q *queue) bytes() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first == nil {
		return 0
	}
	return len(q.first.data)
}

func (q *queue) freed() {
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
}

func (q *queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default: // a signal waits already
	}
}
