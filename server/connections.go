package server

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
)

// A Connection is what there is to know about an open connection.
type Connection struct {
	ID          uint64 // as "conn" in the log
	RemoteAddr  string // empty for ServeConn
	User        User   // of the last registration
	Opened      time.Time
	Clients     []Registered // empty: it has not registered yet
	QueuedBytes int          // waiting to be written to it
	Behind      bool         // it does not read: what is sent to it is bounced

	Received, ReceivedBytes uint64 // messages from it
	Sent, SentBytes         uint64 // messages written to it, answers included
}

// Registered is one registration.
type Registered struct {
	UUID uuid.UUID
	Name string // as the client calls itself, shortened; anything may be in it
}

// Connections returns those that are open now, in the order of their ID. It may
// be called at any time, by any goroutine; with ten thousand it takes some
// milliseconds.
func (s *Server) Connections() []Connection {
	conns := s.snapshot()
	list := make([]Connection, len(conns))
	for i, c := range conns {
		list[i] = c.describe()
	}
	slices.SortFunc(list, func(a, b Connection) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func (c *conn) describe() Connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Connection{
		ID:            c.id,
		RemoteAddr:    c.remote,
		User:          c.user,
		Opened:        c.asked.Add(c.opening),
		Clients:       slices.Clone(c.clients),
		QueuedBytes:   c.queue.Stats().Bytes,
		Behind:        c.behind.Load(),
		Received:      c.in.messages.Load(),
		ReceivedBytes: c.in.bytes.Load(),
		Sent:          c.out.messages.Load(),
		SentBytes:     c.out.bytes.Load(),
	}
}
