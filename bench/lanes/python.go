package lanes

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// pythonLane is the real ProxyStore: its relay and two of its clients, a process
// each, as they come. They compress what they send, which nobody can turn off.
// Only the relay's logging is turned down. What it takes to give the commands and
// to get the answers is measured with the rest, and is less than a thousandth.
type pythonLane struct {
	relay, from, to *pythonProcess
	payloads        *payloads // that the sender has
}

//go:embed python/lane.py
var laneScript string

// python returns the interpreter that has ProxyStore: the one of make venv, beside
// go.work. Without it, the reason to skip the lane is returned.
func python() (path, skip string) {
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		if _, none := os.Stat(filepath.Join(dir, "go.work")); none == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	bin := filepath.Join(dir, ".venv", "bin")
	if _, err := os.Stat(filepath.Join(bin, "proxystore-relay")); err != nil {
		return "", "no ProxyStore here: make venv"
	}
	return filepath.Join(bin, "python"), ""
}

func openPython(ctx context.Context) (lane, error) {
	var (
		l   pythonLane
		url string
		to  string
		err error
	)
	if l.relay, err = startPython(ctx, &url, "relay"); err == nil {
		if l.to, err = startPython(ctx, &to, "receive", url); err == nil {
			l.from, err = startPython(ctx, new(string), "send", url, to)
		}
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return &l, nil
}

func (l *pythonLane) send(ctx context.Context, n int, p *payloads) error {
	var sent int
	if l.payloads != p {
		if err := l.from.ask(ctx, p.text, &sent); err != nil {
			return err
		}
		l.payloads = p
	}
	return l.from.ask(ctx, n, &sent)
}

func (l *pythonLane) receive(ctx context.Context, n int) (sum, error) {
	var s struct {
		Messages, Bytes int
		CRC             uint32
	}
	err := l.to.ask(ctx, n, &s)
	return sum{s.Messages, s.Bytes, s.CRC}, err
}

func (l *pythonLane) close() error {
	var errs []error
	for _, p := range []*pythonProcess{l.from, l.to, l.relay} {
		if p != nil {
			errs = append(errs, p.close())
		}
	}
	return errors.Join(errs...)
}

// A pythonProcess is one part of the lane.
type pythonProcess struct {
	role    string
	cmd     *exec.Cmd
	stdin   io.WriteCloser // its end makes the process end itself
	answers *json.Decoder
	stderr  bytes.Buffer // complete once wait has returned
	wait    func() error
}

// startPython returns when the process has said what it has to say at first. The
// end of ctx kills it.
func startPython(ctx context.Context, says any, role string, args ...string) (*pythonProcess, error) {
	path, skip := python()
	if skip != "" {
		return nil, errors.New(skip)
	}
	p := &pythonProcess{role: role, cmd: exec.CommandContext(ctx, path, append([]string{"-c", laneScript, role}, args...)...)}
	p.wait = sync.OnceValue(p.cmd.Wait)
	p.cmd.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	p.cmd.Stderr = &p.stderr
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.answers = json.NewDecoder(stdout)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := p.answered(ctx, says); err != nil {
		return nil, errors.Join(fmt.Errorf("starting: %w", err), p.close())
	}
	return p, nil
}

// ask has the process do something. The end of ctx kills it.
func (p *pythonProcess) ask(ctx context.Context, command, answer any) error {
	defer context.AfterFunc(ctx, func() { p.cmd.Process.Kill() })()
	json.NewEncoder(p.stdin).Encode(command) // if it has ended, it does not answer
	return p.answered(ctx, answer)
}

func (p *pythonProcess) answered(ctx context.Context, answer any) error {
	err := p.answers.Decode(answer)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.stdin.Close()
	return fmt.Errorf("the Python that is to %s has ended (%w, %v), and said: %s", p.role, err, p.wait(), &p.stderr)
}

// close has the process end, and waits until it has. That it was killed, or has
// failed, was reported where it mattered.
func (p *pythonProcess) close() error {
	p.stdin.Close()
	p.wait()
	return nil
}
