package suite

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/seed73300619/relay/chaos/referee"
)

// Summarize writes the results as tables of Markdown: by relay and mode, and what
// struck. It returns how many runs have failed.
func Summarize(w io.Writer, results []Result) (failed int) {
	type row struct {
		runs, failed int
		connects     uint64
		account      referee.Account
	}
	rows := make(map[string]*row)
	strikes := make(map[string]int)
	book := func(name string, r Result) {
		if rows[name] == nil {
			rows[name] = new(row)
		}
		row := rows[name]
		row.runs++
		if r.Failures != nil {
			row.failed++
		}
		row.connects += r.Connects
		row.account = row.account.Plus(r.Account)
	}
	for _, r := range results {
		if r.Relay == nil {
			continue // not played
		}
		book(fmt.Sprintf("%s | %s", r.Relay.Kind, r.Mode()), r)
		book("all | ", r)
		for name, n := range r.Strikes {
			strikes[name] += n
		}
	}
	fmt.Fprintln(w, "| relay | runs in which | runs | failed | registrations | sent = | once | + in doubt: delivered | bounced | lost | + bounced | + refused | + returned | + spilt | copies | late |")
	fmt.Fprintln(w, "|---|---|"+strings.Repeat("---:|", 14))
	names := slices.Sorted(maps.Keys(rows))
	slices.SortStableFunc(names, func(a, b string) int { return strings.Count(a, "all") - strings.Count(b, "all") })
	for _, name := range names {
		r := rows[name]
		a := r.account
		fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d |\n", name, r.runs, r.failed, r.connects,
			a.Sent, a.Once, a.DoubtDelivered, a.DoubtBounced, a.DoubtLost, a.Bounced, a.Refused, a.Returned, a.Spilt, a.Copies, a.Late)
		failed = r.failed // the last row is that of all
	}
	fmt.Fprintf(w, "\nWhat struck, how often:")
	for _, name := range slices.Sorted(maps.Keys(strikes)) {
		fmt.Fprintf(w, " %s %d,", name, strikes[name])
	}
	fmt.Fprintln(w, " and in the end each link was cut once more.")
	return failed
}
