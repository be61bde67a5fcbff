package server

import (
	"sync"
	"sync/atomic"
)

// A client that wants to know whether its messages have been handed on sends
// one to itself behind them: when that comes back, they have. So a message to
// oneself, an echo, is held until all that its sender sent before it is in the
// sockets of its peers, or has been given back: what this server holds in
// memory dies with it. Nobody waits for that but the echo.

// An epoch is what a connection passes on between two echoes.
type epoch struct {
	// open counts the frames that are on their way, one more while the epoch
	// goes on, and one more while the epoch before it is open.
	open  atomic.Int64
	owner *conn
	echo  *frame // that ended it
	next  *epoch
}

// done is called when n of what open counts have come to their end. The last
// one lets the echo go, and with it perhaps that of the next epoch.
func (e *epoch) done(n int64) {
	for e.open.Add(-n) == 0 {
		e.owner.release(e.echo)
		e, n = e.next, 1
	}
}

// echoes are the messages of a connection to itself.
type echoes struct {
	current *epoch       // the reader's
	bytes   atomic.Int64 // of those held or released, and not yet written

	mu       sync.Mutex
	released []*frame      // to be written, in order
	written  chan struct{} // 1 slot, never closed: some were written; made by room
}

func (e *echoes) init(owner *conn) {
	e.current = &epoch{owner: owner}
	e.current.open.Store(1)
}

// idle reports that nothing is on its way: an echo need not be held.
func (e *echoes) idle() bool {
	return e.current.open.Load() == 1 && e.bytes.Load() == 0
}

// hold ends the present epoch with an echo.
func (e *echoes) hold(echo *frame) {
	e.bytes.Add(int64(len(echo.data)))
	ended, next := e.current, &epoch{owner: e.current.owner}
	next.open.Store(2)
	ended.echo, ended.next, e.current = echo, next, next
	ended.done(1)
}

// append releases a frame that was not held, behind the others, if there is room.
func (c *conn) append(f *frame) bool {
	if c.echoes.bytes.Add(int64(len(f.data))) > int64(c.cfg.queueBytes) {
		c.echoes.bytes.Add(-int64(len(f.data)))
		return false
	}
	c.release(f)
	return true
}

func (c *conn) release(echo *frame) {
	e := &c.echoes
	e.mu.Lock()
	e.released = append(e.released, echo)
	e.mu.Unlock()
	c.wake()
}

// take returns the echoes that are to be written, behind all that was queued
// before they were released.
func (e *echoes) take() []*frame {
	e.mu.Lock()
	defer e.mu.Unlock()
	taken := e.released
	e.released = nil
	return taken
}

// full reports that n more bytes have to wait for room.
func (e *echoes) full(n, limit int) bool {
	held := e.bytes.Load()
	return held > 0 && held+int64(n) > int64(limit)
}

// room returns a channel that receives when there is more room than before the
// call.
func (e *echoes) room() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.written == nil {
		e.written = make(chan struct{}, 1)
	}
	return e.written
}

// wrote makes room for as many bytes.
func (e *echoes) wrote(bytes int64) {
	if bytes == 0 {
		return
	}
	e.bytes.Add(-bytes)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.written != nil {
		notify(e.written)
	}
}

func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // told already
	}
}
