package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed73300619/relay/bench/child"
	"github.com/seed73300619/relay/bench/report"
	"github.com/seed73300619/relay/bench/turns"
)

func TestMain(m *testing.M) {
	child.Main(roles...)
	os.Exit(m.Run())
}

// The quick form has everybody do everything once, and check that it was done. No
// figure of it means anything, so none is looked at.
func TestQuick(t *testing.T) {
	folder := t.TempDir()
	var stdout, stderr bytes.Buffer
	profiles := t.TempDir()
	if err := run(t.Context(), []string{"-quick", "-out", folder, "-profile", profiles}, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s%s", err, &stdout, &stderr)
	}
	if profile, err := os.Stat(filepath.Join(profiles, "P1_64_B.prof")); err != nil || profile.Size() == 0 {
		t.Errorf("no profile: %v", err)
	}
	results, err := report.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range measurements(true) {
		for _, c := range m.Cases {
			if len(results) == 0 || results[0].ID != m.ID || results[0].Name != c.Name {
				t.Fatalf("no result of %s/%s", m.ID, c.Name)
			}
			checkSides(t, m.ID+"/"+c.Name, results[0].Result)
			results = results[1:]
		}
		if !strings.Contains(stdout.String(), "\n"+m.ID+": ") {
			t.Errorf("%s is not in the table", m.ID)
		}
	}
}

// checkSides wants a figure of every side, and leaves out only what cannot be here.
func checkSides(t *testing.T, name string, r turns.Result) {
	for i, side := range r.Sides {
		if side.Skip != "" {
			if t.Logf("%s leaves out %s: %s", name, side.Name, side.Skip); os.Getenv("CI") == "true" {
				t.Errorf("it must not, in CI")
			}
			continue
		}
		for f := range r.Figures {
			if len(r.Values[i][f]) != 1 {
				t.Errorf("%s has %v of %s", name, r.Values[i][f], side.Name)
			}
		}
	}
}

// lines is an output that somebody watches.
type lines func(line string)

func (l lines) Write(p []byte) (int, error) {
	l(string(p))
	return len(p), nil
}

// An interrupt ends all, and what there is until then is printed and kept.
func TestInterrupt(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	folder := t.TempDir()
	var stdout bytes.Buffer
	stderr := lines(func(line string) {
		if strings.Contains(line, "P1/1 KB") {
			interrupt()
		}
	})
	err := run(ctx, []string{"-quick", "-run", "P1", "-out", folder}, &stdout, stderr)
	if err == nil || !strings.Contains(err.Error(), "interrupted in P1/1 KB") {
		t.Errorf("%v", err)
	}
	if s := stdout.String(); !strings.Contains(s, "64 B") || strings.Contains(s, "1 KB") {
		t.Errorf("printed:\n%s", s)
	}
	if results, err := report.Load(folder); err != nil || len(results) != 1 {
		t.Errorf("%d results are kept, %v", len(results), err)
	}
}

func TestFlags(t *testing.T) {
	for args, want := range map[string]string{
		"-turns 0":          "",
		"-readme README.md": "",
		"-unknown":          "",
		"P1":                "",
		"-run nothing":      `nothing is called "nothing"`,
		"-run [":            "missing closing",
		"-run P1/[":         "missing closing",
	} {
		err := run(t.Context(), strings.Fields(args), &bytes.Buffer{}, &bytes.Buffer{})
		if err == nil || want == "" && !errors.Is(err, flag.ErrHelp) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
	for args, want := range map[string][]string{
		"-list -run P1":      {"P1", "P1/64 B", "P1/1 KB", "P1/16 KB"},
		"-list -run P[1]/KB": {"P1", "P1/1 KB", "P1/16 KB"},
		"-list -run P":       {},
	} {
		var stdout bytes.Buffer
		if err := run(t.Context(), strings.Fields(args), &stdout, &bytes.Buffer{}); err != nil {
			t.Errorf("%s: %v", args, err)
		}
		for line := range strings.Lines(stdout.String()) {
			if len(want) == 0 || !strings.HasPrefix(line, want[0]) {
				t.Fatalf("%s prints\n%s", args, &stdout)
			}
			want = want[1:]
		}
		if len(want) > 0 {
			t.Errorf("%s does not print %q", args, want)
		}
	}
}

// A quick run does not replace what was measured.
func TestQuickKeepsOff(t *testing.T) {
	folder := t.TempDir()
	measured := []report.Result{{ID: "P1", Result: turns.Result{Case: turns.Case{Name: "64 B"}}}}
	if err := report.Save(folder, measured); err != nil {
		t.Fatal(err)
	}
	err := run(t.Context(), []string{"-quick", "-run", "P1", "-out", folder}, &bytes.Buffer{}, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "-quick does not replace") {
		t.Errorf("%v", err)
	}
}

// What is committed is what results.json makes, and not of a quick run.
func TestThePagesAreOfTheResults(t *testing.T) {
	const folder, readme = "../docs/performance", "../README.md"
	results, err := report.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	page := read(t, readme)
	want, err := report.Section(page, results, "docs/performance")
	if err != nil {
		t.Fatal(err)
	}
	if len(results) == 0 {
		t.Fatal("nothing was measured: go run . -out " + folder + " -readme " + readme)
	}
	for _, r := range results {
		if r.Run.Quick {
			t.Errorf("%s/%s is of a quick run", r.ID, r.Name)
		}
	}
	again := t.TempDir()
	if err := report.Save(again, results); err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadDir(again)
	if err != nil {
		t.Fatal(err)
	}
	const how = "go run . -run none -out " + folder + " -readme " + readme
	for _, entry := range made {
		if name := entry.Name(); !bytes.Equal(read(t, filepath.Join(folder, name)), read(t, filepath.Join(again, name))) {
			t.Errorf("%s is not up to date: %s", name, how)
		}
	}
	if !bytes.Equal(page, want) {
		t.Errorf("%s is not up to date: %s", readme, how)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
