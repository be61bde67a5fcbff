package fleet

import (
	"context"
	"time"

	"github.com/seed73300619/relay/bench/child"
	"github.com/seed73300619/relay/bench/turns"
)

// Scale is how cost grows with the number of clients. As many messages of 64 bytes
// are shared out among all of them, however many they are.
func Scale(quick bool) turns.Measurement {
	m := turns.Measurement{ID: "scale", Title: "what grows with the number of clients"}
	numbers, names, messages, whispers := []int{10, 100, 1000, 10_000}, []string{"10", "100", "1,000", "10,000"}, 400_000, 2000
	if quick {
		numbers, messages, whispers = []int{10, 40}, 2000, 100
		names = []string{"10", "40"}
	}
	for i, n := range numbers {
		take := growth{n, speech{messages / n, 64}, speech{whispers, 64}}.take
		m.Cases = append(m.Cases, turns.Case{
			Name:    names[i] + " clients",
			Units:   []string{"s/client", "B/client", "messages/s", "s/message", "s", "s"},
			Figures: []string{"to connect", "memory of the server", "talking", "CPU of the server", "latency, p50", "latency, p99"},
			Sides: []turns.Side{
				{Name: "relay", Turn: ours(n).turn(take)},
				{Name: "nats.go, raw bytes", Turn: theirs(n, messages/n).turn(take)},
			},
		})
	}
	return m
}

// growth is a step: so many clients, and what they say.
type growth struct {
	n             int
	talk, whisper speech
}

func (g growth) take(ctx context.Context, f *fleet) ([]float64, error) {
	before, err := f.server.Memory(ctx)
	if err != nil {
		return nil, err
	}
	joined, err := child.Ask[time.Duration](ctx, f.clients, "join", struct{}{})
	if err != nil {
		return nil, err
	}
	// Only what has carried a message has the buffers that it needs for that.
	if _, err := child.Ask[time.Duration](ctx, f.clients, "talk", speech{1, 64}); err != nil {
		return nil, err
	}
	after, err := f.server.Memory(ctx)
	if err != nil {
		return nil, err
	}
	latency, err := child.Ask[latency](ctx, f.clients, "whisper", g.whisper)
	if err != nil {
		return nil, err
	}
	idle, err := f.server.CPU(ctx)
	if err != nil {
		return nil, err
	}
	took, err := child.Ask[time.Duration](ctx, f.clients, "talk", g.talk)
	if err != nil {
		return nil, err
	}
	busy, err := f.server.CPU(ctx)
	n, messages := float64(g.n), float64(g.n*g.talk.Messages)
	inUse := func(m child.Memory) float64 { return float64(m.HeapInuse + m.StackInuse) }
	return []float64{
		joined.Seconds() / n, (inUse(after) - inUse(before)) / n,
		messages / took.Seconds(), (busy - idle).Seconds() / messages,
		latency.P50.Seconds(), latency.P99.Seconds(),
	}, err
}
