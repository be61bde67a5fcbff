package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"
)

const (
	groupInbox = 64    // messages that a group's Inbox holds by itself
	groupSends = 1024  // messages handed to clients and not yet written
	groupPeers = 65536 // peers of whom the group remembers where they were heard
)

// Group is many clients, usually of many relays, used as one. What arrives at
// any of them arrives in one Inbox and says where it came from; what is sent on
// the Outbox goes by the client through which its peer was last heard, else by
// the first one connected, in the order in which they were added. A message that
// was given to a client and not yet written when that lost its relay goes by
// another one; a relay that is lost is an [Event], and the Inbox stays open.
//
// A relay that does not take what it is sent holds up the group's Outbox until
// its client takes it for dead: messages keep their order.
//
// The zero value is an empty group, ready to use. All methods may be called
// concurrently. A client in a group is the group's: read neither its Inbox nor
// its Events.
type Group struct {
	begun     sync.Once
	closed    sync.Once
	collected sync.Once // hands out err

	outbox  chan Message // closed by the program, if at all
	inbox   chan Incoming
	events  *eventQueue[GroupEvent]
	changed chan struct{} // one slot: members or their states; never closed
	written chan *request // answers, with room for all; never closed
	stop    chan struct{} // closed by Close
	done    chan struct{} // closed when everything has ended
	err     error         // of Close; set before done is closed

	receivers sync.WaitGroup // one for each client: Inbox
	listeners sync.WaitGroup // likewise: Events
	heard     sync.Map       // uuid.UUID of a peer -> *member
	known     int            // entries in heard, about

	mu      sync.Mutex
	ended   bool
	members []*member // in the order added
}

// Incoming is what arrives at a [Group].
type Incoming struct {
	Message
	Client *Client // where
}

// GroupEvent is an event of one of a group's clients.
type GroupEvent struct {
	Event
	Client *Client
}

// member is a client in a group.
type member struct {
	client *Client
	gone   context.Context // ended by Remove
	leave  context.CancelFunc
	sends  []*request // handed to the client and not yet answered; the router's
	up     bool       // connected, as of the router's last look: what is older goes first
}

func (g *Group) begin() {
	g.begun.Do(func() {
		g.outbox = make(chan Message)
		g.inbox = make(chan Incoming, groupInbox)
		g.events = newEventQueue[GroupEvent]()
		g.changed = make(chan struct{}, 1)
		g.written = make(chan *request, groupSends)
		g.stop = make(chan struct{})
		g.done = make(chan struct{})
		go g.run() // Close waits for done
	})
}

// Add puts a client into the group, and connects it. It returns an error for a
// nil client, for one that is in the group already, and one that matches
// [ErrClosed] when the group was closed.
func (g *Group) Add(c *Client) error {
	if c == nil {
		return errors.New("relay: Group.Add: nil client")
	}
	g.begin()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return fmt.Errorf("relay: Group.Add: %w", ErrClosed)
	}
	if slices.ContainsFunc(g.members, func(m *member) bool { return m.client == c }) {
		return fmt.Errorf("relay: Group.Add: client %v is in the group already", c.UUID())
	}
	m := &member{client: c}
	m.gone, m.leave = context.WithCancel(context.Background())
	g.members = append(g.members, m)
	g.receivers.Go(func() { g.receive(m) })
	g.listeners.Go(func() { g.listen(m) })
	g.signal()
	return nil
}

// Remove takes a client out of the group and leaves it to the caller, who may
// read its Inbox again, or close it. What was given to it and is not yet written
// goes by another one. A client that is not in the group is left alone.
func (g *Group) Remove(c *Client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.members {
		if m.client == c {
			m.leave()
			g.heard.Range(func(peer, by any) bool {
				if by == m {
					g.heard.Delete(peer)
				}
				return true
			})
			g.members = slices.DeleteFunc(g.members, func(other *member) bool { return other == m })
			g.signal()
			return
		}
	}
}

// Clients returns the clients that are in the group now, in the order in which
// they were added.
func (g *Group) Clients() []*Client {
	g.mu.Lock()
	defer g.mu.Unlock()
	clients := make([]*Client, len(g.members))
	for i, m := range g.members {
		clients[i] = m.client
	}
	return clients
}

// Outbox returns the channel to send on. Like a client's, nobody receives from
// it after Close, so select on [Group.Done]; and the program may close it: the
// group then sends what it has accepted, ends its clients, and ends.
func (g *Group) Outbox() chan<- Message {
	g.begin()
	return g.outbox
}

// Inbox returns the channel on which the messages of all clients arrive. It is
// closed after [Group.Close], or after the program has closed the Outbox and
// what had arrived has been read.
func (g *Group) Inbox() <-chan Incoming {
	g.begin()
	return g.inbox
}

// Events returns the events of all clients, in the way of [Client.Events].
func (g *Group) Events() <-chan GroupEvent {
	g.begin()
	return g.events.channel()
}

// Done returns a channel that is closed when the group has ended, after
// [Group.Close] or because the program has closed the Outbox.
func (g *Group) Done() <-chan struct{} {
	g.begin()
	return g.done
}

// Close accepts no more messages, sends those accepted as long as a client is
// connected, closes all clients in the group as [Client.Close] does, and ends the
// group, all within the longest of the clients' timeouts. The error carries an
// *[UnsentError] for each client with messages that could not be sent, and one
// for the group's own. What is unread beyond the Inbox's own few messages is
// dropped. The second Close waits, too, and returns nil.
func (g *Group) Close() error {
	g.begin()
	g.closed.Do(func() { close(g.stop) })
	<-g.done
	var err error
	g.collected.Do(func() { err = g.err })
	return err
}

func (g *Group) signal() {
	notify(g.changed)
}

// receive moves one client's messages into the group's Inbox.
func (g *Group) receive(m *member) {
	for {
		var in Message
		select {
		case message, ok := <-m.client.Inbox():
			if !ok {
				return
			}
			in = message
		case <-m.gone.Done():
			return
		}
		if !in.Undelivered() {
			g.remember(in.SourceUUID, m)
		}
		g.pass(Incoming{Message: in, Client: m.client})
	}
}

// pass puts a message into the group's Inbox. After Close it does not wait for
// the program, but tells of what has no room: until the client has ended none may
// be left behind in its Inbox, which nobody reads any more.
func (g *Group) pass(in Incoming) {
	select {
	case g.inbox <- in:
		return
	default:
	}
	select {
	case g.inbox <- in:
	case <-g.stop:
		g.events.emitMinor(GroupEvent{Event: Dropped{Message: in.Message, Err: ErrClosed}, Client: in.Client})
	}
}

// remember notes where a peer was heard.
func (g *Group) remember(peer uuid.UUID, m *member) {
	if last, ok := g.heard.Load(peer); ok && last == m {
		return
	}
	if _, known := g.heard.Swap(peer, m); known {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.known++; g.known > groupPeers {
		g.heard.Clear() // they will be heard again
		g.known = 0
	}
}

// listen moves one client's events, which also tell the router when to look.
func (g *Group) listen(m *member) {
	for {
		select {
		case event, ok := <-m.client.Events():
			g.signal()
			if !ok {
				return
			}
			g.tell(GroupEvent{Event: event, Client: m.client})
		case <-m.gone.Done():
			return
		}
	}
}

// tell passes an event on with the weight that it had for its client.
func (g *Group) tell(event GroupEvent) {
	switch event.Event.(type) {
	case Malformed, LogPanic, Dropped: // for want of room: of what is refused the router tells
		g.events.emitMinor(event)
	default:
		g.events.emit(event)
	}
}
