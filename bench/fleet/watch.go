package fleet

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// A watch is kept while a server is away: who has come back, and when. All are
// away when it begins.
type watch struct {
	mu   sync.Mutex
	home []time.Time   // of each member, when it came back; zero: it is away
	away int           // how many of these
	done chan struct{} // closed once nobody is away any more, or someone will never come back
	over bool          // done is closed
	err  error         // of who has ended
}

func newWatch(n int) *watch {
	return &watch{home: make([]time.Time, n), away: n, done: make(chan struct{})}
}

// back and lost are what happens to a connection, in this order, again and again.
func (w *watch) back(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.home[i].IsZero() {
		w.away--
	}
	w.home[i] = time.Now()
	if w.away == 0 {
		w.finish()
	}
}

func (w *watch) lost(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.home[i].IsZero() {
		w.home[i] = time.Time{}
		w.away++
	}
}

// ended is a member that has given up: it never comes back.
func (w *watch) ended(i int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = fmt.Errorf("member %d has ended: %w", i, err)
	w.finish()
}

func (w *watch) finish() {
	if !w.over {
		w.over = true
		close(w.done)
	}
}

// look returns when the members have come back, in that order, unless some have not.
func (w *watch) look() ([]time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && w.away > 0 {
		return nil, fmt.Errorf("%d of %d members are not back", w.away, len(w.home))
	}
	return slices.SortedFunc(slices.Values(w.home), time.Time.Compare), w.err
}

// A comeback is how all have come back to a server that was away.
type comeback struct {
	All, Half time.Duration // after the server listened, until so many were back
	Peak      float64       // of those who came back, a second, in the tenth of one with the most
	Attempts  float64       // of each to connect, those before the server listened included
}

// startWatch begins to watch. The server has not been killed yet.
func (c *crowd) startWatch(context.Context, struct{}) (struct{}, error) {
	c.watch = newWatch(len(c.members))
	c.attempts.Store(0)
	for _, m := range c.members {
		m.watch(c.watch)
	}
	return struct{}{}, nil
}

// await returns when all are back, to the server that began to listen at the time
// given.
func (c *crowd) await(ctx context.Context, listens time.Time) (b comeback, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-c.watch.done:
	case <-ctx.Done():
	}
	attempts := c.attempts.Load()
	home, err := c.watch.look()
	if err != nil {
		return b, err
	}
	b = comeback{
		All:      home[len(home)-1].Sub(listens),
		Half:     home[(len(home)-1)/2].Sub(listens),
		Peak:     peak(home),
		Attempts: float64(attempts) / float64(len(home)),
	}
	return b, nil
}

// present checks that every member is there: its partner hears it.
func (c *crowd) present(ctx context.Context, _ struct{}) (struct{}, error) {
	g, reach := errgroup.WithContext(ctx)
	for i, m := range c.members {
		g.Go(func() error {
			if err := m.reach(reach); err != nil {
				return fmt.Errorf("member %d does not reach the server: %w", i, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return struct{}{}, err
	}
	_, err := c.talk(ctx, speech{1, 64})
	return struct{}{}, err
}

// peak is the largest number in a tenth of a second, for a whole one.
func peak(sorted []time.Time) float64 {
	most, first := 0, 0
	for i, t := range sorted {
		for t.Sub(sorted[first]) > time.Second/10 {
			first++
		}
		most = max(most, i-first+1)
	}
	return 10 * float64(most)
}
