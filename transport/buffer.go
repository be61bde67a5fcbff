package transport

import "sync"

const (
	// flushBytes is how much WriteFrame lets wait, and how much may be written
	// under one deadline.
	flushBytes = 64 << 10
	// maxPooledBytes keeps one enormous message from living in the pool.
	maxPooledBytes = 2 << 20
)

// A buffer is borrowed while bytes wait to be sent or a message is in the
// reader's hands. A connection with nothing to do holds none.
type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, 2048)} }}

func newBuffer() *buffer { return buffers.Get().(*buffer) }

// free gives b back; a nil b is fine.
func (b *buffer) free() {
	if b == nil || cap(b.b) > maxPooledBytes {
		return
	}
	b.b = b.b[:0]
	buffers.Put(b)
}
