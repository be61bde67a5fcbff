// Package codecs are the competitors that turn messages into JSON text and back.
package codecs

import (
	"context"

	"github.com/seed73300619/relay/bench/codecs/wire"
	"github.com/seed73300619/relay/bench/turns"
)

// do has a codec do a job.
type do func(context.Context, wire.Job) (wire.Result, error)

// here is for a codec that is part of this program.
func here[M comparable](c wire.Codec[M]) do {
	return func(_ context.Context, j wire.Job) (wire.Result, error) { return c.Do(j) }
}

// PerMessage is P7.
func PerMessage(quick bool) turns.Measurement {
	m := turns.Measurement{ID: "P7", Title: "codec: encode and decode a message"}
	for _, decode := range []bool{false, true} {
		for i, kind := range wire.Kinds {
			n := []int{400_000, 200_000, 30_000, 100_000, 40_000}[i]
			if quick {
				n /= 100
			}
			m.Cases = append(m.Cases, newCase(wire.Job{Decode: decode, Kind: kind, Messages: n}))
		}
	}
	return m
}

const (
	messagesPerSecond = iota // the figures of each case
	allocations
)

func newCase(j wire.Job) turns.Case {
	c := turns.Case{
		Name: "encode " + j.Kind, Figures: []string{"", "allocated"},
		Units: []string{messagesPerSecond: "messages/s", allocations: "objects/message"},
	}
	allocated := turns.Goal{ID: "P7", Figure: allocations, AtMost: 0.01} // that is none
	if j.Decode {
		c.Name, allocated.AtMost = "decode "+j.Kind, 1
	}
	add := func(name string, do do, skip string, goals ...turns.Goal) {
		c.Sides = append(c.Sides, turns.Side{Name: name, Goals: goals, Skip: skip, Turn: turn(do, j)})
	}
	standardGoal, fastestGoal := turns.Goal{ID: "P7", AtLeast: 5}, turns.Goal{ID: "P7", AtLeast: 1}
	add("relay/codec", here(ours), "", allocated)
	add("encoding/json", here(standard()), "", standardGoal)
	add("encoding/json/v2", v2, v2IsNone(), fastestGoal)
	add("goccy/go-json", here(goccy()), "", fastestGoal)
	add("sonic", here(byteDance), sonicIsNone(), fastestGoal)
	if !j.Decode && j.Kind == wire.NonASCII {
		// The wire has escapes, which Python writes and the others cannot: half
		// of the work is not theirs. That is shown, and no race.
		for i := range c.Sides[1:] {
			c.Sides[1+i].Goals = nil
		}
	}
	return c
}

func turn(do do, j wire.Job) func(context.Context) ([]float64, error) {
	return func(ctx context.Context) ([]float64, error) {
		r, err := do(ctx, j)
		if err != nil {
			return nil, err
		}
		return []float64{messagesPerSecond: 1e9 / r.Nanoseconds, allocations: r.Allocations}, nil
	}
}
