package lanes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/seed73300619/relay/bench/servers"
)

// A script is a Python process that is spoken to by lines of JSON. It ends when
// its standard input does.
type script struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	said   *json.Decoder
	wait   func() error // for its end; may be called by many
	stderr bytes.Buffer // to be read after wait
}

// startScript starts a script, and takes the first thing it says. The end of ctx
// kills it. No proxy that the environment names comes between it and its relay.
func startScript(ctx context.Context, source string, first any, args ...string) (*script, error) {
	root, err := servers.FindPython()
	if err != nil {
		return nil, err
	}
	interpreter := filepath.Join(root, ".venv", "bin", "python")
	s := &script{cmd: exec.CommandContext(ctx, interpreter, append([]string{"-c", source}, args...)...)}
	s.wait = sync.OnceValue(s.cmd.Wait)
	s.cmd.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	s.cmd.Stderr = &s.stderr
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.said = json.NewDecoder(stdout)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if err := s.hear(first); err != nil {
		return nil, err
	}
	return s, nil
}

// ask says something and takes what the script says then. The end of ctx kills it.
func (s *script) ask(ctx context.Context, question, answer any) error {
	defer context.AfterFunc(ctx, func() { s.cmd.Process.Kill() })()
	if err := json.NewEncoder(s.stdin).Encode(question); err != nil {
		return s.died(err)
	}
	return s.hear(answer)
}

func (s *script) hear(value any) error {
	if err := s.said.Decode(value); err != nil {
		return s.died(err)
	}
	return nil
}

// died ends a script of which nothing more can be had.
func (s *script) died(err error) error {
	s.cmd.Process.Kill()
	return errors.Join(err, s.ended())
}

// close has the script end, and waits for it.
func (s *script) close() error {
	s.stdin.Close()
	return s.ended()
}

// ended waits until the script has ended, and returns what was wrong with that.
func (s *script) ended() error {
	if err := s.wait(); err != nil {
		return fmt.Errorf("python %v: %w; %s", s.cmd.Args[3:], err, bytes.TrimSpace(s.stderr.Bytes()))
	}
	return nil
}
