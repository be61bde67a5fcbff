package fleet

import (
	"context"
	"time"

	"github.com/seed73300619/relay/bench/child"
	"github.com/seed73300619/relay/bench/turns"
)

// Pairs is P10: both of each pair send to the other as fast as they can, and nothing
// is lost. A relay has its senders wait. A nats-server would cut off who has 64 MiB
// waiting, and nats.go drop what finds no room in a channel: it has room for all.
func Pairs(quick bool) turns.Measurement {
	m := turns.Measurement{ID: "P10", Title: "1,000 clients talk in pairs through one server, all at once"}
	for i, size := range []int{64, 1 << 10} {
		n, each := 1000, []int{1500, 500}[i]
		if quick {
			n, each = 20, 50
		}
		take := talking(n, speech{each, size})
		m.Cases = append(m.Cases, turns.Case{
			Name: []string{"64 B", "1 KB"}[i], Unit: "messages/s", Figures: []string{""},
			Sides: []turns.Side{
				{Name: "relay", Turn: ours(n).turn(take)},
				{Name: "nats.go, raw bytes", Goals: []turns.Goal{{ID: "P10", AtLeast: 1}}, Turn: theirs(n, each).turn(take)},
			},
		})
	}
	return m
}

// talking returns the messages a second of n clients, after a warm-up.
func talking(n int, s speech) func(context.Context, *fleet) ([]float64, error) {
	return func(ctx context.Context, f *fleet) ([]float64, error) {
		if _, err := child.Ask[time.Duration](ctx, f.clients, "join", struct{}{}); err != nil {
			return nil, err
		}
		if _, err := child.Ask[time.Duration](ctx, f.clients, "talk", speech{max(s.Messages/20, 1), s.Size}); err != nil {
			return nil, err
		}
		took, err := child.Ask[time.Duration](ctx, f.clients, "talk", s)
		return []float64{float64(n*s.Messages) / took.Seconds()}, err
	}
}
