package child

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
)

// A Process is a child, seen by its parent.
type Process struct {
	Role    string
	Address string // of its work
	PID     int

	cmd     *exec.Cmd
	stdin   io.WriteCloser
	stderr  tail
	asking  sync.Mutex // answers come in the order of the questions
	answers *json.Decoder
	killed  atomic.Bool // by Kill
	wait    func() error
}

// Start starts this program again, in a role, and returns when its work has
// begun. Close or Kill must follow. The end of ctx kills the child.
func Start(ctx context.Context, role string, arg any) (*Process, error) {
	text, err := json.Marshal(arg)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// Its limit of open files is the hard one: the Go runtime sees to that.
	p := &Process{Role: role, cmd: exec.CommandContext(ctx, self, "child", role, string(text))}
	p.wait = sync.OnceValue(p.cmd.Wait)
	p.cmd.Stderr = &p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.answers = json.NewDecoder(stdout)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("child: starting %s: %w", role, err)
	}
	p.PID = p.cmd.Process.Pid
	if p.Address, err = answered[string](p); err != nil {
		p.Kill()
		return nil, fmt.Errorf("child: starting %s: %w", role, err)
	}
	return p, nil
}

// Ask has the child do a command, and returns its answer. A child answers one
// question after another. The end of ctx kills it.
func Ask[R any](ctx context.Context, p *Process, command string, arg any) (R, error) {
	var none R
	text, err := json.Marshal(arg)
	if err != nil {
		return none, err
	}
	p.asking.Lock()
	defer p.asking.Unlock()
	defer context.AfterFunc(ctx, func() { p.cmd.Process.Kill() })()
	if err = json.NewEncoder(p.stdin).Encode(question{command, text}); err == nil {
		var value R
		if value, err = answered[R](p); err == nil {
			return value, nil
		}
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return none, fmt.Errorf("child: asking %s for %s: %w", p.Role, command, err)
}

// answered takes the next answer.
func answered[R any](p *Process) (value R, err error) {
	var a answer
	if err := p.answers.Decode(&a); err != nil {
		return value, fmt.Errorf("it has ended (%w, %v), and said: %s", err, p.wait(), &p.stderr)
	}
	if a.Error != "" {
		return value, errors.New(a.Error)
	}
	return value, json.Unmarshal(a.Value, &value)
}

// Memory has the child give back what it does not need, and count what is left.
func (p *Process) Memory(ctx context.Context) (Memory, error) {
	return Ask[Memory](ctx, p, "memory", struct{}{})
}

// Profile has the child write a profile of its heap into a file.
func (p *Process) Profile(ctx context.Context, path string) error {
	_, err := Ask[struct{}](ctx, p, "profile", path)
	return err
}

// Kill ends the child at once, whatever it is at, and waits until it is gone: its
// connections just break.
func (p *Process) Kill() {
	p.killed.Store(true)
	p.cmd.Process.Kill()
	p.wait()
}

// Close has the child end its work, and waits until it is gone. It does nothing
// after Kill.
func (p *Process) Close() error {
	p.stdin.Close()
	if err := p.wait(); err != nil && !p.killed.Load() {
		return fmt.Errorf("child: ending %s: %w; it said: %s", p.Role, err, &p.stderr)
	}
	return nil
}

// tail keeps the end of what is written to it. It is read once nobody writes.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if over := len(t.text) - 4<<10; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.text) }
