// Command relay runs a relay server, listens and sends through one, and finds
// out why one cannot be reached. "relay demo" shows all of it in seconds.
//
// Data goes to stdout and everything else to stderr. The exit code is 0 when the
// work is done, 1 when it failed and 2 when the command line is wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// The exit codes.
const (
	exitDone = iota
	exitFailed
	exitUsage
)

// run executes one command line and returns the exit code. The end of ctx is
// what a signal is.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	complain(stderr, err)
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

// usageError means that the command line is wrong.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// complain tells of an error in one line.
func complain(stderr io.Writer, err error) {
	text := strings.TrimPrefix(err.Error(), "relay: ")
	fmt.Fprintln(stderr, "relay:", strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "))
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "relay",
		Short: "Programs that cannot reach each other talk through a relay",
		Long: `relay runs a relay server, sends and receives through one, and finds out why
one cannot be reached. It speaks the protocol of ProxyStore's relay, so both
ends may as well be Python.

Data goes to stdout, everything else to stderr. The exit code is 0 when the work
is done, 1 when it failed, and 2 when the command line is wrong.`,
		Example: `  relay demo                                      see all of it, in seconds

  relay serve                                     a relay on 127.0.0.1:8700
  relay listen --relay ws://127.0.0.1:8700        prints its UUID, then messages
  echo hello | relay send --relay ws://127.0.0.1:8700 --to UUID
  relay ping --relay wss://relay.example.org      what is wrong, and what to do`,
		Args:          noSuchCommand,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(cmd.ErrOrStderr())
			_ = cmd.Usage()
			return usagef("no command given")
		},
		SuggestionsMinimumDistance: 2,

		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see %s --help", err, cmd.CommandPath())
	})
	cobra.EnableCommandSorting = false // the order below is the order of use
	for _, command := range []*cobra.Command{serveCommand(), listenCommand(), sendCommand(), pingCommand(), conformCommand(), chaosCommand(), demoCommand()} {
		command.Flags().SortFlags = false
		root.AddCommand(command)
	}
	return root
}

func noSuchCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see relay --help"
	if similar := root.SuggestionsFor(args[0]); len(similar) > 0 {
		hint = "did you mean " + strings.Join(similar, " or ") + "?"
	}
	return usagef("no such command: %q; %s", args[0], hint)
}

// noArguments is for commands that take flags only.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, only flags: %q; see %[1]s --help", cmd.CommandPath(), args[0])
	}
	return nil
}
