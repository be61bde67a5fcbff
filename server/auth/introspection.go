package auth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/seed73300619/relay/server"
)

// What ProxyStore's relay uses.
const (
	GlobusURL      = "https://auth.globus.org/v2/oauth2/token/introspect" // Globus Auth
	GlobusAudience = "ebd5bbed-95e2-47cf-9c80-39e2064274bd"               // ProxyStore's relay
)

const (
	maxCalls     = 32               // at a time, to the endpoint
	maxKeep      = time.Minute      // of an answer that a token is good
	keepRefusals = 10 * time.Second // of one that it is not
	keepFailures = time.Second      // of none
)

// IntrospectionConfig is for [NewIntrospection]. It may be printed: its secret
// is left out.
type IntrospectionConfig struct {
	// URL is the endpoint's. It must be https, unless the host is this machine,
	// and hold no user or password. The default is [GlobusURL].
	URL string

	// ClientID and ClientSecret are the relay's at the OAuth2 server, and
	// required. They are sent by HTTP Basic authentication as they are, as the
	// Globus SDK does. RFC 6749 (section 2.3.1) would have them percent-encoded
	// before; for a server that insists, give them so.
	ClientID     string
	ClientSecret string

	// Audience is what a token must be meant for: the answer's aud is this
	// string, or a list with it. The default is [GlobusAudience].
	Audience string

	// Timeout bounds the wait for an answer, the wait for a place among 32
	// calls included. The default is 5 s.
	Timeout time.Duration

	// Cache is how long it may go unnoticed that a token has been revoked: an
	// answer that a token is good is used again for as long, but not beyond
	// the token's own expiry. More than 60 s is an error, 60 s is the default.
	// A negative one turns the cache off, for refusals and failures too.
	Cache time.Duration

	// Transport sends the requests. The default trusts the system's roots and
	// takes a proxy from the environment, as [http.ProxyFromEnvironment] does;
	// its connections are closed after 30 s without use.
	Transport http.RoundTripper
}

// String returns what the configuration is without its secret.
func (c IntrospectionConfig) String() string {
	return fmt.Sprintf("introspection at %s by client %q for audience %q", withoutQuery(c.URL), c.ClientID, c.Audience)
}

// GoString returns what String does.
func (c IntrospectionConfig) GoString() string { return c.String() }

// MarshalText returns what String does, for logs and JSON.
func (c IntrospectionConfig) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Introspection asks an OAuth2 server about bearer tokens (RFC 7662). The user's
// ID is the answer's sub; people read its username, or else name, or else email.
//
// A client without a token is refused with 4001. One whose token is not active,
// has expired, or is not valid for another minute, is refused with 4002, and so
// is one whose token is for another audience. All else is no answer, and the
// client is to try again: no connection, another status than 200 (redirects are
// not followed, they would take the secret elsewhere), what is not JSON, has more
// than 64 KiB, a name twice, a wrong type, or lacks active or sub.
//
// Answers are kept: those that a token is good as the configuration says,
// refusals for at most 10 s, and that there was no answer for a second; at most
// 10,000 for good tokens, and as many for others. A token's call is shared by all
// who ask at the time. A call is not repeated, as clients try again by themselves.
//
// An Introspection may be used concurrently.
type Introspection struct {
	config   *IntrospectionConfig
	endpoint string        // the URL as errors name it
	calls    chan struct{} // holds one for each call under way; never closed
	cache    *cache
}

// NewIntrospection checks the configuration, and says what is wrong with it. It
// starts nothing and connects to nothing.
func NewIntrospection(config IntrospectionConfig) (*Introspection, error) {
	c := config
	if c.URL == "" {
		c.URL = GlobusURL
	}
	if c.Audience == "" {
		c.Audience = GlobusAudience
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Cache == 0 {
		c.Cache = maxKeep
	}
	if c.Transport == nil {
		c.Transport = newTransport(c.Timeout)
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("auth: introspection: %w", err)
	}
	return &Introspection{
		config:   &c,
		endpoint: withoutQuery(c.URL),
		calls:    make(chan struct{}, maxCalls),
		cache:    newCache(maxAnswers),
	}, nil
}

// check finds what cannot work. It quotes no URL that could hold a password.
func (c *IntrospectionConfig) check() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("the URL is none, or not https")
	case u.User != nil || u.Fragment != "":
		return errors.New("the URL has a user, a password or a fragment; the client id and secret have places of their own")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return fmt.Errorf("%s is not https: everybody on the way could read the client secret and the tokens", withoutQuery(c.URL))
	case c.ClientID == "" || c.ClientSecret == "":
		return errors.New("the client id or the client secret is missing")
	case strings.Contains(c.ClientID, ":"):
		return errors.New("the client id has a colon, which Basic authentication does not allow")
	case c.Timeout < 0:
		return fmt.Errorf("the timeout %v is negative", c.Timeout)
	case c.Cache > maxKeep:
		return fmt.Errorf("the cache's %v are more than %v, for which a revoked token could go unnoticed", c.Cache, maxKeep)
	}
	return nil
}

func loopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// withoutQuery returns what may be shown of a URL.
func withoutQuery(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an invalid URL"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

func newTransport(timeout time.Duration) http.RoundTripper {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		// A connection that is being made outlives the request that it was for.
		DialContext:            (&net.Dialer{Timeout: timeout}).DialContext,
		TLSHandshakeTimeout:    timeout,
		ForceAttemptHTTP2:      true,
		MaxConnsPerHost:        maxCalls,
		MaxIdleConnsPerHost:    maxCalls,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 16 << 10,
	}
}

// String returns what the configuration's String does.
func (in *Introspection) String() string { return in.config.String() }

// GoString returns what String does.
func (in *Introspection) GoString() string { return in.config.String() }

// Authenticate implements [server.Authenticator].
func (in *Introspection) Authenticate(ctx context.Context, c *server.Credentials) (server.User, error) {
	token, err := bearer(c.Header)
	if err != nil {
		return server.User{}, err
	}
	a := in.cache.get(ctx, token, in.ask)
	return a.user, a.err
}

// ask finds out about a token, and for how long that may be used again.
func (in *Introspection) ask(ctx context.Context, token string) answer {
	var a answer
	if claims, err := in.call(ctx, token); err != nil {
		a = answer{err: fmt.Errorf("auth: asking %s about a token: %w", in.endpoint, err), keep: keepFailures}
	} else {
		a = in.judge(claims, time.Now())
	}
	a.keep = min(a.keep, in.config.Cache)
	return a
}

// judge decides about a token that the endpoint knows.
func (in *Introspection) judge(c *claims, now time.Time) answer {
	switch {
	case !c.active || c.expired(now) || c.early(now):
		return answer{err: errRevoked, keep: keepRefusals}
	case !c.isFor(in.config.Audience):
		return answer{keep: keepRefusals, err: &server.RefusedError{
			Code: server.CodeForbidden,
			Reason: fmt.Sprintf("ForbiddenError: Token audience does not include \"%s\". This could result in a confused deputy attack. "+
				"Ensure the correct scopes are requested when the token is created.", in.config.Audience),
		}}
	}
	return answer{user: server.User{ID: c.sub, Name: c.name}, keep: min(maxKeep, c.left(now))}
}
