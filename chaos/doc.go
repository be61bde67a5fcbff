// Package chaos breaks everything between clients and relays, and counts: no
// message may be lost without a word.
package chaos
