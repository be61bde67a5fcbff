package payloads_test

import (
	"testing"

	"github.com/seed73300619/relay/bench/payloads"
)

// What a competitor could do to the payloads changes their sum.
func TestTheSumTellsWhatHasArrived(t *testing.T) {
	s := payloads.New(64)
	const n = payloads.Distinct + 3 // once around
	want := s.Sum(1, n)
	for name, change := range map[string]func(i int) [][]byte{
		"all":     func(i int) [][]byte { return s.Bytes[i : i+1] },
		"lost":    func(i int) [][]byte { return s.Bytes[i : i+min(i, 1)] },
		"twice":   func(i int) [][]byte { return s.Bytes[i : i+1+max(0, i-payloads.Distinct+2)] },
		"another": func(i int) [][]byte { return s.Bytes[i^1 : i^1+1] },
	} {
		var got payloads.Sum
		for i := range n {
			for _, p := range change((1 + i) % payloads.Distinct) {
				got.Add(p)
			}
		}
		if (got == want) != (name == "all") {
			t.Errorf("%s: %+v, and all of them are %+v", name, got, want)
		}
	}
	if !s.Has([]byte(payloads.Text(5, 64))) || s.Has([]byte(payloads.Text(5, 65))) || s.Has([]byte(payloads.Text(payloads.Distinct, 64))) || s.Has([]byte("short")) {
		t.Error("Has is wrong about what is in the set")
	}
}
