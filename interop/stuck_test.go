package interop

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed73300619/relay/transport"
)

// One client does not read, another floods it, two others talk: the same on both
// relays, side by side.
func TestT40_A_client_that_does_not_read_stalls_its_sender_on_the_real_relay_only(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a minute")
	}
	kinds := []relayKind{realKind, ourCommandKind}
	var results []stuckResult
	for _, kind := range kinds { // one after the other, for the sake of the figures
		results = append(results, floodStuck(t, startRelay(t, kind).URL()))
	}
	real, ours := results[0], results[1]
	for i, r := range results {
		t.Logf("%s: the sender wrote %d messages of %d bytes in %v, its slowest write took %v; %d came back because the peer does not read, %d because it had left; "+
			"it ended with %v; the peer was gone after %v; the others' p99: %v before, %v during",
			kinds[i].name, r.sent, stuckBytes, r.took.Round(time.Millisecond), r.slowest.Round(time.Millisecond), r.unread, r.unknown,
			r.err, r.gone.Round(time.Millisecond), r.before, r.during)
	}
	// The write bound of ours is 10 s, and a sender waits for a second for room.
	if ours.err != nil || ours.unread == 0 || ours.slowest > 6*time.Second || ours.gone < 5*time.Second || ours.gone > 40*time.Second || ours.during > 2*time.Second {
		t.Errorf("ours: %+v", ours)
	}
	// There the sender stands still until the peer's ping has timed out.
	if real.unread != 0 || real.slowest < 10*time.Second {
		t.Errorf("the real relay is better than we say: %+v", real)
	}
}

const stuckBytes = 100_000

// A stuckResult is what who floods notices, and who does not.
type stuckResult struct {
	sent            int
	took, slowest   time.Duration // a write
	unread, unknown int64         // echoes
	err             error         // the sender's end
	gone            time.Duration // when the relay had given up the peer; 0: not known
	before, during  time.Duration // p99 of those that talk
}

// floodStuck floods a peer that does not read until the relay says that it is
// not there any more, or has ended the sender, or a minute is over.
func floodStuck(t *testing.T, url string) (result stuckResult) {
	pair := newBystanders(t, url)
	pair.exchange(500 * time.Millisecond) // warm
	result.before = quantile(pair.exchange(3*time.Second), 0.99)

	a, err := joinBy(t.Context(), url, transport.Dialer{WriteTimeout: 2 * time.Minute}) // or it would end by itself
	if err != nil {
		t.Fatal(err)
	}
	defer a.Abort()
	b, err := join(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Abort()
	start := time.Now()
	var unread, unknown atomic.Int64
	var gone atomic.Int64
	over := make(chan struct{})
	var reader, writer sync.WaitGroup
	reader.Go(func() {
		for {
			frame, _, err := a.ReadFrame()
			if err != nil {
				return
			}
			switch text := string(frame); {
			case strings.Contains(text, "does not read its messages"):
				unread.Add(1)
			case strings.Contains(text, "not registered this relay"):
				unknown.Add(1)
				gone.CompareAndSwap(0, int64(time.Since(start)))
			}
		}
	})
	writer.Go(func() {
		defer close(over)
		frame := a.message(b.id, strings.Repeat("x", stuckBytes))
		for result.err == nil && gone.Load() == 0 && time.Since(start) < time.Minute {
			began := time.Now()
			result.err = errors.Join(a.WriteFrame(frame), a.Flush())
			result.slowest = max(result.slowest, time.Since(began))
			result.sent++
		}
	})
	var took []time.Duration
	for during := true; during; {
		took = append(took, pair.exchange(500*time.Millisecond)...)
		select {
		case <-over:
			during = false
		default:
		}
	}
	writer.Wait()
	result.took, result.during = time.Since(start), quantile(took, 0.99)
	if bye, ok := errors.AsType[*transport.CloseError](result.err); ok {
		result.err = fmt.Errorf("close code %d %q", bye.Code, bye.Reason)
	}
	a.Abort()
	reader.Wait()
	result.unread, result.unknown, result.gone = unread.Load(), unknown.Load(), time.Duration(gone.Load())
	return result
}
