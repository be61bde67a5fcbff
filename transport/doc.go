// Package transport is the WebSocket beneath the relay: frames in, frames out,
// and an exact account of what has left. It knows nothing of messages.
//
// A [Conn] comes from a [Dialer], an [Upgrader] or, in memory, from [Pipe].
// One goroutine reads with ReadFrame. One goroutine writes: WriteFrame only
// appends to a buffer, Flush sends the buffer in as few system calls as it
// takes, so a program that writes while it has messages and flushes when it
// has none pays one call for many messages and never adds a delay.
//
// The reader never waits for the writer. A ping is answered by the next Flush,
// and Wake tells the writer that one is due.
//
// Offsets says which messages certainly never left and which are in doubt when
// a connection fails, Received and Pongs say whether the peer is alive, Close
// ends with a close frame that the peer gets to see, Abort ends at once.
//
// gorilla/websocket does the opening handshake and reads the frames. Frames are
// written here: they go straight into the buffer, each message as one frame,
// without an allocation and without a second copy.
package transport
