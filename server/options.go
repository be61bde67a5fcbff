package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// maxFrameBytes is the protocol's limit for one message.
const maxFrameBytes = 1 << 20

// An Option configures a [Server].
type Option func(*config) error

type config struct {
	logger           *slog.Logger
	checkOrigin      func(*http.Request) bool
	anySource        bool
	maxMessageBytes  int
	queueBytes       int
	maxConnections   int
	maxRegistrations int
	registerTimeout  time.Duration
	pingInterval     time.Duration
	pingTimeout      time.Duration
	writeTimeout     time.Duration
}

func newConfig(opts []Option) (config, error) {
	c := config{
		logger:           slog.New(slog.DiscardHandler),
		queueBytes:       maxFrameBytes,
		maxConnections:   16384,
		maxRegistrations: 64,
		registerTimeout:  10 * time.Second,
		pingInterval:     20 * time.Second,
		pingTimeout:      20 * time.Second,
		writeTimeout:     10 * time.Second,
	}
	for _, opt := range opts {
		if opt == nil {
			return config{}, errors.New("server: nil Option")
		}
		if err := opt(&c); err != nil {
			return config{}, err
		}
	}
	return c, nil
}

// WithLogger sets where the server logs: Info for registrations, Warn for
// oddities (at most one a second of each kind), Debug for every message.
// Neither header values nor descriptions are ever logged. The default logs
// nothing.
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

// WithMaxMessageBytes sets the size of a message, in bytes as they came,
// beyond which its sender's connection is closed with 4003. ProxyStore's
// relay counts the Python object, 49 bytes more for ASCII: the same number
// lets a little more through here. The default, 0, leaves only the
// protocol's limit of 1 MiB, which closes with 1009 and applies always.
func WithMaxMessageBytes(n int) Option {
	return func(c *config) error {
		c.maxMessageBytes = n
		if n < 0 {
			return fmt.Errorf("server: WithMaxMessageBytes(%d): negative", n)
		}
		return nil
	}
}

// WithQueueBytes sets how many bytes may wait for one connection to be
// written, beside those that are being written; one message always may. The
// default is 1 MiB.
func WithQueueBytes(n int) Option {
	return func(c *config) error {
		c.queueBytes = n
		return positive("WithQueueBytes", n)
	}
}

// WithMaxConnections sets how many connections may be open at a time.
// Further ones are refused with 503 and Retry-After. The default is 16384.
func WithMaxConnections(n int) Option {
	return func(c *config) error {
		c.maxConnections = n
		return positive("WithMaxConnections", n)
	}
}

// WithMaxRegistrations sets how many UUIDs one connection may register;
// further ones get an error reply, and the connection stays open. The
// default is 64.
func WithMaxRegistrations(n int) Option {
	return func(c *config) error {
		c.maxRegistrations = n
		return positive("WithMaxRegistrations", n)
	}
}

// WithRegisterTimeout sets how long a connection may live without a
// registration before it is closed with 1008. The default is 10 s.
func WithRegisterTimeout(d time.Duration) Option {
	return func(c *config) error {
		c.registerTimeout = d
		return positive("WithRegisterTimeout", d)
	}
}

// WithKeepalive sets how a dead peer is found: a ping goes out every interval
// (or every timeout, if that is longer), and a peer that sends nothing at all
// within timeout after one is closed with 1011. The defaults are 20 s and
// 20 s.
func WithKeepalive(interval, timeout time.Duration) Option {
	return func(c *config) error {
		c.pingInterval, c.pingTimeout = interval, timeout
		return errors.Join(positive("WithKeepalive", interval), positive("WithKeepalive", timeout))
	}
}

// WithWriteTimeout sets how long a peer may take in nothing of what is
// written to it before its connection is closed with 1008. The default is
// 10 s.
func WithWriteTimeout(d time.Duration) Option {
	return func(c *config) error {
		c.writeTimeout = d
		return positive("WithWriteTimeout", d)
	}
}

func positive[T int | time.Duration](option string, v T) error {
	if v <= 0 {
		return fmt.Errorf("server: %s(%v): not positive", option, v)
	}
	return nil
}
