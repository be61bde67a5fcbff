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
	ratio               string // or our figure with its unit, if the goal is for that
	goal, met           string
}

const (
	none      = "–"
	shownOnly = "shown only"
)

// rows returns a row for each goal, and one for each figure of a competitor that
// has none.
func rows(r Result) []row {
	var rows []row
	for side, competitor := range r.Sides {
		for figure := range r.Figures {
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
	ours := r.Of(0, figure)
	s := scaleOf(r.UnitOf(figure), ours.Median)
	line := row{
		id: none, title: r.Title, name: r.Name, figure: r.Figures[figure], against: none,
		ours: s.spread(ours), theirs: none, unit: s.unit, ratio: none, goal: shownOnly,
	}
	switch competitor := r.Sides[side]; {
	case side == 0:
	case competitor.Skip != "":
		line.against = competitor.Name + " (left out: " + competitor.Skip + ")"
	default:
		line.against = competitor.Name
		line.theirs = s.spread(r.Of(side, figure))
		line.ratio = spread(r.Ratio(side, figure), digits)
	}
	return line
}

// goalRow returns the row of a goal, which the median has to reach.
func goalRow(r Result, side int, g turns.Goal) row {
	line := newRow(r, side, g.Figure)
	line.id = g.ID
	if side > 0 {
		line.goal = bound(g, 1) + "×"
		if r.Sides[side].Skip == "" {
			line.met = mark(g.Met(r.Ratio(side, g.Figure).Median))
		}
		return line
	}
	ours := r.Of(0, g.Figure)
	line.ratio = line.ours + " " + line.unit
	line.goal = bound(g, scaleOf(r.UnitOf(g.Figure), ours.Median).factor) + " " + line.unit
	line.met = mark(g.Met(ours.Median))
	return line
}

func bound(g turns.Goal, factor float64) string {
	sign, v := "≥ ", g.AtLeast
	if g.AtMost > 0 {
		sign, v = "≤ ", g.AtMost
	}
	return sign + strconv.FormatFloat(v*factor, 'g', 4, 64)
}

func mark(met bool) string {
	if met {
		return "✓"
	}
	return "✗"
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

// measurements returns the results by measurement.
func measurements(results []Result) [][]Result {
	var groups [][]Result
	for i, r := range results {
		if i == 0 || results[i-1].ID != r.ID {
			groups = append(groups, nil)
		}
		last := &groups[len(groups)-1]
		*last = append(*last, r)
	}
	return groups
}
