package ops

import (
	"math"
	"strconv"
	"strings"
)

// The plots are drawn in these units; the style sheet stretches them.
const (
	plotWidth  = span
	plotHeight = 60
)

// A plot is a series, drawn.
type plot struct {
	ID      string `json:"id"`
	Title   string `json:"-"`
	Unit    string `json:"-"`
	Now     string `json:"now"`
	Mean    string `json:"mean"`
	Peak    string `json:"peak"`
	Top     string `json:"top"` // of the axis
	Line    string `json:"line"`
	Area    string `json:"area"` // below the line
	Summary string `json:"summary"`
}

// plots draws the history of a sample.
func plots(history []point) []plot {
	list := make([]plot, len(plotted))
	values := make([]float64, len(history))
	for i, s := range plotted {
		sum, peak := 0.0, 0.0
		for j := range history {
			values[j] = history[j][i]
			sum += values[j]
			peak = max(peak, values[j])
		}
		top := ceiling(max(peak, s.least))
		p := plot{ID: s.id, Title: s.title, Unit: s.unit, Top: axis(s.format(top)),
			Now:  s.format(values[len(values)-1]),
			Mean: s.format(sum / float64(len(values))),
			Peak: s.format(peak),
		}
		p.Line, p.Area = draw(values, top)
		p.Summary = "The last five minutes, " + s.unit + ". Now " + p.Now + ", on average " + p.Mean + ", at most " + p.Peak + "."
		list[i] = p
	}
	return list
}

// axis writes 10 kB for 10.0 kB.
func axis(figure string) string {
	return strings.NewReplacer(".00 ", " ", ".0 ", " ").Replace(figure)
}

// ceiling returns the next of 1, 2, 5, 10, 20, 50 and so on to v, which is at
// least 1.
func ceiling(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range []float64{1, 2, 5} {
		if v <= step*unit {
			return step * unit
		}
	}
	return 10 * unit
}

// draw returns the SVG paths of a line, the newest value at the right edge, and
// of the area below it. Of a stretch that is level only the ends are drawn.
func draw(values []float64, top float64) (line, area string) {
	path := make([]byte, 0, 8*len(values))
	y := func(i int) int { return int(math.Round((1 - values[i]/top) * plotHeight)) }
	first := plotWidth - len(values) + 1
	for i := range values {
		if i > 0 && i < len(values)-1 && y(i) == y(i-1) && y(i) == y(i+1) {
			continue
		}
		if i == 0 {
			path = append(path, 'M')
		} else {
			path = append(path, 'L')
		}
		path = strconv.AppendInt(path, int64(first+i), 10)
		path = append(path, ' ')
		path = strconv.AppendInt(path, int64(y(i)), 10)
	}
	line = string(path)
	bottom := strconv.Itoa(plotHeight)
	return line, line + "V" + bottom + "H" + strconv.Itoa(first) + "Z"
}
