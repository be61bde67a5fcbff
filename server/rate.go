package server

import (
	"context"
	"time"
)

// rates are the limits on what a connection sends. Its reader uses them.
type rates struct{ messages, bytes rate }

// newRates returns nil if there is no limit.
func newRates(cfg *config) *rates {
	if cfg.messageRate == 0 && cfg.byteRate == 0 {
		return nil
	}
	return &rates{newRate(cfg.messageRate), newRate(cfg.byteRate)}
}

// A rate is a token bucket: so much a second, and a second's worth at once. The
// zero value has no limit.
type rate struct {
	perSecond float64
	left      float64 // below zero: how much has to be waited for
	at        time.Time
}

func newRate(perSecond int) rate {
	return rate{perSecond: float64(perSecond), left: float64(perSecond), at: time.Now()}
}

// take takes n, and returns how long to wait before the next.
func (r *rate) take(n int, now time.Time) time.Duration {
	if r.perSecond == 0 {
		return 0
	}
	r.left = min(r.left+now.Sub(r.at).Seconds()*r.perSecond, r.perSecond) - float64(n)
	r.at = now
	if r.left >= 0 {
		return 0
	}
	return time.Duration(-r.left / r.perSecond * float64(time.Second))
}

// pace holds the reader up when the peer sends more than it may. It holds up
// nobody but the peer, whose socket is not read meanwhile.
func (c *conn) pace(bytes int) {
	r := c.rates
	if r == nil {
		return
	}
	now := time.Now()
	wait := max(r.messages.take(1, now), r.bytes.take(bytes, now))
	if wait < minPause {
		return // a timer is not worth it yet; what is owed stays owed
	}
	c.s.stats.throttled.Add(1)
	if hidden, ok := c.s.oddities.fast.allow(); ok {
		c.cfg.logger.Info("a connection sends more than it may, and is read more slowly", "conn", c.id, "remote", c.remote,
			"messages_per_second", r.messages.perSecond, "bytes_per_second", r.bytes.perSecond, "hidden", hidden)
	}
	pause(c.ctx, wait)
}

// minPause is the shortest wait: waking up costs more than a message does.
const minPause = 5 * time.Millisecond

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
