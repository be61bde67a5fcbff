// Command chaos lets clients talk through a relay while links are cut, slowed and
// left half-open, and the relay is killed, ended, stopped and continued, all at
// random, from a seed; and counts what became of each message. It runs in the
// repository:
//
//	go run ./chaos -duration 30m -seeds 100
//
// The relays are the real ones, in processes of their own: that of package server
// and the Python one. All is on 127.0.0.1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seed73300619/relay/chaos/process"
	"github.com/seed73300619/relay/chaos/suite"
)

func main() {
	s := suite.Suite{Progress: os.Stderr}
	flag.Uint64Var(&s.Seed, "seed", 1, "the first `seed`")
	flag.IntVar(&s.Seeds, "seeds", 10, "how many seeds, counting up")
	flag.IntVar(&s.Parallel, "parallel", 4, "how many seeds at a time")
	flag.IntVar(&s.Clients, "clients", 8, "how many clients in each run")
	flag.StringVar(&s.Folder, "logs", os.TempDir(), "the `folder` for what happened in failed runs")
	total := flag.Duration("duration", time.Minute, "how long all is to take, settling accounts not included")
	kind := flag.String("relay", "both", "the relay: ours, python or both")
	flag.Parse()
	if flag.NArg() > 0 || s.Seeds < 1 || s.Parallel < 1 || s.Clients < 4 || *total <= 0 {
		flag.Usage()
		os.Exit(2)
	}
	s.Parallel = min(s.Parallel, s.Seeds)
	s.Duration = *total * time.Duration(s.Parallel) / time.Duration(s.Seeds)
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, s, *kind); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s suite.Suite, kind string) error {
	folder, err := os.MkdirTemp("", "chaos")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if kind != "python" {
		binary, err := process.Build(ctx, folder)
		if err != nil {
			return err
		}
		s.Relays = append(s.Relays, func() (*process.Relay, error) { return process.Ours(binary) })
	}
	if kind != "ours" {
		if _, err := process.Python(ctx); err != nil { // said now rather than behind all other runs
			return fmt.Errorf("%w; or use -relay ours", err)
		}
		s.Relays = append(s.Relays, func() (*process.Relay, error) { return process.Python(ctx) })
	}
	began, before := time.Now(), suite.Measure()
	results, err := s.Play(ctx)
	failed := suite.Summarize(os.Stdout, results)
	after := before.Back(10 * time.Second)
	fmt.Printf("\n%d seeds from %d, %v each, %d at a time, took %v. Before: %v; after: %v.\n",
		s.Seeds, s.Seed, s.Duration, s.Parallel, time.Since(began).Round(time.Second), before, after)
	switch {
	case failed > 0:
		return fmt.Errorf("%d runs failed", failed)
	case after.Exceed(before):
		return errors.New("goroutines or files are left")
	}
	return err
}
