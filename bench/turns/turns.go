// Package turns measures competitors side by side: in one run, by turns, so that
// whatever else happens on the machine happens to all of them.
package turns

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// A Measurement is one question, asked in one or more cases.
type Measurement struct {
	ID    string // "P1"
	Title string // what is measured, in a line
	Cases []Case
}

// A Case is one setting in which all sides do the same work.
type Case struct {
	Name    string   // "64 B"
	Unit    string   // of the figures: "messages/s"; "s" and "B" are shown in µs, KiB and so on
	Units   []string `json:",omitempty"` // of each figure, where they differ
	Figures []string // what each turn yields: {""}, or {"p50", "p99"}
	Sides   []Side   // ours is the first
}

// UnitOf returns the unit of a figure.
func (c Case) UnitOf(figure int) string {
	if len(c.Units) > 0 {
		return c.Units[figure]
	}
	return c.Unit
}

// A Side is one competitor.
type Side struct {
	Name  string
	Goals []Goal `json:",omitempty"` // of ours against it, or for ours alone; empty: shown only
	Skip  string `json:",omitempty"` // why it cannot take its turns here: "no Python"

	// Turn does the work once, from setting up to clearing away, checks that it
	// was done, and returns a value for each figure.
	Turn func(context.Context) ([]float64, error) `json:"-"`
}

// A Goal is what the ratio of ours to theirs should be, or, among the goals of our
// own side, what our figure should be. One of the bounds is set.
type Goal struct {
	ID      string  // of its row, "P1j"
	Figure  int     `json:",omitempty"` // which of the case
	AtLeast float64 `json:",omitempty"`
	AtMost  float64 `json:",omitempty"`
}

// Met reports whether v, a ratio or our figure, reaches the goal.
func (g Goal) Met(v float64) bool {
	if g.AtMost > 0 {
		return v <= g.AtMost
	}
	return v >= g.AtLeast
}

// A Result is what the turns of a case have yielded.
type Result struct {
	Case
	Values [][][]float64 // by side, figure and turn
	Took   time.Duration
}

// Run has each side of c take its turn, n times, and calls progress before each.
// A side that fails ends the run: a table without it would not be a comparison.
// The result then has the turns before, in which all sides took part.
func Run(ctx context.Context, c Case, n int, progress func(turn int, side string)) (Result, error) {
	start := time.Now()
	r := Result{Case: c, Values: make([][][]float64, len(c.Sides))}
	for i := range r.Values {
		r.Values[i] = make([][]float64, len(c.Figures))
	}
	for turn := range n {
		values := make([][]float64, len(c.Sides))
		for i, side := range c.Sides {
			if side.Skip != "" {
				continue
			}
			progress(turn, side.Name)
			runtime.GC() // nobody cleans up behind another
			err := ctx.Err()
			if err == nil {
				values[i], err = side.Turn(ctx)
			}
			if err != nil {
				return r, fmt.Errorf("%s, turn %d of %s: %w", c.Name, turn+1, side.Name, err)
			}
			if len(values[i]) != len(c.Figures) {
				panic(fmt.Sprintf("%s yields %d figures of %d", side.Name, len(values[i]), len(c.Figures)))
			}
		}
		for i := range values {
			for figure, v := range values[i] {
				r.Values[i][figure] = append(r.Values[i][figure], v)
			}
		}
		r.Took = time.Since(start)
	}
	return r, nil
}

// A Spread is the middle and the ends of some values.
type Spread struct{ Median, Min, Max float64 }

func spread(values []float64) Spread {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return Spread{Median: (v[(n-1)/2] + v[n/2]) / 2, Min: v[0], Max: v[n-1]}
}

// Of returns the spread of one side's values.
func (r *Result) Of(side, figure int) Spread { return spread(r.Values[side][figure]) }

// Ratio returns the spread of ours to the side's, turn by turn.
func (r *Result) Ratio(side, figure int) Spread {
	ours, theirs := r.Values[0][figure], r.Values[side][figure]
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / theirs[i]
	}
	return spread(ratios)
}
