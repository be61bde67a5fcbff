// Package fleet measures what becomes of a server with up to ten thousand clients.
// Server and clients are in processes of their own, and share this machine's
// processors: what it does to the one is taken from the other.
//
// The servers and the clients have their limits, patience and pauses as they are by
// default. One address may have 4096 connections to a relay, so the clients come
// from several, all of the loopback.
package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/seed73300619/relay/bench/child"
	"github.com/seed73300619/relay/bench/servers"
)

// A setting is one side of a case.
type setting struct {
	server  string // its role
	address string // that it listens on
	kind    string // of the clients
	n       int    // of them
	room    int    // for messages that a client has not taken yet
}

func ours(n int) setting {
	return setting{server: servers.Stock, address: servers.Anywhere, kind: "relay", n: n}
}

func theirs(n, room int) setting {
	return setting{server: servers.NATS, address: servers.Anywhere, kind: "nats.go", n: n, room: room}
}

// A fleet is a server and its clients.
type fleet struct{ server, clients *child.Process }

// assemble starts a server, and clients that are not connected yet. Close must
// follow.
func (s setting) assemble(ctx context.Context) (f *fleet, err error) {
	f = &fleet{}
	if f.server, err = child.Start(ctx, s.server, s.address); err != nil {
		return nil, err
	}
	if f.clients, err = child.Start(ctx, crowdRole, gathering{s.kind, f.server.Address, s.n, s.room}); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *fleet) close() error {
	var errs []error
	for _, p := range []*child.Process{f.clients, f.server} {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	return errors.Join(errs...)
}

// turn has a fleet take a turn, in bounded time.
func (s setting) turn(take func(context.Context, *fleet) ([]float64, error)) func(context.Context) ([]float64, error) {
	return func(ctx context.Context) (_ []float64, err error) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		f, err := s.assemble(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, f.close()) }()
		return take(ctx, f)
	}
}
