package lanes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed73300619/relay/bench/payloads"
	"github.com/seed73300619/relay/bench/turns"
)

// Flood is the other half of P1d: everything is sent as fast as the lane takes
// it, and what arrives counts. DERP drops what its client's queue cannot hold;
// ours makes the sender wait.
func Flood(quick bool) turns.Measurement {
	m := turns.Measurement{ID: "P1d", Title: "one way, flooded: what arrives, and how fast"}
	for _, size := range sizes {
		n, p := size.messages(quick), payloads.New(size.bytes)
		m.Cases = append(m.Cases, turns.Case{
			Name:    size.name,
			Figures: []string{"goodput", "arrived"}, Units: []string{"messages/s", "%"},
			Sides: []turns.Side{
				{Name: "relay", Goals: []turns.Goal{{ID: "P1d", Figure: 1, AtLeast: 100}}, Turn: floodRelay(n, p)},
				{Name: "DERP", Turn: floodDERP(n, p)},
			},
		})
	}
	return m
}

// floodRelay sends as always: it is never told to slow down, but by its Outbox.
func floodRelay(n int, p *payloads.Set) func(context.Context) ([]float64, error) {
	turn := oneWay(openRelay, n, p)
	return func(ctx context.Context) ([]float64, error) {
		rate, err := turn(ctx)
		if err != nil {
			return nil, err
		}
		return append(rate, 100), nil // or the sum would have been another
	}
}

func floodDERP(n int, p *payloads.Set) func(context.Context) ([]float64, error) {
	return func(ctx context.Context) (_ []float64, err error) {
		l, err := dialDERPLane(ctx, derpQueue, nil)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, l.close()) }()
		if _, _, err := l.flood(ctx, max(n/20, 1), p); err != nil {
			return nil, err
		}
		arrived, took, err := l.flood(ctx, n, p)
		return []float64{float64(arrived) / took.Seconds(), 100 * float64(arrived) / float64(n)}, err
	}
}

// last ends a flood. It is not lost itself: the server drops the oldest packets,
// and keeps the order of the others.
var last = []byte("this was the last")

// flood sends n messages without waiting for anybody, and returns how many
// arrived.
func (l *derpLane) flood(ctx context.Context, n int, p *payloads.Set) (arrived int, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	sent := make(chan error, 1)
	start := time.Now()
	go func() {
		err := l.send(ctx, n, p)
		if err == nil {
			err = l.from.Send(l.to.SelfPublicKey(), last)
		}
		if err != nil {
			cancel() // then the last never comes
		}
		sent <- err
	}()
	arrived, err = l.receiveUntilLast(ctx, p)
	took = time.Since(start)
	if err != nil {
		cancel()
	}
	return arrived, took, errors.Join(err, <-sent)
}

func (l *derpLane) receiveUntilLast(ctx context.Context, p *payloads.Set) (arrived int, err error) {
	defer context.AfterFunc(ctx, func() { l.to.Close() })()
	for {
		packet, err := l.next()
		if err != nil {
			return arrived, fmt.Errorf("receive: %w (%d had come)", err, arrived)
		}
		if bytes.Equal(packet, last) {
			return arrived, nil
		}
		if !p.Has(packet) {
			return arrived, fmt.Errorf("%.40q… arrived, which nobody has sent", packet)
		}
		arrived++
	}
}
