package report

import (
	"bytes"
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/seed73300619/relay/bench/turns"
)

// A plot has lines over sizes or counts, both axes logarithmic.
type plot struct {
	title string
	unit  string // of the values
	lines []line
}

// A line is one competitor: the first of a plot is ours.
type line struct {
	name   string
	points []point
}

// A point is the spread of a figure in a case.
type point struct {
	x     float64
	label string // of x
	y     turns.Spread
}

// add puts a point on the line of a competitor.
func (p *plot) add(name string, at point) {
	i := slices.IndexFunc(p.lines, func(l line) bool { return l.name == name })
	if i < 0 {
		i = len(p.lines)
		p.lines = append(p.lines, line{name: name})
	}
	p.lines[i].points = append(p.lines[i].points, at)
}

// style is readable on light and on dark pages, where colors are told apart by
// everybody: each line has a name at its end, and a mark of its own, too.
const style = `
svg { font: 13px system-ui, sans-serif; --page: #fff; --ink: #1f2328; --faint: #d1d9e0; --soft: #59636e;
  --c0: #0072b2; --c1: #d55e00; --c2: #00805d; --c3: #aa4499; --c4: #7a7a00; --c5: #882255; --c6: #3d85c6; --c7: #8c564b; --c8: #6e6e6e }
@media (prefers-color-scheme: dark) {
  svg { --page: #0d1117; --ink: #f0f6fc; --faint: #3d444d; --soft: #9198a1;
    --c0: #56b4e9; --c1: #e69f00; --c2: #2bc594; --c3: #d98cc5; --c4: #f0e442; --c5: #ee8866; --c6: #99ddff; --c7: #c9a27e; --c8: #aaaaaa }
}
text { fill: var(--ink) } .soft { fill: var(--soft) } .title { font-weight: 600 } .ours { font-weight: 700 }
.grid { stroke: var(--faint); fill: none } .lead { stroke: var(--soft); stroke-width: .7; fill: none }
.line { fill: none; stroke-width: 1.7 } .spread { stroke-width: 1.2 } .line.ours { stroke-width: 3 }
`

const (
	colors = 9 // in style
	gap    = 16.0
)

// draw returns the plots as one SVG, so many in a row.
func draw(columns int, width, height float64, plots ...plot) []byte {
	rows := (len(plots) + columns - 1) / columns
	w, h := width*float64(min(columns, len(plots))), height*float64(rows)
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" role="img">`, w, h, w, h)
	fmt.Fprintf(&b, "\n<title>%s</title>\n<style>%s</style>\n", html.EscapeString(plots[0].title), style)
	fmt.Fprintf(&b, `<rect width="%g" height="%g" rx="6" style="fill: var(--page)"/>`+"\n", w, h)
	for i, p := range plots {
		fmt.Fprintf(&b, `<g transform="translate(%g %g)">`+"\n", width*float64(i%columns), height*float64(i/columns))
		newArea(p, width, height).draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// An area is where a plot is drawn: its corners, and the values there.
type area struct {
	plot
	left, top, right, bottom float64
	minX, maxX, minY, maxY   float64
	columns                  []point // one of each x
	ticks                    []float64
}

func newArea(p plot, width, height float64) area {
	a := area{plot: p, left: 72, top: 44, bottom: height - 34, minX: math.Inf(1), minY: math.Inf(1)}
	longest := 0
	for _, l := range p.lines {
		longest = max(longest, len([]rune(l.name)))
		for _, at := range l.points {
			if !slices.ContainsFunc(a.columns, func(c point) bool { return c.x == at.x }) {
				a.columns = append(a.columns, at)
			}
			a.minX, a.maxX = min(a.minX, at.x), max(a.maxX, at.x)
			a.minY, a.maxY = min(a.minY, at.y.Min), max(a.maxY, at.y.Max)
		}
	}
	a.right = width - 44 - 6.8*float64(longest)
	a.ticks, a.minY, a.maxY = ticks(p.unit, a.minY, a.maxY)
	return a
}

func (a area) x(v float64) float64 {
	const margin = 14
	if a.minX == a.maxX {
		return a.right - margin
	}
	return a.left + margin + (a.right-a.left-2*margin)*math.Log(v/a.minX)/math.Log(a.maxX/a.minX)
}

func (a area) y(v float64) float64 {
	return a.bottom - (a.bottom-a.top)*math.Log(v/a.minY)/math.Log(a.maxY/a.minY)
}

func (a area) draw(b *bytes.Buffer) {
	fmt.Fprintf(b, `<text class="title" x="14" y="24">%s</text>`+"\n", html.EscapeString(a.title))
	for _, v := range a.ticks {
		fmt.Fprintf(b, `<path class="grid" d="M%.1f %.1fH%.1f"/>`, a.left, a.y(v), a.right)
		fmt.Fprintf(b, `<text class="soft" text-anchor="end" x="%.1f" y="%.1f">%s</text>`+"\n", a.left-8, a.y(v)+4.5, tickName(a.unit, v))
	}
	for _, c := range a.columns {
		fmt.Fprintf(b, `<text class="soft" text-anchor="middle" x="%.1f" y="%.1f">%s</text>`+"\n", a.x(c.x), a.bottom+22, html.EscapeString(c.label))
	}
	for i := len(a.lines) - 1; i >= 0; i-- { // ours is above the others
		a.drawLine(b, i)
	}
	a.drawNames(b)
}

func (a area) drawLine(b *bytes.Buffer, i int) {
	var path strings.Builder
	for j, at := range a.lines[i].points {
		x, y := a.x(at.x), a.y(at.y.Median)
		fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(j, 1)], x, y)
		fmt.Fprintf(b, `<path class="spread" style="stroke: var(--c%d)" d="M%.1f %.1fV%.1f"/>`, i%colors, x, a.y(at.y.Min), a.y(at.y.Max))
		shape(b, i, x, y)
	}
	fmt.Fprintf(b, `<path class="line%s" style="stroke: var(--c%d)" d="%s"/>`+"\n", ours(i), i%colors, path.String())
}

