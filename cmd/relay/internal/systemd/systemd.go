// Package systemd tells systemd how a service of Type=notify is doing, by the
// protocol of sd_notify(3). Without systemd it does nothing.
package systemd

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// What [Notify] can tell.
const (
	Ready    = "READY=1"    // listening; also at the end of a reload
	Stopping = "STOPPING=1" // draining
)

// Notify sends one state, with a status line for people if that is not empty.
// It returns nil when the program was not started by systemd. Its error is
// worth a line in the log and no more. It may be called concurrently.
func Notify(state, status string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	if status != "" {
		state += "\nSTATUS=" + strings.ReplaceAll(status, "\n", " ")
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"}) // "@…" is an abstract one
	if err != nil {
		return fmt.Errorf("cannot tell systemd %s: %w", state, err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("cannot tell systemd %s: %w", state, err)
	}
	return nil
}
