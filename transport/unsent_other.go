//go:build !linux

package transport

import "net"

// limitUnsent does nothing where the system offers nothing of the kind.
func limitUnsent(net.Conn) {}
