package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/websocket"
)

// Dialer opens connections to relays. The zero value works. It may be used
// concurrently and must not be changed while it is.
type Dialer struct {
	// Header is sent with the upgrade request. Host, Authorization and the like
	// may be set, the headers of the WebSocket handshake and of the
	// connection itself may not.
	Header http.Header

	// TLSConfig is for wss addresses, and for proxies reached by https. It is
	// cloned. Nil means system roots, TLS 1.2 and up, and sessions resumed.
	TLSConfig *tls.Config

	// DialContext opens the TCP connection, or what stands for it. Nil means a
	// net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// Proxy returns the proxy for a request, or nil for none; schemes http,
	// https and socks5. Nil means [http.ProxyFromEnvironment].
	Proxy func(*http.Request) (*url.URL, error)

	// Timeout bounds the whole opening. Zero means 10 s.
	Timeout time.Duration

	// WriteTimeout bounds how long the peer may take nothing. Zero means 10 s.
	WriteTimeout time.Duration

	// CloseTimeout bounds Close. Zero means 5 s.
	CloseTimeout time.Duration

	// MaxFrameBytes is the largest message accepted. Zero means 1 MiB.
	MaxFrameBytes int
}

// Sizes of a client's read buffer, which larger reads bypass: on its own, and where
// there is more to read ahead behind it. There, 1 KiB is not measurably faster.
const (
	readBufferBytes  = 8 << 10
	clientAheadBytes = 128 // whole control frames must fit
)

// Dial opens a connection to a ws or wss address. User and password in it are
// sent as basic authorization unless Header has an Authorization. Redirects
// are not followed and extensions not accepted. The context bounds opening only:
// when Dial has returned, cancelling it changes nothing.
//
// The error is [ErrInvalidURL] or matches [ErrInvalidHeader] when the arguments
// cannot be used, else it is a [*HandshakeError].
func (d *Dialer) Dial(ctx context.Context, address string) (Conn, error) {
	target, err := parseTarget(address)
	if err != nil {
		return nil, err
	}
	header, err := requestHeader(d.Header, target.User)
	if err != nil {
		return nil, err
	}
	timeout := d.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout,
		fmt.Errorf("not done within %v: %w", timeout, context.DeadlineExceeded))
	defer cancel()

	a := attempt{dialer: d, target: target}
	conn, err := a.open(ctx, header)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return conn, nil
}

// parseTarget checks the address. Its errors do not repeat any part of it.
func parseTarget(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || (u.Scheme != "ws" && u.Scheme != "wss") {
		return nil, ErrInvalidURL
	}
	return u, nil
}

// An attempt is one opening of one connection.
type attempt struct {
	dialer *Dialer
	target *url.URL
	step   Step           // what is being done
	answer *http.Response // of the proxy or the server, when it is not what was hoped for
	body   string
}

// open does all the steps.
func (a *attempt) open(ctx context.Context, header http.Header) (Conn, error) {
	proxy, err := a.proxy()
	if err != nil {
		return nil, err
	}
	conn, err := a.connect(ctx, proxy)
	if err != nil {
		return nil, err
	}
	// Whatever waits on the socket from here on ends when it is closed.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	session, err := a.handshake(ctx, conn, proxy, header)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return session, nil
}

// connect opens the TCP connection, to the proxy if there is one.
func (a *attempt) connect(ctx context.Context, proxy *url.URL) (net.Conn, error) {
	a.step = StepConnect
	addr := hostPort(a.target)
	if proxy != nil {
		a.step = StepProxy
		addr = hostPort(proxy)
	}
	dial := a.dialer.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", addr)
	if unknown := (*net.DNSError)(nil); errors.As(err, &unknown) && proxy == nil {
		a.step = StepResolve
	}
	if err == nil {
		limitUnsent(conn)
	}
	return conn, err
}

