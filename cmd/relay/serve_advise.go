package main

import (
	"github.com/seed73300619/relay/cmd/relay/internal/config"
	"github.com/seed73300619/relay/server/auth"
)

// spareFiles are those that are no client's connection.
const spareFiles = 64

// advise logs what the relay runs with, and what somebody may want to change.
func (s *service) advise() {
	set, addr := s.settings, s.front.url()
	files, known := openFiles()
	s.log.Info("starting", "version", version(), "addr", addr, "ops_addr", s.ops.addr(), "config", set.File,
		"auth", set.Auth, "max_connections", set.MaxConnections, "max_open_files", files)
	s.warn(set)
	if known && files < uint64(set.MaxConnections)+spareFiles {
		s.log.Warn("fewer files may be open than --max-connections needs: raise the limit (ulimit -n, LimitNOFILE), or lower that",
			"max_open_files", files, "max_connections", set.MaxConnections)
	}
	if public(s.front.listener) && s.certs == nil {
		s.log.Warn("not encrypted: whoever is on the network between can read and change everything; use --tls-cert, or a proxy that speaks TLS", "addr", addr)
	}
	if public(s.front.listener) && set.Auth == config.AuthNone {
		s.log.Warn("not authenticated: whoever reaches the address can use the relay; see --auth", "addr", addr)
	}
	if s.ops != nil && public(s.ops.listener) {
		s.log.Warn("health, metrics and the status page, with who is connected, are for whoever reaches their address", "addr", s.ops.listener.Addr())
	}
}

// warn is about the configuration, at the start and after a reload.
func (s *service) warn(set *config.Settings) {
	for _, warning := range set.Warnings {
		s.log.Warn("setting ignored", "where", warning.Where, "problem", warning.What)
	}
	if tokens, ok := s.who.(*auth.Tokens); ok && tokens.Exposed() {
		s.log.Warn("tokens are exposed", "problem", exposedTokens(set))
	}
}
