package report

import (
	"strconv"

	"github.com/seed73300619/relay/bench/turns"
)

// A row is what our figure and a competitor's come to.
type row struct {
	id                  string // of the goal
	title, name, figure string // of the measurement, the case, and what is compared
	against             string
	ours, theirs, unit  string
	ratio               string
	judged              float64 // the median of the ratio, or of our figure if the goal is for that
	median              string  // which is that
	goal, met           string
}

const (
	none      = "–"
	shownOnly = "shown only"
	met       = "✓"
	notMet    = "✗"
)

// rows returns a row for each goal, and one for each figure of a competitor that
// has none; those of a figure together.
func rows(r Result) []row {
	var rows []row
	for figure := range r.Figures {
		for side, competitor := range r.Sides {
			goals := 0
			for _, g := range competitor.Goals {
				if g.Figure == figure {
					rows = append(rows, goalRow(r, side, g))
					goals++
				}
			}
			if goals == 0 && (side > 0 || len(r.Sides) == 1) {
				rows = append(rows, newRow(r, side, figure))
			}
		}
	}
	return rows
}

// newRow returns the row of a figure of a side, without a goal.
func newRow(r Result, side, figure int) row {
	ours, s := r.Of(0, figure), scaleFor(r, side, figure)
	line := row{
		id: none, title: r.Title, name: r.Name, figure: r.Figures[figure], against: none,
		ours: s.spread(ours), theirs: none, unit: s.unit, ratio: none, median: none, goal: shownOnly,
	}
	switch competitor := r.Sides[side]; {
	case side == 0:
	case competitor.Skip != "":
		line.against, line.met = competitor.Name, "left out: "+competitor.Skip
	default:
		theirs := r.Of(side, figure)
		line.against, line.theirs = competitor.Name, s.spread(theirs)
		if theirs.Min > 0 {
			ratio := r.Ratio(side, figure)
			line.ratio, line.median, line.judged = spread(ratio, digits), digits(ratio.Median), ratio.Median
		}
	}
	return line
}

// scaleFor returns the scale in which the lesser of both figures reads well.
func scaleFor(r Result, side, figure int) scale {
	v := r.Of(0, figure).Median
	if r.Sides[side].Skip == "" {
		v = min(v, r.Of(side, figure).Median)
	}
	return scaleOf(r.UnitOf(figure), v)
}

// goalRow returns the row of a goal, which the median has to reach.
func goalRow(r Result, side int, g turns.Goal) row {
	line := newRow(r, side, g.Figure)
	line.id = g.ID
	switch {
	case side == 0:
		s := scaleFor(r, 0, g.Figure)
		line.judged = r.Of(0, g.Figure).Median
		line.median = s.number(line.judged) + " " + line.unit
		line.goal = bound(g, s.factor) + " " + line.unit
		line.met = mark(g.Met(line.judged))
	case r.Sides[side].Skip != "":
		line.goal = bound(g, 1) + "×"
	default:
		line.goal = bound(g, 1) + "×"
		line.met = mark(g.Met(r.Ratio(side, g.Figure).Median))
	}
	return line
}

func bound(g turns.Goal, factor float64) string {
	sign, v := "≥ ", g.AtLeast
	if g.AtMost > 0 {
		sign, v = "≤ ", g.AtMost
	}
	return sign + strconv.FormatFloat(v*factor, 'g', 4, 64)
}

func mark(isMet bool) string {
	if isMet {
		return met
	}
	return notMet
}

// what names the case, and the figure if there are several.
func (r row) what() string {
	if r.figure == "" {
		return r.name
	}
	return r.name + ", " + r.figure
}

var heading = []string{"id", "case", "against", "ours", "theirs", "unit", "ratio", "goal", "met"}

func (r row) cells() []string {
	return []string{r.id, r.what(), r.against, r.ours, r.theirs, r.unit, r.ratio, r.goal, r.met}
}
