package config

import (
	"errors"
	"log/slog"
	"net/netip"
	"strconv"
	"time"

	"github.com/spf13/pflag"
)

// A Group is the flags of one subject.
type Group struct {
	Title string
	*pflag.FlagSet
}

// Groups returns the flags of all settings, bound to s: what is set there is set
// in s. The defaults that they show are what s has now.
func (s *Settings) Groups() []Group {
	return []Group{s.network(), s.authentication(), s.bounds(), s.times(), s.operations(), s.logs()}
}

func (s *Settings) network() Group {
	g := newGroup("Network")
	g.StringVar(&s.Addr, "addr", s.Addr, "`host:port` to listen on; an empty host means all interfaces, port 0 a free one")
	g.StringVar(&s.TLSCert, "tls-cert", s.TLSCert, "PEM `file` with the certificate and its chain: clients use wss://")
	g.StringVar(&s.TLSKey, "tls-key", s.TLSKey, "PEM `file` with the private key (default: the certificate's file)")
	g.StringVar(&s.TLSClientCA, "tls-client-ca", s.TLSClientCA, "PEM `file` with the authorities of clients' certificates")
	g.Var(&list[netip.Prefix]{at: &s.TrustedProxies, parse: parsePrefix}, "trusted-proxy",
		"`network`, such as 10.0.0.0/8, of proxies to believe in X-Forwarded-For; may be repeated")
	g.Var(&list[string]{at: &s.AllowOrigins, parse: parseOrigin}, "allow-origin",
		"`origin` of web pages that may connect, besides those of this host, or *; may be repeated")
	return g
}

func (s *Settings) authentication() Group {
	g := newGroup("Who may")
	g.Var(&value[string]{&s.Auth, kindText, oneOf(AuthNone, AuthGlobus, AuthIntrospection, AuthTokens, AuthMTLS), plain}, "auth",
		"`way` to find out who a client is: none, globus, introspection, tokens or mtls")
	g.StringVar(&s.AuthTokensFile, "auth-tokens-file", s.AuthTokensFile, "`file` with the bearer tokens of clients, for tokens")
	g.StringVar(&s.AuthClientID, "auth-client-id", s.AuthClientID, "`id` of this relay at the authorization server, for globus and introspection")
	g.StringVar(&s.AuthClientSecretFile, "auth-client-secret-file", s.AuthClientSecretFile,
		"`file` with the secret that goes with the id; or set RELAY_AUTH_CLIENT_SECRET")
	g.StringVar(&s.AuthAudience, "auth-audience", s.AuthAudience, "`audience` that a token must have (default for globus: that of ProxyStore's relays)")
	g.StringVar(&s.AuthIntrospectionURL, "auth-introspection-url", s.AuthIntrospectionURL, "`URL` that tells about tokens, RFC 7662 (default for globus: Globus Auth's)")
	g.duration(&s.AuthCache, true, "auth-cache", "how long what was found out about a token is believed; 0: not at all")
	g.duration(&s.AuthTimeout, false, "auth-timeout", "how long it may take to find out who a client is")
	g.truth(&s.AnySource, "any-source", "let clients send in the name of any UUID, as ProxyStore's relay does")
	return g
}

func (s *Settings) bounds() Group {
	g := newGroup("Bounds")
	g.number(&s.MaxConnections, 1, "max-connections", "connections at a time")
	g.number(&s.MaxConnectionsPerAddress, 1, "max-connections-per-address", "connections of one address, or one /64 of IPv6")
	g.number(&s.MaxConnectionsPerUser, 1, "max-connections-per-user", "connections of one user")
	g.number(&s.MaxUnregistered, 1, "max-unregistered", "connections that have not registered yet")
	g.number(&s.MaxRegistrations, 1, "max-registrations", "UUIDs that one connection may register")
	g.number(&s.MaxHandshakes, 1, "max-handshakes", "connections in their handshake")
	g.number(&s.AcceptRate, 0, "accept-rate", "new connections a second; more wait; 0: no bound")
	g.number(&s.MaxMessageBytes, 0, "max-message-bytes", "longest message; 0: the 1 MiB of the protocol")
	g.number(&s.QueueBytes, 1, "queue-bytes", "what may wait for one client, in bytes")
	g.number(&s.MessageRate, 0, "message-rate", "messages a second that are taken from one connection; 0: no bound")
	g.Var(&value[int]{&s.ByteRate, kindInt, parseByteRate, formatInt}, "byte-rate", "bytes a second that are taken from one connection, 65536 or more; 0: no bound")
	return g
}

