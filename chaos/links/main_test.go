// Package links_test breaks the link between a client and its relay in every way
// that a network has, over real sockets, and has the referee count.
package links_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/seed73300619/relay/chaos/process"
)

// patience bounds every wait that is not itself what is measured.
const patience = time.Minute

// relays run for all tests: what one leaves behind, another one may meet.
var relays []*process.Relay

// binary is the command relay, for tests that want a relay of their own.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "links")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(folder)
	if binary, err = process.Build(ctx, folder); err != nil {
		return 1, err
	}
	for _, kind := range kinds {
		r, err := newRelay(ctx, kind)
		if errors.Is(err, process.ErrNoPython) && os.Getenv("CI") != "true" {
			fmt.Fprintln(os.Stderr, "not tested:", err)
			continue
		}
		if err != nil {
			return 1, err
		}
		defer r.Kill()
		if err := r.Start(ctx); err != nil {
			return 1, err
		}
		relays = append(relays, r)
	}
	return m.Run(), nil
}

var kinds = []string{"ours", "python"}

func newRelay(ctx context.Context, kind string) (*process.Relay, error) {
	if kind == "python" {
		return process.Python(ctx)
	}
	return process.Ours(binary)
}

// each runs the test with a relay of each kind, both at the same time, and then
// fails if more goroutines or open files are left than there were.
func each(t *testing.T, test func(t *testing.T, r *process.Relay)) {
	t.Helper()
	leavesNothing(t)
	for _, r := range relays {
		t.Run(r.Kind, func(t *testing.T) {
			t.Parallel()
			test(t, r)
		})
	}
}

// eachAlone is each with relays that are for this test alone, one after the other.
func eachAlone(t *testing.T, test func(t *testing.T, r *process.Relay)) {
	t.Helper()
	leavesNothing(t)
	for _, shared := range relays {
		t.Run(shared.Kind, func(t *testing.T) {
			r, err := newRelay(t.Context(), shared.Kind)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(r.Kill)
			if err := r.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			test(t, r)
		})
	}
}

// leavesNothing compares what is there at the end of the test with what is there
// now.
func leavesNothing(t *testing.T) {
	t.Helper()
	goroutines, files := runtime.NumGoroutine(), process.OpenFiles(os.Getpid())
	t.Cleanup(func() {
		deadline := time.Now().Add(10 * time.Second)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for runtime.NumGoroutine() > goroutines || process.OpenFiles(os.Getpid()) > files {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				t.Errorf("%d goroutines, %d files; before the test it was %d and %d\n%s", runtime.NumGoroutine(), process.OpenFiles(os.Getpid()),
					goroutines, files, stacks[:runtime.Stack(stacks, true)])
				return
			}
			<-tick.C
		}
	})
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick, giveUp := time.NewTicker(2*time.Millisecond), time.NewTimer(patience)
	defer tick.Stop()
	defer giveUp.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-giveUp.C:
			t.Fatalf("after %v: not %s", patience, what)
		}
	}
}

// soon is a context that bounds what should not take long.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
