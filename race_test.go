//go:build race

package relay_test

// raceEnabled: a message costs ten times as much.
const raceEnabled = true
