package transport

import (
	"net"
	"sync"
	"syscall"
)

const (
	// aheadBytes are read at once, if the kernel has as much: some fifty small
	// messages, where a bufio.Reader of the usual 4 KiB takes ten.
	aheadBytes = 16 << 10
	// farAheadBytes are read at once where messages are large, as a read of at least
	// farReadBytes tells: a tenth less time at 16 KB. With small ones so many would
	// leave the cache before they are handled.
	farAheadBytes = 64 << 10
	farReadBytes  = 4 << 10
)

// aheadBufferBytes are for gorilla's own buffer in front of that, which larger reads
// bypass. To read a message of 64 bytes, 300 as a frame, takes 149 ns with it, 139
// with 1 KiB, 166 with 128 bytes.
const aheadBufferBytes = 512

// chunks and farChunks are those that nobody reads from.
var (
	chunks    = sync.Pool{New: func() any { return newChunk(aheadBytes) }}
	farChunks = sync.Pool{New: func() any { return newChunk(farAheadBytes) }}
)

// chunksOf returns the pool of chunks of a size.
func chunksOf(size int) *sync.Pool {
	if size == farAheadBytes {
		return &farChunks
	}
	return &chunks
}

func newChunk(size int) *[]byte {
	b := make([]byte, size)
	return &b
}

// ahead reads more than it is asked for. It borrows the memory when there is
// something to read, and gives it back when there is nothing more, so that a
// connection that waits holds none: the 4 KiB or more that a bufio.Reader keeps
// are half of what an idle connection costs. The zero value reads nothing ahead.
type ahead struct {
	raw   syscall.RawConn
	try   func(fd uintptr) (done bool) // readNow, made once
	chunk *[]byte                      // nil while waiting
	rest  []byte                       // of it, not yet consumed
	far   bool                         // messages are large: the next chunk is to be one of farChunks
	err   error                        // of the last readNow
}

// newAhead reads ahead on a TCP socket. What wraps one, as TLS does, has a Read and a
// Write of its own that must be asked, unless it says that the socket's will do.
func newAhead(conn net.Conn) ahead {
	if w, ok := conn.(interface{ Socket() *net.TCPConn }); ok {
		conn = w.Socket()
	}
	socket, ok := conn.(*net.TCPConn)
	if !ok || !readsAhead {
		return ahead{}
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return ahead{}
	}
	return ahead{raw: raw}
}

func (a *ahead) on() bool { return a.raw != nil }

// fill waits until there is something in rest, and returns how much.
func (a *ahead) fill() (int, error) {
	if a.try == nil {
		a.try = a.readNow
	}
	if a.chunk != nil && len(*a.chunk) != a.size() {
		a.drop()
	}
	err := a.raw.Read(a.try)
	a.far = false
	if err != nil {
		a.drop()
		return 0, err
	}
	return len(a.rest), a.err
}

// tryWrite writes what the kernel takes of p at once, and returns how much that is. The
// error is the socket's, which says so only once.
func (a *ahead) tryWrite(p []byte) (int, error) {
	if !a.on() {
		return 0, nil
	}
	w := writes.Get().(*write)
	defer writes.Put(w)
	w.p, w.n, w.err = p, 0, nil
	// Control heeds no deadline: that of the last write that waited may have passed. It
	// fails only when the socket is closed, as the write that follows then does.
	_ = a.raw.Control(w.try)
	w.p = nil
	return w.n, w.err
}

// write is a call of tryWrite: made anew for each, it would be three allocations.
type write struct {
	p   []byte
	n   int
	err error
	try func(fd uintptr) // writes p, and sets n and err
}

// writes are those that nobody is at.
var writes = sync.Pool{New: func() any {
	w := new(write)
	w.try = func(fd uintptr) { w.n, w.err = writeSocket(fd, w.p) }
	return w
}}

// readNow reads what the kernel has. It returns false if that is nothing.
func (a *ahead) readNow(fd uintptr) bool {
	if a.chunk == nil {
		a.chunk = chunksOf(a.size()).Get().(*[]byte)
	}
	n, err := readSocket(fd, *a.chunk)
	a.rest, a.err = (*a.chunk)[:max(n, 0)], err
	if n <= 0 {
		a.drop()
	}
	return err != errNothing
}

// size is that of the next chunk.
func (a *ahead) size() int {
	if a.far {
		return farAheadBytes
	}
	return aheadBytes
}

// consume copies from rest.
func (a *ahead) consume(p []byte) int {
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n
}

func (a *ahead) drop() {
	if a.chunk != nil {
		chunksOf(len(*a.chunk)).Put(a.chunk)
		a.chunk, a.rest = nil, nil
	}
}
