package faultproxy

import (
	"context"
	"fmt"
)

// Stats are a proxy's counters since New.
type Stats struct {
	Accepted int      // connections that became links
	Refused  int      // connections that were reset because of Refuse or Flap
	Open     int      // links that are open: their sockets, or one of them
	Bytes    [2]int64 // delivered in each [Direction]
}

// Stats returns the counters as they are now.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// Await waits until the counters are as they should be, and returns ctx's error
// when that ends first. The function is called whenever they have changed, and
// must not call the proxy.
func (p *Proxy) Await(ctx context.Context, reached func(Stats) bool) error {
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.changed.Broadcast()
	})
	defer stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !reached(p.stats) {
		if ctx.Err() != nil {
			return fmt.Errorf("faultproxy: waiting for counters that are %+v: %w", p.stats, context.Cause(ctx))
		}
		p.changed.Wait()
	}
	return nil
}

func (p *Proxy) delivered(d Direction, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Bytes[d] += int64(bytes)
	p.changed.Broadcast()
}
