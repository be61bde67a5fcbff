package fleet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"github.com/seed73300619/relay/bench/child"
	"github.com/seed73300619/relay/bench/turns"
)

// Restart is P6: the server is killed, and started again a second later, as
// packaging/relay.service has it. Time counts from when it listens. By then a client
// of ours has tried within a second, as it happens, and again a second later, and
// its pauses go on to double; one of nats.go tries every two seconds. The server
// takes whoever comes, where "relay serve" takes 500 a second unless it is told
// otherwise.
func Restart(quick bool) turns.Measurement {
	n, r := 10_000, restart{away: time.Second, settle: healthy}
	if quick {
		n, r = 50, restart{away: 100 * time.Millisecond}
	}
	return turns.Measurement{ID: "P6", Title: "10,000 clients come back to a server that was killed", Cases: []turns.Case{{
		Name:    fmt.Sprintf("away for %v", r.away),
		Units:   []string{"s", "s", "s", "s", "clients/s", "attempts"},
		Figures: []string{"all are back", "half are back", "CPU of the server", "CPU of the clients", "peak", "attempts of a client"},
		Sides: []turns.Side{
			{Name: "relay", Turn: r.turn(ours(n))},
			// What nats.go has not received meanwhile needs no room; and it knows no
			// health that it would have to wait for.
			{Name: "nats.go", Goals: []turns.Goal{{ID: "P6", AtMost: 1}}, Turn: restart{away: r.away}.turn(theirs(n, 16))},
		},
	}}}
}

// healthy is how long a connection of ours has to live until its loss is not taken
// for another failure of the same relay: ten seconds and a pong. It cannot be seen
// from outside.
const healthy = 12 * time.Second

type restart struct {
	away   time.Duration
	settle time.Duration // before
}

func (r restart) turn(s setting) func(context.Context) ([]float64, error) {
	return func(ctx context.Context) (_ []float64, err error) {
		s := s // each turn has a port of its own
		if s.address, err = unclaimed(); err != nil {
			return nil, err
		}
		return s.turn(func(ctx context.Context, f *fleet) ([]float64, error) { return r.take(ctx, f, s) })(ctx)
	}
}

func (r restart) take(ctx context.Context, f *fleet, s setting) ([]float64, error) {
	if _, err := child.Ask[time.Duration](ctx, f.clients, "join", struct{}{}); err != nil {
		return nil, err
	}
	if _, err := child.Ask[struct{}](ctx, f.clients, "watch", struct{}{}); err != nil {
		return nil, err
	}
	if err := pause(ctx, r.settle); err != nil {
		return nil, err
	}
	before, err := f.clients.CPU(ctx)
	if err != nil {
		return nil, err
	}
	f.server.Kill()
	if err := pause(ctx, r.away); err != nil {
		return nil, err
	}
	if f.server, err = child.Start(ctx, s.server, s.address); err != nil {
		return nil, err
	}
	b, err := child.Ask[comeback](ctx, f.clients, "await", time.Now())
	if err != nil {
		return nil, err
	}
	server, err := f.server.CPU(ctx)
	if err != nil {
		return nil, err
	}
	clients, err := f.clients.CPU(ctx)
	if err != nil {
		return nil, err
	}
	_, err = child.Ask[struct{}](ctx, f.clients, "present", struct{}{})
	return []float64{
		b.All.Seconds(), b.Half.Seconds(), server.Seconds(), (clients - before).Seconds(), b.Peak, b.Attempts,
	}, err
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// unclaimed returns an address of the loopback at which no client will be, while
// its server is away: below the ports that the system gives to clients.
func unclaimed() (string, error) {
	for tries := 0; ; tries++ {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(20_000+rand.IntN(10_000)))
		listener, err := net.Listen("tcp", address)
		if err == nil {
			return address, listener.Close()
		}
		if tries == 20 {
			return "", err
		}
	}
}
