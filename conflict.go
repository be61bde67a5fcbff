package relay

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Conflict says what a client does when another one registers with its UUID,
// for which the relay closes the connection of the first with code 4004.
type Conflict uint8

// What to do about a UUID that was taken. The zero value is Yield.
const (
	// Yield ends the client: the UUID is the other one's.
	Yield Conflict = iota
	// NewUUID goes on under a random UUID, which [Client.UUID] returns from then
	// on and a [Taken] event tells; peers must learn it from the program.
	NewUUID
	// Contend registers the UUID again, which throws the other one out.
	Contend
)

func (c Conflict) String() string {
	switch c {
	case Yield:
		return "yield"
	case NewUUID:
		return "new UUID"
	case Contend:
		return "contend"
	}
	return fmt.Sprintf("Conflict(%d)", uint8(c))
}

// ConflictPolicy says what follows when the same UUID registers elsewhere, for
// [WithConflict]. Whatever it says, a 4004 that may be the doing of an abandoned
// registration of our own is forgiven once.
type ConflictPolicy struct {
	WhenTaken Conflict // the zero value is Yield
	// Times is how often in a row NewUUID and Contend go on; at the next one the
	// client ends, as with Yield. A row ends when nobody has taken the UUID for
	// ten minutes. 0 means 3.
	Times int
}

const (
	defaultConflictTimes = 3
	// rowEnds is how long a UUID must have been left alone for the next takeover
	// not to belong to the same duel: much longer than the pauses between the
	// attempts of two that fight, which come back within a minute each.
	rowEnds = 10 * time.Minute
)

// conflicts counts how often our UUID was taken. It is the supervisor
// goroutine's.
type conflicts struct {
	times int // in a row
	last  time.Time
}

// count takes note of one, and returns how many it makes in a row.
func (c *conflicts) count() int {
	if time.Since(c.last) >= rowEnds {
		c.times = 0
	}
	c.last = time.Now()
	c.times++
	return c.times
}

// identity is who a client is and was. It is replaced as a whole, by the
// supervisor goroutine between two connections.
type identity struct {
	uuid   uuid.UUID
	former []uuid.UUID
}

// isFormer tells a UUID that the client had before it took its present one.
func (i *identity) isFormer(id uuid.UUID) bool { return slices.Contains(i.former, id) }

// taken decides what follows when somebody else has registered our UUID: to go
// on, or that the failure is permanent. Other failures it leaves alone.
func (c *Client) taken(err error) (goOn bool) {
	registration, ok := errors.AsType[*RegistrationError](err)
	if !ok || registration.Code != closeReplaced {
		return false
	}
	policy, times := c.cfg.conflict, c.conflicts.count()
	registration.Takeovers = times
	event := Taken{UUID: registration.UUID, Times: times}
	if policy.WhenTaken != Yield && times <= policy.Times {
		event.Next = c.registerNextAs(policy.WhenTaken)
	}
	c.events.emit(event)
	c.log.Warn("another client registered with our UUID", "uuid", event.UUID, "next", event.Next, "times", times, "duel", times > 1)
	return event.Next != uuid.Nil
}

// registerNextAs returns the UUID for the next registration.
func (c *Client) registerNextAs(conflict Conflict) uuid.UUID {
	now := c.identity.Load()
	if conflict == Contend {
		return now.uuid
	}
	next := &identity{uuid: uuid.New(), former: append(slices.Clone(now.former), now.uuid)}
	c.identity.Store(next)
	return next.uuid
}
