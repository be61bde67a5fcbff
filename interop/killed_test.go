package interop

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
)

// A program that is killed takes with it what it had not written. What it knew
// to be confirmed has arrived, in order, once, whichever relay stands between.
func TestKilled_program_had_handed_on_what_was_confirmed(t *testing.T) {
	t.Parallel()
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	onEachRelay(t, func(t *testing.T, r testRelay) {
		t.Parallel()
		receiver := newClient(t, r.URL())
		connect(t, receiver)
		next := make([]int, rounds) // the number that is to come, by round
		for round := range rounds {
			confirmed := killedSender(t, r, receiver.UUID(), round)
			for next[round] <= confirmed {
				receiveInOrder(t, receiver, next)
			}
		}
		t.Logf("killed %d times; messages that arrived: %v", rounds, next)
	})
}

// receiveInOrder receives a message, and fails unless it is the next one of its
// round. What was not confirmed may arrive as well, and as late as it likes.
func receiveInOrder(t *testing.T, receiver *relay.Client, next []int) {
	t.Helper()
	m, err := receiver.Recv(soon(t))
	if err != nil {
		t.Fatalf("%v; what arrived, by round: %v", err, next)
	}
	var round, number int
	if _, err := fmt.Sscanf(m.Description, "%d/%d", &round, &number); err != nil || number != next[round] {
		t.Fatalf("%q arrived, but number %d of its round was to come (%v)", m.Description, next[round], err)
	}
	next[round]++
}

// killedSender lets a process send, which is killed in the instant in which it
// learns of a confirmation; it returns the number of the last message confirmed.
func killedSender(t *testing.T, r testRelay, to uuid.UUID, round int) (confirmed int) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("RELAY_SENDER=%s %v %d", r.URL(), to, round))
	cmd.Stdout = &said
	sender := start(t, "the sender", cmd)
	select {
	case <-sender.ended:
	case <-time.After(patience):
		t.Fatal("the sender is not killed")
	}
	confirmed, err := strconv.Atoi(strings.TrimSpace(said.String()))
	if err != nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the sender said %q, and then: %v", said.String(), cmd.ProcessState)
	}
	return confirmed
}

// sendIfAsked makes this process one that sends, says which messages it knows to
// have been handed on, and is killed.
func sendIfAsked() bool {
	var url, to string
	var round int
	if n, _ := fmt.Sscan(os.Getenv("RELAY_SENDER"), &url, &to, &round); n != 3 {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	fmt.Fprintln(os.Stderr, sendAndConfirm(ctx, url, uuid.MustParse(to), round))
	os.Exit(1)
	return true
}

func sendAndConfirm(ctx context.Context, url string, to uuid.UUID, round int) error {
	client, err := relay.Dial(ctx, url)
	if err != nil {
		return err
	}
	defer client.Close()
	last := 100 + 7*round
	for number := 0; ; number++ {
		select {
		case client.Outbox() <- offer(to, fmt.Sprintf("%d/%d", round, number)):
		case <-client.Done():
			return client.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
		if number != last {
			continue
		}
		if err := client.Flush(ctx); err != nil {
			return err
		}
		fmt.Println(number)
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
}
