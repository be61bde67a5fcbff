package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/transport"
)

// Option changes a default of [New]. Options that contradict each other: the
// last wins.
type Option func(*config) error

const (
	defaultTimeout    = 10 * time.Second
	defaultBackoffMin = time.Second
	defaultBackoffMax = 60 * time.Second
	defaultHeartbeat  = 15 * time.Second
	defaultSilence    = 10 * time.Second
	defaultMaxMessage = 1 << 20 // what stock relays and clients accept

	// bounceRoom is how much a message of ours may have grown when the relay
	// sends it back with an error: it must still be readable.
	bounceRoom = 64 << 10
	// maxName bounds a client's name, which travels with every message.
	maxName = 1024
)

// config is what New makes of its arguments; constant from then on.
type config struct {
	address          string
	shown            string   // the address as it may be shown: without userinfo and query
	secrets          []string // what else is in it
	name             string
	uuid             uuid.UUID
	header           http.Header
	tokenSource      func(context.Context) (string, error)
	tlsConfig        *tls.Config
	insecure         bool
	dialContext      dialFunc
	timeout          time.Duration
	reconnect        bool
	backoffMin       time.Duration
	backoffMax       time.Duration
	heartbeat        time.Duration
	heartbeatTimeout time.Duration
	outbox           int
	inbox            InboxPolicy
	resend           int
	conflict         ConflictPolicy
	window           int
	maxMessage       int
	logger           *slog.Logger
}

// WithName sets the name under which the client registers, for people who read
// logs: at most 1024 bytes of UTF-8, not empty. Default: the host's name.
func WithName(name string) Option {
	return func(c *config) error {
		switch {
		case name == "":
			return errors.New("relay: WithName: empty name")
		case len(name) > maxName:
			return fmt.Errorf("relay: WithName: a name of %d bytes is over the limit of %d", len(name), maxName)
		case !utf8.ValidString(name):
			return errors.New("relay: WithName: the name is not valid UTF-8")
		}
		c.name = name
		return nil
	}
}

// WithUUID sets the client's address, by which peers reach it. When another
// client registers with the same UUID, the relay closes the first with code 4004;
// then [WithConflict] decides. Default: a random one.
func WithUUID(id uuid.UUID) Option {
	return func(c *config) error {
		if id == uuid.Nil {
			return errors.New("relay: WithUUID: the zero UUID is nobody's address")
		}
		c.uuid = id
		return nil
	}
}

// WithHeader adds headers to the handshake request, the same at every attempt.
// The header is copied. Values reach the relay and nothing else: no log, error
// or event. Default: none.
func WithHeader(header http.Header) Option {
	return func(c *config) error {
		if header == nil {
			return errors.New("relay: WithHeader: nil header")
		}
		if err := transport.CheckHeader(header); err != nil {
			return fmt.Errorf("relay: WithHeader: %w", err)
		}
		c.header = header.Clone()
		return nil
	}
}

// WithTokenSource sets a function that is asked for a bearer token before every
// attempt to connect, and once more after the relay refused one (close code 4001
// or HTTP status 401). An error of it counts as a failed attempt and is retried;
// a panic likewise. Its context ends with the timeout of [WithTimeout] and with
// the client; it is never called twice at a time. Default: no token.
func WithTokenSource(source func(context.Context) (string, error)) Option {
	return func(c *config) error {
		if source == nil {
			return errors.New("relay: WithTokenSource: nil function")
		}
		c.tokenSource = source
		return nil
	}
}

// WithTLSConfig sets the TLS configuration for wss:// addresses. It is cloned.
// Default: the system's roots and TLS 1.2 or newer.
func WithTLSConfig(cfg *tls.Config) Option {
	return func(c *config) error {
		if cfg == nil {
			return errors.New("relay: WithTLSConfig: nil config; leave the option out for the default")
		}
		c.tlsConfig = cfg.Clone()
		return nil
	}
}

// WithInsecureSkipVerify accepts any certificate of the relay: whoever is on
// the network between can then read and change everything, tokens included. The
// log says so once, at the first use. With [WithTLSConfig] it applies to a copy
// of that config.
func WithInsecureSkipVerify() Option {
	return func(c *config) error {
		c.insecure = true
		return nil
	}
}

// WithDialContext sets how the TCP connection is opened, in the way of
// [net.Dialer.DialContext]; relaytest brings one that needs no network.
// Default: a net.Dialer, through the proxy that the environment names
// ([http.ProxyFromEnvironment]), and no proxy when this option is given. A panic
// of the function is a failed attempt, and is retried.
func WithDialContext(dial func(ctx context.Context, network, address string) (net.Conn, error)) Option {
	return func(c *config) error {
		if dial == nil {
			return errors.New("relay: WithDialContext: nil function")
		}
		c.dialContext = dial
		return nil
	}
}

