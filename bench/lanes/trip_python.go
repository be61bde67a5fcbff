package lanes

import (
	"context"
	_ "embed"
	"time"

	"github.com/seed73300619/relay/bench/payloads"
	"github.com/seed73300619/relay/bench/servers"
)

//go:embed python/trip.py
var tripScript string

// pythonTrips returns the turn of the real ProxyStore: its relay and two of its
// clients, each a process, because a Python process has but one core. The near
// client times and checks the trips.
func pythonTrips(n int, p *payloads.Set) func(context.Context) ([]float64, error) {
	return func(ctx context.Context) (_ []float64, err error) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		relay, err := servers.StartPython(ctx)
		if err != nil {
			return nil, err
		}
		defer relay.Close()
		var peer string
		far, err := startScript(ctx, tripScript, &peer, "echo", relay.Address)
		if err != nil {
			return nil, err
		}
		defer func() {
			if e := far.close(); err == nil {
				err = e
			}
		}()
		return pythonTravel(ctx, relay.Address, peer, n, p)
	}
}

// pythonTravel has a client of the relay at the address ask a peer.
func pythonTravel(ctx context.Context, address, peer string, n int, p *payloads.Set) (_ []float64, err error) {
	near, err := startScript(ctx, tripScript, new(string), "ask", address, peer)
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := near.close(); err == nil {
			err = e
		}
	}()
	type question struct {
		Trips    int      `json:"trips"`
		Payloads []string `json:"payloads"`
	}
	var took []time.Duration
	if err := near.ask(ctx, question{max(n/20, 1), p.Text}, &took); err != nil {
		return nil, err
	}
	if err := near.ask(ctx, question{n, p.Text}, &took); err != nil {
		return nil, err
	}
	return percentiles(took), nil
}
