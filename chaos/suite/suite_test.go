package suite

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed73300619/relay/chaos/process"
)

func build(t *testing.T) (binary string) {
	t.Helper()
	binary, err := process.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// relays are ours, and the Python one where it is installed.
func relays(t *testing.T) []func() (*process.Relay, error) {
	t.Helper()
	binary := build(t)
	both := []func() (*process.Relay, error){
		func() (*process.Relay, error) { return process.Ours(binary) },
		func() (*process.Relay, error) { return process.Python(t.Context()) },
	}
	if _, err := both[1](); errors.Is(err, process.ErrNoPython) && os.Getenv("CI") != "true" {
		t.Log(err)
		return both[:1]
	}
	return both
}

// Ten seeds; go run ./chaos plays as many as one likes.
func TestT16_UnderRandomFaultsTheSumIsExact(t *testing.T) {
	s := Suite{Seed: 1, Seeds: 10, Parallel: 5, Clients: 8, Duration: 15 * time.Second, Relays: relays(t), Progress: t.Output(), Folder: t.ArtifactDir()}
	if testing.Short() {
		s.Seeds, s.Parallel, s.Duration = 3, 3, 5*time.Second
	}
	before := Measure()
	results, err := s.Play(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if failed := Summarize(t.Output(), results); failed > 0 {
		t.Errorf("%d runs failed", failed)
	}
	if after := before.Back(10 * time.Second); after.Exceed(before) {
		stacks := make([]byte, 1<<20)
		t.Errorf("before: %v; after: %v\n%s", before, after, stacks[:runtime.Stack(stacks, true)])
	}
	for _, r := range results {
		if a := r.Account; a.Once == 0 || a.Bounced == 0 || r.Connects <= uint64(r.Clients) {
			t.Errorf("seed %d, %s: there was no weather: %v", r.Seed, r.Relay.Kind, a)
		}
	}
}

// A run that cannot be played says so, and how to play it again.
func TestARunThatFailsSaysHowToRepeatIt(t *testing.T) {
	var progress strings.Builder
	s := Suite{Seed: 7, Seeds: 1, Parallel: 1, Clients: 4, Duration: time.Second, Progress: &progress, Folder: t.TempDir(),
		Relays: []func() (*process.Relay, error){func() (*process.Relay, error) { return process.Ours("/no/such/file") }},
	}
	results, err := s.Play(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if failed := Summarize(t.Output(), results); failed != 1 {
		t.Errorf("%d failed", failed)
	}
	for _, want := range []string{"FAILED: ", "/no/such/file", "go run ./chaos -seed 7 -seeds 1 -relay ours -clients 4 -duration 1s", "chaos-7-ours.log"} {
		if !strings.Contains(progress.String(), want) {
			t.Errorf("no %q in: %s", want, &progress)
		}
	}
}
