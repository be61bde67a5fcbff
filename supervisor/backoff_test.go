package supervisor

import (
	"math"
	"testing"
	"time"
)

func TestBackoffStaysWithinItsRanges(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	type span struct{ from, to time.Duration }
	tests := []struct {
		name    string
		backoff Backoff
		want    []span
	}{
		{"by default 1 s doubles to 60 s", Backoff{},
			[]span{{0, s}, {s / 2, s}, {s, 2 * s}, {2 * s, 4 * s}, {4 * s, 8 * s}, {8 * s, 16 * s}, {16 * s, 32 * s}, {30 * s, 60 * s}, {30 * s, 60 * s}}},
		{"a short Min bounds the first delay", Backoff{Min: 10 * ms, Max: 35 * ms},
			[]span{{0, 10 * ms}, {5 * ms, 10 * ms}, {10 * ms, 20 * ms}, {17500 * time.Microsecond, 35 * ms}, {17500 * time.Microsecond, 35 * ms}}},
		{"a long Min does not lengthen the first delay", Backoff{Min: 10 * s},
			[]span{{0, s}, {5 * s, 10 * s}, {10 * s, 20 * s}, {20 * s, 40 * s}, {30 * s, 60 * s}}},
		{"a Min over the default Max raises it", Backoff{Min: 5 * time.Minute},
			[]span{{0, s}, {150 * s, 300 * s}, {150 * s, 300 * s}}},
		{"a Max below Min wins", Backoff{Min: 10 * s, Max: 400 * ms},
			[]span{{0, 400 * ms}, {200 * ms, 400 * ms}, {200 * ms, 400 * ms}}},
		{"the smallest values work", Backoff{Min: 1, Max: 1},
			[]span{{0, 1}, {0, 1}, {0, 1}}},
		{"the largest values do not overflow", Backoff{Min: math.MaxInt64/2 + 1, Max: math.MaxInt64},
			[]span{{0, s}, {math.MaxInt64 / 4, math.MaxInt64/2 + 1}, {math.MaxInt64 / 2, math.MaxInt64}, {math.MaxInt64 / 2, math.MaxInt64}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := tt.backoff
			for range 200 {
				for k, want := range tt.want {
					if d := b.Next(); d < want.from || d > want.to {
						t.Fatalf("delay %d is %v, want %v to %v", k, d, want.from, want.to)
					}
				}
				b.Reset()
			}
		})
	}
}

// A range that is right but used in one corner only would leave a fleet in step.
func TestBackoffUsesAllOfItsRanges(t *testing.T) {
	const fleet, buckets = 10_000, 10
	var seen [3][buckets]int
	for range fleet {
		var b Backoff
		lo := []time.Duration{0, 500 * time.Millisecond, time.Second}
		width := []time.Duration{time.Second, 500 * time.Millisecond, time.Second}
		for k := range seen {
			i := int((b.Next() - lo[k]) * buckets / width[k])
			seen[k][min(i, buckets-1)]++
		}
	}
	for k, counts := range seen {
		for i, n := range counts {
			if n < fleet/buckets*8/10 || n > fleet/buckets*12/10 {
				t.Errorf("delay %d: tenth %d of the range was chosen %d times of %d", k, i, n, fleet)
			}
		}
	}
}

func TestBackoffHonoursWhatIsAskedWithinABound(t *testing.T) {
	tests := []struct {
		name     string
		asked    time.Duration
		from, to time.Duration
	}{
		{"nothing asked", 0, 0, time.Second},
		{"a negative time is ignored", -time.Hour, 0, time.Second},
		{"a short time gets the jitter of a first delay", time.Second, time.Second, 2 * time.Second},
		{"a long time gets a quarter on top", 20 * time.Second, 20 * time.Second, 25 * time.Second},
		{"a year is cut to ten minutes", 365 * 24 * time.Hour, 10 * time.Minute, 12*time.Minute + 30*time.Second},
		{"the longest time does not overflow", math.MaxInt64, 10 * time.Minute, 12*time.Minute + 30*time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			shortest, longest := time.Duration(math.MaxInt64), time.Duration(0)
			for range 500 {
				var b Backoff
				d := b.atLeast(tt.asked)
				shortest, longest = min(shortest, d), max(longest, d)
			}
			if shortest < tt.from || longest > tt.to {
				t.Errorf("%v to %v, want within %v to %v", shortest, longest, tt.from, tt.to)
			}
			if longest-shortest < (tt.to-tt.from)/2 {
				t.Errorf("%v to %v: too little jitter for %v to %v", shortest, longest, tt.from, tt.to)
			}
		})
	}
	t.Run("a time shorter than the backoff changes nothing", func(t *testing.T) {
		b := Backoff{Min: time.Minute}
		b.Next()
		if d := b.atLeast(time.Second); d < 30*time.Second || d > time.Minute {
			t.Errorf("delay is %v, want 30 s to 60 s", d)
		}
	})
}
