package relay_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/server"
)

// A process whose one thread others keep busy is slow, not dead: clients and a
// relay in it conclude nothing. Here all bounds are a quarter of their defaults;
// RELAY_TEST_LONG=1 has the defaults, for a minute.
func TestT29_AStarvedProcessIsNotTakenForDead(t *testing.T) {
	if testing.Short() {
		t.Skip("keeps a processor busy for 16 seconds")
	}
	if os.Getenv("RELAY_TEST_ALONE") == "" {
		t.Parallel()
	}
	if !alone(t, "GOMAXPROCS=1") {
		return
	}
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Fatalf("%d threads", n)
	}
	long, heartbeat, silence, keepalive := 16*time.Second, 15*time.Second/4, 10*time.Second/4, 20*time.Second/4
	if os.Getenv("RELAY_TEST_LONG") != "" {
		long, heartbeat, silence, keepalive = time.Minute, 15*time.Second, 10*time.Second, 20*time.Second
	}
	r := relaytest.New(t, server.WithKeepalive(keepalive, keepalive))
	clients := make([]*relay.Client, 4)
	watches := make([]*watch, len(clients))
	for i := range clients {
		clients[i] = r.Client(fmt.Sprint(i), relay.WithHeartbeat(heartbeat, silence))
		watches[i] = watching(clients[i])
		connect(t, clients[i])
	}

	over := make(chan struct{})
	var spinning sync.WaitGroup
	spins := make([]int, 8)
	for i := range spins {
		spinning.Go(func() {
			for ; !isClosed(over); spins[i]++ {
			}
		})
	}
	// Meanwhile each sends to the next. What is late is late, but nothing is lost.
	tick, end := time.NewTicker(500*time.Millisecond), time.After(long)
	defer tick.Stop()
	sent, slowest := 0, time.Duration(0)
	for going := true; going; {
		select {
		case <-tick.C:
		case <-end:
			going = false
		}
		start := time.Now()
		for i, c := range clients {
			if err := c.Send(t.Context(), to(clients[(i+1)%len(clients)].UUID(), fmt.Sprint(sent))); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range clients {
			equal(t, "received", receive(t, c, 1), []string{fmt.Sprint(sent)})
		}
		slowest = max(slowest, time.Since(start))
		sent++
	}
	close(over)
	spinning.Wait()
	for i, c := range clients {
		s := c.Stats()
		fmt.Printf("client %d after %v: %d connects, %d messages of %d, the last ping took %v\n", i, long, s.Connects, s.Received, sent, s.RoundTrip)
		if s.Connects != 1 || s.Received != uint64(sent) || s.Sent != uint64(sent) || s.InDoubt != 0 || s.RoundTrip == 0 {
			t.Errorf("%d sent, %+v", sent, s)
		}
		for _, change := range of[relay.StateChange](watches[i]) {
			if change.Err != nil {
				t.Error(change)
			}
		}
	}
	fmt.Printf("the slowest round took %v\n", slowest)
	if closed := r.Server().Stats().Closed; len(closed) != 0 {
		t.Errorf("the relay closed %v", closed)
	}
}

// A process that was stopped finds that the clock has jumped: all its timers are
// due, and it has heard nothing for long. That it had waited for a pong just then
// is no reason to take the relay for dead.
func TestT29_AJumpOfTheClockIsNoSilence(t *testing.T) {
	const heartbeat, silence = 300 * time.Millisecond, 2 * time.Second
	if url := os.Getenv("RELAY_TEST_URL"); url != "" { // the process that is stopped
		c, err := relay.New(url, relay.WithUUID(nobody), relay.WithHeartbeat(heartbeat, silence))
		if err != nil {
			t.Fatal(err)
		}
		told := watching(c)
		for m := range c.Inbox() {
			if m.Description == "end" {
				break
			}
			_ = c.Send(t.Context(), to(m.SourceUUID, fmt.Sprint("after ", m.Description)))
		}
		_ = c.Close()
		<-told.done
		fmt.Printf("%d connects\n", c.Stats().Connects)
		for _, change := range of[relay.StateChange](told) {
			if change.Err != nil {
				t.Error(change)
			}
		}
		return
	}
	if testing.Short() {
		t.Skip("stops a process for 9 seconds")
	}
	t.Parallel()
	r := relaytest.New(t, server.WithKeepalive(time.Hour, time.Hour))
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), "RELAY_TEST_URL="+r.URL, "GORACE=atexit_sleep_ms=0")
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	var reading sync.WaitGroup
	reading.Go(func() {
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			lines = append(lines, scanner.Text())
		}
	})

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	defer func() { _ = child.Process.Kill() }()
	me := r.Client("me", relay.WithHeartbeat(time.Hour, time.Hour))
	greet := func(text string) {
		t.Helper()
		for { // it may not be there yet
			if err := me.Send(ctx, to(nobody, text)); err != nil {
				t.Fatal(err)
			}
			m, err := me.Recv(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if !m.Undelivered() {
				if m.Description != "after "+text {
					t.Errorf("%q", m.Description)
				}
				return
			}
			<-time.After(10 * time.Millisecond)
		}
	}
	greet("the beginning")
	for i := range 3 {
		thaw := r.Freeze()
		<-time.After(3 * heartbeat) // it has pinged, and waits
		if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		<-time.After(silence + time.Second)
		thaw()
		if err := child.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		greet(fmt.Sprint("jump ", i))
	}
	if err := me.Send(ctx, to(nobody, "end")); err != nil {
		t.Fatal(err)
	}
	reading.Wait()
	if err := child.Wait(); err != nil {
		t.Errorf("%v: %q", err, lines)
	}
	if len(lines) < 2 || lines[1] != "1 connects" {
		t.Errorf("%q", lines)
	}
	t.Log(lines)
}
