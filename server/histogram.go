package server

import (
	"sync/atomic"
	"time"
)

// A Histogram tells how long something took.
type Histogram struct {
	Count  uint64    // how often it was measured
	Sum    float64   // of all, in seconds
	Bounds []float64 // upper bounds in seconds, rising; must not be changed
	Counts []uint64  // for each bound, how many took at most that long
}

// bounds are those of all histograms, in seconds.
var bounds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// A histogram counts into what becomes a Histogram.
type histogram struct {
	sum    atomic.Int64      // nanoseconds
	counts [17]atomic.Uint64 // by bound, and one more for what is beyond all
}

func (h *histogram) observe(d time.Duration) {
	h.sum.Add(int64(d))
	i, seconds := 0, d.Seconds()
	for i < len(bounds) && seconds > bounds[i] {
		i++
	}
	h.counts[i].Add(1)
}

func (h *histogram) snapshot() Histogram {
	s := Histogram{Sum: time.Duration(h.sum.Load()).Seconds(), Bounds: bounds, Counts: make([]uint64, len(bounds))}
	for i := range bounds {
		s.Count += h.counts[i].Load()
		s.Counts[i] = s.Count
	}
	s.Count += h.counts[len(bounds)].Load()
	return s
}
