package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed73300619/relay/cmd/relay/internal/certs"
	"github.com/seed73300619/relay/cmd/relay/internal/config"
	"github.com/seed73300619/relay/cmd/relay/internal/systemd"
	"github.com/seed73300619/relay/server"
)

func serveCommand() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a relay server",
		Long: `Run a relay server for clients of this library and of ProxyStore.

Once it is ready it prints one line on stdout: "listening on" and its address, as
clients want it. Logs go to stderr. SIGTERM and Ctrl-C end it politely, with exit
code 0: it stops listening, and clients are told, so that they come back at once
to whatever takes its place. A second signal ends it without that. SIGHUP reads
the configuration, the certificates and the tokens again.

Flags win over the environment, that over the file, that over the defaults. The
variables are called as the flags, such as RELAY_MAX_CONNECTIONS; the file is
proxystore-relay's, unchanged, where a table [relay] has keys such as
max_connections. With --check all is checked and printed, and nothing started.`,
		Example: `  relay serve
  relay serve --addr 127.0.0.1:0                  a free port: see what it prints
  relay serve --addr :8700 --tls-cert cert.pem --tls-key key.pem
  relay serve --config relay.toml                 the file of proxystore-relay
  relay serve --config relay.toml --check         what is wrong with it`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			load := func() (*config.Settings, error) { return config.Load(cmd.Flags(), os.Environ()) }
			if check {
				return checkSettings(load, cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			settings, err := load()
			if err != nil {
				return settingsError(err)
			}
			return serve(cmd.Context(), settings, load, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	groups := config.Flags()
	groups[0].BoolVar(&check, "check", false, "check everything, print all settings and where they are from, and end")
	for _, group := range groups {
		cmd.Flags().AddFlagSet(group.FlagSet)
	}
	cmd.SetUsageFunc(groupedUsage(groups))
	return cmd
}

// A service is a relay server with all that is around it. Its fields belong to
// the goroutine of run.
type service struct {
	started  *config.Settings // with these
	settings *config.Settings // in use, as far as a reload can change them
	load     func() (*config.Settings, error)
	logs     *logs
	log      *slog.Logger
	who      server.Authenticator // nil: everybody may
	relay    *server.Server
	certs    *certs.Pair // nil: no TLS
	front    *entrance
	ops      *operations // nil: none
}

// serve runs a relay until ctx ends, and then ends it politely.
func serve(ctx context.Context, settings *config.Settings, load func() (*config.Settings, error), stdout, stderr io.Writer) (err error) {
	logs, err := openLogs(settings, stderr)
	if err != nil {
		return err
	}
	defer logs.close()
	s := &service{started: settings, settings: settings, load: load, logs: logs, log: logs.logger(logs.level)}
	if err := s.prepare(); err != nil {
		return err
	}
	// From here on a SIGHUP is a reload, and no end.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	if s.front, err = listen(ctx, s); err != nil {
		return err
	}
	defer s.front.close()
	if s.ops, err = s.startOperations(ctx); err != nil {
		return err
	}
	defer s.ops.close()
	if s.certs != nil {
		var watch sync.WaitGroup
		watching, stop := context.WithCancel(context.WithoutCancel(ctx))
		watch.Go(func() { s.certs.Run(watching, certificatePoll) })
		defer watch.Wait()
		defer stop()
	}
	useThreads()
	s.advise()
	served := s.front.serve()
	s.ops.ready()
	fmt.Fprintf(stdout, "listening on %s\n", s.front.url())
	s.tell(systemd.Ready, "listening on "+s.front.url())
	err = s.run(ctx, hangup, served)
	s.drain(ctx)
	return err
}

// certificatePoll is how often the TLS files are looked at.
const certificatePoll = 10 * time.Second

// useThreads makes Go run on four threads at least, also where there are fewer
// processors. While one connection keeps a thread busy others then wait for the
// kernel, which changes threads at once for one that has slept, and not for Go,
// which may take 10 ms: under an attack that is most of what others notice.
// Whoever sets GOMAXPROCS knows better.
func useThreads() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(4, runtime.GOMAXPROCS(0)))
	}
}

// prepare makes what needs no port.
func (s *service) prepare() error {
	parts, err := makeParts(s.settings, s.log)
	if err != nil {
		return err
	}
	s.who, s.certs = parts.who, parts.certs
	s.relay, err = server.New(options(s.settings, s.who, s.log)...)
	return err
}

// run waits for the end, and does what is to be done meanwhile.
func (s *service) run(ctx context.Context, hangup <-chan os.Signal, served <-chan error) error {
	clients := newClientLog(s.settings.LogClientsInterval)
	defer clients.stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-served:
			return fmt.Errorf("no longer listening: %w", err)
		case <-hangup:
			s.reload()
			clients.reset(s.settings.LogClientsInterval)
		case <-clients.due():
			s.logClients()
		}
	}
}

// upgrades is how long those are waited for who came just before the end.
const upgrades = time.Second

// drain ends everything, in the order that costs clients least.
func (s *service) drain(ctx context.Context) {
	s.log.Info("stopping", "delay", s.settings.DrainDelay, "window", s.settings.DrainWindow)
	s.tell(systemd.Stopping, "sending clients away")
	s.ops.drain()
	time.Sleep(s.settings.DrainDelay) // until whoever looks at /readyz sends nobody here any more
	polite, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.settings.ShutdownTimeout)
	defer cancel()
	// Refused before anybody is sent away: a stock Python client that comes back
	// and is answered 503 ends its whole process; refused, it tries again.
	s.front.stop(min(upgrades, s.settings.ShutdownTimeout/2))
	if err := s.relay.Shutdown(polite); err != nil {
		s.log.Warn("some clients were cut off", "after", s.settings.ShutdownTimeout)
	}
	s.log.Info("stopped")
}

// tell tells systemd, if that has started the relay.
func (s *service) tell(state, status string) {
	if err := systemd.Notify(state, status); err != nil {
		s.log.Warn("systemd does not listen", "error", err)
	}
}
