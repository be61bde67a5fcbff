package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed73300619/relay/cmd/relay/internal/config"
)

// groupedUsage is cobra's usage text with flags by subject: there are too many
// for one list.
func groupedUsage(groups []config.Group) func(*cobra.Command) error {
	return func(cmd *cobra.Command) error {
		out := cmd.OutOrStderr()
		fmt.Fprintf(out, "Usage:\n  %s\n\nExamples:\n%s\n", cmd.UseLine(), cmd.Example)
		for _, group := range groups {
			_, err := fmt.Fprintf(out, "\n%s:\n%s", group.Title, group.FlagUsages())
			if err != nil {
				return err
			}
		}
		return nil
	}
}
