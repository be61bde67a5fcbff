package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/seed73300619/relay"
)

// listener is the command "relay listen".
type listener struct {
	peer
	count   int
	timeout time.Duration
}

func listenCommand() *cobra.Command {
	var l listener
	cmd := &cobra.Command{
		Use:   "listen --relay URL",
		Short: "Print every message that arrives, as one line of JSON",
		Long: `Print every message that arrives, as one line of JSON on stdout:

  {"source_uuid": …, "source_name": …, "peer_uuid": …, "description_type": …,
   "description": …, "error": null}

Once registered it says on stderr under which UUID it can be reached. A lost
connection is made again, and told of on stderr. Ctrl-C ends it with exit code 0.`,
		Example: `  relay listen --relay ws://127.0.0.1:8700
  relay listen --relay wss://relay.example.org --token-file token --name worker
  relay listen --relay ws://127.0.0.1:8700 --count 1 --timeout 30s | jq -r .description`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return l.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	l.addFlags(cmd.Flags())
	cmd.Flags().IntVar(&l.count, "count", 0, "end after `N` messages; 0: never")
	cmd.Flags().DurationVar(&l.timeout, "timeout", 0, "end after this time, with exit code 1 if it never registered or --count messages have not come; 0: never")
	return cmd
}

// received is what is printed of a message.
type received struct {
	SourceUUID      uuid.UUID `json:"source_uuid"`
	SourceName      string    `json:"source_name"`
	PeerUUID        uuid.UUID `json:"peer_uuid"`
	DescriptionType string    `json:"description_type"`
	Description     string    `json:"description"`
	Error           *string   `json:"error"` // null: none
}

func (l *listener) run(ctx context.Context, stdout, stderr io.Writer) error {
	if l.count < 0 || l.timeout < 0 {
		return usagef("--count and --timeout cannot be negative")
	}
	client, err := l.client()
	if err != nil {
		return err
	}
	var events sync.WaitGroup
	events.Go(func() {
		report(client, stderr, "listening as", func(event relay.Event) { complain(stderr, errors.New(event.String())) })
	})
	err = l.print(ctx, client, stdout)
	_ = client.Close() // nothing was sent
	events.Wait()
	return err
}

// print prints until it has printed enough, the time is up or the client ends.
func (l *listener) print(ctx context.Context, client *relay.Client, stdout io.Writer) error {
	var timeout <-chan time.Time
	if l.timeout > 0 {
		timeout = time.After(l.timeout)
	}
	lines := json.NewEncoder(stdout) // each line is one write: nothing waits in a buffer
	lines.SetEscapeHTML(false)
	for n := 0; l.count == 0 || n < l.count; n++ {
		select {
		case m, ok := <-client.Inbox():
			if !ok {
				return explain(client.Err())
			}
			line := received{m.SourceUUID, m.SourceName, m.PeerUUID, string(m.DescriptionType), m.Description, nil}
			if m.Error != "" {
				line.Error = &m.Error
			}
			if err := lines.Encode(line); err != nil {
				return err
			}
		case <-timeout:
			if l.count > 0 {
				return fmt.Errorf("%d of %d messages came within %v", n, l.count, l.timeout)
			}
			if client.Stats().Connects == 0 {
				return fmt.Errorf("not connected to a relay within %v", l.timeout)
			}
			return nil
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}
