// Command bench measures relay and its peers side by side, in one run and by
// turns, and prints the table of docs/performance.md.
//
//	go run .               all of it
//	go run . -run P1       one measurement
//	go run . -quick        everything, too little of it to mean anything
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"time"

	"github.com/seed73300619/relay/bench/child"
	"github.com/seed73300619/relay/bench/lanes"
	"github.com/seed73300619/relay/bench/servers"
	"github.com/seed73300619/relay/bench/turns"
)

// measurements are all there are, in the order of the table.
func measurements(quick bool) []turns.Measurement {
	return []turns.Measurement{
		lanes.OneWay(quick),
		lanes.Sending(quick),
	}
}

func main() {
	child.Main(servers.Roles)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var (
		only  = flag.String("run", "", "measure what matches this regular expression: P1, 'P[13]', 'P1/64 B'")
		quick = flag.Bool("quick", false, "a smoke test: few messages, one turn each, no figure means anything")
		n     = flag.Int("turns", 5, "how often each side takes its turn")
	)
	flag.Parse()
	match, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	if *quick {
		*n = 1
	}
	for _, m := range measurements(*quick) {
		for _, c := range m.Cases {
			name := m.ID + "/" + c.Name
			if !match.MatchString(name) {
				continue
			}
			start := time.Now()
			result, err := turns.Run(ctx, c, *n, func(turn int, side string) {
				fmt.Fprintf(os.Stderr, "\r\033[K%4.0f s  %s  turn %d of %d  %s", time.Since(start).Seconds(), name, turn+1, *n, side)
			})
			fmt.Fprint(os.Stderr, "\r\033[K")
			if err != nil {
				return fmt.Errorf("%s: %w", m.ID, err)
			}
			for i, side := range c.Sides {
				for f, figure := range c.Figures {
					v, r := result.Of(i, f), result.Ratio(i, f)
					fmt.Printf("%-12s %-24s %-4s %12.4g %s  [%.4g–%.4g]", name, side.Name, figure, v.Median, c.Unit, v.Min, v.Max)
					if i > 0 {
						fmt.Printf("   ours is %.2f× [%.2f–%.2f]", r.Median, r.Min, r.Max)
					}
					fmt.Println()
				}
			}
		}
	}
	return nil
}