// WithTimeout bounds each step that waits for the relay: opening a connection
// (name resolution to the end of the handshake), the reply to the registration,
// a write that makes no progress (see also [WithHeartbeat]), the token source, and
// Close. Default: 10 s.
func WithTimeout(d time.Duration) Option {
	return func(c *config) error {
		c.timeout = d
		return positive("WithTimeout", d)
	}
}

// WithReconnect says whether a lost connection is made again at once. If not,
// the next message sent, or call of Recv, Inbox, Connect or TryConnect does it.
// Default: true.
func WithReconnect(reconnect bool) Option {
	return func(c *config) error {
		c.reconnect = reconnect
		return nil
	}
}

// WithBackoff bounds the pauses between attempts to connect, which double from
// min to max, with jitter. The first attempt after the loss of a healthy
// connection comes within min, or one second if that is less; a connection is
// healthy after ten seconds and a pong. Default: 1 s and 60 s.
func WithBackoff(min, max time.Duration) Option {
	return func(c *config) error {
		if max < min {
			return fmt.Errorf("relay: WithBackoff: max %v is less than min %v", max, min)
		}
		c.backoffMin, c.backoffMax = min, max
		return positive("WithBackoff", min)
	}
}

// WithHeartbeat sets how often the client pings, and how long after a ping a
// relay may be silent before the connection is taken for dead; so a link that
// died without a word is noticed within the sum of both. The timeout bounds a
// write that makes no progress, too: it is to be longer than the line takes for
// 64 KiB. Default: 15 s and 10 s.
func WithHeartbeat(interval, timeout time.Duration) Option {
	return func(c *config) error {
		c.heartbeat, c.heartbeatTimeout = interval, timeout
		return errors.Join(positive("WithHeartbeat", interval), positive("WithHeartbeat", timeout))
	}
}

// WithOutbox sets how many messages the client takes from the Outbox while it
// has no connection; beyond it sends wait. With a connection it takes no more than
// this, and no more than 64, ahead of what it writes. Default: 256 messages.
func WithOutbox(n int) Option {
	return func(c *config) error {
		c.outbox = n
		return atLeastOne("WithOutbox", n, "messages")
	}
}

// WithInbox sets what happens when the program does not read its Inbox.
// Default: 64 MiB of messages wait in memory, then the client stops reading.
func WithInbox(policy InboxPolicy) Option {
	return func(c *config) error {
		if policy.MaxBytes < 0 {
			return fmt.Errorf("relay: WithInbox: %d bytes", policy.MaxBytes)
		}
		if policy.WhenFull > Disconnect {
			return fmt.Errorf("relay: WithInbox: no such policy: %v", policy.WhenFull)
		}
		c.inbox = policy
		return nil
	}
}

// WithResend makes the client send again, after a reconnect, what the relay had
// not confirmed: at least once instead of at most once. Up to n messages may
// wait for their confirmation; beyond it the Outbox waits. 0 turns it off.
// Default: 0, what is in doubt is reported by [InDoubt]. With it that is said
// only of what the relay closed the connection for, and of what the client had no
// time to send again before it ended.
func WithResend(n int) Option {
	return func(c *config) error {
		if n < 0 {
			return fmt.Errorf("relay: WithResend: %d messages", n)
		}
		c.resend = n
		return nil
	}
}

// WithConflict sets what the client does when another one registers with its
// UUID: end, go on under a new UUID, or contend for it, a bounded number of
// times. Each time a [Taken] event says so. The policies are [Yield], [NewUUID] and
// [Contend]. Default: [Yield], the client ends.
func WithConflict(policy ConflictPolicy) Option {
	return func(c *config) error {
		if policy.WhenTaken > Contend {
			return fmt.Errorf("relay: WithConflict: no such policy: %v", policy.WhenTaken)
		}
		if policy.Times < 0 {
			return fmt.Errorf("relay: WithConflict: %d times", policy.Times)
		}
		c.conflict = policy
		return nil
	}
}

// WithMaxMessageBytes sets the size, encoded, over which a message is refused
// with [ErrTooLarge] instead of being sent. Default: 1,048,576 bytes, which is
// what stock relays and their clients accept; a relay may be set to less.
func WithMaxMessageBytes(n int) Option {
	return func(c *config) error {
		c.maxMessage = n
		return atLeastOne("WithMaxMessageBytes", n, "bytes")
	}
}

