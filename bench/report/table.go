package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/seed73300619/relay/bench/turns"
)

// Table prints the results for a terminal.
func Table(w io.Writer, results []Result) error {
	for _, group := range split(results, func(r Result) string { return r.ID }) {
		fmt.Fprintf(w, "\n%s: %s\n\n", group[0].ID, group[0].Title)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, strings.Join(heading, "\t"))
		for _, r := range group {
			for _, line := range rows(r) {
				fmt.Fprintln(t, strings.Join(line.cells(), "\t"))
			}
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// List prints what can be measured, as -run names it.
func List(w io.Writer, all []turns.Measurement) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, m := range all {
		fmt.Fprintf(t, "%s\t%s\n", m.ID, m.Title)
		for _, c := range m.Cases {
			var sides []string
			for _, s := range c.Sides {
				if s.Skip != "" {
					s.Name += " (left out: " + s.Skip + ")"
				}
				sides = append(sides, s.Name)
			}
			fmt.Fprintf(t, "%s/%s\t%s\n", m.ID, c.Name, strings.Join(sides, " | "))
		}
	}
	return t.Flush()
}
