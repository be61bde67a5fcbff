package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/seed73300619/relay/bench/child"
)

// ErrNoPython means that the real ProxyStore is not there: make venv installs it.
var ErrNoPython = errors.New("the real ProxyStore is not installed: make venv")

// A Python is a process of the real relay of ProxyStore, from the environment that
// make venv makes. It ends with this process.
type Python struct {
	Address string // the URL for clients

	cmd   *exec.Cmd
	stdin io.Closer
}

// StartPython starts the relay of ProxyStore on the loopback and returns when it
// accepts connections. Close must follow. The end of ctx kills it. Without the
// real ProxyStore the error matches [ErrNoPython].
func StartPython(ctx context.Context) (*Python, error) {
	root, err := FindPython()
	if err != nil {
		return nil, err
	}
	address, err := free()
	if err != nil {
		return nil, err
	}
	if err := raiseFiles(); err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(address)
	p := &Python{Address: "ws://" + address + "/"}
	p.cmd = exec.CommandContext(ctx, filepath.Join(root, ".venv", "bin", "python"),
		filepath.Join(root, "interop", "python", "peer.py"), "relay",
		"--host", host, "--port", port, "--log-level", "WARNING")
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("servers: starting the Python relay: %w", err)
	}
	if err := listens(ctx, address); err != nil {
		p.Close()
		return nil, fmt.Errorf("servers: starting the Python relay: %w", err)
	}
	return p, nil
}

// FindPython returns the root of the repository, if it has the real ProxyStore in
// .venv.
func FindPython() (root string, err error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", ErrNoPython
		}
		dir = up
	}
	if _, err := os.Stat(filepath.Join(dir, ".venv", "bin", "proxystore-relay")); err != nil {
		return "", ErrNoPython
	}
	return dir, nil
}

// NoPython returns why the real ProxyStore cannot take part, "" when it can.
func NoPython() string {
	if _, err := FindPython(); err != nil {
		return err.Error()
	}
	return ""
}

// RequirePython skips a test where the real ProxyStore is not, and fails it where it
// must be: in CI.
func RequirePython(t interface {
	Helper()
	Skip(...any)
	Fatal(...any)
}) {
	t.Helper()
	why := NoPython()
	switch {
	case why == "":
	case os.Getenv("CI") == "true" || os.Getenv("RELAY_REQUIRE_PYTHON") == "1":
		t.Fatal(why)
	default:
		t.Skip(why)
	}
}

// free returns an address of the loopback that nobody listens on.
func free() (string, error) {
	listener, err := net.Listen("tcp", Anywhere)
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// raiseFiles lets this process, and so those that it starts, have as many open
// files as it may. Programs in Go do that for themselves, and for nobody else.
func raiseFiles() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// listens waits until somebody accepts connections.
func listens(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nobody listens on %s: %w", address, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// Memory returns what the kernel says of the process; its heap nobody can ask.
func (p *Python) Memory(context.Context) (child.Memory, error) {
	resident, err := child.ResidentOf(p.cmd.Process.Pid)
	return child.Memory{Resident: resident}, err
}

// Close ends the relay and waits until it is gone.
func (p *Python) Close() error {
	p.stdin.Close()
	p.cmd.Process.Kill() // it would first see to its clients
	_ = p.cmd.Wait()     // killed, as it was to be
	return nil
}
