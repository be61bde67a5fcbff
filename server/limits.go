package server

import (
	"errors"
	"fmt"
	"time"
)

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

// WithMaxUnregistered sets how many of the open connections may be without a
// registration: those in their opening handshake, and those that have not got
// further. While there are as many, new ones are refused with 503 and
// Retry-After. The default is 4096.
func WithMaxUnregistered(n int) Option {
	return func(c *config) error {
		c.maxUnregistered = n
		return positive("WithMaxUnregistered", n)
	}
}

// WithMaxConnectionsPerAddress sets how many connections one address may have
// open, where a /64 of IPv6 is one. Further ones are refused with 429 and
// Retry-After. The default is 4096: many clients may share an address, see
// [WithTrustedProxies].
func WithMaxConnectionsPerAddress(n int) Option {
	return func(c *config) error {
		c.maxPerAddress = n
		return positive("WithMaxConnectionsPerAddress", n)
	}
}

// WithMaxConnectionsPerUser sets how many connections a [User] may have
// registered clients on. Further ones are closed with 1013. The default is
// 4096. Without an [Authenticator] there is no limit, because there are no users.
func WithMaxConnectionsPerUser(n int) Option {
	return func(c *config) error {
		c.maxPerUser = n
		return positive("WithMaxConnectionsPerUser", n)
	}
}

// WithMessageRate sets how many messages a second are taken from one connection,
// and as many at once. Beyond that its socket is not read, which slows down its
// client and nobody else. The default, 0, is no limit.
func WithMessageRate(perSecond int) Option {
	return func(c *config) error {
		c.messageRate = perSecond
		if perSecond < 0 {
			return fmt.Errorf("server: WithMessageRate(%d): negative", perSecond)
		}
		return nil
	}
}

// WithByteRate is [WithMessageRate] for bytes. It is at least 65536, so that the
// largest message does not hold up its connection for longer than the peer waits
// for a pong. The default, 0, is no limit.
func WithByteRate(perSecond int) Option {
	return func(c *config) error {
		c.byteRate = perSecond
		if perSecond != 0 && perSecond < minByteRate {
			return fmt.Errorf("server: WithByteRate(%d): neither 0 nor at least %d", perSecond, minByteRate)
		}
		return nil
	}
}

const minByteRate = 64 << 10

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
// (or every timeout, if that is longer), and a peer that within timeout after
// one sends neither a whole message, ping or pong nor 1 KiB of one is closed with
// 1011. The defaults are 20 s and 20 s.
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

// WithShutdownSpread sets over how long [Server.Shutdown] spreads the end of the
// connections, so that their clients do not come back all at once: one after
// another, at most 10 ms apart. The default is 0, all at once.
func WithShutdownSpread(window time.Duration) Option {
	return func(c *config) error {
		c.shutdownSpread = window
		if window < 0 {
			return fmt.Errorf("server: WithShutdownSpread(%v): negative", window)
		}
		return nil
	}
}

func positive[T int | time.Duration](option string, v T) error {
	if v <= 0 {
		return fmt.Errorf("server: %s(%v): not positive", option, v)
	}
	return nil
}
