package interop

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// A commandRelay is the command "relay serve" in a process of its own.
type commandRelay struct {
	port    int
	binary  string
	args    []string
	scheme  string
	process *process
}

var ourCommandKind = relayKind{"our command", newCommandRelay}

func newCommandRelay(t testing.TB, cert *certificate) testRelay {
	t.Helper()
	r := &commandRelay{port: freePort(t), binary: filepath.Join(t.TempDir(), "relay"), scheme: "ws"}
	if cert != nil {
		r.scheme = "wss"
		r.args = []string{"--tls-cert", cert.CertFile, "--tls-key", cert.KeyFile}
	}
	build := exec.Command("go", "build", "-o", r.binary, ".")
	build.Dir = "../cmd/relay"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return r
}

func (r *commandRelay) URL() string { return fmt.Sprintf("%s://127.0.0.1:%d", r.scheme, r.port) }

func (r *commandRelay) Start(t testing.TB) {
	t.Helper()
	args := append([]string{"serve", "--addr", "127.0.0.1:" + strconv.Itoa(r.port)}, r.args...)
	r.process = start(t, "relay serve", exec.Command(r.binary, args...))
	waitForListener(t, r.port, r.process)
}

func (r *commandRelay) Stop(t testing.TB) { r.process.stop(t) }
func (r *commandRelay) Kill(testing.TB)   { r.process.kill() }
func (r *commandRelay) Freeze()           { r.process.signal(syscall.SIGSTOP) }
func (r *commandRelay) Thaw()             { r.process.signal(syscall.SIGCONT) }
