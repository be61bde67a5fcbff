package main

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/seed73300619/relay/cmd/relay/internal/ops"
)

// operations is the server for those who run the relay, on an address of its
// own. A nil one is of no effect. Whatever happens to it, the relay goes on.
type operations struct {
	handler  *ops.Handler
	listener net.Listener
	http     http.Server
	ended    chan struct{} // closed when it serves no longer
}

// startOperations serves them, if that was asked for. That there is no port for
// it is an error: nobody would look after the relay.
func (s *service) startOperations(ctx context.Context) (*operations, error) {
	if s.settings.OpsAddr == "" {
		return nil, nil
	}
	listener, err := openPort(ctx, "--ops-addr", s.settings.OpsAddr)
	if err != nil {
		return nil, err
	}
	options := ops.Options{Version: version(), Hosts: s.settings.OpsHosts, PProf: s.settings.Pprof, Log: s.log, Gate: s.front.gate.Stats}
	if s.certs != nil {
		options.CertificateExpiry, options.CertificateReloads = s.certs.NotAfter, s.certs.Reloads
	}
	o := &operations{handler: ops.New(s.relay, options), listener: listener, ended: make(chan struct{})}
	o.http = http.Server{
		Handler:           o.handler,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(httpLog{s.logs.logger(s.logs.websockets)}, "", 0),
	}
	go func() { // close waits for it
		defer close(o.ended)
		if err := o.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("health and metrics are no longer served", "addr", s.settings.OpsAddr, "error", err)
		}
	}()
	return o, nil
}

// addr returns where they are served; empty: nowhere.
func (o *operations) addr() string {
	if o == nil {
		return ""
	}
	return o.listener.Addr().String()
}

func (o *operations) ready() {
	if o != nil {
		o.handler.Ready()
	}
}

func (o *operations) drain() {
	if o != nil {
		o.handler.Drain()
	}
}

func (o *operations) close() {
	if o != nil {
		_ = o.http.Close()
		<-o.ended
		o.handler.Close()
	}
}

// version is that of the module, as far as the build knows it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
