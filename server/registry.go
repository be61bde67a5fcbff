package server

import (
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
)

// A registry knows which connection has registered a UUID. Every message
// looks one up, so the map is split by the UUID's last byte.
type registry struct {
	shards [32]shard
}

type shard struct {
	mu     sync.RWMutex
	owners map[uuid.UUID]owner
}

// An owner is who has registered a UUID: a connection, and as which user.
type owner struct {
	conn *conn // nil: nobody
	user string

	// How often the UUID has changed hands in this minute, since 1970.
	takeovers int
	minute    int64
}

var (
	errOwned  = errors.New("the UUID is another user's")
	errNoRoom = errors.New("the peer does not read its answers")
	errEnded  = errors.New("the connection has ended")
)

func (r *registry) shard(id uuid.UUID) *shard {
	return &r.shards[id[15]%byte(len(r.shards))]
}

// lookup returns who has registered id.
func (r *registry) lookup(id uuid.UUID) owner {
	s := r.shard(id)
	s.mu.RLock()
	o := s.owners[id]
	s.mu.RUnlock()
	return o
}

// add makes c the owner of id, as user, and puts answer into c's queue, in one
// step: nothing that is sent to id can overtake the answer, and who has seen the
// answer finds id registered. It returns the owner before, with the takeovers
// counted. A queue that others keep full has no room for the answer, which goes
// behind it then. Nothing is done when that fails, too (errNoRoom), or when the
// owner is another user (errOwned).
func (r *registry) add(id uuid.UUID, c *conn, user string, answer *frame) (old owner, err error) {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	old = s.owners[id]
	if old.conn != nil && old.user != user {
		return owner{}, errOwned
	}
	if !c.tryPut(answer) && !c.append(answer) {
		return owner{}, errNoRoom
	}
	if s.owners == nil {
		s.owners = make(map[uuid.UUID]owner)
	}
	if old.conn != nil && old.conn != c {
		if minute := time.Now().Unix() / 60; old.minute != minute {
			old.minute, old.takeovers = minute, 0
		}
		old.takeovers++
	}
	s.owners[id] = owner{c, user, old.takeovers, old.minute}
	return old, nil
}

// remove ends c's registration of id, and nobody else's.
func (r *registry) remove(id uuid.UUID, c *conn) bool {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owners[id].conn != c {
		return false
	}
	delete(s.owners, id)
	return true
}

// size returns how many UUIDs are registered.
func (r *registry) size() int {
	n := 0
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.RLock()
		n += len(s.owners)
		s.mu.RUnlock()
	}
	return n
}
