// Package config settles the settings of "relay serve": what is not given has
// its default, a file wins over that, the environment over the file, and the
// flags of the command line over everything.
//
// The file is proxystore-relay's, every key of it. What is only ours stands in
// its table [relay], which proxystore-relay ignores: one file can serve both.
// Keys there are the flags' names with underscores, and so are the variables
// of the environment, as in RELAY_MAX_CONNECTIONS.
//
// [Load] finds every problem, not just the first, and says where each is:
// file, line and column, variable or flag. No secret is in what it says.
package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Settings are what "relay serve" runs with. [Defaults] makes them; the zero
// value is of no use.
type Settings struct {
	File string // that was read; empty: none

	Addr           string // host:port; an empty host means all interfaces
	TLSCert        string // PEM file; empty: no TLS
	TLSKey         string // PEM file; empty: in that of the certificate
	TLSClientCA    string // PEM file; empty: clients are asked for no certificate
	TrustedProxies []netip.Prefix
	AllowOrigins   []string

	Auth                 string // one of the Auth constants
	AuthTokensFile       string
	AuthClientID         string
	AuthClientSecretFile string
	AuthClientSecret     Secret // empty: in the file, if there is one
	AuthAudience         string
	AuthIntrospectionURL string
	AuthCache            time.Duration
	AuthTimeout          time.Duration
	AnySource            bool

	MaxConnections           int
	MaxConnectionsPerAddress int
	MaxConnectionsPerUser    int
	MaxUnregistered          int
	MaxRegistrations         int
	MaxHandshakes            int
	AcceptRate               int // a second; 0: no bound
	MaxMessageBytes          int // 0: the protocol's limit
	QueueBytes               int
	MessageRate              int // a second, of one connection; 0: no bound
	ByteRate                 int // likewise

	HandshakeTimeout time.Duration
	RegisterTimeout  time.Duration
	PingInterval     time.Duration
	PingTimeout      time.Duration
	WriteTimeout     time.Duration

	DrainDelay      time.Duration
	DrainWindow     time.Duration
	ShutdownTimeout time.Duration

	OpsAddr  string   // host:port; empty: no such server
	OpsHosts []string // by which its page may be asked for
	Pprof    bool

	LogDir             string // empty: stderr only
	LogFormat          string // "text" or "json"
	LogLevel           slog.Level
	LogWebsocketsLevel slog.Level    // of what is below the relay's own protocol
	LogClientsInterval time.Duration // 0: never
	LogClientsLimit    int           // as many clients are not listed one by one

	// Warnings are about what the file has and nobody reads. They do no harm,
	// but somebody meant something by it.
	Warnings []*Problem

	origins map[string]string // of what is no default, by the flag's name
}

// The ways to authenticate clients.
const (
	AuthNone          = "none"
	AuthGlobus        = "globus" // introspection, at Globus Auth
	AuthIntrospection = "introspection"
	AuthTokens        = "tokens"
	AuthMTLS          = "mtls"
)

// Defaults returns the settings of a relay that was told nothing. Those that
// the server has, too, are the server's, but for the rates and the window: a
// program that embeds a server knows its clients, this relay may meet anybody.
func Defaults() *Settings {
	return &Settings{
		Addr: "127.0.0.1:8700",

		Auth:        AuthNone,
		AuthCache:   time.Minute,
		AuthTimeout: 10 * time.Second,

		MaxConnections:           16384,
		MaxConnectionsPerAddress: 4096,
		MaxConnectionsPerUser:    4096,
		MaxUnregistered:          4096,
		MaxRegistrations:         64,
		MaxHandshakes:            4096,
		AcceptRate:               500,
		QueueBytes:               1 << 20,
		MessageRate:              2000,
		ByteRate:                 4 << 20,

		HandshakeTimeout: 10 * time.Second,
		RegisterTimeout:  10 * time.Second,
		PingInterval:     20 * time.Second,
		PingTimeout:      20 * time.Second,
		WriteTimeout:     10 * time.Second,
		DrainWindow:      2 * time.Second,
		ShutdownTimeout:  10 * time.Second,

		LogFormat:          "text",
		LogLevel:           slog.LevelInfo,
		LogWebsocketsLevel: slog.LevelWarn,
		LogClientsInterval: time.Minute,
		LogClientsLimit:    32,

		origins: make(map[string]string),
	}
}

// A Secret is a text that is never printed.
type Secret string

// String tells no more than whether there is one.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(set, not shown)"
}

// GoString is for %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue is for package slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
