// Command bench measures relay and its peers side by side, in one run and by
// turns, and prints a table of what came of it.
//
//	go run .                              all of it
//	go run . -run P1                      one measurement
//	go run . -quick                       everything, too little of it to mean anything
//	go run . -list                        what there is
//	go run . -run P1 -profile profiles    leaves profiles: go tool pprof profiles/P1_64_B.prof
//	go run . -out ../docs/performance     keeps the results, in place of earlier ones
//
// With -out and -readme, the results that are kept are written down again, also
// when nothing was measured (-run none).
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"

	"github.com/seed73300619/relay/bench/actors"
	"github.com/seed73300619/relay/bench/child"
	"github.com/seed73300619/relay/bench/codecs"
	"github.com/seed73300619/relay/bench/fleet"
	"github.com/seed73300619/relay/bench/idle"
	"github.com/seed73300619/relay/bench/lanes"
	"github.com/seed73300619/relay/bench/report"
	"github.com/seed73300619/relay/bench/servers"
	"github.com/seed73300619/relay/bench/turns"
)

// measurements are all there are, in the order of the table.
func measurements(quick bool) []turns.Measurement {
	return []turns.Measurement{
		lanes.OneWay(quick),
		lanes.Flood(quick),
		lanes.Sending(quick),
		lanes.RoundTrip(quick),
		idle.Client(quick),
		idle.Server(quick),
		fleet.Restart(quick),
		codecs.PerMessage(quick),
		actors.Telling(quick),
		lanes.FanIn(quick),
		fleet.Pairs(quick),
		fleet.Scale(quick),
	}
}

// roles are what this program is started as by its measurements.
var roles = []child.Roles{servers.Roles, idle.Roles, fleet.Roles}

//go:embed go.mod
var goMod string

func main() {
	child.Main(roles...)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second one ends it at once
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var (
		only   = flags.String("run", "", "measure what these regular `expressions` match: P1, 'P[13]', 'P1/64 B'")
		quick  = flags.Bool("quick", false, "a smoke test: few messages, one turn each, no figure means anything")
		n      = flags.Int("turns", 5, "how often each side takes its turn")
		list   = flags.Bool("list", false, "say what there is, and measure nothing")
		folder = flags.String("out", "", "a `folder` to keep the results in, in place of earlier ones of the same cases")
		cpu    = flags.String("profile", "", "a `folder` for CPU profiles of our own turns, a file for each case")
		readme = flags.String("readme", "", "a Markdown `file` whose section gets the results of -out")
	)
	if err := flags.Parse(args); err != nil {
		return flag.ErrHelp // it has said what is wrong
	}
	if flags.NArg() > 0 || *n < 1 || *readme != "" && *folder == "" {
		flags.Usage()
		return flag.ErrHelp
	}
	all := measurements(*quick)
	chosen, err := choose(all, *only)
	if err != nil {
		return err
	}
	if *list {
		return report.List(stdout, chosen)
	}
	if len(chosen) == 0 && *folder == "" {
		return fmt.Errorf("nothing is called %q, see -list", *only)
	}
	if *quick {
		*n = 1
	}
	if *cpu != "" {
		if err := profiled(chosen, *cpu); err != nil {
			return err
		}
	}
	keep := func([]report.Result) error { return nil }
	if *folder != "" {
		kept, err := report.Load(*folder)
		if err != nil {
			return err
		}
		if *quick && slices.ContainsFunc(kept, func(r report.Result) bool { return !r.Run.Quick }) {
			return fmt.Errorf("%s has results that mean something; -quick does not replace them", *folder)
		}
		keep = func(results []report.Result) error {
			kept := report.Merge(all, kept, results)
			if err := report.Save(*folder, kept); err != nil || *readme == "" {
				return err
			}
			return report.Update(*readme, *folder, kept)
		}
	}
	results, err := measure(ctx, chosen, report.NewRun(args, *quick, *n, goMod), stderr, keep)
	return errors.Join(err, report.Table(stdout, results))
}

// choose returns the measurements that the expression matches: all of what stands
// before a slash as the measurement, what stands behind it as a part of the case.
func choose(all []turns.Measurement, expression string) ([]turns.Measurement, error) {
	if expression == "" {
		return all, nil
	}
	id, name, _ := strings.Cut(expression, "/")
	ids, err := regexp.Compile("^(?:" + id + ")$")
	if err != nil {
		return nil, err
	}
	names, err := regexp.Compile(name)
	if err != nil {
		return nil, err
	}
	var chosen []turns.Measurement
	for _, m := range all {
		m.Cases = slices.DeleteFunc(slices.Clone(m.Cases), func(c turns.Case) bool {
			return !ids.MatchString(m.ID) || !names.MatchString(c.Name)
		})
		if len(m.Cases) > 0 {
			chosen = append(chosen, m)
		}
	}
	return chosen, nil
}

// measure lets the cases run, and keeps what there is after each. A case that
// fails is left out. One that is interrupted ends the others: what it has so far
// is among the results, but is not kept.
func measure(ctx context.Context, chosen []turns.Measurement, run report.Run, stderr io.Writer, keep func([]report.Result) error) (results []report.Result, err error) {
	progress := report.NewProgress(stderr, chosen, run.Turns)
	defer progress.Close()
	if err := keep(nil); err != nil {
		return nil, err
	}
	for _, m := range chosen {
		for _, c := range m.Cases {
			result, failed := turns.Run(ctx, c, run.Turns, func(turn int, side string) {
				progress.Turn(m.ID+"/"+c.Name, turn, side)
			})
			added := report.Result{ID: m.ID, Title: m.Title, Run: run, Result: result}
			switch {
			case failed == nil:
				results = append(results, added)
				if failed := keep(results); failed != nil {
					return results, errors.Join(err, failed)
				}
			case ctx.Err() != nil:
				if len(result.Values[0][0]) > 0 {
					results = append(results, added)
				}
				return results, errors.Join(err, fmt.Errorf("interrupted in %s/%s", m.ID, c.Name))
			default:
				err = errors.Join(err, fmt.Errorf("%s/%w", m.ID, failed))
			}
		}
	}
	return results, err
}
