package lanes

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/bench/payloads"
	"github.com/seed73300619/relay/bench/turns"
)

const width = 16 // of a fan-in: so many senders, each a client of its own

// FanIn is P9: whether a Group of clients of many relays takes in as much as one
// client.
func FanIn(quick bool) turns.Measurement {
	m := turns.Measurement{ID: "P9", Title: "fan-in of 16 senders: over 16 relays into one Group, over one relay into one Inbox"}
	for i, size := range []int{64, 1 << 10} {
		n := []int{320_000, 160_000}[i]
		if quick {
			n /= 50
		}
		p := payloads.New(size)
		m.Cases = append(m.Cases, turns.Case{
			Name: []string{"64 B", "1 KB"}[i], Unit: "messages/s", Figures: []string{""},
			Sides: []turns.Side{
				{Name: "16 relays", Turn: gathering(openManyRelays, n/width, p)},
				{Name: "one relay", Goals: []turns.Goal{{ID: "P9", AtLeast: 0.9}}, Turn: gathering(openOneRelay, n/width, p)},
			},
		})
	}
	return m
}

// A fanIn is set up: what all its senders send arrives in one place.
type fanIn interface {
	// senders are the clients that send.
	senders() []sender
	// next returns what arrives.
	next(context.Context) (relay.Message, error)
	// close leaves nothing behind.
	close() error
}

// A sender is a client and whom it sends to.
type sender struct {
	*relay.Client
	to uuid.UUID
}

// gathering returns the turn of a fan-in: messages per second in all, from the
// first that is sent until the last was received, after a warm-up.
func gathering(open func(context.Context) (fanIn, error), n int, p *payloads.Set) func(context.Context) ([]float64, error) {
	return func(ctx context.Context) (_ []float64, err error) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		f, err := open(ctx)
		if err != nil {
			return nil, err
		}
		defer func() {
			if e := f.close(); err == nil {
				err = e
			}
		}()
		if _, err := gather(ctx, f, max(n/20, 1), p); err != nil {
			return nil, err
		}
		took, err := gather(ctx, f, n, p)
		return []float64{float64(n*width) / took.Seconds()}, err
	}
}

// gather has each sender send n messages, and checks that all of each have come,
// in order.
func gather(ctx context.Context, f fanIn, n int, p *payloads.Set) (time.Duration, error) {
	sums := make(map[uuid.UUID]*payloads.Sum)
	for _, s := range f.senders() {
		sums[s.UUID()] = new(payloads.Sum)
	}
	var sending errgroup.Group // ends with the clients, if not before
	start := time.Now()
	for _, s := range f.senders() {
		sending.Go(func() error { return sendAll(s.Client, s.to, n, p) })
	}
	scratch := []byte(nil)
	for i := range n * width {
		m, err := f.next(ctx)
		if err != nil {
			return 0, fmt.Errorf("receive: %w (%d of %d had come)", err, i, n*width)
		}
		s := sums[m.SourceUUID]
		if s == nil || m.Error != "" {
			return 0, errors.New("not from a sender: " + m.Error)
		}
		scratch = append(scratch[:0], m.Description...)
		s.Add(scratch)
	}
	took := time.Since(start)
	if err := sending.Wait(); err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	want := p.Sum(0, n)
	for _, got := range sums {
		if *got != want {
			return 0, fmt.Errorf("%+v arrived of one sender, want %+v", *got, want)
		}
	}
	return took, nil
}
