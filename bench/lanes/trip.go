package lanes

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/seed73300619/relay/bench/payloads"
	"github.com/seed73300619/relay/bench/servers"
	"github.com/seed73300619/relay/bench/turns"
)

// RoundTrip is P3: how long an answer takes when nothing else is on its way.
func RoundTrip(quick bool) turns.Measurement {
	m := turns.Measurement{ID: "P3", Title: "round trip through the relay, one message in flight"}
	n := 20_000
	if quick {
		n = 400
	}
	for i, size := range []int{64, 1 << 10} {
		p := payloads.New(size)
		m.Cases = append(m.Cases, turns.Case{
			Name: []string{"64 B", "1 KB"}[i], Unit: "s", Figures: []string{"p50", "p99"},
			Sides: []turns.Side{
				{Name: "relay", Turn: roundTrips(openRelayTrip, n, p)},
				{Name: "gorilla, frames beforehand", Goals: tripGoals(1.25), Turn: roundTrips(openGorillaTrip, n, p)},
				{Name: "nats.go, raw bytes", Goals: tripGoals(1), Turn: roundTrips(openNATSTrip, n, p)},
				{Name: "ProxyStore", Goals: tripGoals(1), Skip: servers.NoPython(), Turn: pythonTrips(n/10, p)},
			},
		})
	}
	return m
}

func tripGoals(atMost float64) []turns.Goal {
	return []turns.Goal{{ID: "P3", Figure: 0, AtMost: atMost}, {ID: "P3", Figure: 1, AtMost: atMost}}
}

// A trip is set up: its far end sends back what it gets.
type trip interface {
	// ask sends message i there and returns the payload that comes back, valid
	// until the next call. The context is the same every time.
	ask(ctx context.Context, i int, p *payloads.Set) ([]byte, error)
	// close leaves nothing behind.
	close() error
}

// roundTrips returns the turn of a trip: n of them, after a warm-up.
func roundTrips(open func(context.Context) (trip, error), n int, p *payloads.Set) func(context.Context) ([]float64, error) {
	return func(ctx context.Context) (_ []float64, err error) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		t, err := open(ctx)
		if err != nil {
			return nil, err
		}
		defer func() {
			if e := t.close(); err == nil {
				err = e
			}
		}()
		if _, err := travel(ctx, t, max(n/20, 1), p); err != nil {
			return nil, err
		}
		took, err := travel(ctx, t, n, p)
		if err != nil {
			return nil, err
		}
		return percentiles(took), nil
	}
}

// percentiles returns the middle and the slowest but a hundredth, in seconds.
func percentiles(took []time.Duration) []float64 {
	slices.Sort(took)
	n := len(took)
	return []float64{took[n/2].Seconds(), took[n*99/100].Seconds()}
}

// travel makes n trips, one after the other, and checks each answer.
func travel(ctx context.Context, t trip, n int, p *payloads.Set) ([]time.Duration, error) {
	took := make([]time.Duration, n)
	for i := range took {
		start := time.Now()
		answer, err := t.ask(ctx, i, p)
		took[i] = time.Since(start)
		if err != nil {
			return nil, fmt.Errorf("trip %d: %w", i, err)
		}
		if want := p.Bytes[i%payloads.Distinct]; !bytes.Equal(answer, want) {
			return nil, fmt.Errorf("trip %d: %.100q came back, want %.100q", i, answer, want)
		}
	}
	return took, nil
}
