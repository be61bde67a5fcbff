package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

const module = "github.com/seed73300619/relay"

// Build builds the command relay into the folder, and returns its path, for
// [Ours]. It needs the go command, inside of the repository.
func Build(ctx context.Context, folder string) (binary string, err error) {
	binary = filepath.Join(folder, "relay")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, module+"/cmd/relay").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("process: building the relay: %w: %s", err, out)
	}
	return binary, nil
}

// Ours is "relay serve" of the binary, with further arguments if there are any.
func Ours(binary string, args ...string) (*Relay, error) {
	return newRelay("ours", func(port int) *exec.Cmd {
		return exec.Command(binary, append([]string{"serve", "--addr", "127.0.0.1:" + strconv.Itoa(port)}, args...)...)
	})
}

// ErrNoPython means that the real ProxyStore is not installed: make venv does it.
var ErrNoPython = errors.New("the real ProxyStore is not installed in .venv: make venv")

// Python is the real relay of ProxyStore, from the virtual environment that make
// venv makes. It returns [ErrNoPython] when that is not there.
func Python(ctx context.Context) (*Relay, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return nil, fmt.Errorf("process: looking for the repository: %w", err)
	}
	root := strings.TrimSpace(string(out))
	python := filepath.Join(root, ".venv", "bin", "python")
	if _, err := os.Stat(filepath.Join(filepath.Dir(python), "proxystore-relay")); err != nil {
		return nil, fmt.Errorf("process: %w", ErrNoPython)
	}
	return newRelay("python", func(port int) *exec.Cmd {
		return exec.Command(python, filepath.Join(root, "interop", "python", "peer.py"), "relay",
			"--port", strconv.Itoa(port), "--host", "127.0.0.1", "--log-level", "WARNING")
	})
}
