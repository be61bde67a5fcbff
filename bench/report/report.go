// Package report is what bench prints and writes: the table, its Markdown, the
// plots, and the file of raw values that these can be made from again.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/seed73300619/relay/bench/turns"
)

// A Result is what a run has measured of one case.
type Result struct {
	ID    string // of the measurement
	Title string // likewise
	Run   Run
	turns.Result
}

// Merge returns the results of earlier runs, with newer ones in their places, in
// the order of all. What all does not have any more is left out.
func Merge(all []turns.Measurement, earlier, newer []Result) []Result {
	var merged []Result
	for _, m := range all {
		for _, c := range m.Cases {
			of := func(r Result) bool { return r.ID == m.ID && r.Name == c.Name }
			if i := slices.IndexFunc(newer, of); i >= 0 {
				merged = append(merged, newer[i])
			} else if i := slices.IndexFunc(earlier, of); i >= 0 {
				merged = append(merged, earlier[i])
			}
		}
	}
	return merged
}

const (
	resultsFile = "results.json"
	pageFile    = "results.md"
)

// Load returns the results that Save has put into a folder: none if there are none.
func Load(folder string) ([]Result, error) {
	data, err := os.ReadFile(filepath.Join(folder, resultsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var results []Result
	return results, json.Unmarshal(data, &results)
}

// Save puts the results into a folder, raw and as what people read.
func Save(folder string, results []Result) error {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	raw, err := lines(results)
	if err != nil {
		return err
	}
	files := plots(results)
	files[resultsFile] = raw
	files[pageFile] = page(results)
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// Update writes the section of a Markdown file that the results in a folder make.
func Update(file, folder string, results []Result) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if folder, err = filepath.Rel(filepath.Dir(file), folder); err != nil {
		return err
	}
	if text, err = Section(text, results, filepath.ToSlash(folder)); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, text, 0o666)
}

// lines is the results as JSON, each on a line of its own.
func lines(results []Result) ([]byte, error) {
	b := []byte("[")
	for i, r := range results {
		line, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", r.ID, r.Name, err)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, '\n'), line...)
	}
	return append(b, "\n]\n"...), nil
}
