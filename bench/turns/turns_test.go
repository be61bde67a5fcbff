package turns

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
)

// script is a side that yields one value after the other, and then fails.
func script(name string, values ...float64) Side {
	return Side{Name: name, Turn: func(context.Context) ([]float64, error) {
		if len(values) == 0 {
			return nil, errors.New("has no more")
		}
		v := values[0]
		values = values[1:]
		return []float64{v}, nil
	}}
}

func TestSidesTakeTurns(t *testing.T) {
	absent := script("absent")
	absent.Skip = "not here"
	c := Case{Figures: []string{""}, Sides: []Side{script("ours", 2, 6, 4), absent, script("theirs", 1, 2, 1)}}
	var order []string
	r, err := Run(t.Context(), c, 3, func(turn int, side string) { order = append(order, side) })
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"ours", "theirs", "ours", "theirs", "ours", "theirs"}; !slices.Equal(order, want) {
		t.Errorf("%q, want %q", order, want)
	}
	if got, want := r.Of(0, 0), (Spread{Median: 4, Min: 2, Max: 6}); got != want {
		t.Errorf("ours are %+v, want %+v", got, want)
	}
	// Turn by turn, which is not the ratio of the medians.
	if got, want := r.Ratio(2, 0), (Spread{Median: 3, Min: 2, Max: 4}); got != want {
		t.Errorf("the ratios are %+v, want %+v", got, want)
	}
	if len(r.Values[1][0]) > 0 {
		t.Errorf("who is absent yields %v", r.Values[1])
	}
}

func TestOfAnEvenNumberTheMedianIsBetween(t *testing.T) {
	if got, want := spread([]float64{8, 1, 2, 4}), (Spread{Median: 3, Min: 1, Max: 8}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// What was measured before a failure are whole turns: ratios need pairs.
func TestAFailureLeavesWholeTurns(t *testing.T) {
	c := Case{Name: "case", Figures: []string{""}, Sides: []Side{script("ours", 1, 2, 3), script("theirs", 1)}}
	r, err := Run(t.Context(), c, 3, func(int, string) {})
	if err == nil || err.Error() != "case, turn 2 of theirs: has no more" {
		t.Errorf("%v", err)
	}
	if want := [][][]float64{{{1}}, {{1}}}; !reflect.DeepEqual(r.Values, want) {
		t.Errorf("%v, want %v", r.Values, want)
	}
}

func TestAnInterruptIsNotLeftToTheSides(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	c := Case{Figures: []string{""}, Sides: []Side{script("ours", 1, 2, 3)}}
	r, err := Run(ctx, c, 3, func(turn int, side string) {
		if turn == 1 {
			interrupt()
		}
	})
	if !errors.Is(err, context.Canceled) || !reflect.DeepEqual(r.Values, [][][]float64{{{1}}}) {
		t.Errorf("%v after %v", err, r.Values)
	}
}

func TestGoals(t *testing.T) {
	for _, test := range []struct {
		goal Goal
		v    float64
		met  bool
	}{
		{Goal{AtLeast: 2}, 2, true},
		{Goal{AtLeast: 2}, 1.99, false},
		{Goal{AtMost: 1.25}, 1.25, true},
		{Goal{AtMost: 1.25}, 1.26, false},
	} {
		if got := test.goal.Met(test.v); got != test.met {
			t.Errorf("%+v is met by %v: %v", test.goal, test.v, got)
		}
	}
}
