package main

import (
	"slices"

	"github.com/seed73300619/relay/cmd/relay/internal/config"
	"github.com/seed73300619/relay/cmd/relay/internal/systemd"
	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/server/auth"
)

// fixed are the settings that take effect only at the start.
var fixed = []string{
	"addr", "tls-cert", "tls-key", "tls-client-ca", "handshake-timeout", "ops-addr", "ops-host", "pprof", "log-dir", "log-format",
}

// reload reads the configuration and all files again. If any of it is bad,
// everything stays as it was.
func (s *service) reload() {
	if err := s.logs.reopen(); err != nil {
		s.log.Error("the log file stays as it was", "error", err)
	}
	next, err := s.load()
	if err == nil {
		err = s.use(next)
	}
	if err != nil {
		for _, problem := range flatten(err) {
			s.log.Error("not reloaded, everything stays as it was", "error", problem)
		}
		return
	}
	s.warn(next)
	s.log.Info("reloaded", "config", next.File)
	s.tell(systemd.Ready, "reloaded")
}

// use puts settings into effect, all that can be or, with an error, none.
func (s *service) use(next *config.Settings) error {
	who, err := authenticator(next)
	if err != nil {
		return err
	}
	if s.certs != nil {
		if err := s.certs.Reload(); err != nil {
			return err
		}
	}
	who = s.keep(next, who)
	if err := s.relay.Reconfigure(options(next, who, s.log)...); err != nil {
		return err
	}
	s.front.gate.SetLimits(gateLimits(next))
	s.logs.setLevels(next)
	s.needRestart(next)
	s.settings, s.who = next, who
	return nil
}

// keep returns the tokens in use, reloaded, if they are from the same file: open
// connections ask these. It returns any other authenticator as it is.
func (s *service) keep(next *config.Settings, fresh server.Authenticator) server.Authenticator {
	current, ok := s.who.(*auth.Tokens)
	if !ok || next.Auth != config.AuthTokens || next.AuthTokensFile != s.settings.AuthTokensFile || current.Reload() != nil {
		return fresh
	}
	return current
}

// needRestart tells of settings that have changed to no effect.
func (s *service) needRestart(next *config.Settings) {
	inUse := s.started.Rows()
	for i, row := range next.Rows() {
		if row.Value != inUse[i].Value && slices.Contains(fixed, row.Name) {
			s.log.Warn("setting needs a restart", "setting", row.Name, "where", row.Origin, "in_use", inUse[i].Value, "new", row.Value)
		}
	}
}
