package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

// pinger is the command "relay ping". It does by hand, and with a clock, what a
// client does when it connects.
type pinger struct {
	connection
	count   int
	timeout time.Duration
}

func pingCommand() *cobra.Command {
	var p pinger
	cmd := &cobra.Command{
		Use:   "ping --relay URL",
		Short: "Find out whether a relay can be reached, and why not",
		Long: `Connect to a relay, register and send messages to oneself, and print how long each
step takes. If one fails, print its name, the cause, and what to do about it.

It registers under a UUID of its own, so that nobody is thrown out.`,
		Example: `  relay ping --relay ws://127.0.0.1:8700
  relay ping --relay wss://relay.example.org --token-file token --count 100
  relay ping --relay wss://10.0.0.7:8700 --ca-file our-authority.pem`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return explain(p.run(cmd.Context(), cmd.OutOrStdout()))
		},
	}
	p.addFlags(cmd.Flags())
	cmd.Flags().IntVar(&p.count, "count", 5, "measure `N` round trips")
	cmd.Flags().DurationVar(&p.timeout, "timeout", 10*time.Second, "how long to wait for the connection, for the reply to the registration, and for each message")
	return cmd
}

func (p *pinger) run(ctx context.Context, stdout io.Writer) error {
	if p.count < 1 || p.timeout <= 0 {
		return usagef("--count and --timeout must be more than 0")
	}
	if err := p.check(); err != nil {
		return err
	}
	conn, err := p.dial(ctx, stdout)
	if err != nil {
		return err
	}
	defer conn.Abort() // after Close it does nothing

	id := uuid.New()
	start := time.Now()
	if err := p.register(ctx, conn, id); err != nil {
		return err
	}
	printStep(stdout, "register", time.Since(start), "as "+id.String())

	if err := p.roundTrips(ctx, conn, id, stdout); err != nil {
		return &echoError{err}
	}
	_ = conn.Close(1000, "") // all that was to be found out has been
	return nil
}

func printStep(stdout io.Writer, step string, took time.Duration, note string) {
	fmt.Fprintf(stdout, "%-10s  %10s  %s\n", step, milliseconds(took), note)
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", d.Seconds()*1000)
}

// dial opens the connection and prints the steps that succeeded.
func (p *pinger) dial(ctx context.Context, stdout io.Writer) (transport.Conn, error) {
	header, err := p.header()
	if err != nil {
		return nil, err
	}
	if p.tokenFile != "" {
		token, err := p.token(ctx)
		if err != nil {
			return nil, err
		}
		header.Set("Authorization", "Bearer "+token)
	}
	config, err := p.tlsConfig()
	if err != nil {
		return nil, err
	}
	var session *tls.ConnectionState
	config.VerifyConnection = func(state tls.ConnectionState) error {
		session = &state
		return nil
	}
	var clock stopwatch
	dialer := transport.Dialer{Header: header, TLSConfig: config, Timeout: p.timeout, Proxy: clock.proxy}
	clock.start = time.Now()
	conn, err := dialer.Dial(httptrace.WithClientTrace(ctx, clock.trace()), p.address)
	end := time.Now()

	clock.mu.Lock()
	defer clock.mu.Unlock()
	if !clock.resolved.IsZero() {
		printStep(stdout, "resolve", clock.resolved.Sub(clock.start), "")
	}
	if !clock.connected.IsZero() {
		printStep(stdout, "connect", clock.connected.Sub(cmp.Or(clock.resolved, clock.start)), "to "+clock.address)
	}
	if !clock.ready.IsZero() && (clock.proxied || session != nil) {
		step, note := "tls", ""
		if clock.proxied {
			step = "proxy" // and TLS through it
		}
		if session != nil {
			note = tls.VersionName(session.Version)
		}
		printStep(stdout, step, clock.ready.Sub(clock.connected), note)
	}
	if err != nil {
		return nil, err
	}
	printStep(stdout, "upgrade", end.Sub(clock.ready), "")
	return conn, nil
}

