package suite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/chaos/referee"
)

const (
	// maxMessageBytes is small, so that being too large costs nothing.
	maxMessageBytes = 64 << 10
	// patience is for what has to happen once the weather has cleared.
	patience = 60 * time.Second
)

// player is a client that sends numbered messages, and tells the referee all that
// it gets to know.
type player struct {
	*relay.Client
	name    string
	referee *referee.Referee
	journal *journal
	dice    *rand.Rand
	next    int           // the number of the next message
	marks   chan struct{} // a message to itself has arrived
	ended   chan struct{} // closed when nothing more will be heard of the client
}

// newPlayer makes a client for the address; listen is to be called.
func newPlayer(name, url string, dice *rand.Rand, judge *referee.Referee, journal *journal, options ...relay.Option) (*player, error) {
	options = append([]relay.Option{
		relay.WithName(name),
		relay.WithUUID(randomUUID(dice)),
		relay.WithBackoff(20*time.Millisecond, 500*time.Millisecond),
		relay.WithTimeout(3 * time.Second),
		relay.WithMaxMessageBytes(maxMessageBytes),
	}, options...)
	client, err := relay.New(url, options...)
	if err != nil {
		return nil, err
	}
	judge.Watch(client.UUID(), func() uint64 { return client.Stats().Connects })
	return &player{
		Client: client, name: name, referee: judge, journal: journal, dice: dice,
		marks: make(chan struct{}, 1), ended: make(chan struct{}),
	}, nil
}

// randomUUID is a UUID that depends on the seed.
func randomUUID(dice *rand.Rand) (id uuid.UUID) {
	for i := range id {
		id[i] = byte(dice.Uint32())
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version 4, as the Python relay expects
	return id
}

// listen tells the referee what the client says, until that has ended.
func (p *player) listen() {
	inbox := make(chan struct{})
	go func() {
		defer close(inbox)
		for m := range p.Inbox() {
			p.referee.Arrived(p.UUID(), m)
			if m.SourceUUID == m.PeerUUID {
				select {
				case p.marks <- struct{}{}:
				default: // a copy of it, resent
				}
			}
		}
	}()
	for event := range p.Events() {
		p.hear(event)
	}
	<-inbox
	close(p.ended)
}

func (p *player) hear(event relay.Event) {
	switch event := event.(type) {
	case relay.InDoubt:
		p.referee.InDoubt(event.Messages...)
	case relay.Dropped:
		p.referee.Refused(event.Message)
		if !errors.Is(event.Err, relay.ErrTooLarge) {
			p.journal.fail("%s: %v", p.name, event)
		}
	case relay.StateChange:
		if event.To == relay.Connected {
			p.referee.Connected(p.UUID())
		} else if event.From == relay.Connected {
			p.referee.Lost(p.UUID())
		}
	case relay.Malformed, relay.Taken, relay.Stalled:
		p.journal.fail("%s: %v", p.name, event)
	}
	p.journal.note("%s: %v", p.name, event)
}

// talk sends messages to peers until ctx ends.
func (p *player) talk(ctx context.Context, peers []uuid.UUID) {
	nobody := randomUUID(p.dice)
	for wait(ctx, ms(p.dice, 2, 30)) {
		for range 1 + p.dice.IntN(4) {
			peer := peers[p.dice.IntN(len(peers))]
			if p.dice.IntN(25) == 0 {
				peer = nobody
			}
			if !p.offer(ctx, peer, size(p.dice)) {
				return
			}
		}
	}
}

// size is how long a message is: mostly short, sometimes of many segments, rarely
// too large.
func size(dice *rand.Rand) int {
	switch n := dice.IntN(1000); {
	case n < 3:
		return maxMessageBytes
	case n < 10:
		return dice.IntN(maxMessageBytes / 2)
	case n < 100:
		return dice.IntN(8 << 10)
	default:
		return dice.IntN(200)
	}
}

// offer sends a message, and reports false when the client did not take it before
// ctx ended.
func (p *player) offer(ctx context.Context, peer uuid.UUID, size int) bool {
	number := p.next
	p.next++
	description := p.referee.Accepted(p.UUID(), peer, number, size)
	select {
	case p.Outbox() <- relay.Message{SourceUUID: p.UUID(), PeerUUID: peer, Description: description}:
		return true
	case <-p.Done():
		p.journal.fail("%s has ended: %v", p.name, p.Err())
	case <-ctx.Done():
	}
	p.referee.Withdrawn(p.UUID(), number)
	return false
}

func (p *player) connect(ctx context.Context) error { return p.Connect(ctx) }

// settle waits until all that this client has sent is handed on, and all that was
// handed on to it before is read.
func (p *player) settle(ctx context.Context) error {
	for {
		err := p.Flush(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, relay.ErrInDoubt) { // of what the faults have left behind
			return fmt.Errorf("%s: Flush: %w; %v", p.name, err, p.Client)
		}
	}
	return nil
}

// mark sends a message to itself, which arrives when all has that was handed on
// before.
func (p *player) mark(ctx context.Context) error {
	if !p.offer(ctx, p.UUID(), 0) {
		return fmt.Errorf("%s: nothing takes its last message: %w", p.name, ctx.Err())
	}
	select {
	case <-p.marks:
		return nil
	case <-p.ended:
		return fmt.Errorf("%s: has ended: %w", p.name, p.Err())
	case <-ctx.Done():
		return fmt.Errorf("%s: its last message does not arrive: %w; %v", p.name, ctx.Err(), p.Client)
	}
}

// leave ends the client, and tells the referee what comes back.
func (p *player) leave(ctx context.Context) {
	err := p.Shutdown(ctx)
	if unsent, ok := errors.AsType[*relay.UnsentError](err); ok {
		p.referee.Returned(unsent.Messages...)
	} else if err != nil {
		p.journal.fail("%s: Shutdown: %v", p.name, err)
	}
	<-p.ended
	if err := p.Err(); err != nil {
		p.journal.fail("%s has ended: %v", p.name, err)
	}
	if stats := p.Stats(); stats.EventsLost > 0 {
		p.journal.fail("%s: %d events lost", p.name, stats.EventsLost)
	}
}
