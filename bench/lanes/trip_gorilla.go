package lanes

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/seed73300619/relay/bench/payloads"
)

// gorillaTrip is the same hops on bare gorilla connections. What goes over them
// is what goes over ours, encoded beforehand; nobody on the way looks into it.
type gorillaTrip struct {
	*gorillaLane
	frames  *frames
	echoing sync.WaitGroup
	kept    func() bool // the connection outlives the context from here on
}

func openGorillaTrip(ctx context.Context) (trip, error) {
	l, err := openGorilla(ctx)
	if err != nil {
		return nil, err
	}
	t := &gorillaTrip{gorillaLane: l.(*gorillaLane), frames: newFrames(uuid.New(), "sender", uuid.New())}
	t.echoing.Go(func() { pass(t.to, t.to) })
	t.kept = context.AfterFunc(ctx, func() { t.from.Close() })
	return t, nil
}

func (t *gorillaTrip) ask(ctx context.Context, i int, p *payloads.Set) ([]byte, error) {
	if err := t.from.WriteMessage(websocket.TextMessage, t.frames.frame(i, p)); err != nil {
		return nil, err
	}
	_, frame, err := t.from.ReadMessage()
	if err != nil {
		return nil, err
	}
	answer, ok := t.frames.description(frame)
	if !ok {
		return nil, fmt.Errorf("not a message: %.100q", frame)
	}
	return answer, nil
}

func (t *gorillaTrip) close() error {
	defer t.echoing.Wait()
	t.kept()
	return t.gorillaLane.close()
}
