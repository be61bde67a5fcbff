//go:build !unix

package transport

import "errors"

// Elsewhere a socket cannot be read without waiting.
const readsAhead = false

var errNothing = errors.New("nothing to read")

func writeSocket(uintptr, []byte) (int, error) { return 0, nil }

func readSocket(uintptr, []byte) (int, error) { return 0, errNothing }
