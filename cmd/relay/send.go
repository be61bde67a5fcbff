package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/codec"
)

// maxLine is the longest line that is read. One that only just does not fit into
// a message, beside its other fields, is refused by the client.
const maxLine = 1 << 20

// sender is the command "relay send".
type sender struct {
	peer
	to      uuidFlag
	kind    string
	timeout time.Duration
}

func sendCommand() *cobra.Command {
	var s sender
	cmd := &cobra.Command{
		Use:   "send --relay URL --to UUID",
		Short: "Send each line of stdin to a peer",
		Long: `Send each line of stdin, up to 1 MiB, as the description of one message to a peer.

It ends when stdin does and the relay has handed everything on. It prints nothing
on stdout; on stderr it names the lines that were not delivered: those that came
back (the peer is not registered), that were not sent, or that are in doubt,
because the connection was lost before the relay confirmed them. There being one
means exit code 1. Without any, all lines were handed to the peer's connection.

A stock Python endpoint ends its process when it receives a description that is
not a session description: send such a peer nothing else.`,
		Example: `  echo hello | relay send --relay ws://127.0.0.1:8700 --to 1c0fae1c-7f0e-4b1b-9c25-0d3d6b7f3a55
  tail -f results.jsonl | relay send --relay wss://relay.example.org --to UUID --name producer
  relay send --relay ws://127.0.0.1:8700 --to UUID --type answer <answers.txt`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.run(cmd.Context(), cmd.InOrStdin(), cmd.ErrOrStderr())
		},
	}
	s.addFlags(cmd.Flags())
	cmd.Flags().Var(&s.to, "to", "`UUID` of the peer")
	cmd.Flags().StringVar(&s.kind, "type", "offer", "description `type`: offer or answer")
	cmd.Flags().DurationVar(&s.timeout, "timeout", 10*time.Second, "how long to wait for a connection, and at the end for the relay to hand on everything")
	return cmd
}

func (s *sender) run(ctx context.Context, stdin io.Reader, stderr io.Writer) error {
	switch {
	case !s.to.given:
		return usagef("--to is missing: the UUID of the peer, as relay listen prints it")
	case s.kind != string(relay.Offer) && s.kind != string(relay.Answer):
		return usagef("--type is offer or answer, not %q", s.kind)
	case s.timeout <= 0:
		return usagef("--timeout must be more than 0")
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	ledger := newLedger(stderr)
	var fates sync.WaitGroup // both end with the client
	fates.Go(func() { ledger.returned(client) })
	fates.Go(func() { report(client, stderr, "sending as", ledger.doubtful) })

	err = s.sendAll(ctx, client, stdin, ledger)
	s.finish(ctx, client)
	fates.Wait()
	_ = client.Close() // nothing is left in it that the ledger does not know
	if err == nil {
		err = explain(client.Err())
	}
	return errors.Join(err, ledger.verdict())
}

// sendAll sends every line of stdin. An error means that it stopped earlier.
func (s *sender) sendAll(ctx context.Context, client *relay.Client, stdin io.Reader, ledger *ledger) error {
	if err := s.bounded(ctx, client.Connect); err != nil {
		return explain(err)
	}
	lines, readError := readLines(stdin)
	for {
		var line string
		select {
		case text, ok := <-lines:
			if !ok {
				return readError()
			}
			line = text
		case <-client.Done():
			return explain(client.Err())
		case <-ctx.Done():
			return errors.New("interrupted")
		}
		number := ledger.add(line)
		err := s.bounded(ctx, func(ctx context.Context) error {
			return client.Send(ctx, relay.Message{
				PeerUUID:        s.to.UUID,
				DescriptionType: codec.DescriptionType(s.kind),
				Description:     line,
			})
		})
		switch {
		case err == nil:
		case refused(err):
			ledger.lose(err.Error(), number)
		default:
			ledger.lose("not sent, and nothing after it", number)
			return explain(err)
		}
	}
}

// bounded calls f with the timeout.
func (s *sender) bounded(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return f(ctx)
}

// refused reports an error that is about one message and no other.
func refused(err error) bool {
	_, unencodable := errors.AsType[*codec.EncodeError](err)
	return unencodable || errors.Is(err, relay.ErrTooLarge)
}

// finish ends the client as pipelines end: it closes the Outbox, and waits until
// the relay has handed on what was sent, or the time is up. What came back comes
// before the relay's confirmation, so it is in the Inbox by then.
func (s *sender) finish(ctx context.Context, client *relay.Client) {
	close(client.Outbox())
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	select {
	case <-client.Done():
	case <-ctx.Done():
		_ = client.Shutdown(ctx) // cuts it; what is in doubt is an event
	}
}

// readLines reads lines until r ends, and then closes the channel; only then the
// function returned tells why. Nothing can interrupt a read of stdin: a program
// that ends earlier leaves the goroutine to its own end.
func readLines(r io.Reader) (<-chan string, func() error) {
	lines := make(chan string)
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine+len("\r\n"))
	count := 0
	go func() {
		defer close(lines)
		for ; scanner.Scan(); count++ {
			lines <- scanner.Text()
		}
	}()
	return lines, func() error {
		if err := scanner.Err(); err != nil {
			return fmt.Errorf("stdin, line %d: %w", count+1, err)
		}
		return nil
	}
}
