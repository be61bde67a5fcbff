package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/seed73300619/relay/bench/turns"
)

// A scale writes the figures of a row in one unit, so that they compare at a
// glance.
type scale struct {
	unit   string
	factor float64 // of a figure, to be in the unit
	prefix bool    // 1.23M
}

// A step is a unit that others are multiples of, or one of these.
type step struct {
	unit string
	size float64
}

var families = [][]step{
	{{"s", 1}, {"ms", 1e-3}, {"µs", 1e-6}, {"ns", 1e-9}},
	{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}},
}

// scaleOf returns the scale for figures from v on, in unit: for times and bytes
// the largest of which v has at least one, for all else the unit itself.
func scaleOf(unit string, v float64) scale {
	head, per, of := strings.Cut(unit, "/")
	if of {
		per = "/" + per
	}
	for _, family := range families {
		for _, given := range family {
			if head != given.unit {
				continue
			}
			v *= given.size
			for i, s := range family {
				if math.Abs(v) >= s.size || i == len(family)-1 {
					return scale{unit: s.unit + per, factor: given.size / s.size}
				}
			}
		}
	}
	return scale{unit: unit, factor: 1, prefix: true}
}

// number writes a figure, without its unit.
func (s scale) number(v float64) string { return s.write(v, digits) }

func (s scale) write(v float64, digits func(float64) string) string {
	if !s.prefix {
		return digits(v * s.factor)
	}
	for _, p := range []step{{"G", 1e9}, {"M", 1e6}, {"k", 1e3}} {
		if math.Abs(significant(v)) >= p.size {
			return digits(v/p.size) + p.unit
		}
	}
	if v == math.Trunc(v) {
		return strconv.Itoa(int(v))
	}
	return digits(v)
}

func (s scale) spread(v turns.Spread) string { return spread(v, s.number) }

// spread writes the middle and, where one sees a difference, the ends.
func spread(v turns.Spread, number func(float64) string) string {
	median, low, high := number(v.Median), number(v.Min), number(v.Max)
	if low == high {
		return median
	}
	return fmt.Sprintf("%s [%s–%s]", median, low, high)
}

// digits writes the three that mean something: fewer below one, where two places
// do, and more above a thousand.
func digits(v float64) string {
	switch a := math.Abs(significant(v)); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case v == 0:
		return "0"
	case a >= 1000:
		return thousands(strconv.FormatFloat(v, 'f', 0, 64))
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 0.1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// significant returns v with three digits, so that 99.96 counts as a hundred.
func significant(v float64) float64 {
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'e', 2, 64), 64)
	return v
}

func thousands(s string) string {
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
