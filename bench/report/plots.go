package report

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	throughputFile = "throughput.svg"
	growthFile     = "scale.svg"
)

// plots are the files that show results at a glance, those of which there are any.
func plots(results []Result) map[string][]byte {
	files := make(map[string][]byte)
	if p := throughput(results); len(p.lines) > 0 {
		files[throughputFile] = draw(1, 860, 460, p)
	}
	if panels := growth(results); len(panels) > 0 {
		files[growthFile] = draw(2, 480, 320, panels...)
	}
	return files
}

// throughput is what P1 says, of all who carry messages.
func throughput(results []Result) plot {
	p := plot{title: "One way through the server: messages/s by payload", unit: "messages/s"}
	for _, r := range results {
		if r.ID == "P1" {
			p.addResult(r, 0)
		}
	}
	return p
}

// growth is what measurement "scale" says, a plot for each figure.
func growth(results []Result) []plot {
	var panels []plot
	for _, r := range results {
		if r.ID != "scale" {
			continue
		}
		for figure, name := range r.Figures {
			if figure == len(panels) {
				unit := r.UnitOf(figure)
				panels = append(panels, plot{title: name + caption(unit) + ", by clients", unit: unit})
			}
			panels[figure].addResult(r, figure)
		}
	}
	return slices.DeleteFunc(panels, func(p plot) bool { return len(p.lines) == 0 })
}

// caption is what a title has to say of a unit, whose times and bytes are at the
// axis.
func caption(unit string) string {
	s := scaleOf(unit, 1)
	_, per, found := strings.Cut(unit, "/")
	switch {
	case s.prefix:
		return ", " + unit
	case found:
		return " per " + per
	}
	return ""
}

// addResult puts a figure of all sides into the plot, if the name of the case is a
// size or a count, and the figure is above zero, as logarithms want it.
func (p *plot) addResult(r Result, figure int) {
	label := sized.FindString(r.Name)
	x, ok := size(label)
	if !ok {
		return
	}
	for side, competitor := range r.Sides {
		if competitor.Skip == "" && r.Of(side, figure).Min > 0 {
			p.add(competitor.Name, point{x: x, label: strings.TrimSpace(label), y: r.Of(side, figure)})
		}
	}
}

var sized = regexp.MustCompile(`^([\d,]+)(?: (B|KB|MB)| |$)`)

// size returns what a name like "16 KB" or "1,000 clients" begins with.
func size(name string) (float64, bool) {
	match := sized.FindStringSubmatch(name)
	if match == nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(strings.ReplaceAll(match[1], ",", ""), 64)
	return v * map[string]float64{"": 1, "B": 1, "KB": 1 << 10, "MB": 1 << 20}[match[2]], err == nil
}
