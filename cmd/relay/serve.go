package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed73300619/relay/server"
)

// service is the command "relay serve".
type service struct {
	config   string
	addr     string
	certFile string
	keyFile  string
	logLevel string

	maxMessageBytes  int
	queueBytes       int
	maxConnections   int
	maxRegistrations int
	registerTimeout  time.Duration
	pingInterval     time.Duration
	pingTimeout      time.Duration
	writeTimeout     time.Duration
	shutdownTimeout  time.Duration
	anySource        bool
}

func serveCommand() *cobra.Command {
	var s service
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a relay server",
		Long: `Run a relay server for clients of this library and of ProxyStore.

Once it is ready it prints one line on stdout: "listening on" and its address, as
clients want it. Logs go to stderr. SIGTERM and Ctrl-C end it politely, with exit
code 0: clients are told, so that they come back at once to whatever takes its
place. A second signal ends it without that.`,
		Example: `  relay serve
  relay serve --addr 127.0.0.1:0                  a free port: see what it prints
  relay serve --addr :8700 --tls-cert cert.pem --tls-key key.pem
  relay serve --config relay.toml                 the file of proxystore-relay`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := s.configure(cmd.Flags().Changed, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return s.run(cmd.Context(), cmd.OutOrStdout(), log)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.addr, "addr", "127.0.0.1:8700", "`host:port` to listen on; an empty host means all interfaces, port 0 a free one")
	flags.StringVar(&s.config, "config", "", "TOML `file` in the format of proxystore-relay; flags that are given win over it")
	flags.StringVar(&s.certFile, "tls-cert", "", "PEM `file` with the certificate and its chain: clients use wss://")
	flags.StringVar(&s.keyFile, "tls-key", "", "PEM `file` with the private key (default: the certificate's file)")
	flags.StringVar(&s.logLevel, "log-level", "info", "the least important `level` to log: debug, info, warning, error or critical")
	flags.IntVar(&s.maxMessageBytes, "max-message-bytes", 0, "longest message; 0: the 1 MiB of the protocol")
	flags.IntVar(&s.queueBytes, "queue-bytes", 1<<20, "what may wait for one client, in bytes")
	flags.IntVar(&s.maxConnections, "max-connections", 16384, "connections at a time")
	flags.IntVar(&s.maxRegistrations, "max-registrations", 64, "UUIDs that one connection may register")
	flags.DurationVar(&s.registerTimeout, "register-timeout", 10*time.Second, "how long a connection may live without registering")
	flags.DurationVar(&s.pingInterval, "ping-interval", 20*time.Second, "how often clients are pinged")
	flags.DurationVar(&s.pingTimeout, "ping-timeout", 20*time.Second, "how long a client may be silent after a ping")
	flags.DurationVar(&s.writeTimeout, "write-timeout", 10*time.Second, "how long a client may read nothing of what is sent to it")
	flags.DurationVar(&s.shutdownTimeout, "shutdown-timeout", 10*time.Second, "how long a polite end may take")
	flags.BoolVar(&s.anySource, "any-source", false, "let clients send in the name of any UUID, as ProxyStore's relay does")
	return cmd
}