func (s *Settings) times() Group {
	g := newGroup("Times")
	g.duration(&s.HandshakeTimeout, false, "handshake-timeout", "how long TLS and the request for a WebSocket may take")
	g.duration(&s.RegisterTimeout, false, "register-timeout", "how long a connection may live without registering")
	g.duration(&s.PingInterval, false, "ping-interval", "how often clients are pinged")
	g.duration(&s.PingTimeout, false, "ping-timeout", "how long a client may be silent after a ping")
	g.duration(&s.WriteTimeout, false, "write-timeout", "how long a client may read nothing of what is sent to it")
	g.duration(&s.DrainDelay, true, "drain-delay", "how long not to be ready before the end begins (default: no time)")
	g.duration(&s.DrainWindow, true, "drain-window", "over how long to send many clients away, at most 10ms apart; 0: all at once")
	g.duration(&s.ShutdownTimeout, false, "shutdown-timeout", "how long a polite end may take, behind --drain-delay")
	return g
}

func (s *Settings) operations() Group {
	g := newGroup("Operation")
	g.StringVar(&s.OpsAddr, "ops-addr", s.OpsAddr, "`host:port` for health, metrics and the status page (default: off)")
	g.Var(&list[string]{at: &s.OpsHosts, parse: parseHost}, "ops-host", "`name` by which browsers ask for the status page, besides localhost and addresses; may be repeated")
	g.truth(&s.Pprof, "pprof", "profiles at /debug/pprof/ of --ops-addr")
	return g
}

func (s *Settings) logs() Group {
	g := newGroup("Logs")
	g.level(&s.LogLevel, "log-level", "the least important `level` to log: debug, info, warning, error or critical")
	g.level(&s.LogWebsocketsLevel, "log-websockets-level", "likewise for `level`s of HTTP, TLS and WebSockets")
	g.Var(&value[string]{&s.LogFormat, kindText, oneOf("text", "json"), plain}, "log-format", "`format` of a line: text or json")
	g.StringVar(&s.LogDir, "log-dir", s.LogDir, "`folder` for a file server.log, besides stderr")
	g.duration(&s.LogClientsInterval, true, "log-clients-interval", "how often to log how many clients there are; 0: never")
	g.Var(&value[int]{&s.LogClientsLimit, kindInt, parseInt, formatInt}, "log-clients-limit", "each client is logged, too, if there are fewer than this")
	return g
}

func newGroup(title string) Group {
	g := Group{title, pflag.NewFlagSet(title, pflag.ContinueOnError)}
	g.SortFlags = false
	return g
}

func (g Group) number(at *int, least int, name, usage string) {
	g.Var(&value[int]{at, kindInt, atLeast(least), formatInt}, name, usage)
}

func (g Group) duration(at *time.Duration, zero bool, name, usage string) {
	g.Var(&value[time.Duration]{at, kindDuration, parseDuration(zero), formatDuration}, name, usage)
}

func (g Group) truth(at *bool, name, usage string) {
	g.VarPF(&value[bool]{at, kindBool, parseBool, strconv.FormatBool}, name, "", usage).NoOptDefVal = "true"
}

func (g Group) level(at *slog.Level, name, usage string) {
	g.Var(&value[slog.Level]{at, kindLevel, parseLevel, formatLevel}, name, usage)
}

func parseByteRate(text string) (int, error) {
	n, err := atLeast(0)(text)
	if err == nil && n != 0 && n < 64<<10 {
		return 0, errors.New("should be 65536 or more, or 0 for no bound: the longest message must get through in time")
	}
	return n, err
}
