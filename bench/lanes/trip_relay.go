package lanes

import (
	"context"
	"errors"
	"sync"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/bench/payloads"
)

// relayTrip is ours.
type relayTrip struct {
	*relayLane
	echoing sync.WaitGroup
	answer  []byte
}

func openRelayTrip(ctx context.Context) (trip, error) {
	l, err := openRelay(ctx)
	if err != nil {
		return nil, err
	}
	t := &relayTrip{relayLane: l.(*relayLane)}
	t.echoing.Go(func() { echo(t.to) })
	return t, nil
}

// echo sends back to its source what c receives, until c ends.
func echo(c *relay.Client) {
	outbox, done := c.Outbox(), c.Done()
	for m := range c.Inbox() {
		select {
		case outbox <- relay.Message{PeerUUID: m.SourceUUID, Description: m.Description}:
		case <-done:
		}
	}
}

func (t *relayTrip) ask(ctx context.Context, i int, p *payloads.Set) ([]byte, error) {
	select {
	case t.from.Outbox() <- relay.Message{PeerUUID: t.to.UUID(), Description: p.Text[i%payloads.Distinct]}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case m, ok := <-t.from.Inbox():
		if !ok {
			return nil, t.from.Err()
		}
		if m.SourceUUID != t.to.UUID() || m.Error != "" {
			return nil, errors.New("not from the far end: " + m.Error)
		}
		t.answer = append(t.answer[:0], m.Description...)
		return t.answer, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (t *relayTrip) close() error {
	defer t.echoing.Wait()
	return t.relayLane.close()
}
