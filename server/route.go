package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/seed73300619/relay/actor"
	"github.com/seed73300619/relay/codec"
)

// roomWait is how long a sender is held up by a full queue before its message
// is bounced.
const roomWait = time.Second

// A verdict is what becomes of a message.
type verdict uint8

const (
	delivered   verdict = iota // it is in the peer's queue
	noVerdict                  // its sender's connection has ended meanwhile
	unknownPeer                // bounced, as all that follow
	otherUser
	unreadPeer
	foreignSource
	tooLarge
	verdicts int = iota
)

// text is what stands in the error of a bounce. Those for an unknown peer and
// for another user's are ProxyStore's, word by word.
func (v verdict) text(e *codec.Envelope) string {
	peer := e.PeerUUID.String()
	switch v {
	case unknownPeer:
		return "Cannot forward peer connection message to peer " + peer + " because this peer is not registered this relay server."
	case otherUser:
		return "The requested peer " + peer + " is owned by a different user."
	case unreadPeer:
		return "The requested peer " + peer + " does not read its messages; its queue on this relay server is full."
	case foreignSource:
		return "Cannot forward peer connection message to peer " + peer + " because its source " +
			e.SourceUUID.String() + " is not registered on this connection."
	case tooLarge:
		return "Cannot forward peer connection message to peer " + peer + " because it is too large."
	}
	return ""
}

// route passes a message on to the peer that it is for, or back.
func (c *conn) route(frame []byte, e *codec.Envelope) {
	if len(c.clients) == 0 {
		c.fail(CodeForbidden, reasonStranger, nil)
		return
	}
	switch v := c.deliver(frame, e); v {
	case noVerdict:
	case delivered:
		c.s.stats.forwarded.Add(1)
		c.s.stats.forwardedBytes.Add(uint64(len(frame)))
		if c.cfg.logger.Enabled(context.Background(), slog.LevelDebug) {
			c.cfg.logger.Debug("forwarded", "conn", c.id, "from", e.SourceUUID, "to", e.PeerUUID, "bytes", len(frame))
		}
	default:
		c.bounce(frame, e, v)
	}
}

// deliver puts a message into the queue of its peer: the bytes as they came,
// unless another decoder could read them differently.
func (c *conn) deliver(frame []byte, e *codec.Envelope) verdict {
	if !c.cfg.anySource && !c.owns(e.SourceUUID) {
		return foreignSource
	}
	to := c.s.registry.lookup(e.PeerUUID)
	dest := to.conn
	if dest == nil {
		return unknownPeer
	}
	if to.user != c.user.ID {
		return otherUser
	}
	f := emptyFrame(len(frame))
	if e.Verbatim() {
		f.data = append(f.data, frame...)
	} else if f.data = e.Append(f.data); len(f.data) > maxFrameBytes {
		f.free()
		return tooLarge
	}
	if dest == c && !c.echoes.idle() {
		return c.echo(f)
	}
	return c.send(dest, f)
}

// echo holds a message to oneself until what was sent before it has got through.
// It waits for room, which holds up nobody but c.
func (c *conn) echo(f *frame) verdict {
	var room <-chan struct{}
	for c.echoes.full(len(f.data), c.cfg.queueBytes) {
		if room == nil {
			room = c.echoes.room()
			continue // there may be some since
		}
		select {
		case <-room:
		case <-c.ctx.Done():
			f.free()
			return noVerdict
		}
	}
	c.echoes.hold(f)
	return delivered
}

// send puts f into dest's queue. It waits for room, but not for long, and
// not for a peer that has kept somebody waiting in vain and has not caught up.
func (c *conn) send(dest *conn, f *frame) verdict {
	if dest != c {
		f.epoch = c.echoes.current
		f.epoch.open.Add(1)
	}
	if c.in.messages.Load()%16 == 2 { // the first is the registration
		f.queued = time.Now()
	}
	if dest.tryPut(f) {
		return delivered
	}
	if dest.ctx.Err() == nil && dest.behind.Load() {
		f.free()
		return unreadPeer
	}
	patience, cancel := context.WithTimeout(c.ctx, roomWait)
	defer cancel()
	switch err := dest.put(patience, f); {
	case err == nil:
		return delivered
	case errors.Is(err, actor.ErrClosed):
		f.free()
		return unknownPeer // it has left
	}
	f.free()
	if c.ctx.Err() != nil {
		return noVerdict
	}
	dest.behind.Store(true)
	return unreadPeer
}

// bounce returns a message to its sender.
func (c *conn) bounce(frame []byte, e *codec.Envelope, v verdict) {
	c.s.stats.bounced[v].Add(1)
	if hidden, ok := c.s.oddities.bounced[v].allow(); ok {
		c.cfg.logger.Warn("bounced", "conn", c.id, "from", e.SourceUUID, "to", e.PeerUUID, "reason", v.text(e), "hidden", hidden)
	}
	c.reply(newBounce(frame, e, v))
}

// newBounce returns the message in data with its error set. A message so large that
// it would not fit into a frame any more goes without its description.
func newBounce(data []byte, e *codec.Envelope, v verdict) *frame {
	text := v.text(e)
	f := emptyFrame(len(data) + len(text))
	if f.data = e.AppendBounce(f.data, text); len(f.data) <= maxFrameBytes {
		return f
	}
	m, err := codec.DecodePeerConnection(data)
	if err != nil {
		panic(err) // it was decoded before
	}
	m.Description, m.Error = "", text
	if short, err := m.Append(nil); err == nil { // else this is as well as it can be said
		f.data = short
	}
	return f
}

// reply puts f into c's own queue. It waits until there is room: that
// holds up nobody but c, and if the peer does not read, c ends.
func (c *conn) reply(f *frame) {
	if err := c.put(c.ctx, f); err != nil {
		f.free()
	}
}
