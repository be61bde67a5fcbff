package fleet

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed73300619/relay/bench/child"
	"github.com/seed73300619/relay/bench/payloads"
)

const crowdRole = "fleet-clients"

// Roles are those of this package.
var Roles = child.Roles{crowdRole: child.As(gather)}

// A gathering says who comes. As many members as it takes are an even number.
type gathering struct {
	Kind string // of the members
	URL  string // of their server
	N    int
	Room int // for messages that a member has not taken yet
}

// A crowd is the members of a fleet. It is asked one thing at a time.
type crowd struct {
	gathering
	members  []member
	attempts atomic.Int64 // to connect
	watch    *watch
}

// gather connects nobody yet.
func gather(_ context.Context, g gathering) (child.Work, error) {
	c := &crowd{gathering: g}
	// The clients end with the process: ten thousand goodbyes measure nothing.
	return child.Work{Commands: map[string]child.Command{
		"join":    child.To(c.join),
		"talk":    child.To(c.talk),
		"whisper": child.To(c.whisper),
		"watch":   child.To(c.startWatch),
		"await":   child.To(c.await),
		"present": child.To(c.present),
	}}, nil
}

// atOnce is how many members connect at a time.
const atOnce = 64

// join connects all members, and returns how long that took.
func (c *crowd) join(ctx context.Context, _ struct{}) (time.Duration, error) {
	c.members = make([]member, c.N)
	start := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i := range c.members {
		g.Go(func() (err error) {
			if c.members[i], err = joins[c.Kind](ctx, c.URL, i, c.Room, c.dialer(i)); err != nil {
				return fmt.Errorf("member %d: %w", i, err)
			}
			return nil
		})
	}
	err := g.Wait()
	return time.Since(start), err
}

// perAddress is how many members share an address. A relay takes at most 4096
// from one, unless its operator says otherwise.
const perAddress = 1000

// dialer returns how the i-th member dials: from one of several addresses, all of
// the loopback.
func (c *crowd) dialer(i int) dialFunc {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i/perAddress))}}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c.attempts.Add(1)
		return d.DialContext(ctx, network, address)
	}
}

// patience is how long anything that a crowd is asked may take.
const patience = time.Minute

// A speech is what each member says to its partner.
type speech struct{ Messages, Size int }

// talk has all members speak at once, as fast as they can, and returns how long it
// took until everybody had heard everything.
func (c *crowd) talk(ctx context.Context, s speech) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p := payloads.New(s.Size)
	want := make([]payloads.Sum, len(c.members)) // not while the time runs
	for i := range want {
		want[i] = p.Sum(i^1, s.Messages)
	}
	start := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for i, m := range c.members {
		g.Go(func() error {
			got, err := m.receive(ctx, s.Messages)
			return heard(i, got, want[i], err)
		})
		g.Go(func() error {
			if err := m.send(ctx, s.Messages, p); err != nil {
				return fmt.Errorf("member %d sends: %w", i, err)
			}
			return nil
		})
	}
	err := g.Wait()
	return time.Since(start), err
}

// heard checks what the i-th member has received.
func heard(i int, got, want payloads.Sum, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("member %d receives: %w (%d of %d had come)", i, err, got.Messages, want.Messages)
	case got != want:
		return fmt.Errorf("member %d has received %+v, want %+v", i, got, want)
	}
	return nil
}

// A latency is how long a message is under way while nobody else speaks.
type latency struct{ P50, P99 time.Duration }

// whisper has one member after another say one thing to its partner, and wait
// until that has heard it.
func (c *crowd) whisper(ctx context.Context, s speech) (latency, error) {
	p := payloads.New(s.Size)
	took := make([]time.Duration, s.Messages)
	for n := range took {
		i := n * stride % len(c.members)
		start := time.Now()
		if err := c.members[i].send(ctx, 1, p); err != nil {
			return latency{}, fmt.Errorf("member %d sends: %w", i, err)
		}
		got, err := c.members[i^1].receive(ctx, 1)
		took[n] = time.Since(start)
		if err := heard(i^1, got, p.Sum(i, 1), err); err != nil {
			return latency{}, err
		}
	}
	slices.Sort(took)
	return latency{took[len(took)/2], took[len(took)*99/100]}, nil
}

// stride goes through the members in no order that anything else follows. It is
// prime.
const stride = 7919
