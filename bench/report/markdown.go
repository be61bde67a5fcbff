package report

import (
	"bytes"
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

const introduction = "# Performance, as measured\n\n" +
	"Made by [bench](../../bench) of [results.json](results.json), which has the value of every turn. Do not edit it:\n" +
	"`go run . -out ../docs/performance -readme ../README.md` in `bench` measures all of it anew, with `-run P1` a part of it.\n\n" +
	"Ours and theirs take turns, A B A B …, in one run, do the same work, and what arrives is counted and hashed. A figure is the\n" +
	"median of its turns, in brackets the smallest and the largest. A ratio is ours to theirs, turn by turn, and its median has to\n" +
	"reach the goal. Only ratios say something about the programs; the figures say as much about the machine.\n"

// page is what people read.
func page(results []Result) []byte {
	var b bytes.Buffer
	b.WriteString(introduction)
	if slices.ContainsFunc(results, func(r Result) bool { return r.Run.Quick }) {
		b.WriteString("\n**Some of this was made with `-quick` and means nothing.**\n")
	}
	b.WriteString("\n## All goals\n\n")
	writeGoals(&b, results)
	writeImages(&b, results, "")
	for _, group := range split(results, func(r Result) string { return r.ID }) {
		fmt.Fprintf(&b, "\n## %s: %s\n\n", group[0].ID, group[0].Title)
		writeResults(&b, group)
	}
	b.WriteString("\n## Where\n")
	for _, group := range split(results, func(r Result) Machine { return r.Run.Machine }) {
		writeMachine(&b, group)
	}
	return b.Bytes()
}

// writeResults writes the rows of one measurement, and when they were measured.
func writeResults(b *bytes.Buffer, results []Result) {
	var lines [][]string
	for _, r := range results {
		for _, line := range rows(r) {
			lines = append(lines, line.cells())
		}
	}
	table(b, "---|---|---|---:|---:|---|---:|---|---", heading, lines)
	for _, group := range split(results, func(r Result) Run { return r.Run }) {
		run, took := group[0].Run, time.Duration(0)
		for _, r := range group {
			took += r.Took
		}
		fmt.Fprintf(b, "\n%s: %d turns each in %v, from %s, load before %s, relay at %s:\n`%s`\n",
			names(group), run.Turns, took.Round(time.Second), run.Date, run.Load, run.Commit, run.Command)
	}
}

// names are the cases of the results.
func names(results []Result) string {
	var names []string
	for _, r := range results {
		names = append(names, r.Name)
	}
	return strings.Join(names, ", ")
}

func writeMachine(b *bytes.Buffer, results []Result) {
	var ids []string
	for _, r := range results {
		ids = append(ids, r.ID)
	}
	m := results[0].Run.Machine
	fmt.Fprintf(b, "\n%s: %s, %d cores, %s, %s, %s.\n\n", strings.Join(slices.Compact(ids), ", "), m.CPU, m.Cores, m.Memory, m.Kernel, m.Go)
	for version := range strings.SplitSeq(m.Versions, ", ") {
		fmt.Fprintf(b, "- %s\n", version)
	}
}

// writeGoals writes a line for each goal, and in it all cases that have it.
func writeGoals(b *bytes.Buffer, results []Result) {
	var all []row
	reached, judged := 0, 0
	for _, r := range results {
		for _, line := range rows(r) {
			if line.id == none {
				continue
			}
			all = append(all, line)
			if line.met == met {
				reached++
			}
			if line.met == met || line.met == notMet {
				judged++
			}
		}
	}
	type key struct{ id, title, figure, against string }
	var lines [][]string
	above := ""
	for _, group := range split(all, func(r row) key { return key{r.id, r.title, r.figure, r.against} }) {
		parts := [][]row{group}
		if len(group) > few {
			parts = split(group, func(r row) string { return r.goal })
		}
		for _, part := range parts {
			if len(part) > few {
				lines = append(lines, fromTo(part))
			} else {
				lines = append(lines, each(part))
			}
		}
	}
	for _, line := range lines { // what is the same as above is not repeated
		if what := line[1]; what == above {
			line[1] = ""
		} else {
			above = what
		}
	}
	table(b, "---|---|---|---|---|---", []string{"id", "what", "against", "ratio", "goal", "met"}, lines)
	fmt.Fprintf(b, "\n%d of %d are met.\n", reached, judged)
}

// few are the cases that a line has room for.
const few = 3

// each is the line of a few cases, one by one.
func each(group []row) []string {
	var names, medians, goals, marks []string
	for _, r := range group {
		if r.met != met && r.met != notMet {
			r.met = none // it was left out
		}
		names, medians = append(names, r.name), append(medians, r.median)
		goals, marks = append(goals, r.goal), append(marks, r.met)
	}
	if same := slices.Compact(slices.Clone(goals)); len(same) == 1 {
		goals = same
	}
	return goalLine(group[0], names, medians, goals, strings.Join(marks, " "))
}

// fromTo is the line of many cases that have the same goal: the least and the
// greatest of them, and how many reach it.
func fromTo(group []row) []string {
	reached := 0
	for _, r := range group {
		if r.met == met {
			reached++
		}
	}
	by := func(r, s row) int { return cmp.Compare(r.judged, s.judged) }
	medians := slices.Compact([]string{slices.MinFunc(group, by).median, slices.MaxFunc(group, by).median})
	first, last := group[0], group[len(group)-1]
	names := []string{fmt.Sprintf("%s … %s", first.name, last.name)}
	return goalLine(first, names, []string{strings.Join(medians, " … ")}, []string{first.goal}, fmt.Sprintf("%d of %d", reached, len(group)))
}

func goalLine(r row, names, medians, goals []string, met string) []string {
	what := r.title + ": " + strings.Join(names, ", ")
	if r.figure != "" {
		what += "; " + r.figure
	}
	return []string{r.id, what, r.against, strings.Join(medians, ", "), strings.Join(goals, ", "), met}
}

// writeImages shows the plots that there are, which are in a folder.
func writeImages(b *bytes.Buffer, results []Result, folder string) {
	made := plots(results)
	for _, image := range []struct{ file, text string }{
		{throughputFile, "Plot: messages per second by size of the payload, of all who carry messages"},
		{growthFile, "Plots: what it costs to have ten, a hundred, a thousand and ten thousand clients"},
	} {
		if made[image.file] != nil {
			fmt.Fprintf(b, "\n![%s](%s)\n", image.text, path.Join(folder, image.file))
		}
	}
}

// Markers of the section of a page that the results make.
const begin, end = "<!-- bench -->\n", "<!-- end -->"

// Section returns a Markdown page with its section between the markers made anew.
// The results are in a folder, as the page names it.
func Section(page []byte, results []Result, folder string) ([]byte, error) {
	before, rest, found := bytes.Cut(page, []byte(begin))
	_, after, ends := bytes.Cut(rest, []byte(end))
	if !found || !ends {
		return nil, fmt.Errorf("there is no %q with a %q behind it", begin, end)
	}
	var b bytes.Buffer
	b.Write(before)
	b.WriteString(begin)
	writeGoals(&b, results)
	fmt.Fprintf(&b, "[All figures](%s), of all sides, and where, when and how they were measured.\n", path.Join(folder, pageFile))
	writeImages(&b, results, folder)
	b.WriteString(end)
	b.Write(after)
	return b.Bytes(), nil
}

func table(b *bytes.Buffer, rule string, heading []string, lines [][]string) {
	fmt.Fprintf(b, "| %s |\n|%s|\n", strings.Join(heading, " | "), rule)
	for _, cells := range lines {
		fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
	}
}

// split returns the values in groups of the same key, in the order of the first.
func split[V any, K comparable](values []V, key func(V) K) [][]V {
	var groups [][]V
	at := make(map[K]int)
	for _, v := range values {
		k := key(v)
		i, ok := at[k]
		if !ok {
			i = len(groups)
			at[k] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], v)
	}
	return groups
}
