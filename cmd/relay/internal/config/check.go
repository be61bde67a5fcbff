package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/spf13/pflag"
)

// A Row is one setting, to be shown.
type Row struct {
	Group  string
	Name   string // the flag's, without dashes
	Value  string // a secret is not shown
	Origin string // "default", file:line, a variable, or a flag
}

// Rows returns all settings in the order of the flags.
func (s *Settings) Rows() []Row {
	rows := []Row{{"Configuration", "config", s.File, s.origin("config")}}
	for _, group := range s.Groups() {
		group.VisitAll(func(flag *pflag.Flag) {
			shown := flag.Value.String()
			if flag.Name == "auth-introspection-url" {
				shown = withoutSecrets(shown)
			}
			rows = append(rows, Row{group.Title, flag.Name, shown, s.origin(flag.Name)})
			if flag.Name == "auth-client-id" {
				rows = append(rows, Row{group.Title, secretName, s.AuthClientSecret.String(), s.origin(secretName)})
			}
		})
	}
	return rows
}

func (s *Settings) origin(name string) string {
	if origin, ok := s.origins[name]; ok {
		return origin
	}
	return "default"
}

// withoutSecrets returns a URL without what could be a secret in it.
func withoutSecrets(address string) string {
	u, err := url.Parse(address)
	if address == "" || err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// problem makes one of a setting that is bad among the others.
func (s *Settings) problem(name, what string) *Problem {
	where := "--" + name
	if origin, ok := s.origins[name]; ok && origin != where {
		where = origin + ": " + where
	}
	return &Problem{Where: where, What: what}
}

// check finds what each setting cannot know of the others, and fits in a default
// that depends on another setting.
func (s *Settings) check() error {
	var problems []error
	unless := func(ok bool, name, format string, args ...any) {
		if !ok {
			problems = append(problems, s.problem(name, fmt.Sprintf(format, args...)))
		}
	}
	unless(isAddress(s.Addr), "addr", "%q: it should be host:port, such as 127.0.0.1:8700", s.Addr)
	unless(s.OpsAddr == "" || isAddress(s.OpsAddr), "ops-addr", "%q: it should be host:port, such as 127.0.0.1:9700", s.OpsAddr)
	unless(s.OpsAddr == "" || s.OpsAddr != s.Addr || port(s.Addr) == "0", "ops-addr", "should not be that of --addr: health and metrics are not for clients")
	unless(s.TLSKey == "" || s.TLSCert != "", "tls-key", "a TLS key without a certificate: give it with --tls-cert (certfile in the file)")
	unless(s.TLSClientCA == "" || s.TLSCert != "", "tls-client-ca", "clients' certificates need TLS: give --tls-cert")
	unless(!s.Pprof || s.OpsAddr != "", "pprof", "needs --ops-addr")
	unless(len(s.OpsHosts) == 0 || s.OpsAddr != "", "ops-host", "needs --ops-addr")
	if _, given := s.origins["drain-window"]; !given {
		s.DrainWindow = min(s.DrainWindow, s.ShutdownTimeout/2)
	}
	unless(s.DrainWindow < s.ShutdownTimeout, "drain-window", "%v should be less than --shutdown-timeout, %v: those who are left then are cut off", s.DrainWindow, s.ShutdownTimeout)

	switch s.Auth {
	case AuthTokens:
		unless(s.AuthTokensFile != "", "auth", "tokens needs --auth-tokens-file")
	case AuthMTLS:
		unless(s.TLSClientCA != "", "auth", "mtls needs --tls-client-ca, and TLS with --tls-cert")
	case AuthIntrospection:
		unless(s.AuthIntrospectionURL != "", "auth", "introspection needs --auth-introspection-url")
		unless(s.AuthAudience != "", "auth", "introspection needs --auth-audience: a token for something else must not do")
		unless(s.AuthClientID != "" && s.hasSecret(), "auth", "introspection needs --auth-client-id, and a secret with --auth-client-secret-file or %s", variable(secretName))
	}
	if _, decided := s.origins["auth"]; !decided {
		for _, name := range []string{"auth-tokens-file", "auth-client-id", secretName, secretFileName} {
			_, given := s.origins[name]
			unless(!given, name, "is of no use without --auth (auth.method in the file): everybody would be let in")
		}
	}
	return errors.Join(problems...)
}

func isAddress(address string) bool {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n <= 65535
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}
