package server

import (
	"sync"

	"github.com/google/uuid"
)

// A registry knows which connection has registered a UUID. Every message
// looks one up, so the map is split by the UUID's last byte.
type registry struct {
	shards [32]shard
}

type shard struct {
	mu    sync.RWMutex
	conns map[uuid.UUID]*conn
}

func (r *registry) shard(id uuid.UUID) *shard {
	return &r.shards[id[15]%byte(len(r.shards))]
}

// lookup returns the connection that registered id, nil if none has.
func (r *registry) lookup(id uuid.UUID) *conn {
	s := r.shard(id)
	s.mu.RLock()
	c := s.conns[id]
	s.mu.RUnlock()
	return c
}

// add makes c the owner of id and puts answer into c's queue, in one step:
// nothing that is sent to id can overtake the answer, and who has seen the
// answer finds id registered. It returns the owner before. A queue that others
// keep full has no room for the answer, which goes behind it then. Only when too
// many do, nothing is done, and ok is false.
func (r *registry) add(id uuid.UUID, c *conn, answer *frame) (old *conn, ok bool) {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.queue.TryPut(answer) && !c.echoes.append(answer, int64(c.s.queueBytes)) {
		return nil, false
	}
	if s.conns == nil {
		s.conns = make(map[uuid.UUID]*conn)
	}
	old = s.conns[id]
	s.conns[id] = c
	return old, true
}

// remove ends c's registration of id, and nobody else's.
func (r *registry) remove(id uuid.UUID, c *conn) bool {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns[id] != c {
		return false
	}
	delete(s.conns, id)
	return true
}

// size returns how many UUIDs are registered.
func (r *registry) size() int {
	n := 0
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.RLock()
		n += len(s.conns)
		s.mu.RUnlock()
	}
	return n
}