// WithLogger sets where the client tells of its connection; never of the
// content of messages, tokens or headers. Of the failures between two healthy
// connections the first is a warning, the others are information, and one that
// ends the client is an error. Lines have the attributes relay, the address, and
// those about the connection conn, its number, and on failure attempt, how many in
// a row, delay, error, and the code and reason of the relay's close frame. Its handler
// must not wait for the client; when it panics the line is lost, and a
// [LogPanic] event says so. Default: nowhere.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) error {
		if logger == nil {
			return errors.New("relay: WithLogger: nil logger; leave the option out for silence")
		}
		c.logger = logger
		return nil
	}
}

func positive(option string, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("relay: %s: %v is not a positive duration", option, d)
	}
	return nil
}

func atLeastOne(option string, n int, unit string) error {
	if n < 1 {
		return fmt.Errorf("relay: %s: %d %s", option, n, unit)
	}
	return nil
}

// silent is the logger of those who want none.
var silent = slog.New(slog.DiscardHandler)

// configure checks the arguments of New.
func configure(address string, opts []Option) (config, error) {
	shown, secrets, err := checkAddress(address)
	if err != nil {
		return config{}, err
	}
	c := config{
		address:          address,
		shown:            shown,
		secrets:          secrets,
		timeout:          defaultTimeout,
		reconnect:        true,
		backoffMin:       defaultBackoffMin,
		backoffMax:       defaultBackoffMax,
		heartbeat:        defaultHeartbeat,
		heartbeatTimeout: defaultSilence,
		outbox:           defaultOutbox,
		maxMessage:       defaultMaxMessage,
		logger:           silent,
	}
	for i, option := range opts {
		if option == nil {
			return config{}, fmt.Errorf("relay: option %d of %d is nil", i+1, len(opts))
		}
		if err := option(&c); err != nil {
			return config{}, err
		}
	}
	c.complete()
	return c, nil
}

// complete fills in the defaults that depend on something.
func (c *config) complete() {
	if c.name == "" {
		c.name = hostName()
	}
	if c.uuid == uuid.Nil {
		c.uuid = uuid.New()
	}
	if c.inbox.MaxBytes == 0 {
		c.inbox.MaxBytes = defaultInboxBytes
	}
	if c.conflict.Times == 0 {
		c.conflict.Times = defaultConflictTimes
	}
	c.window = windowMessages
	if c.resend > 0 {
		c.window = c.resend
	}
	if c.insecure {
		if c.tlsConfig == nil {
			c.tlsConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		c.tlsConfig.InsecureSkipVerify = true // asked for by WithInsecureSkipVerify
	}
}

// unverified reports that anybody could pose as the relay, for the log. A program
// that verifies certificates in its own way knows what it does.
func (c *config) unverified() bool {
	return strings.HasPrefix(c.address, "wss://") && c.tlsConfig != nil && c.tlsConfig.InsecureSkipVerify &&
		c.tlsConfig.VerifyConnection == nil && c.tlsConfig.VerifyPeerCertificate == nil
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" || len(name) > maxName || !utf8.ValidString(name) {
		return "localhost"
	}
	return name
}

// checkAddress says what is wrong with an address, without its secrets, and
// returns it as it may be shown, and the secrets.
func checkAddress(address string) (shown string, secrets []string, err error) {
	bad := func(what string, quoted ...any) (string, []string, error) {
		if len(quoted) > 0 && !strings.ContainsAny(address, "@?#") { // or it could be part of a password or a token
			what += ": " + fmt.Sprint(quoted...)
		}
		return "", nil, fmt.Errorf("%w: %s; it should look like ws://host:8700 or wss://host", ErrAddress, what)
	}
	if strings.ContainsFunc(address, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return bad("it holds blanks or control characters")
	}
	scheme, _, ok := strings.Cut(address, "://")
	if !ok {
		return bad("no scheme")
	}
	if scheme != "ws" && scheme != "wss" {
		return bad("the scheme is neither ws nor wss", strconv.Quote(scheme))
	}
	if strings.Contains(address, "#") {
		return bad("it has a fragment")
	}
	u, err := url.Parse(address)
	if err != nil {
		return bad("it is no URL", errors.Unwrap(err)) // without the address, which url.Parse repeats
	}
	if u.Hostname() == "" {
		return bad("no host")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return bad("the port is not between 1 and 65535", strconv.Quote(port))
		}
	}
	return scheme + "://" + u.Host + u.EscapedPath(), secretsOf(u), nil
}