// drawNames writes the name of each line behind its end, or as near to that as
// the other names allow.
func (a area) drawNames(b *bytes.Buffer) {
	type label struct {
		line     int
		x, y, at float64 // the end of the line, and where the name is
	}
	var labels []label
	for i, l := range a.lines {
		end := l.points[len(l.points)-1]
		labels = append(labels, label{i, a.x(end.x), a.y(end.y.Median), a.y(end.y.Median)})
	}
	slices.SortFunc(labels, func(l, m label) int { return cmp.Compare(l.y, m.y) })
	for i := range labels[1:] {
		labels[i+1].at = max(labels[i+1].at, labels[i].at+gap)
	}
	bottom := a.bottom + gap
	for i := len(labels) - 1; i >= 0; i-- {
		labels[i].at = min(labels[i].at, bottom-gap)
		bottom = labels[i].at
	}
	for _, l := range labels {
		fmt.Fprintf(b, `<path class="lead" d="M%.1f %.1fL%.1f %.1fh6"/>`, l.x+7, l.y, a.right+6, l.at)
		shape(b, l.line, a.right+20, l.at)
		fmt.Fprintf(b, `<text class="name%s" x="%.1f" y="%.1f">%s</text>`+"\n", ours(l.line), a.right+30, l.at+4.5, html.EscapeString(a.lines[l.line].name))
	}
}

func ours(line int) string {
	if line == 0 {
		return " ours"
	}
	return ""
}

// shapes are the shapes at the points, about the origin.
var shapes = []string{
	"M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z", // circle
	"M-3.6-3.6h7.2v7.2h-7.2Z",            // square
	"M0-4.8L4.6 3.4H-4.6Z",               // triangle
	"M0-5L5 0L0 5L-5 0Z",                 // diamond
	"M0 4.8L4.6-3.4H-4.6Z",               // triangle, upside down
}

// shape draws the shape of a line: filled, and when these are used up, open.
func shape(b *bytes.Buffer, line int, x, y float64) {
	color := fmt.Sprintf("var(--c%d)", line%colors)
	fill := color
	if line/len(shapes)%2 == 1 {
		fill = "var(--page)"
	}
	fmt.Fprintf(b, `<path transform="translate(%.1f %.1f)" style="fill: %s; stroke: %s; stroke-width: 1.5" d="%s"/>`, x, y, fill, color, shapes[line%len(shapes)])
}

// A grid has values that are round, and grow with k.
type grid func(k int) float64

// The grids of an axis, the finest first: bytes have powers of two.
var (
	decimal = []grid{
		func(k int) float64 { return math.Pow10((k+300)/3-100) * []float64{1, 2, 5}[(k+300)%3] },
		math.Pow10,
		func(k int) float64 { return math.Pow10(2 * k) },
	}
	binary = []grid{
		func(k int) float64 { return math.Ldexp(1, k) },
		func(k int) float64 { return math.Ldexp(1, 2*k) },
		func(k int) float64 { return math.Ldexp(1, 4*k) },
	}
)

// ticks returns the ends of an axis that has room for low and high, and the round
// values on it, not too many.
func ticks(unit string, low, high float64) (values []float64, begin, end float64) {
	grids := decimal
	if head, _, _ := strings.Cut(unit, "/"); strings.HasSuffix(head, "B") {
		grids = binary
	}
	begin, end = 0, math.Inf(1)
	for k := -100; k < 100; k++ {
		switch v := grids[0](k); {
		case v < low*0.97:
			begin = v
		case v > high*1.03:
			end = min(end, v)
		}
	}
	for _, at := range grids {
		values = nil
		for k := -100; k < 100; k++ {
			if v := at(k); begin <= v && v <= end {
				values = append(values, v)
			}
		}
		if len(values) <= 8 {
			break
		}
	}
	return values, begin, end
}

// tickName is a round value, with its unit unless the title has that.
func tickName(unit string, v float64) string {
	s := scaleOf(unit, v)
	name := s.write(v, func(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) })
	if s.prefix {
		return name
	}
	head, _, _ := strings.Cut(s.unit, "/")
	return name + " " + head
}
