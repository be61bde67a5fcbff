// Package actors are the competitors that hand messages from one goroutine to
// another one, which handles them: the mailbox of an actor, or a channel.
package actors

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed73300619/relay/bench/turns"
)

// message is told by its address, which costs no side an allocation.
type message struct{ number int }

// bound is how many messages may wait to be handled, where there is a bound.
const bound = 1 << 10

// A station is running: what it is told, it handles.
type station interface {
	// tell may be called by many at a time. It waits while there is no room.
	tell(context.Context, *message) error
	// end returns when all that was told has been handled.
	end() error
}

// open starts a station that calls handle with each message, one at a time.
type open func(ctx context.Context, handle func(*message)) (station, error)

// Telling is P8.
func Telling(quick bool) turns.Measurement {
	m := turns.Measurement{ID: "P8", Title: "actor: tell and handle a message"}
	n := 3_000_000
	if quick {
		n /= 100
	}
	for _, producers := range []int{1, 4} {
		side := func(name string, o open, goals ...turns.Goal) turns.Side {
			return turns.Side{Name: name, Goals: goals, Turn: turn(o, n, producers)}
		}
		ahead := turns.Goal{ID: "P8", AtMost: 1}
		name := fmt.Sprintf("%d producers", producers)
		if producers == 1 {
			name = "1 producer"
		}
		m.Cases = append(m.Cases, turns.Case{
			Name: name, Unit: "ns/message", Figures: []string{""},
			Sides: []turns.Side{
				side("relay/actor", openActor(bound)),
				side("channel and goroutine", openChannel, turns.Goal{ID: "P8", AtMost: 1.2}),
				side("protoactor-go", openProto(bound), ahead),
			},
		}, turns.Case{ // as both come, and as no channel does
			Name: name + ", no bound", Unit: "ns/message", Figures: []string{""},
			Sides: []turns.Side{
				side("relay/actor", openActor(0)),
				side("protoactor-go", openProto(0), ahead),
			},
		})
	}
	return m
}

// turn returns the turn of a station: the time by message from the first one
// told until the last was handled, after a warm-up.
func turn(open open, n, producers int) func(context.Context) ([]float64, error) {
	return func(ctx context.Context) (_ []float64, err error) {
		c := counter{all: make(chan struct{}, 1)}
		s, err := open(ctx, c.handle)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, s.end()) }()
		if _, err := c.time(ctx, s, n/20, producers); err != nil {
			return nil, err
		}
		took, err := c.time(ctx, s, n, producers)
		return []float64{float64(took.Nanoseconds()) / float64(n)}, err
	}
}

// counter is what the handling of messages comes to. It is the station's until
// that says that it has all.
type counter struct {
	count, sum int
	want       int // of count
	all        chan struct{}
}

func (c *counter) handle(m *message) {
	c.count++
	c.sum += m.number
	if c.count == c.want {
		c.all <- struct{}{}
	}
}

// time has n messages told, by some producers at a time, and checks them.
func (c *counter) time(ctx context.Context, s station, n, producers int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	messages := make([]message, 1<<10) // told in turn
	for i := range messages {
		messages[i].number = i + 1
	}
	sum := 0
	for i := range n {
		sum += messages[i%len(messages)].number
	}
	c.count, c.sum, c.want = 0, 0, n

	errs := make(chan error, producers)
	var telling sync.WaitGroup
	start := time.Now()
	for p := range producers {
		telling.Go(func() {
			for i := p; i < n; i += producers {
				if err := s.tell(ctx, &messages[i%len(messages)]); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	var err error
	select {
	case <-c.all:
	case err = <-errs:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	took := time.Since(start)
	cancel()
	telling.Wait()
	if err != nil {
		return 0, err
	}
	if c.count != n || c.sum != sum {
		return 0, fmt.Errorf("%d messages of a sum of %d were handled, want %d of %d", c.count, c.sum, n, sum)
	}
	return took, nil
}
