package lanes

import (
	"context"
	"errors"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/seed73300619/relay/bench/payloads"
)

// natsTrip is nats.go the same way: bytes as they are, received over channels.
type natsTrip struct {
	*natsLane
	back    chan *nats.Msg // answers; never closed
	quit    chan struct{}  // closed by close
	echoing sync.WaitGroup
}

const backSubject = subject + ".back"

func openNATSTrip(ctx context.Context) (trip, error) {
	l, err := openNATS(ctx)
	if err != nil {
		return nil, err
	}
	t := &natsTrip{natsLane: l.(*natsLane), back: make(chan *nats.Msg, 1), quit: make(chan struct{})}
	t.echoing.Go(t.echo)
	if _, err = t.from.ChanSubscribe(backSubject, t.back); err == nil {
		err = t.from.Flush()
	}
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

func (t *natsTrip) echo() {
	for {
		select {
		case m := <-t.arrived:
			if t.to.Publish(backSubject, m.Data) != nil {
				return
			}
		case <-t.quit:
			return
		}
	}
}

func (t *natsTrip) ask(ctx context.Context, i int, p *payloads.Set) ([]byte, error) {
	if err := t.from.Publish(subject, p.Bytes[i%payloads.Distinct]); err != nil {
		return nil, err
	}
	select {
	case m := <-t.back:
		return m.Data, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (t *natsTrip) close() error {
	close(t.quit)
	t.echoing.Wait()
	return t.natsLane.close()
}
