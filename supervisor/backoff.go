package supervisor

import (
	"math/rand/v2"
	"time"
)

const (
	defaultMin = time.Second
	defaultMax = time.Minute
	firstMax   = time.Second // the longest wait before a first retry

	maxRetryAfter = 10 * time.Minute
)

// Backoff yields the delays between attempts, each longer than the one before
// and every one of them random.
//
// The first delay is uniform in [0, min(Min, 1 s)): what has just been well is
// tried again at once. Delay k after it is uniform in [d/2, d], where d is Min
// doubled k-1 times, at most Max. With the defaults:
//
//	0–1 s, 0.5–1 s, 1–2 s, 2–4 s, … 16–32 s, 30–60 s, 30–60 s, …
//
// The zero value is ready to use. A Backoff is not safe for concurrent use.
type Backoff struct {
	Min time.Duration // the first step; 0 means 1 s
	Max time.Duration // no delay is longer; 0 means 60 s, or Min when that is more

	begun bool          // the first delay has been given
	step  time.Duration // upper end of the latest range; 0 until the second
}

// Next returns the delay before the next attempt.
//
// Half of each delay is random. All of it would spread a fleet a little wider
// but let one client try twice in an instant; less would keep the clients of a
// restarted server in step. Ten thousand of them reach a delay of 30 to 60 s
// within seven failures, and are then some 330 attempts a second.
func (b *Backoff) Next() time.Duration {
	if !b.begun {
		b.begun = true
		return uniform(b.first())
	}
	lo, hi := b.bounds()
	switch {
	case b.step == 0:
		b.step = lo
	case b.step > hi/2: // doubling could overflow
		b.step = hi
	default:
		b.step *= 2
	}
	half := b.step / 2
	return half + uniform(b.step-half+1)
}

// Reset makes the next delay the first again.
func (b *Backoff) Reset() { b.begun, b.step = false, 0 }

// atLeast returns the next delay, raised to what the other side asked for.
// Whoever asks tells all its clients the same, so jitter comes on top of it.
func (b *Backoff) atLeast(asked time.Duration) time.Duration {
	d := b.Next()
	if asked <= 0 {
		return d
	}
	asked = min(asked, maxRetryAfter)
	return max(d, asked+uniform(max(asked/4, b.first())))
}

// bounds returns the first and the last step, defaults filled in.
func (b *Backoff) bounds() (lo, hi time.Duration) {
	lo, hi = b.Min, b.Max
	if lo <= 0 {
		lo = defaultMin
	}
	if hi <= 0 {
		hi = max(defaultMax, b.Min)
	}
	return min(lo, hi), hi
}

// first returns the end of the range of the first delay.
func (b *Backoff) first() time.Duration {
	lo, _ := b.bounds()
	return min(lo, firstMax)
}

// uniform returns a random time in [0, n).
func uniform(n time.Duration) time.Duration { return rand.N(n) }
