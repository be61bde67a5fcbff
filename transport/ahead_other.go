//go:build !unix

package transport

import "errors"

// Elsewhere a socket cannot be read without waiting.
const readsAhead = false

var errNothing = errors.New("nothing to read")

func writeSocket(uintptr, []byte) int { return 0 }

func readSocket(uintptr, []byte) (int, error) { return 0, errNothing }
