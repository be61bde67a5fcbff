package main

import (
	"context"
	"flag"
	"maps"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"
)

var demoRuns = flag.Int("demo.runs", 3, "how often the demonstration is run")

// The demonstration kills a relay in the middle of the traffic. What goes more than
// once is another number each time; what comes out is not.
func TestT53_TheDemoTellsTheSameStoryEachTime(t *testing.T) {
	want := map[string]int{"delivered": 10_000, "Amsterdam": 2_000, "Boston": 2_000, "Chiba": 2_000, "in doubt": 0}
	var least, most int // copies that the crash cost
	for run := range *demoRuns {
		first, counts := demo(t)
		if first != want["delivered"] {
			t.Errorf("run %d: %d delivered by the pipeline", run, first)
		}
		told := maps.Clone(counts)
		maps.DeleteFunc(told, func(what string, _ int) bool { _, same := want[what]; return !same })
		if !maps.Equal(told, want) {
			t.Errorf("run %d: %v, want %v", run, told, want)
		}
		parts := counts["delivered"] + counts["duplicates"] + counts["early"] + counts["bounced"] + counts["died"]
		if written := counts["written"]; written != parts || written != 10_000+counts["resent"]+counts["repeated"] {
			t.Errorf("run %d: the counts do not add up: %v", run, counts)
		}
		copies := counts["written"] - counts["delivered"]
		if run == 0 || copies < least {
			least = copies
		}
		most = max(most, copies)
	}
	t.Logf("%d runs: %v each time; %d to %d messages went more than once", *demoRuns, want, least, most)
}

// demo runs the demonstration, and returns what its first part has delivered, and
// the last count of each name.
func demo(t *testing.T) (first int, counts map[string]int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	begin := time.Now()
	out, err := exec.CommandContext(ctx, binary, "demo").CombinedOutput()
	if err != nil {
		t.Fatalf("%v after %v: %s", err, time.Since(begin), out)
	}
	counts = make(map[string]int)
	for _, m := range regexp.MustCompile(`(?m)^   (\S[\w ]*?) +(\d+)  `).FindAllStringSubmatch(string(out), -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		if _, again := counts[m[1]]; m[1] == "delivered" && !again {
			first = n
		}
		counts[m[1]] = n
	}
	for _, what := range []string{"written", "resent", "repeated", "duplicates", "early", "bounced", "died"} {
		if _, told := counts[what]; !told {
			t.Fatalf("no count of %q in\n%s", what, out)
		}
	}
	return first, counts
}
