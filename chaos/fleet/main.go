// Command fleet measures how many clients come back to a relay that was killed,
// or ended by its operator, and was started again at once: a thundering herd, if
// nothing spread it.
//
//	go run ./fleet -clients 5000 -how kill
//	go run ./fleet -clients 5000 -how term
//
// All clients run in this process, the relay ("relay serve" of this repository)
// in another, with one processor each. What came of it goes to stdout, as a table
// in Markdown; the exit code is 1 if a figure is out of its bound.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"

	"github.com/seed73300619/relay/chaos/process"
)

func main() {
	clients := flag.Int("clients", 5000, "`number` of clients")
	how := flag.String("how", kill, "how the relay ends: kill (SIGKILL) or term (SIGTERM, close code 1001)")
	rate := flag.Int("accept-rate", 500, "connections a second that the relay lets in; 0: no bound")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, plan{clients: *clients, how: *how, rate: *rate}); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, p plan) error {
	os.Setenv("GOMAXPROCS", "1") // for the relay
	runtime.GOMAXPROCS(1)
	folder, err := os.MkdirTemp("", "fleet")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	binary, err := process.Build(ctx, folder)
	if err != nil {
		return err
	}
	f, err := run(ctx, binary, p)
	if err != nil {
		return err
	}
	fmt.Print(f.markdown())
	return f.check()
}
