package interop

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is a child that the test outlives: it is killed at the end of the
// test, and what it said is shown when the test has failed.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser // its end makes the child end itself
	ended chan struct{}  // closed when the child has ended and all its output has been taken
}

// start runs the command. The child's stderr goes into the log that is shown
// on failure, and its stdout too unless cmd.Stdout is set already.
func start(t testing.TB, name string, cmd *exec.Cmd) *process {
	t.Helper()
	var log tail
	cmd.Stderr = &log
	if cmd.Stdout == nil {
		cmd.Stdout = &log
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{name: name, cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	go func() { // ends with the child, which kill waits for
		defer close(p.ended)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s (%v) said:\n%s", name, cmd.ProcessState, log.String())
		}
	})
	return p
}

// signal sends a signal; to a child that has ended, it does nothing.
func (p *process) signal(s os.Signal) { p.cmd.Process.Signal(s) }

// stop asks the child to end, and waits until it has.
func (p *process) stop(t testing.TB) {
	t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not end on SIGTERM", p.name)
	}
}

// kill ends the child at once, frozen or not, and waits until it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

const tailBytes = 16 << 10

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.data = append(l.data, p...)
	if len(l.data) > 2*tailBytes {
		l.data = append([]byte("...\n"), l.data[len(l.data)-tailBytes:]...)
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.Clone(l.data))
}
