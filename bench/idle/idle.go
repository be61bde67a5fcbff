// Package idle measures what a connection costs while nothing happens on it: the
// memory of a process with a thousand, less that with a few, by the number
// between. Clients and server are in different processes. What the kernel holds
// for a socket is not in it; that is the same for all.
package idle

import (
	"context"
	"errors"
	"time"

	"github.com/seed73300619/relay/bench/child"
	"github.com/seed73300619/relay/bench/servers"
	"github.com/seed73300619/relay/bench/turns"
)

// figures are what each turn yields. A connection has carried a message each way
// before it is idle, as in real life; the last figure is that of one that has not.
var figures = []string{"heap and stacks", "resident", "before any message"}

// A setting is one side of a case.
type setting struct {
	server, client string
	n              int
}

// Client is P4: what an idle client costs, in a process with nothing but clients.
func Client(quick bool) turns.Measurement {
	side := func(name, client, server string, goals ...turns.Goal) turns.Side {
		return turns.Side{Name: name, Goals: goals, Turn: setting{server, client, number(quick)}.clients}
	}
	together := func(name, client, server string) turns.Side {
		return turns.Side{Name: name, Turn: setting{server, client, number(quick)}.together}
	}
	return turns.Measurement{ID: "P4", Title: "memory of an idle connected client", Cases: []turns.Case{
		{
			Name: "client", Unit: "B", Figures: figures,
			Sides: []turns.Side{
				side("relay", "relay", servers.Relay),
				side("gorilla, one reading goroutine", "gorilla", servers.Gorilla, turns.Goal{ID: "P4", AtMost: 1.25}),
				side("gorilla, write buffers pooled", "gorilla, pooled", servers.Gorilla),
				side("coder, one reading goroutine", "coder", servers.Gorilla),
				side("gws", "gws", servers.Gorilla),
				side("nats.go, ChanSubscribe", "nats.go", servers.NATS),
			},
		},
		{
			Name: "with its server's side", Unit: "B", Figures: figures[:1],
			Sides: []turns.Side{
				together("relay", "relay", servers.Relay),
				together("gorilla", "gorilla", servers.Gorilla),
				together("coder, gorilla's server", "coder", servers.Gorilla),
				together("gws, gorilla's server", "gws", servers.Gorilla),
				together("nats.go", "nats.go", servers.NATS),
			},
		},
	}}
}

// Server is P5: what an idle connection costs the server, in a process of its own.
func Server(quick bool) turns.Measurement {
	side := func(name, client, server string) turns.Side {
		return turns.Side{Name: name, Turn: setting{server, client, number(quick)}.connections}
	}
	ours := side("relay", "relay", servers.Relay)
	ours.Goals = []turns.Goal{{ID: "P5", AtMost: 10 << 10}}
	// What is resident may shrink, too, so fifty do not show.
	python := turns.Side{Name: "Python relay, resident", Skip: servers.NoPython(), Turn: setting{client: "relay", n: max(number(quick), 200)}.python}
	return turns.Measurement{ID: "P5", Title: "memory of an idle connection on the server", Cases: []turns.Case{{
		Name: "server", Unit: "B", Figures: figures,
		Sides: []turns.Side{
			ours,
			side("nats-server", "nats.go", servers.NATS),
			side("gorilla, two goroutines", "gorilla", servers.Gorilla),
			python,
		},
	}}}
}

// number is how many connections are counted.
func number(quick bool) int {
	if quick {
		return 50
	}
	return 1000
}

// A process has memory.
type process interface {
	Memory(context.Context) (child.Memory, error)
}

// clients measures the process of the clients.
func (s setting) clients(ctx context.Context) (_ []float64, err error) {
	server, err := child.Start(ctx, s.server, servers.Anywhere)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	return s.crowd(ctx, gathering{Kind: s.client, URL: server.Address}, nil)
}

// connections measures the process of the server.
func (s setting) connections(ctx context.Context) (_ []float64, err error) {
	server, err := child.Start(ctx, s.server, servers.Anywhere)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	return s.crowd(ctx, gathering{Kind: s.client, URL: server.Address}, server)
}

// python is connections for the relay of ProxyStore. The clients are ours: its own
// ask for compression, for which it holds several times as much.
func (s setting) python(ctx context.Context) (_ []float64, err error) {
	server, err := servers.StartPython(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	return s.crowd(ctx, gathering{Kind: s.client, URL: server.Address}, server)
}

// together measures one process that has both, as is often done.
func (s setting) together(ctx context.Context) ([]float64, error) {
	values, err := s.crowd(ctx, gathering{Kind: s.client, Inside: s.server}, nil)
	if err != nil {
		return nil, err
	}
	return values[:1], nil
}

// crowd has clients come and be idle, and returns what each costs the process; nil:
// theirs.
func (s setting) crowd(ctx context.Context, g gathering, measured process) (_ []float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	clients, err := child.Start(ctx, crowdRole, g)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, clients.Close()) }()
	if measured == nil {
		measured = clients
	}
	do := func(command string, arg int) {
		if err == nil {
			_, err = child.Ask[struct{}](ctx, clients, command, arg)
		}
	}
	look := func() (m child.Memory) {
		if err == nil {
			m, err = measured.Memory(ctx)
		}
		return m
	}
	first := max(s.n/20, 1) // what is made once is made for these
	do("grow", first)
	do("exchange", 0)
	before := look()
	do("grow", s.n)
	fresh := look()
	do("exchange", first)
	used := look()
	each := func(now, then uint64) float64 { return (float64(now) - float64(then)) / float64(s.n) }
	return []float64{
		each(heapAndStacks(used), heapAndStacks(before)),
		each(used.PSS, before.PSS),
		each(heapAndStacks(fresh), heapAndStacks(before)),
	}, err
}

// heapAndStacks is what the process has in use, also of its spans that are not
// full; of one that is not Go, all that is resident.
func heapAndStacks(m child.Memory) uint64 {
	if m.HeapInuse == 0 {
		return m.PSS
	}
	return m.HeapInuse + m.StackInuse
}
