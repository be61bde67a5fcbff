package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed73300619/relay/relaytest"
)

// chaosAddress is where "relay chaos" listens unless it is told otherwise.
const chaosAddress = "127.0.0.1:8765"

func chaosCommand() *cobra.Command {
	var addr string
	var list, quiet bool
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Run a relay that misbehaves on demand, to test clients against",
		Long: `Run a relay that does to its clients what real ones do on bad days: it closes
with any code, breaks in the middle of a frame, answers 503, goes silent, stalls,
is slow, sends garbage. The address that a client dials says what, when, and how
often, so that any client can be tested, in any language. "relay chaos --list"
tells all that there is; so does the relay itself, in a browser.

With times=1 in the address a client suffers once, and then meets a healthy
relay at the same address: so one sees whether it comes back. Clients of all
addresses reach each other, as far as what they suffer lets them.

Once it is ready it prints "listening on" and its address on stdout. For each
connection there is a line on stderr. SIGTERM and Ctrl-C end it, and all
connections with it.`,
		Example: `  relay chaos                             on ` + chaosAddress + `
  relay chaos --list                      what an address can say
  relay chaos --addr 127.0.0.1:0          a free port: see what it prints

  Then, does a client come back after its relay has crashed? Is what it sent into
  a connection that was dead reported? Does it give up when it must?

  relay listen --relay 'ws://127.0.0.1:8765/cut?after=2s&times=3'
  relay listen --relay 'ws://127.0.0.1:8765/half-open?after=1s&times=1'
  relay listen --relay ws://127.0.0.1:8765/close/4001

  Or one of ProxyStore's:

  python -c 'import asyncio; from proxystore.p2p.relay.client import RelayClient
  asyncio.run(RelayClient("ws://127.0.0.1:8765/close/1011?times=3").connect())'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if list {
				_, err := io.WriteString(cmd.OutOrStdout(), relaytest.ChaosIndex("ws://"+addr))
				return err
			}
			var lines *slog.Logger
			if !quiet {
				lines = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			}
			return chaos(cmd.Context(), addr, lines, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&addr, "addr", chaosAddress, "host:port to listen on; anybody who reaches it may use it")
	cmd.Flags().BoolVar(&list, "list", false, "print all that an address can say, and end")
	cmd.Flags().BoolVar(&quiet, "quiet", false, "no line for each connection")
	return cmd
}

// chaosPatience is how long clients have to take note of the end.
const chaosPatience = time.Second

// chaos runs a chaos relay until ctx ends.
func chaos(ctx context.Context, addr string, lines *slog.Logger, stdout io.Writer) error {
	listener, err := openPort(ctx, "--addr", addr)
	if err != nil {
		return err
	}
	relay := relaytest.NewChaos(nil)
	relay.Log = lines
	front := http.Server{
		Handler:           relay,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       10 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // broken connections are what it is for
	}
	served := make(chan error, 1)
	go func() { served <- front.Serve(listener) }() // front.Close ends it
	url := "ws://" + listener.Addr().String()
	fmt.Fprintf(stdout, "listening on %s\n\"relay chaos --list\" tells what an address can say\n", url)
	select {
	case <-ctx.Done():
		err = nil
	case err = <-served:
		err = fmt.Errorf("no longer listening: %w", err)
		served <- err
	}
	_ = front.Close() // nobody comes any more
	polite, cancel := context.WithTimeout(context.WithoutCancel(ctx), chaosPatience)
	defer cancel()
	_ = relay.Shutdown(polite) // those who cannot be told are cut off
	<-served
	return err
}