// handshake makes a WebSocket of a TCP connection.
func (a *attempt) handshake(ctx context.Context, conn net.Conn, proxy *url.URL, header http.Header) (*session, error) {
	var err error
	if proxy != nil {
		a.step = StepProxy
		if conn, err = a.tunnel(ctx, conn, proxy); err != nil {
			return nil, err
		}
	}
	if a.target.Scheme == "wss" {
		a.step = StepTLS
		if conn, err = a.secure(ctx, conn, a.target.Hostname()); err != nil {
			return nil, err
		}
	}
	a.step = StepUpgrade
	return a.upgrade(ctx, conn, header)
}

// defaultTLS is what a nil TLSConfig means. All of its users trust the same
// roots, so they may resume one another's sessions.
var defaultTLS = &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(0)}

// secure does the TLS handshake.
func (a *attempt) secure(ctx context.Context, conn net.Conn, host string) (net.Conn, error) {
	config := defaultTLS
	if a.dialer.TLSConfig != nil {
		config = a.dialer.TLSConfig
	}
	config = config.Clone()
	if config.ServerName == "" || a.step == StepProxy { // a configured name is the relay's
		config.ServerName = host
	}
	config.NextProtos = []string{"http/1.1"}  // WebSocket is spoken over nothing else here
	config.DynamicRecordSizingDisabled = true // small records would undo the coalescing of writes
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return secure, nil
}

// upgrade does the WebSocket handshake.
func (a *attempt) upgrade(ctx context.Context, conn net.Conn, header http.Header) (*session, error) {
	w := &wire{Conn: conn, ahead: newAhead(conn), bytewise: true}
	buffer := readBufferBytes
	if w.ahead.on() {
		buffer = clientAheadBytes
	}
	ready := func(context.Context, string, string) (net.Conn, error) { return w, nil }
	gorilla := websocket.Dialer{
		NetDialContext:    ready,
		NetDialTLSContext: ready,
		ReadBufferSize:    buffer,
		WriteBufferSize:   1, // it writes nothing
	}
	address := *a.target
	address.User = nil
	// Without the context's deadline, which gorilla would set on the connection:
	// the connection is closed when the context ends.
	ws, answer, err := gorilla.DialContext(context.WithoutCancel(ctx), address.String(), header)
	if err == nil && answer.Header.Get("Sec-WebSocket-Extensions") != "" {
		err = errors.New("the server chose an extension that was not offered")
	}
	if err != nil {
		return nil, a.refused(w, answer, err)
	}
	d := a.dialer
	return newSocket(w, ws, true, newLimits(d.WriteTimeout, d.CloseTimeout, d.MaxFrameBytes)), nil
}

// maxBodyBytes of a refusal are kept.
const maxBodyBytes = 1 << 10

// refused keeps what the answer says and returns the cause. The text of a
// parser's error is not used: it quotes what was sent, and a peer that echoes
// the request would put our secrets into it.
func (a *attempt) refused(w *wire, answer *http.Response, err error) error {
	switch {
	case answer != nil:
		a.answer = answer
		body, _ := io.ReadAll(io.LimitReader(answer.Body, maxBodyBytes)) // what came is enough
		a.body = string(body)
		return err
	case w.err == io.EOF:
		return io.ErrUnexpectedEOF
	case w.err != nil:
		return w.err
	}
	return errNotHTTP
}

var errNotHTTP = errors.New("the answer is not HTTP")

// failed makes the error of a failed attempt. If the context has ended, that is
// the cause: what the step says is then only the echo of it.
func (a *attempt) failed(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil && a.answer == nil {
		if err = context.Cause(ctx); !errors.Is(err, ended) {
			err = fmt.Errorf("%w: %w", ended, err)
		}
	}
	shown := url.URL{Scheme: a.target.Scheme, Host: a.target.Host, Path: a.target.Path}
	e := &HandshakeError{Step: a.step, URL: shown.String(), Err: err}
	if a.answer != nil {
		e.Status, e.Body, e.After = a.answer.StatusCode, a.body, retryAfter(a.answer.Header)
	}
	return e
}

// hostPort returns the address to connect to.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "http": "80", "wss": "443", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
