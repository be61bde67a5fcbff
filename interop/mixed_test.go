package interop

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
)

// What faults do to a client of ours and a real one that talk to each other. A
// relay that is killed is in restart_test.go and survival_test.go, poison of ours
// in poison_test.go, and a bad link in chaos/links.

// A freezable relay can be stopped, and continued, by the kernel.
type freezable interface {
	testRelay
	Freeze()
	Thaw()
}

// A frozen relay is dead to our client, which reports what it had written, and
// comes back; the real one, which waits for 40 seconds, notices nothing. That is
// the same on both relays.
func TestT54_ARelayThatIsFrozenBetweenGoAndPython(t *testing.T) {
	t.Parallel()
	for _, kind := range []relayKind{realKind, ourCommandKind} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			r := startRelay(t, kind).(freezable)
			python := startPythonPeer(t, r.URL(), peerConfig{name: "python"})
			leavesNoGoroutine(t, func() { survivesAFreeze(t, r, python) })
		})
	}
}

func survivesAFreeze(t *testing.T, r freezable, python *pythonPeer) {
	const heartbeat = time.Second // and as long a silence
	book := &ledger{fates: make(map[string]*fate), last: make(map[uuid.UUID]int)}
	s := &survivor{
		Client: newClient(t, r.URL(), append(peerConfig{name: "go"}.options(), relay.WithHeartbeat(heartbeat, heartbeat))...),
		book:   book, partner: python.UUID(),
	}
	connect(t, s.Client, python)

	ctx, cancel := context.WithCancel(t.Context())
	stop := make(chan struct{})
	var sending, reading sync.WaitGroup
	sending.Go(func() { s.sendUntil(stop) })
	reading.Go(s.readInbox)
	reading.Go(s.readEvents)
	reading.Go(func() {
		for ctx.Err() == nil {
			if m, err := python.Recv(ctx); err == nil {
				book.deliver(m)
			} else if ctx.Err() == nil {
				t.Errorf("the real client receives: %v", err)
				return
			}
		}
	})
	spoken := 0
	speak := func() {
		for range 10 {
			m := offer(s.UUID(), fmt.Sprintf("%v/%d", python.UUID(), spoken))
			spoken++
			book.note(m, func(f *fate) { f.accepted++ })
			if err := python.Send(soon(t), m); err != nil {
				t.Errorf("the real client sends: %v", err)
			}
		}
	}

	book.progress(t, []*survivor{s}, 50)
	speak()
	eventually(t, patience, "our client hears the real one", func() bool { return s.Stats().Received == uint64(spoken) })
	r.Freeze()
	frozen := time.Now()
	eventually(t, patience, "the silence is noticed", func() bool { return s.State() != relay.Connected })
	noticed := time.Since(frozen)
	r.Thaw()
	connect(t, s.Client)
	book.progress(t, []*survivor{s}, 50)
	speak()
	close(stop)
	sending.Wait()
	if err := s.Flush(soon(t)); err != nil && !errors.Is(err, relay.ErrInDoubt) {
		t.Error(err)
	}
	deadline := time.Now().Add(patience)
	for len(book.open()) > 0 && time.Now().Before(deadline) {
		<-time.After(10 * time.Millisecond) // settle tells
	}
	if !python.connected(t) {
		t.Error("the real client has lost its connection")
	}
	stats := s.Stats()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	reading.Wait()
	book.settle(t, nil)
	t.Logf("noticed after %v, with a heartbeat of %v and as long a silence; %d connects, %d in doubt; the real client kept its connection",
		noticed.Round(time.Millisecond), heartbeat, stats.Connects, stats.InDoubt)
	if stats.Connects != 2 || s.Err() != nil || stats.Received != uint64(spoken) || stats.InDoubt == 0 || stats.Dropped > 0 {
		t.Errorf("%v, %+v", s.Err(), stats)
	}
}

// A message of the real client that no relay takes costs it its connection, on
// ours as on its own, and our client nothing.
func TestT54_APoisonousMessageFromPython(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		ours := newClient(t, r.URL(), peerConfig{name: "go"}.options()...)
		python := startPythonPeer(t, r.URL(), peerConfig{name: "python"})
		connect(t, ours, python)
		meet(t, python, ours)
		meet(t, ours, python)
		err := python.Send(soon(t), offer(ours.UUID(), strings.Repeat("x", 1<<20+1)))
		t.Logf("the real client says of a message that is too large: %v", err)
		meet(t, python, ours)
		meet(t, ours, python)
		if stats := ours.Stats(); stats.Connects != 1 || stats.Malformed != 0 || stats.InDoubt != 0 {
			t.Errorf("%+v", stats)
		}
	})
}
