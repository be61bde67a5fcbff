package gate

import "time"

// pace spreads connections out to a rate, after a burst. It keeps the time at
// which the burst would be whole again: each connection moves it on.
type pace struct {
	each  time.Duration // between two connections; 0: no bound
	slack time.Duration // a burst's worth, less the one that comes
	whole time.Time
}

func (p *pace) set(rate float64, burst int) {
	if rate <= 0 {
		*p = pace{}
		return
	}
	if burst <= 0 {
		burst = max(1, int(rate))
	}
	p.each = max(1, time.Duration(float64(time.Second)/rate))
	p.slack = time.Duration(burst-1) * p.each
}

// wait returns how long it is until the next connection may come.
func (p *pace) wait(now time.Time) time.Duration {
	if p.each == 0 {
		return 0
	}
	return p.whole.Add(-p.slack).Sub(now)
}

// take counts a connection that comes now.
func (p *pace) take(now time.Time) {
	if p.whole.Before(now) {
		p.whole = now
	}
	p.whole = p.whole.Add(p.each)
}
