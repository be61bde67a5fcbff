//go:build race

package server

func init() { floodMessages = 20_000 } // the race detector makes a message ten times as expensive
