package process

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// patience is how long a relay may take to listen or to end.
const patience = 30 * time.Second

// Relay is a relay in a process of its own, on 127.0.0.1 and always on the same
// port. It has not been started yet when [Ours] or [Python] returns it. Start
// and Stop are for one goroutine at a time; the other methods for any.
type Relay struct {
	// URL is its address, for relay.New.
	URL string
	// Kind is "ours" or "python".
	Kind string

	port    int
	command func() *exec.Cmd

	mu    sync.Mutex
	child *child // nil: never started
}

// child is one run of a relay.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer     // the Python relay ends when it is closed, as by the end of this process
	log   tail          // what it said last
	ended chan struct{} // closed when it has ended and all its output has been taken
}

// newRelay picks a port.
func newRelay(kind string, command func(port int) *exec.Cmd) (*Relay, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	return &Relay{
		URL:     "ws://127.0.0.1:" + strconv.Itoa(port),
		Kind:    kind,
		port:    port,
		command: func() *exec.Cmd { return command(port) },
	}, nil
}

// Start starts the relay, again after Kill or Stop, and returns when it accepts
// connections. The process dies with this one.
func (r *Relay) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := &child{cmd: r.command(), ended: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	dieWithParent(c.cmd)
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("process: starting the relay %s: %w", r.Kind, err)
	}
	c.stdin = stdin
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("process: starting the relay %s: %w", r.Kind, err)
	}
	go func() { // ends with the child, which Kill and Stop wait for
		defer close(c.ended)
		c.cmd.Wait()
	}()
	r.mu.Lock()
	r.child = c
	r.mu.Unlock()
	if err := c.listens(ctx, r.port); err != nil {
		r.Kill()
		return fmt.Errorf("process: starting the relay %s: %w; it said: %s", r.Kind, err, c.log.String())
	}
	return nil
}

// listens waits until the child accepts connections on the port.
func (c *child) listens(ctx context.Context, port int) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "tcp4", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-c.ended:
			return fmt.Errorf("it has ended (%v) instead of listening", c.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("it does not listen: %w", err)
		case <-tick.C:
		}
	}
}

// Kill ends the relay at once, frozen or not, and waits until it is gone: its
// connections just break. It does nothing to one that does not run.
func (r *Relay) Kill() {
	if c := r.current(); c != nil {
		c.cmd.Process.Kill()
		<-c.ended
		c.stdin.Close()
	}
}

// Stop asks the relay to end, as its operator does, and waits until it has. It
// returns an error when the relay does not end by ctx, or within 30 s, and is
// killed; or when it ended with an exit code other than 0.
func (r *Relay) Stop(ctx context.Context) error {
	c := r.current()
	if c == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-ctx.Done():
		r.Kill()
		return fmt.Errorf("process: the relay %s does not end on SIGTERM: %w; it said: %s", r.Kind, ctx.Err(), c.log.String())
	}
	c.stdin.Close()
	if !c.cmd.ProcessState.Success() {
		return fmt.Errorf("process: the relay %s ended with %v; it said: %s", r.Kind, c.cmd.ProcessState, c.log.String())
	}
	return nil
}

// Freeze makes the relay do nothing more, from a moment later on: connections stay
// open and are silent.
func (r *Relay) Freeze() { r.signal(syscall.SIGSTOP) }

// Thaw lets a frozen relay go on where it was.
func (r *Relay) Thaw() { r.signal(syscall.SIGCONT) }

func (r *Relay) signal(s os.Signal) {
	if c := r.current(); c != nil {
		c.cmd.Process.Signal(s)
	}
}

// Log is the end of what the present or last run wrote to stdout and stderr.
func (r *Relay) Log() string {
	if c := r.current(); c != nil {
		return c.log.String()
	}
	return ""
}

// PID is the process's number, for who looks at its files and memory; 0 before
// the first Start.
func (r *Relay) PID() int {
	if c := r.current(); c != nil {
		return c.cmd.Process.Pid
	}
	return 0
}

func (r *Relay) current() *child {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.child
}

var portsTried atomic.Uint32

// freePort picks a port below the range that the kernel takes ports of outgoing
// connections from. In there, a client that redials a relay that is down could
// take the relay's port, or even connect to itself.
func freePort() (int, error) {
	for range 1000 {
		port := 12_000 + (os.Getpid()*97+int(portsTried.Add(1)))%8_000
		listener, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("process: no free port between 12000 and 20000")
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
