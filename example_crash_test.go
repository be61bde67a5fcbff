package relay_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
)

var exampleRuns = flag.Int("example.runs", 5, "how often the examples are run with a relay that is killed")

// The programs of the examples, with a relay that is killed half way through and
// comes back. As whoever wants each thing done once has to, they repeat what has not
// come out, and drop what has come out before: so the same comes out each time.
func TestT53_ExamplesWithARelayThatIsKilled(t *testing.T) {
	const n = 400
	for _, example := range []struct {
		name string
		run  func(ctx context.Context, s *story) error
	}{
		{"pipeline", pipelineStory},
		{"select", selectStory},
		{"fan-in", fanInStory},
	} {
		t.Run(example.name, func(t *testing.T) {
			copies, sent := 0, 0
			for run := range *exampleRuns {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				s := newStory(n)
				if err := example.run(ctx, s); err != nil {
					t.Errorf("run %d: %v", run, err)
				}
				cancel()
				if len(s.came) != n || !s.killed {
					t.Errorf("run %d: %d of %d came out; killed: %v", run, len(s.came), n, s.killed)
				}
				copies, sent = copies+s.copies, sent+s.sent
			}
			t.Logf("%d runs: %d came out each time; in all %d were sent, and %d copies dropped", *exampleRuns, n, sent, copies)
		})
	}
}

// A story is what is to come out of a program, numbered from 0.
type story struct {
	n    int
	half chan struct{} // closed when half of it has come out
	all  chan struct{} // closed when everything has

	mu     sync.Mutex
	came   map[string]bool
	sent   int // copies included
	copies int // of what had come out
	killed bool
}

func newStory(n int) *story {
	return &story{n: n, half: make(chan struct{}), all: make(chan struct{}), came: make(map[string]bool)}
}

// take takes in what came out.
func (s *story) take(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.came[text] {
		s.copies++
		return
	}
	s.came[text] = true
	if len(s.came) == s.n/2 {
		close(s.half)
	}
	if len(s.came) == s.n {
		close(s.all)
	}
}

// told counts what was sent.
func (s *story) told() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent++
}

// missing is what has not come out.
func (s *story) missing() (texts []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.n {
		if text := line(i); !s.came[text] {
			texts = append(texts, text)
		}
	}
	return texts
}

func line(i int) string { return fmt.Sprint("LINE ", i) }

// crash kills a relay half way through, and brings it back.
func (s *story) crash(ctx context.Context, r *relaytest.Relay) error {
	select {
	case <-s.half:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	r.Stop()
	s.mu.Lock()
	s.killed = len(s.came) < s.n
	s.mu.Unlock()
	r.Start()
	return nil
}

// tell sends, again and again, what has not come out. What the sender gets back in
// the meantime is up to take.
func (s *story) tell(ctx context.Context, from *relay.Client, send func(text string) error) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		for _, text := range s.missing() {
			if err := send(text); err != nil {
				return err
			}
			s.told()
			select {
			case <-tick.C: // slow enough to be killed half way
			case <-s.all:
				return nil
			case <-from.Done():
				return from.Err()
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if len(s.missing()) == 0 {
			return nil
		}
	}
}

var soon = relay.WithBackoff(10*time.Millisecond, 100*time.Millisecond)

// pipelineStory is Example_pipeline.
func pipelineStory(ctx context.Context, s *story) error {
	r := relaytest.Start()
	defer r.Close()
	work, worker := r.Client("work", soon), r.Client("worker", soon)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.crash(ctx, r) })
	g.Go(func() error { // the other program
		for m := range worker.Inbox() {
			if m.Undelivered() {
				continue
			}
			answer := relay.Message{PeerUUID: m.SourceUUID, Description: strings.ToUpper(m.Description)}
			select {
			case worker.Outbox() <- answer:
			case <-worker.Done():
			}
		}
		return worker.Err()
	})
	g.Go(func() error { // the first stage
		return s.tell(ctx, work, func(text string) error {
			return work.Send(ctx, relay.Message{PeerUUID: worker.UUID(), Description: strings.ToLower(text)})
		})
	})
	g.Go(func() error { // the last stage
		for {
			select {
			case m := <-work.Inbox():
				if !m.Undelivered() {
					s.take(m.Description)
				}
			case <-s.all:
				err := worker.Close()
				if _, ok := errors.AsType[*relay.UnsentError](err); ok {
					return nil // answers that had come out before
				}
				return err
			case <-ctx.Done():
				return errors.Join(context.Cause(ctx), worker.Close())
			}
		}
	})
	return errors.Join(g.Wait(), work.Close())
}

// selectStory is Example_select: one select, with a ticker of the program's own.
func selectStory(ctx context.Context, s *story) error {
	r := relaytest.Start()
	defer r.Close()
	clock, wall := r.Client("clock", soon), r.Client("wall", soon)
	var crash errgroup.Group
	crash.Go(func() error { return s.crash(ctx, r) })
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	next := 0
	for done := false; !done; {
		select {
		case <-tick.C:
			missing := s.missing()
			if len(missing) == 0 {
				continue
			}
			next++
			m := relay.Message{PeerUUID: wall.UUID(), Description: missing[next%len(missing)]}
			select {
			case clock.Outbox() <- m:
				s.told()
			case <-clock.Done():
				return clock.Err()
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		case m := <-wall.Inbox():
			s.take(m.Description)
		case <-s.all:
			done = true
		case <-clock.Done():
			return clock.Err()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return errors.Join(crash.Wait(), clock.Close(), wall.Close())
}

// fanInStory is Example_fanIn: two relays, of which one is killed.
func fanInStory(ctx context.Context, s *story) error {
	here, there := relaytest.Start(), relaytest.Start()
	defer here.Close()
	defer there.Close()
	var group relay.Group
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.crash(ctx, here) })
	for _, r := range []*relaytest.Relay{here, there} {
		member, sensor := r.Client("collector", soon), r.Client("sensor", soon)
		if err := group.Add(member); err != nil {
			return err
		}
		if err := member.Connect(ctx); err != nil {
			return err
		}
		g.Go(func() error {
			err := s.tell(ctx, sensor, func(text string) error {
				return sensor.Send(ctx, relay.Message{PeerUUID: member.UUID(), Description: text})
			})
			return errors.Join(err, sensor.Close())
		})
	}
	g.Go(func() error {
		for {
			select {
			case in := <-group.Inbox():
				s.take(in.Description)
			case <-s.all:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
	return errors.Join(g.Wait(), group.Close())
}
