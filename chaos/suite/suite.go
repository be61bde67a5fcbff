package suite

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/seed73300619/relay/chaos/process"
)

// Suite is many runs.
type Suite struct {
	Seed     uint64        // the first; each further one is the next number
	Seeds    int           // how many
	Duration time.Duration // of the weather of each run
	Parallel int           // how many seeds at a time
	Clients  int           // of each run
	// Relays make the relays of a run, not started yet: each seed is played with
	// one of each at the same time.
	Relays []func() (*process.Relay, error)
	// Progress gets a line for each run that has ended.
	Progress io.Writer
	// Folder is where the journal of a failed run is kept.
	Folder string
}

// Play plays all runs and returns their results, by seed and relay. The error is
// of what is around the runs, not theirs. When ctx ends, runs end early and
// others do not begin.
func (s Suite) Play(ctx context.Context) ([]Result, error) {
	results := make([]Result, s.Seeds*len(s.Relays))
	var (
		mu    sync.Mutex
		first error
		runs  sync.WaitGroup
		slots = make(chan struct{}, s.Parallel)
	)
	for number := range s.Seeds {
		slots <- struct{}{}
		var seed sync.WaitGroup
		for kind, make := range s.Relays {
			seed.Go(func() {
				if ctx.Err() != nil {
					return
				}
				result, err := s.play(ctx, s.Seed+uint64(number), make)
				mu.Lock()
				defer mu.Unlock()
				if err != nil && first == nil {
					first = err
				}
				results[number*len(s.Relays)+kind] = result
			})
		}
		runs.Go(func() {
			seed.Wait()
			<-slots
		})
	}
	runs.Wait()
	if first == nil {
		first = ctx.Err()
	}
	return results, first
}

func (s Suite) play(ctx context.Context, seed uint64, make func() (*process.Relay, error)) (Result, error) {
	relay, err := make()
	if err != nil {
		return Result{}, err
	}
	r := Run{Seed: seed, Relay: relay, Clients: s.Clients, Duration: s.Duration}
	result := r.Play(ctx)
	fmt.Fprintf(s.Progress, "seed %d, %s, %s: %v\n", seed, relay.Kind, r.Mode(), result.Account)
	for i, failure := range result.Failures {
		if i == 10 {
			fmt.Fprintf(s.Progress, "  … and %d more\n", len(result.Failures)-i)
			break
		}
		fmt.Fprintf(s.Progress, "  FAILED: %s\n", failure)
	}
	if result.Failures != nil {
		name := filepath.Join(s.Folder, fmt.Sprintf("chaos-%d-%s.log", seed, relay.Kind))
		if err := os.WriteFile(name, []byte(result.Journal), 0o600); err != nil {
			return result, err
		}
		fmt.Fprintf(s.Progress, "  what happened: %s\n  again: go run ./chaos -seed %d -seeds 1 -relay %s -clients %d -duration %v\n", name, seed, relay.Kind, s.Clients, s.Duration)
	}
	return result, nil
}
