package config

import (
	"maps"
	"slices"
	"strings"
)

// former are keys that ProxyStore's documentation still has in its example, and
// what they were meant to be. Its relay ignores them.
var former = map[string]string{
	"default_log_level":                 "logging.default_level",
	"websockets_log_level":              "logging.websockets_level",
	"connected_client_logging_interval": "logging.current_client_interval",
	"connected_client_logging_limit":    "logging.current_client_limit",
}

// hint says what an unknown key was probably meant to be.
func (f *file) hint(key string) string {
	name := key[strings.LastIndexByte(key, '.')+1:]
	if meant, ok := former[name]; ok {
		return "; did you mean " + meant + "?"
	}
	if root(key) == "relay" {
		if near := nearest(name, f.names()); near != "" {
			return "; did you mean relay." + near + "?"
		}
	}
	known := slices.Sorted(maps.Keys(theirs))
	if near := nearest(name, last(known)); near != "" {
		meant := known[slices.Index(last(known), near)]
		if root(meant) == meant && root(key) != key {
			return "; did you mean " + meant + ", above all tables?"
		}
		return "; did you mean " + meant + "?"
	}
	if near := nearest(name, f.names()); near != "" {
		return "; did you mean relay." + near + "?"
	}
	return ""
}

// last returns the last components of keys.
func last(keys []string) []string {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = key[strings.LastIndexByte(key, '.')+1:]
	}
	return names
}

// nearest returns the name that is at most two slips from what was written.
func nearest(written string, names []string) string {
	best, least := "", 3
	for _, name := range names {
		if d := distance(written, name); d < least && d < len(name)/2 {
			best, least = name, d
		}
	}
	return best
}

// distance counts the letters to insert, remove or replace (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
