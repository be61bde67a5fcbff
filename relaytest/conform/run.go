package conform

import (
	"context"
	"iter"
	"sync"
)

// Run runs cases on a relay and yields their results in the order of the cases.
// The slow ones, which mostly wait, run all at once, of the others a few at a
// time. When the loop over it ends, nothing of them is left.
func Run(ctx context.Context, target Target, cases []Case) iter.Seq2[Case, Result] {
	return func(yield func(Case, Result) bool) {
		var running sync.WaitGroup
		defer running.Wait()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		places := make(chan struct{}, 8)
		results := make([]chan Result, len(cases))
		for i, c := range cases {
			results[i] = make(chan Result, 1)
			running.Go(func() {
				if !c.Slow {
					places <- struct{}{}
					defer func() { <-places }()
				}
				results[i] <- c.Run(ctx, target)
			})
		}
		for i, c := range cases {
			if !yield(c, <-results[i]) {
				return
			}
		}
	}
}
