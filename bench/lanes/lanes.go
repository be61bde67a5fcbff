// Package lanes are the competitors that carry messages from one program to
// another: each from its client over its server to a second client, on sockets
// of the loopback, all in this process.
package lanes

import (
	"context"
	"fmt"
	"time"

	"github.com/seed73300619/relay/bench/payloads"
	"github.com/seed73300619/relay/bench/servers"
	"github.com/seed73300619/relay/bench/turns"
)

// A lane is set up: what is sent at one end arrives at the other.
type lane interface {
	// send hands n messages over, the payloads in turn, and everything that it
	// holds back itself; it may wait for the other end.
	send(ctx context.Context, n int, p *payloads.Set) error
	// receive takes n messages and returns their sum.
	receive(ctx context.Context, n int) (payloads.Sum, error)
	// close leaves nothing behind.
	close() error
}

// oneWay returns the turn of a lane: messages per second from the first send
// until the last was received, after a warm-up.
func oneWay(open func(context.Context) (lane, error), n int, p *payloads.Set) func(context.Context) ([]float64, error) {
	return func(ctx context.Context) (_ []float64, err error) {
		l, err := open(ctx)
		if err != nil {
			return nil, err
		}
		defer func() {
			if e := l.close(); err == nil {
				err = e
			}
		}()
		if _, err := carry(ctx, l, max(n/20, 1), p); err != nil {
			return nil, err
		}
		took, err := carry(ctx, l, n, p)
		return []float64{float64(n) / took.Seconds()}, err
	}
}

// carry sends n messages through l and checks them.
func carry(ctx context.Context, l lane, n int, p *payloads.Set) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	sent := make(chan error, 1)
	start := time.Now()
	go func() { sent <- l.send(ctx, n, p) }()
	got, err := l.receive(ctx, n)
	took := time.Since(start)
	if err != nil {
		return 0, fmt.Errorf("receive: %w (%d of %d had come)", err, got.Messages, n)
	}
	if err := <-sent; err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	if want := p.Sum(0, n); got != want {
		return 0, fmt.Errorf("%+v arrived, want %+v", got, want)
	}
	return took, nil
}

// A size is one of payloads.
type size struct {
	name    string
	bytes   int
	through int // how many a turn sends over a relay
}

// sizes are those that are sent one way.
var sizes = []size{{"64 B", 64, 300_000}, {"1 KB", 1 << 10, 150_000}, {"16 KB", 16 << 10, 30_000}}

// messages returns how many a turn sends.
func (s size) messages(quick bool) int {
	if quick {
		return s.through / 50
	}
	return s.through
}

// OneWay is P1 and its kin.
func OneWay(quick bool) turns.Measurement {
	m := turns.Measurement{ID: "P1", Title: "one way, Outbox → relay → Inbox, typed"}
	for i, size := range sizes {
		n, p := size.messages(quick), payloads.New(size.bytes)
		m.Cases = append(m.Cases, turns.Case{
			Name: size.name, Unit: "messages/s", Figures: []string{""},
			Sides: []turns.Side{
				{Name: "relay", Turn: oneWay(openRelay, n, p)},
				{Name: "nats.go, raw bytes", Goals: []turns.Goal{{ID: "P1", AtLeast: 1}}, Turn: oneWay(openNATS, n, p)},
				{Name: "nats.go, encoding/json", Goals: []turns.Goal{{ID: "P1j", AtLeast: []float64{3, 5, 8}[i]}}, Turn: oneWay(openNATSWithJSON, n, p)},
				{Name: "gorilla, raw frames", Turn: oneWay(openGorilla, n, p)},
				{Name: "coder, raw frames", Turn: oneWay(openCoder, n, p)},
				{Name: "gws, raw frames", Turn: oneWay(openGWS, n, p)},
				{Name: "DERP, a window of 32", Goals: []turns.Goal{{ID: "P1d", AtLeast: 1.5}}, Turn: oneWay(openDERP(derpQueue), n, p)},
				{Name: "DERP, a queue of 1024", Turn: oneWay(openDERP(deepDERPQueue), n, p)},
				{Name: "ProxyStore", Skip: servers.NoPython(), Goals: []turns.Goal{{ID: "P1p", AtLeast: 40}}, Turn: oneWay(openPython, n/15, p)},
			},
		})
	}
	return m
}
