package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed73300619/relay/relaytest/conform"
)

// conformer is the command "relay conform".
type conformer struct {
	connection
	pattern         string
	slow, heavy     bool
	maxMessageBytes int
	timeout         time.Duration
	json, markdown  bool
}

func conformCommand() *cobra.Command {
	var c conformer
	cmd := &cobra.Command{
		Use:   "conform --relay URL",
		Short: "Find out whether a relay behaves as ProxyStore's does",
		Long: `Run a table of cases on a relay: frames, sequences, and what must come back. Where
this relay and ProxyStore's are meant to differ, either is fine, and is named.
The exit code is 1 if a case has gone as on neither of the two.

It is safe on a relay in use: the connections are its own, the UUIDs random, the
messages for itself. ProxyStore's relay leaves a dozen of these UUIDs registered,
and writes tracebacks into its log. The cases are sent to the relay directly,
never by way of a proxy.`,
		Example: `  relay conform --relay ws://127.0.0.1:8700
  relay conform --relay wss://relay.example.org --token-file token --slow
  relay conform --relay ws://127.0.0.1:8700 --run 'Closing|UUID' --json
  relay conform --markdown                        the differences, as a page`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.markdown {
				_, err := io.WriteString(cmd.OutOrStdout(), conform.Markdown())
				return err
			}
			return explain(c.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()))
		},
	}
	c.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&c.pattern, "run", "", "only the cases whose section or name matches this regular `expression`")
	cmd.Flags().BoolVar(&c.slow, "slow", false, "also the cases that take up to a minute; all at once")
	cmd.Flags().BoolVar(&c.heavy, "heavy", false, "also the cases that send 30 MB each")
	cmd.Flags().IntVar(&c.maxMessageBytes, "max-message-bytes", 0, "the limit that the relay is configured with; without it, the cases about it are skipped")
	cmd.Flags().DurationVar(&c.timeout, "timeout", 10*time.Second, "how long a case may take, beside the time that it is made of")
	cmd.Flags().BoolVar(&c.json, "json", false, "one JSON object for each case")
	cmd.Flags().BoolVar(&c.markdown, "markdown", false, "print all differences that are meant, and end; needs no --relay")
	return cmd
}

// choose returns the cases that the flags ask for, and how many of those that
// match are left out.
func (c *conformer) choose() (cases []conform.Case, slow, heavy int, err error) {
	pattern, err := regexp.Compile(c.pattern)
	if err != nil {
		return nil, 0, 0, usagef("--run: %w", err)
	}
	cases = slices.DeleteFunc(conform.Table(), func(one conform.Case) bool {
		switch {
		case !pattern.MatchString(one.Section) && !pattern.MatchString(one.Name):
		case one.Heavy && !c.heavy:
			heavy++
		case one.Slow && !c.slow:
			slow++
		default:
			return false
		}
		return true
	})
	if len(cases)+slow+heavy == 0 {
		return nil, 0, 0, usagef("--run: no case matches %q", c.pattern)
	}
	return cases, slow, heavy, nil
}

func (c *conformer) run(ctx context.Context, stdout, stderr io.Writer) error {
	if c.timeout <= 0 || c.maxMessageBytes < 0 {
		return usagef("--timeout must be more than 0, and --max-message-bytes not less")
	}
	if err := c.check(); err != nil {
		return err
	}
	cases, slow, heavy, err := c.choose()
	if err != nil {
		return err
	}
	target, err := c.target(ctx)
	if err != nil {
		return err
	}
	counts := make(map[conform.Outcome]int)
	for one, result := range conform.Run(ctx, target, cases) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		counts[result.Outcome]++
		c.print(stdout, one, result)
	}
	fmt.Fprintf(stderr, "%d cases: %d ok, %d as this relay, %d as ProxyStore, %d failed; not run: %d without --max-message-bytes, %d without --slow, %d without --heavy\n",
		len(cases), counts[conform.Agreed], counts[conform.LikeThisRelay], counts[conform.LikeProxyStore], counts[conform.Failed],
		counts[conform.Skipped], slow, heavy)
	if n := counts[conform.Failed]; n > 0 {
		return fmt.Errorf("%d of %d cases have failed: this relay is neither as ProxyStore's nor as ours", n, len(cases))
	}
	return nil
}

// target makes sure that the relay can be reached at all, and tells where it is.
func (c *conformer) target(ctx context.Context) (conform.Target, error) {
	header, err := c.header()
	if err != nil {
		return conform.Target{}, err
	}
	if c.tokenFile != "" {
		token, err := c.token(ctx)
		if err != nil {
			return conform.Target{}, err
		}
		header.Set("Authorization", "Bearer "+token)
	}
	config, err := c.tlsConfig()
	if err != nil {
		return conform.Target{}, err
	}
	p := pinger{connection: c.connection, timeout: c.timeout}
	conn, err := p.dial(ctx, io.Discard)
	if err != nil {
		return conform.Target{}, err
	}
	_ = conn.Close(1000, "") // it has done its work
	return conform.Target{
		URL: c.address, Header: header, TLS: config,
		MaxMessageBytes: c.maxMessageBytes, Patience: c.timeout,
	}, nil
}

// print writes one line, or one object; more about a case that has failed, and
// why the relays differ.
func (c *conformer) print(stdout io.Writer, one conform.Case, result conform.Result) {
	does := map[conform.Outcome]string{conform.LikeProxyStore: one.ProxyStore, conform.LikeThisRelay: one.ThisRelay}[result.Outcome]
	if c.json {
		_ = json.NewEncoder(stdout).Encode(struct {
			Section string `json:"section"`
			Case    string `json:"case"`
			Outcome string `json:"outcome"`
			Does    string `json:"does,omitempty"`
			Why     string `json:"why,omitempty"`
			Account string `json:"account,omitempty"`
		}{one.Section, one.Name, result.Outcome.String(), does, one.Why, result.Account})
		return
	}
	fmt.Fprintf(stdout, "%-13s  %s: %s\n", result.Outcome, one.Section, one.Name)
	if does != "" {
		fmt.Fprintf(stdout, "%15s%s\n%15swhy the two differ: %s\n", "", does, "", one.Why)
	}
	for line := range strings.Lines(result.Account) {
		fmt.Fprintf(stdout, "%15s%s", "", line)
	}
}
