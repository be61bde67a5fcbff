package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/seed73300619/relay/cmd/relay/internal/config"
	"github.com/seed73300619/relay/cmd/relay/internal/gate"
)

// entrance is what clients connect to.
type entrance struct {
	gate     *gate.Listener
	listener net.Listener // the gate, with TLS on top
	http     http.Server
	scheme   string // what clients put before the address
	serving  sync.WaitGroup
}

// listen opens the port. Nobody is served yet.
func listen(ctx context.Context, s *service) (*entrance, error) {
	inner, err := openPort(ctx, "--addr", s.settings.Addr)
	if err != nil {
		return nil, err
	}
	f := &entrance{gate: gate.New(goesFirst(inner, s.settings.MaxConnections), gateLimits(s.settings)), scheme: "ws"}
	f.listener = f.gate
	if s.certs != nil {
		f.listener, f.scheme = tls.NewListener(f.gate, s.certs.TLSConfig()), "wss"
	}
	patience := s.settings.HandshakeTimeout // all of these end with the upgrade
	f.http = http.Server{
		Handler:           s.relay,
		ReadHeaderTimeout: patience,
		ReadTimeout:       patience,
		WriteTimeout:      patience,
		IdleTimeout:       patience,
		MaxHeaderBytes:    16 << 10,
		ConnState:         f.gate.ConnState,
		ErrorLog:          log.New(httpLog{s.logs.logger(s.logs.websockets)}, "", 0),
	}
	return f, nil
}

func gateLimits(s *config.Settings) gate.Limits {
	return gate.Limits{MaxHandshakes: s.MaxHandshakes, AcceptRate: float64(s.AcceptRate), Burst: max(1, s.AcceptRate/50)}
}

// serve returns where the end of serving is reported, once.
func (f *entrance) serve() <-chan error {
	served := make(chan error, 1)
	f.serving.Go(func() { served <- f.http.Serve(f.listener) }) // close waits for it
	return served
}

func (f *entrance) url() string { return f.scheme + "://" + f.listener.Addr().String() }

// public reports whether others than this machine reach the address.
func public(listener net.Listener) bool {
	addr, ok := listener.Addr().(*net.TCPAddr)
	return ok && !addr.IP.IsLoopback()
}

// stop listens no longer, and waits a little for those who are in their handshake,
// to whom a 503, or no answer, would do the same harm. That is why it is not
// http.Server's Shutdown, which drops requests that it has not read yet.
func (f *entrance) stop(patience time.Duration) {
	_ = f.listener.Close()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); f.gate.Stats().Handshakes > 0; {
		select {
		case <-tick.C:
		case <-late:
			return
		}
	}
}

// close ends what is left: requests without an answer.
func (f *entrance) close() {
	_ = f.http.Close()
	_ = f.listener.Close()
	f.serving.Wait()
}

// openPort listens on an address that a flag has set.
func openPort(ctx context.Context, flag, address string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		return listener, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is taken: is a relay running already? Stop it, or choose another port with %s (:0 finds a free one)", address, flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s is not for everybody: choose a port from 1024 on with %s, or give the program the right to it", address, flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s is not an address of this machine: choose one with %s, or leave the host out for all", address, flag)
	}
	return nil, fmt.Errorf("cannot listen, see %s: %w", flag, err)
}
