package suite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/seed73300619/relay/chaos/faultproxy"
	"github.com/seed73300619/relay/chaos/process"
)

// linkFault is something that happens to a link. It lasts until what strike
// returns is called.
type linkFault struct {
	name   string
	strike func(l *link, dice *rand.Rand) (heal func() error, err error)
}

// linkFaults are all that happens to links. The first eight are toxiproxy's.
var linkFaults = []linkFault{
	{"latency", func(l *link, dice *rand.Rand) (func() error, error) {
		return l.poison("latency", direction(dice), map[string]int{"latency": dice.IntN(100), "jitter": dice.IntN(100)})
	}},
	{"bandwidth", func(l *link, dice *rand.Rand) (func() error, error) {
		return l.poison("bandwidth", direction(dice), map[string]int{"rate": 2 + dice.IntN(50)})
	}},
	{"slicer", func(l *link, dice *rand.Rand) (func() error, error) {
		return l.poison("slicer", direction(dice), map[string]int{"average_size": 8 + dice.IntN(64), "size_variation": 7, "delay": dice.IntN(500)})
	}},
	{"reset_peer", func(l *link, dice *rand.Rand) (func() error, error) {
		return l.poison("reset_peer", direction(dice), map[string]int{"timeout": dice.IntN(100)})
	}},
	{"timeout", func(l *link, dice *rand.Rand) (func() error, error) {
		return l.poison("timeout", direction(dice), map[string]int{"timeout": 0})
	}},
	{"limit_data", func(l *link, dice *rand.Rand) (func() error, error) {
		return l.poison("limit_data", direction(dice), map[string]int{"bytes": 1 + dice.IntN(5000)})
	}},
	{"slow_close", func(l *link, dice *rand.Rand) (func() error, error) {
		heal, err := l.poison("slow_close", "downstream", map[string]int{"delay": dice.IntN(1000)})
		l.front.Each((*faultproxy.Link).FIN) // or there would be nothing to close
		return heal, err
	}},
	{"down", func(l *link, _ *rand.Rand) (func() error, error) {
		l.toxic.Stop()
		return l.replace, nil
	}},
	{"half-open", func(l *link, _ *rand.Rand) (func() error, error) {
		l.front.Each((*faultproxy.Link).HalfOpen)
		return nothing, nil // found out by the heartbeat
	}},
	{"frozen", func(l *link, _ *rand.Rand) (func() error, error) {
		l.front.Each((*faultproxy.Link).Freeze)
		return l.each((*faultproxy.Link).Thaw), nil
	}},
	{"held", func(l *link, dice *rand.Rand) (func() error, error) {
		d := faultproxy.Direction(dice.IntN(2))
		l.front.Each(func(l *faultproxy.Link) { l.Hold(d) })
		return l.each(func(l *faultproxy.Link) { l.Release(d) }), nil
	}},
	{"reset at a byte", func(l *link, dice *rand.Rand) (func() error, error) {
		cutSoon(l, dice, (*faultproxy.Link).Reset)
		return nothing, nil
	}},
	{"FIN at a byte", func(l *link, dice *rand.Rand) (func() error, error) {
		cutSoon(l, dice, (*faultproxy.Link).FIN)
		return nothing, nil
	}},
	{"half-close", func(l *link, dice *rand.Rand) (func() error, error) {
		d := faultproxy.Direction(dice.IntN(2))
		l.front.Each(func(l *faultproxy.Link) { l.HalfClose(d) })
		return nothing, nil
	}},
	{"cut while registering", func(l *link, dice *rand.Rand) (func() error, error) {
		d, n := faultproxy.Direction(dice.IntN(2)), dice.Int64N(500)
		l.front.OnNew(func(l *faultproxy.Link) { l.At(d, n, (*faultproxy.Link).Reset) })
		l.front.Each((*faultproxy.Link).Reset)
		return func() error { l.front.OnNew(nil); return nil }, nil
	}},
	{"refused", func(l *link, _ *rand.Rand) (func() error, error) {
		l.front.Refuse(true)
		l.front.Each((*faultproxy.Link).Reset)
		return func() error { l.front.Refuse(false); return nil }, nil
	}},
	{"flapping", func(l *link, dice *rand.Rand) (func() error, error) {
		stop := l.front.Flap(ms(dice, 20, 200), ms(dice, 20, 100))
		return func() error { stop(); return nil }, nil
	}},
}

func nothing() error { return nil }

func direction(dice *rand.Rand) string {
	return []string{"upstream", "downstream"}[dice.IntN(2)]
}

// ms is a random time between so many milliseconds.
func ms(dice *rand.Rand, min, max int) time.Duration {
	return time.Duration(min+dice.IntN(max-min)) * time.Millisecond
}

// cutSoon ends the link in the middle of what comes next.
func cutSoon(l *link, dice *rand.Rand, cut func(*faultproxy.Link)) {
	d, n := faultproxy.Direction(dice.IntN(2)), 1+dice.Int64N(2000)
	l.front.Each(func(l *faultproxy.Link) { l.At(d, l.Delivered(d)+n, cut) })
}

// each does something to the links that are open later, when it is called.
func (l *link) each(fault func(*faultproxy.Link)) func() error {
	return func() error { l.front.Each(fault); return nil }
}

// relayFault is something that happens to the relay's process, until it returns.
type relayFault struct {
	name   string
	strike func(ctx context.Context, r *process.Relay, dice *rand.Rand) error
}

var relayFaults = []relayFault{
	{"killed", func(ctx context.Context, r *process.Relay, dice *rand.Rand) error {
		r.Kill()
		wait(ctx, ms(dice, 1, 500))
		return start(r)
	}},
	{"ended", func(ctx context.Context, r *process.Relay, dice *rand.Rand) error {
		bound, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		err := r.Stop(bound)
		if r.Kind == "python" && errors.Is(err, context.DeadlineExceeded) {
			err = nil // it waits for links that are half-open, and has been killed for that
		}
		wait(ctx, ms(dice, 1, 500))
		return errors.Join(err, start(r))
	}},
	{"stopped and continued", func(ctx context.Context, r *process.Relay, dice *rand.Rand) error {
		r.Freeze()
		wait(ctx, ms(dice, 100, 3000))
		r.Thaw()
		return nil
	}},
}

// start starts the relay, whatever else ends: the weather clears before the end.
func start(r *process.Relay) error {
	if err := r.Start(context.Background()); err != nil {
		return fmt.Errorf("after a fault: %w", err)
	}
	return nil
}

// wait waits, and reports false when ctx has ended before.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