// configure merges the file into the flags, and makes the logger. given tells
// which flags stand on the command line.
func (s *service) configure(given func(flag string) bool, stderr io.Writer) (*slog.Logger, error) {
	level, err := parseLevel(s.logLevel)
	if err != nil {
		return nil, usagef("--log-level: %w", err)
	}
	var ignored []string
	if s.config != "" {
		file, err := readConfig(s.config)
		if err != nil {
			return nil, err
		}
		ignored = file.ignored
		if !given("addr") {
			s.addr = file.addr()
		}
		if !given("tls-cert") && !given("tls-key") {
			s.certFile, s.keyFile = file.CertFile, file.KeyFile
		}
		if !given("max-message-bytes") {
			s.maxMessageBytes = file.MaxMessageBytes
		}
		if !given("log-level") {
			level = file.level
		}
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	for _, key := range ignored {
		log.Warn("setting ignored: this relay does not know it", "file", s.config, "key", key)
	}
	if s.certFile == "" && s.keyFile != "" {
		return nil, usagef("a TLS key without a certificate: give it with --tls-cert (certfile in the file)")
	}
	if _, _, err := net.SplitHostPort(s.addr); err != nil {
		return nil, usagef("--addr %q: it should be host:port, such as 127.0.0.1:8700", s.addr)
	}
	return log, nil
}

// run serves until ctx ends.
func (s *service) run(ctx context.Context, stdout io.Writer, log *slog.Logger) error {
	relay, err := s.server(log)
	if err != nil {
		return &usageError{err}
	}
	listener, scheme, err := s.listen(ctx)
	if err != nil {
		return err
	}
	if host, ok := listener.Addr().(*net.TCPAddr); ok && !host.IP.IsLoopback() && scheme == "ws" {
		log.Warn("not encrypted: whoever is on the network between can read and change everything; use --tls-cert, or a proxy that speaks TLS", "addr", listener.Addr())
	}
	front := http.Server{
		Handler:           relay,
		ReadHeaderTimeout: 5 * time.Second, // all of them end with the upgrade
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       5 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelInfo),
	}
	served := make(chan error, 1)
	go func() { served <- front.Serve(listener) }() // received below
	fmt.Fprintf(stdout, "listening on %s://%s\n", scheme, listener.Addr())

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	log.Info("stopping")
	// Refused before anybody is sent away: a stock Python client that comes back
	// and is answered 503 ends its whole process; refused, it tries again.
	_ = listener.Close()
	polite, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.shutdownTimeout)
	defer cancel()
	if err := relay.Shutdown(polite); err != nil {
		log.Warn("some clients were cut off", "after", s.shutdownTimeout)
	}
	_ = front.Close() // what is left are requests without an answer
	<-served
	return nil
}

func (s *service) server(log *slog.Logger) (*server.Server, error) {
	options := []server.Option{
		server.WithLogger(log),
		server.WithMaxMessageBytes(s.maxMessageBytes),
		server.WithQueueBytes(s.queueBytes),
		server.WithMaxConnections(s.maxConnections),
		server.WithMaxRegistrations(s.maxRegistrations),
		server.WithRegisterTimeout(s.registerTimeout),
		server.WithKeepalive(s.pingInterval, s.pingTimeout),
		server.WithWriteTimeout(s.writeTimeout),
	}
	if s.anySource {
		options = append(options, server.WithAnySource())
	}
	return server.New(options...)
}

// listen opens the port, and says what clients put before the address.
func (s *service) listen(ctx context.Context) (_ net.Listener, scheme string, err error) {
	var certificate tls.Certificate
	if s.certFile != "" {
		if certificate, err = s.certificate(); err != nil {
			return nil, "", err
		}
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, "", fmt.Errorf("%s is taken: is a relay running already? Stop it, or choose another port with --addr (:0 finds a free one)", s.addr)
	case errors.Is(err, syscall.EACCES):
		return nil, "", fmt.Errorf("%s is not for everybody: choose a port from 1024 on with --addr, or give the program the right to it", s.addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, "", fmt.Errorf("%s is not an address of this machine: choose one with --addr, or leave the host out for all", s.addr)
	case err != nil:
		return nil, "", fmt.Errorf("cannot listen, see --addr: %w", err)
	case s.certFile == "":
		return listener, "ws", nil
	}
	return tls.NewListener(listener, &tls.Config{
		Certificates: []tls.Certificate{certificate},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"}, // WebSockets are spoken over nothing else here

		DynamicRecordSizingDisabled: true, // what is flushed at once is one large record
	}), "wss", nil
}

func (s *service) certificate() (tls.Certificate, error) {
	keyFile := s.keyFile
	if keyFile == "" {
		keyFile = s.certFile
	}
	certificate, err := tls.LoadX509KeyPair(s.certFile, keyFile)
	if missing, ok := errors.AsType[*fs.PathError](err); ok {
		return certificate, fmt.Errorf("cannot read %s: %w; see --tls-cert and --tls-key", missing.Path, missing.Err)
	}
	if err != nil {
		return certificate, fmt.Errorf("the certificate in %s and the key in %s cannot be used together: %w; both should be PEM, and belong to each other",
			s.certFile, keyFile, err)
	}
	return certificate, nil
}
