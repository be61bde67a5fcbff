package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

// An explanation is an error that says what went wrong with a relay and what to
// do about it.
type explanation struct {
	step, cause, advice string
	err                 error
}

func (e *explanation) Error() string { return e.step + ": " + e.cause + "; " + e.advice }
func (e *explanation) Unwrap() error { return e.err }

// explain returns the explanation of an error of the library, or the error
// itself if there is none.
func explain(err error) error {
	f, ok := understand(err)
	if !ok {
		return err
	}
	i := slices.IndexFunc(explanations, func(r row) bool { return r.matches(f) })
	if i < 0 {
		return err
	}
	row := explanations[i]
	return &explanation{step: f.step, cause: f.fill(row.cause), advice: f.fill(row.advice), err: err}
}

// The steps of a failure that are not those of package transport.
const (
	registering = "register"
	echoing     = "round trip" // of a message to ourselves
	connected   = "connection" // lost afterwards
)

// A failure is what an error says, in the terms of the table.
type failure struct {
	step   string
	status int    // of the HTTP answer, or 0
	code   int    // of the close frame, or 0
	host   string // that was dialed; "" where the error does not tell
	words  string // the relay's own
	body   string // of the HTTP answer; never shown: it may repeat what we sent, tokens included
	err    error  // the cause
}

// understand reads an error of the library, or reports that there is nothing to
// read in it.
func understand(err error) (failure, bool) {
	if e, ok := errors.AsType[*transport.HandshakeError](err); ok {
		f := failure{step: e.Step.String(), status: e.Status, body: e.Body, err: e.Err}
		if u, err := url.Parse(e.URL); err == nil {
			f.host = u.Host
		}
		return f, true
	}
	if e, ok := errors.AsType[*relay.RegistrationError](err); ok {
		return failure{step: registering, code: e.Code, words: e.Reason, err: cmp.Or(e.Err, errRefused)}, true
	}
	if e, ok := errors.AsType[*echoError](err); ok {
		f := failure{step: echoing, err: e.err}
		if closed, ok := errors.AsType[*transport.CloseError](err); ok {
			f.code, f.words = closed.Code, closed.Reason
		}
		return f, true
	}
	if e, ok := errors.AsType[*transport.CloseError](err); ok {
		return failure{step: connected, code: e.Code, words: e.Reason, err: e}, true
	}
	return failure{}, false
}

// errRefused stands for a reply that tells of an error.
var errRefused = errors.New("the relay refused the registration")

// fill puts what is known of the failure into a text of the table.
func (f failure) fill(text string) string {
	words := ""
	if f.words != "" {
		words = " and says " + strconv.Quote(strings.ToValidUTF8(f.words, "?"))
	}
	return strings.NewReplacer(
		"{host}", cmp.Or(f.host, "the relay"),
		"{status}", strconv.Itoa(f.status),
		"{code}", strconv.Itoa(f.code),
		"{words}", words,
		"{error}", f.err.Error(),
	).Replace(text)
}

// A row of the table. What is zero in it matches everything.
type row struct {
	step   string
	status int // or its class: 5 means all from 500 to 599
	code   int
	is     func(failure) bool

	cause, advice string
}

func (r row) matches(f failure) bool {
	return (r.step == "" || r.step == f.step) &&
		(r.status == 0 || r.status == f.status || r.status == f.status/100) &&
		(r.code == 0 || r.code == f.code) &&
		(r.is == nil || r.is(f))
}

