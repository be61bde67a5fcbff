package links_test

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/chaos/faultproxy"
	"github.com/seed73300619/relay/chaos/process"
	"github.com/seed73300619/relay/chaos/referee"
)

// game is a sender whose link to the relay is at the proxy's mercy, a receiver
// whose link is not, and a referee who counts.
type game struct {
	referee.Referee
	t        *testing.T
	proxy    *faultproxy.Proxy
	sender   *player
	receiver *player // nil: the peer is none of ours
	peer     uuid.UUID
	sent     int
}

// eager are options of a client that comes back soon.
func eager(more ...relay.Option) []relay.Option {
	return append([]relay.Option{relay.WithBackoff(5*time.Millisecond, 50*time.Millisecond)}, more...)
}

func newProxy(t *testing.T, r *process.Relay, options ...faultproxy.Option) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.New(r.URL[len("ws://"):], options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// newGame connects both players. Options are the sender's.
func newGame(t *testing.T, r *process.Relay, p *faultproxy.Proxy, options ...relay.Option) *game {
	t.Helper()
	g := &game{t: t, proxy: p}
	g.receiver = g.enter(r.URL)
	g.sender = g.enter(p.URL(), options...)
	g.peer = g.receiver.UUID()
	g.connect()
	return g
}

// newReceiversGame is a game in which the receiver's link is at the proxy's mercy.
// Options are the receiver's.
func newReceiversGame(t *testing.T, r *process.Relay, p *faultproxy.Proxy, options ...relay.Option) *game {
	t.Helper()
	g := &game{t: t, proxy: p}
	g.receiver = g.enter(p.URL(), options...)
	g.sender = g.enter(r.URL)
	g.peer = g.receiver.UUID()
	g.connect()
	return g
}

func (g *game) connect() {
	g.t.Helper()
	connect(g.t, g.receiver.Client)
	connect(g.t, g.sender.Client)
}

// player is a client of whom the referee gets to know everything.
type player struct {
	*relay.Client
	referee *referee.Referee
	arrived atomic.Uint64 // messages from the Inbox
	readers sync.WaitGroup

	mu      sync.Mutex
	changes []relay.StateChange
}

func (g *game) enter(url string, options ...relay.Option) *player {
	g.t.Helper()
	client, err := relay.New(url, options...)
	if err != nil {
		g.t.Fatal(err)
	}
	g.Watch(client.UUID(), func() uint64 { return client.Stats().Connects })
	p := &player{Client: client, referee: &g.Referee}
	inbox, events := client.Inbox(), client.Events()
	p.readers.Go(func() {
		for m := range inbox {
			g.Arrived(client.UUID(), m)
			p.arrived.Add(1)
		}
	})
	p.readers.Go(func() {
		for event := range events {
			p.note(event)
		}
	})
	g.t.Cleanup(p.leave)
	return p
}

// note books an event.
func (p *player) note(event relay.Event) {
	switch event := event.(type) {
	case relay.InDoubt:
		p.referee.InDoubt(event.Messages...)
	case relay.Dropped:
		p.referee.Refused(event.Message)
	case relay.Malformed:
		p.referee.Protest("%v", event)
	case relay.StateChange:
		if event.To == relay.Connected {
			p.referee.Connected(p.UUID())
		}
		if event.From == relay.Connected {
			p.referee.Lost(p.UUID())
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.changes = append(p.changes, event)
	}
}

// losses are the state changes with which the player lost a connection.
func (p *player) losses() []relay.StateChange {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.changes), func(c relay.StateChange) bool { return c.From != relay.Connected })
}

// leave ends the client. A second time it does nothing.
func (p *player) leave() {
	if unsent, ok := errors.AsType[*relay.UnsentError](p.Close()); ok {
		p.referee.Returned(unsent.Messages...)
	}
	p.readers.Wait()
}

// settle waits until the player has everything that the relay has handed on to it.
func (p *player) settle(t *testing.T) {
	t.Helper()
	for {
		err := p.Flush(soon(t))
		if errors.Is(err, relay.ErrInDoubt) {
			continue // of which an event tells
		}
		if err != nil && !errors.Is(err, relay.ErrClosed) {
			t.Error(err)
		}
		break
	}
	eventually(t, "read what has arrived", func() bool { return p.arrived.Load() >= p.Stats().Received })
}

// connect connects a client or ends the test.
func connect(t *testing.T, c *relay.Client) {
	t.Helper()
	if err := c.Connect(soon(t)); err != nil {
		t.Fatal(err)
	}
}

// next is the sender's next message, accepted.
func (g *game) next(size int) relay.Message {
	g.sent++
	id := g.sender.UUID()
	return relay.Message{SourceUUID: id, PeerUUID: g.peer, Description: g.Accepted(id, g.peer, g.sent, size)}
}

// offer puts n messages into the Outbox.
func (g *game) offer(n, size int) {
	g.t.Helper()
	for range n {
		select {
		case g.sender.Outbox() <- g.next(size):
		case <-g.sender.Done():
			g.Withdrawn(g.sender.UUID(), g.sent)
			g.t.Fatalf("the sender has ended: %v", g.sender.Err())
		case <-soon(g.t).Done():
			g.Withdrawn(g.sender.UUID(), g.sent)
			g.t.Fatal("the Outbox takes nothing")
		}
	}
}

// write sends n messages and waits until they have been written.
func (g *game) write(n, size int) {
	g.t.Helper()
	for range n {
		if err := g.sender.Send(soon(g.t), g.next(size)); err != nil {
			g.Withdrawn(g.sender.UUID(), g.sent)
			g.t.Fatal(err)
		}
	}
}

// end waits for everything that is under way, has both players leave, and fails
// unless the sum is exact.
func (g *game) end(rules referee.Rules) referee.Account {
	g.t.Helper()
	account := g.judge(rules)
	g.t.Log(account)
	return account
}

// judge is end without a word about success.
func (g *game) judge(rules referee.Rules) referee.Account {
	g.t.Helper()
	g.sender.settle(g.t)
	g.sender.leave()
	if g.receiver != nil {
		g.receiver.settle(g.t)
		g.receiver.leave()
	}
	account, violations := g.Judge(rules)
	for i, violation := range violations {
		if i == 20 {
			g.t.Errorf("and %d more", len(violations)-i)
			break
		}
		g.t.Error(violation)
	}
	if !account.Exact() {
		g.t.Errorf("the sum is not exact: %v", account)
	}
	return account
}

// quiet waits until all that was read from a link has been delivered.
func quiet(t *testing.T, l *faultproxy.Link) {
	t.Helper()
	eventually(t, "quiet", func() bool { return l.Held(faultproxy.Up) == 0 && l.Held(faultproxy.Down) == 0 })
}

// newest is the present link through the proxy.
func (g *game) newest() *faultproxy.Link {
	g.t.Helper()
	links := g.proxy.Links()
	if len(links) == 0 {
		g.t.Fatal("there is no link")
	}
	return links[len(links)-1]
}
