package server

import (
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"
)

// maxFrameBytes is the protocol's limit for one message.
const maxFrameBytes = 1 << 20

// An Option configures a [Server].
type Option func(*config) error

type config struct {
	logger        *slog.Logger
	checkOrigin   func(*http.Request) bool
	authenticator Authenticator // nil: everybody may
	authTimeout   time.Duration
	proxies       []netip.Prefix
	anySource     bool

	maxConnections  int
	maxUnregistered int
	maxPerAddress   int
	maxPerUser      int

	maxMessageBytes  int
	queueBytes       int
	maxRegistrations int
	messageRate      int
	byteRate         int

	registerTimeout time.Duration
	pingInterval    time.Duration
	pingTimeout     time.Duration
	writeTimeout    time.Duration
	shutdownSpread  time.Duration
}

// defaults are the settings of New without options.
var defaults = config{
	logger:           slog.New(slog.DiscardHandler),
	authTimeout:      10 * time.Second,
	maxConnections:   16384,
	maxUnregistered:  4096,
	maxPerAddress:    4096,
	maxPerUser:       4096,
	queueBytes:       maxFrameBytes,
	maxRegistrations: 64,
	registerTimeout:  10 * time.Second,
	pingInterval:     20 * time.Second,
	pingTimeout:      20 * time.Second,
	writeTimeout:     10 * time.Second,
}

// with returns c changed by opts.
func (c config) with(opts []Option) (*config, error) {
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("server: nil Option")
		}
		if err := opt(&c); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

// WithLogger sets where the server logs: Info for registrations, Warn for
// oddities (at most one a second of each kind), Debug for every message.
// Neither header values nor descriptions are ever logged. When its handler
// panics the line is lost, which [Stats] counts. The default logs nothing.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) error {
		if l == nil {
			return errors.New("server: WithLogger: nil logger")
		}
		c.logger = l
		return nil
	}
}

// WithCheckOrigin sets who may connect from a browser: f reports whether the
// Origin of a request is welcome, else it is refused with 403. It may be
// called concurrently. The default welcomes a request without Origin (which
// programs that are no browser do not send) and one whose Origin has the
// host that was asked for.
func WithCheckOrigin(f func(*http.Request) bool) Option {
	return func(c *config) error {
		if f == nil {
			return errors.New("server: WithCheckOrigin: nil function")
		}
		c.checkOrigin = f
		return nil
	}
}

// WithAnySource lets a client send in the name of any UUID, as ProxyStore's
// relay does. By default a message whose source_uuid was not registered on
// the connection that it came by is bounced.
func WithAnySource() Option {
	return func(c *config) error {
		c.anySource = true
		return nil
	}
}

// WithAuthenticator sets who decides who a client is. The default welcomes
// everybody, as one user.
func WithAuthenticator(a Authenticator) Option {
	return func(c *config) error {
		if a == nil {
			return errors.New("server: WithAuthenticator: nil Authenticator")
		}
		c.authenticator = a
		return nil
	}
}

// WithAuthTimeout sets how long an [Authenticator] may take before the client is
// refused with 1011. The default is 10 s; that of [WithRegisterTimeout] goes on
// meanwhile.
func WithAuthTimeout(d time.Duration) Option {
	return func(c *config) error {
		c.authTimeout = d
		return positive("WithAuthTimeout", d)
	}
}

// WithTrustedProxies sets which proxies are believed about whence a request
// comes: if a connection is from one of these networks, the last address in
// X-Forwarded-For that is not counts instead. By default none is believed, and
// behind a proxy all clients have its address.
func WithTrustedProxies(networks ...netip.Prefix) Option {
	return func(c *config) error {
		for _, n := range networks {
			if !n.IsValid() {
				return errors.New("server: WithTrustedProxies: a network that is not valid")
			}
		}
		c.proxies = networks
		return nil
	}
}