// explanations is the one table from errors to what to do. The first row that
// matches counts. In the texts, {words} is what the other side said about it.
var explanations = []row{
	// The name of the host.
	{step: "resolve", is: noSuchHost, cause: "{host}: there is no host of that name", advice: "check the spelling, and whether the name is known only in a VPN or a site's own DNS"},
	{step: "resolve", is: timedOut, cause: "the name server did not answer", advice: "check the network connection and the name servers, or raise --timeout"},
	{step: "resolve", cause: "the name server failed: {error}", advice: "check the network connection and the name servers"},

	// TCP.
	{step: "connect", is: is(syscall.ECONNREFUSED), cause: "nothing listens on {host}", advice: "start the relay there, or check the port; some firewalls refuse, too"},
	{step: "connect", is: timedOut, cause: "{host} did not answer", advice: "check that the machine is up and that no firewall drops the port; a site may want a proxy (HTTPS_PROXY)"},
	{step: "connect", is: is(syscall.ENETUNREACH, syscall.EHOSTUNREACH), cause: "there is no route to {host}", advice: "check the network connection, and whether a VPN has to be on"},
	{step: "connect", cause: "no connection to {host}: {error}", advice: "check the address and the network connection"},

	// The proxy.
	{step: "proxy", status: 407, cause: "the proxy wants a user and a password", advice: "put them into HTTPS_PROXY (HTTP_PROXY for ws://) as http://user:password@host:port"},
	{step: "proxy", status: 403, cause: "the proxy does not allow connections to {host}", advice: "ask for it, use a port that is allowed (often only 443), or name the host in NO_PROXY if it can be reached directly"},
	{step: "proxy", status: 5, cause: "the proxy cannot reach {host} (status {status})", advice: "check that the relay runs and that the proxy may reach it; if it can be reached directly, name the host in NO_PROXY"},
	{step: "proxy", status: 4, cause: "the proxy refuses with status {status}", advice: "check that HTTPS_PROXY (HTTP_PROXY for ws://) names a proxy for CONNECT"},
	{step: "proxy", is: timedOut, cause: "the proxy did not answer", advice: "check HTTPS_PROXY (HTTP_PROXY for ws://), or name the host in NO_PROXY"},
	{step: "proxy", cause: "the proxy does not work: {error}", advice: "check HTTPS_PROXY (HTTP_PROXY for ws://), or name the host in NO_PROXY"},

	// TLS.
	{step: "tls", is: as[x509.UnknownAuthorityError], cause: "the certificate comes from an authority that is not trusted", advice: "give that authority with --ca-file, if it is yours; for a test, --insecure accepts everything"},
	{step: "tls", is: as[x509.HostnameError], cause: "the certificate is not for this host: {error}", advice: "use the name in the certificate, or have it made for this one"},
	{step: "tls", is: expired, cause: "the certificate has expired, or is not valid yet: {error}", advice: "have it renewed, and check this machine's clock"},
	{step: "tls", is: as[tls.RecordHeaderError], cause: "what listens on {host} does not speak TLS", advice: "use ws:// instead of wss://, or the port of the TLS side"},
	{step: "tls", is: timedOut, cause: "{host} took the connection and did not answer", advice: "check that the port speaks TLS, or raise --timeout"},
	{step: "tls", is: ended, cause: "{host} ended the connection in the TLS handshake", advice: "check the port, and what stands before the relay"},
	{step: "tls", cause: "the TLS handshake failed: {error}", advice: "check the certificate of the relay, and that it speaks TLS 1.2 or newer"},

	// The HTTP upgrade.
	{step: "upgrade", status: 400, is: sentToTLS, cause: "{host} speaks TLS", advice: "use wss:// instead of ws://"},
	{step: "upgrade", status: 401, cause: "the server wants to know who you are (status 401)", advice: "give a token with --token-file, or another one: it may have expired"},
	{step: "upgrade", status: 403, cause: "the server does not let you in (status 403)", advice: "check the token, and with the operator that you are allowed; what answers may be a proxy in between"},
	{step: "upgrade", status: 404, cause: "there is no relay at this path (status 404)", advice: "check the path of the address; what answers may be another web server"},
	{step: "upgrade", status: 426, cause: "the server wants an upgrade that it did not see (status 426)", advice: "have the proxy in between pass the headers Upgrade and Connection on"},
	{step: "upgrade", status: 429, cause: "too many connections from here (status 429)", advice: "wait, and connect less often; clients of this library do so by themselves"},
	{step: "upgrade", status: 3, cause: "the server sends you elsewhere (status {status})", advice: "use the address where the relay really is: wss:// if it insists on TLS; redirects are not followed"},
	{step: "upgrade", status: 2, cause: "a web server answered, and no relay (status {status})", advice: "check the address and its path"},
	{step: "upgrade", status: 503, cause: "the relay is full, stopping or not there (status 503)", advice: "try again in a while; if it stays, ask the operator"},
	{step: "upgrade", status: 5, cause: "the server, or a proxy before it, failed (status {status})", advice: "try again in a while; if it stays, ask the operator: status 502 and 504 mean that the relay behind a proxy is down"},
	{step: "upgrade", status: 4, cause: "the server refuses (status {status})", advice: "check the address; what answers may be no relay"},
	{step: "upgrade", is: timedOut, cause: "{host} took the connection and did not answer", advice: "check that a relay listens on this port, or raise --timeout"},
	{step: "upgrade", is: ended, cause: "{host} ended the connection without an answer", advice: "check that a relay listens on this port, and use wss:// if it speaks TLS"},
	{step: "upgrade", cause: "{host} did not answer as a relay does: {error}", advice: "check the port"},

	// The relay has closed the connection.
	{code: 1001, cause: "the relay is stopping (1001)", advice: "try again in a while"},
	{code: 1008, cause: "the relay closed for a rule of its own (1008){words}", advice: "ask the operator what it allows"},
	{code: 1009, cause: "a message is over the protocol's limit of 1 MiB (1009){words}", advice: "send smaller messages, or a reference to the data"},
	{code: 1011, cause: "the relay failed, or heard no answer to its pings (1011){words}", advice: "look into the relay's log; if it stays, ask the operator"},
	{code: 1013, cause: "the relay is full (1013){words}", advice: "try again in a while"},
	{code: 4000, cause: "the relay did not understand a message (4000){words}", advice: "check that it is a relay of ProxyStore's protocol, and its version"},
	{code: 4001, cause: "the relay wants a valid token (4001){words}", advice: "give one with --token-file, or another one: it may be malformed"},
	{code: 4002, cause: "the relay does not let you in (4002){words}", advice: "get a new token if it has expired, or take another --uuid if this one is another user's"},
	{code: 4003, cause: "a message is over this relay's own limit (4003){words}", advice: "send smaller messages, or have the operator raise max_message_bytes"},
	{code: 4004, cause: "another client registered with the same UUID (4004)", advice: "stop the other program, or take another --uuid"},

	// The relay was reached, and no registration came of it.
	{step: registering, is: timedOut, cause: "the server took the registration and did not reply", advice: "check that it is a relay, and not another WebSocket server; or raise --timeout"},
	{step: registering, is: is(errRefused), cause: "the relay refuses{words}", advice: "do as it says, or ask the operator"},
	{step: registering, is: as[*codec.DecodeError], cause: "the server's reply is none of a relay: {error}", advice: "check the address: it may be another WebSocket server"},
	{step: registering, is: ended, cause: "the server ended the connection without a word", advice: "check that it is a relay; if it is, look into its log"},

	// It was registered, and a message to ourselves did not come back.
	{step: echoing, is: timedOut, cause: "a message to ourselves did not come back", advice: "check that it is a relay of ProxyStore's protocol; a busy one may want a longer --timeout"},
	{step: echoing, is: is(errReturned), cause: "the relay could not deliver a message to ourselves{words}", advice: "try again: another client may have taken the UUID; if it stays, look into the relay's log"},
	{step: echoing, is: as[*codec.DecodeError], cause: "the relay sent what is no message: {error}", advice: "check that it is a relay of ProxyStore's protocol, and its version"},
	{step: echoing, is: ended, cause: "the relay ended the connection without a word", advice: "it may have been stopped or lost: try again, and look into its log"},

	{is: as[*transport.CloseError], cause: "the relay closed the connection with code {code}{words}", advice: "look into the relay's log, or ask the operator"},
}

// is matches any of the errors.
func is(targets ...error) func(failure) bool {
	return func(f failure) bool {
		return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(f.err, target) })
	}
}

// as matches errors of a type.
func as[E error](f failure) bool {
	_, ok := errors.AsType[E](f.err)
	return ok
}

func timedOut(f failure) bool {
	timeout, ok := errors.AsType[net.Error](f.err)
	return ok && timeout.Timeout() || errors.Is(f.err, context.DeadlineExceeded)
}

func noSuchHost(f failure) bool {
	dns, ok := errors.AsType[*net.DNSError](f.err)
	return ok && dns.IsNotFound
}

func expired(f failure) bool {
	invalid, ok := errors.AsType[x509.CertificateInvalidError](f.err)
	return ok && invalid.Reason == x509.Expired
}

// ended matches a connection that the other side gave up.
func ended(f failure) bool {
	return is(io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE)(f)
}

// sentToTLS matches what web servers answer to plain HTTP on a TLS port.
func sentToTLS(f failure) bool { return strings.Contains(f.body, "HTTPS") }
