package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed73300619/relay/cmd/relay/internal/config"
	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/server/auth"
)

// checkSettings prints all settings on stdout, and all that is wrong on stderr.
func checkSettings(load func() (*config.Settings, error), stdout, stderr io.Writer) error {
	s, err := load()
	problems := flatten(err)
	for _, warning := range s.Warnings {
		problems = append(problems, warning)
	}
	problems = append(problems, flatten(tryOut(s, err == nil))...)
	if err := printSettings(s, stdout); err != nil {
		return err
	}
	for _, problem := range problems {
		complain(stderr, problem)
	}
	switch len(problems) {
	case 0:
		return nil
	case 1:
		return errors.New("1 problem found, see above")
	}
	return fmt.Errorf("%d problems found, see above", len(problems))
}

// tryOut makes what serve would, apart from listening, and finds fault where
// serve only warns. Settings that are not sound have been complained about.
func tryOut(s *config.Settings, sound bool) error {
	silent := slog.New(slog.DiscardHandler)
	var problems []error
	if pair, err := certificates(s, silent); err != nil {
		problems = append(problems, err)
	} else if pair != nil && time.Now().After(pair.NotAfter()) {
		problems = append(problems, fmt.Errorf("--tls-cert: the certificate in %s has expired: clients refuse to connect", s.TLSCert))
	}
	if sound {
		who, err := authenticator(s)
		if tokens, ok := who.(*auth.Tokens); ok && tokens.Exposed() {
			problems = append(problems, fmt.Errorf("--auth-tokens-file: %s", exposedTokens(s)))
		}
		_, errServer := server.New(options(s, nil, silent)...)
		problems = append(problems, err, errServer)
	}
	if info, err := os.Stat(s.LogDir); s.LogDir != "" && err == nil && !info.IsDir() {
		problems = append(problems, fmt.Errorf("--log-dir: %s is not a folder", s.LogDir))
	}
	return errors.Join(problems...)
}

func printSettings(s *config.Settings, stdout io.Writer) error {
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	group := ""
	for _, row := range s.Rows() {
		if row.Group != group {
			group = row.Group
			fmt.Fprintf(table, "%s:\n", group)
		}
		value := row.Value
		if value == "" {
			value = "-"
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\n", row.Name, value, row.Origin)
	}
	return table.Flush()
}

// settingsError is for settings that serve cannot start with: it is about the
// command line if all of it is.
func settingsError(err error) error {
	for _, problem := range flatten(err) {
		if !strings.HasPrefix(problem.Error(), "--") {
			return err
		}
	}
	return &usageError{err}
}

// flatten returns the errors that were joined.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, flatten(one)...)
	}
	return all
}