// A stopwatch notes when the steps of opening a connection are done.
type stopwatch struct {
	start   time.Time
	proxied bool // what is connected to is the proxy

	mu        sync.Mutex // a name with several addresses has several connections race
	resolved  time.Time  // zero: the address needs no resolving
	connected time.Time
	address   string    // to which it is connected
	ready     time.Time // for the upgrade: the proxy and TLS are done
}

// proxy is the choice that a client makes, noted.
func (s *stopwatch) proxy(r *http.Request) (*url.URL, error) {
	proxy, err := http.ProxyFromEnvironment(r)
	if err != nil {
		return nil, errors.New("the proxy address in the environment is not valid") // err repeats it, password and all
	}
	s.proxied = proxy != nil
	return proxy, nil
}

func (s *stopwatch) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSDone: func(done httptrace.DNSDoneInfo) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if done.Err == nil {
				s.resolved = time.Now()
			}
		},
		ConnectDone: func(_, address string, err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if err == nil && s.connected.IsZero() {
				s.connected, s.address = time.Now(), address
			}
		},
		GotConn: func(httptrace.GotConnInfo) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ready = time.Now()
		},
	}
}

// register introduces us, and reports a refusal as a client does.
func (p *pinger) register(ctx context.Context, conn transport.Conn, id uuid.UUID) error {
	answer, err := p.ask(ctx, conn, codec.Registration{Name: "relay ping", UUID: id})
	if err == nil {
		response, ok := answer.(codec.Response)
		switch {
		case !ok:
			err = &codec.DecodeError{Err: codec.ErrUnexpectedType}
		case response.Success && !response.Error:
			return nil
		default:
			return &relay.RegistrationError{Reason: response.Message}
		}
	}
	refusal := &relay.RegistrationError{Err: err}
	if closed, ok := errors.AsType[*transport.CloseError](err); ok {
		refusal.Code, refusal.Reason = closed.Code, closed.Reason
	}
	return refusal
}

// echoError means that a message to ourselves did not come back.
type echoError struct{ err error }

func (e *echoError) Error() string { return "round trip: " + e.err.Error() }
func (e *echoError) Unwrap() error { return e.err }

// errReturned means that the message came back as undelivered.
var errReturned = errors.New("the relay returned the message")

// roundTrips sends messages to ourselves, one after another.
func (p *pinger) roundTrips(ctx context.Context, conn transport.Conn, id uuid.UUID, stdout io.Writer) error {
	var least, most, sum time.Duration
	for i := range p.count {
		message := codec.PeerConnection{
			SourceUUID: id, SourceName: "relay ping", PeerUUID: id,
			DescriptionType: codec.Offer, Description: fmt.Sprintf("ping %d", i+1),
		}
		start := time.Now()
		answer, err := p.ask(ctx, conn, message)
		took := time.Since(start)
		if err != nil {
			return err
		}
		echo, ok := answer.(codec.PeerConnection)
		switch {
		case ok && echo.Undelivered():
			return fmt.Errorf("%w: %s", errReturned, echo.Error)
		case !ok || echo != message:
			return &codec.DecodeError{Err: codec.ErrUnexpectedType}
		}
		if least == 0 || took < least {
			least = took
		}
		most, sum = max(most, took), sum+took
	}
	note := fmt.Sprintf("on average, of %d: %s to %s", p.count, milliseconds(least), milliseconds(most))
	printStep(stdout, "round trip", sum/time.Duration(p.count), note)
	return nil
}

// ask sends one message and returns the next one that arrives.
func (p *pinger) ask(ctx context.Context, conn transport.Conn, message codec.RelayMessage) (codec.RelayMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Abort() })
	defer stop()

	frame, err := message.Append(nil)
	if err != nil {
		return nil, err
	}
	// A write that fails has a reason, and the reader may be told it.
	_ = errors.Join(conn.WriteFrame(frame), conn.Flush())
	frame, binary, err := conn.ReadFrame()
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	case binary:
		return nil, &codec.DecodeError{Err: codec.ErrBinary}
	}
	return codec.Decode(frame)
}
