package report

import (
	"bytes"
	"fmt"
	"strings"
)

// page is what people read.
func page(results []Result) []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, "# Measured")
	for _, group := range measurements(results) {
		fmt.Fprintf(&b, "\n## %s: %s\n\n", group[0].ID, group[0].Title)
		var lines [][]string
		for _, r := range group {
			for _, line := range rows(r) {
				lines = append(lines, line.cells())
			}
		}
		table(&b, heading, lines)
	}
	return b.Bytes()
}

func table(b *bytes.Buffer, heading []string, lines [][]string) {
	rule := make([]string, len(heading))
	for i := range rule {
		rule[i] = "---"
	}
	for _, cells := range append([][]string{heading, rule}, lines...) {
		fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
	}
}
