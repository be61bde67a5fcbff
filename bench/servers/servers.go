// Package servers has the servers of the competitors, for processes of their own.
package servers

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	nats "github.com/nats-io/nats-server/v2/server"

	"github.com/seed73300619/relay/bench/child"
	"github.com/seed73300619/relay/server"
)

// The roles. Each takes the address to listen on, such as [Anywhere], and its own
// address is the URL for clients.
const (
	Relay   = "relay-server"
	Stock   = "relay-server with its own limits"
	NATS    = "nats-server"
	Gorilla = "gorilla-server"
)

// Roles are those of this package.
var Roles = child.Roles{
	Relay:   child.As(serveRelay(unlimited...)),
	Stock:   child.As(serveRelay()),
	NATS:    child.As(serveNATS),
	Gorilla: child.As(serveGorilla),
}

// Anywhere is a free port of the loopback.
const Anywhere = "127.0.0.1:0"

// unlimited lets all clients come at once and from one address, more than a process
// has files for: what operators want limited would be in the way.
var unlimited = []server.Option{
	server.WithMaxConnections(many), server.WithMaxUnregistered(many), server.WithMaxConnectionsPerAddress(many),
}

const many = 1 << 20

func serveRelay(options ...server.Option) func(context.Context, string) (child.Work, error) {
	return func(_ context.Context, address string) (child.Work, error) {
		s, err := server.New(options...)
		if err != nil {
			return child.Work{}, err
		}
		return serve(address, s, s.Shutdown)
	}
}

// serve has h answer until the end, which begins with shutdown.
func serve(address string, h http.Handler, shutdown func(context.Context) error) (child.Work, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return child.Work{}, err
	}
	web := &http.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }() // End waits for it
	return child.Work{
		Address: "ws://" + listener.Addr().String() + "/",
		End: func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			err := errors.Join(shutdown(ctx), web.Close())
			<-served
			return err
		},
	}, nil
}

func serveNATS(_ context.Context, address string) (child.Work, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return child.Work{}, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return child.Work{}, err
	}
	if port == 0 {
		port = nats.RANDOM_PORT
	}
	s, err := nats.NewServer(&nats.Options{Host: host, Port: port, NoLog: true, NoSigs: true})
	if err != nil {
		return child.Work{}, err
	}
	go s.Start() // End waits for it
	if !s.ReadyForConnections(10 * time.Second) {
		s.Shutdown()
		return child.Work{}, errors.New("nats-server does not listen on " + address)
	}
	return child.Work{Address: s.ClientURL(), End: func() error {
		s.Shutdown()
		s.WaitForShutdown()
		return nil
	}}, nil
}
