//go:build unix

package gate

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestT44_TheAcceptLoopOutlivesHavingNoFiles runs the server in a process that may open few files.
func TestT44_TheAcceptLoopOutlivesHavingNoFiles(t *testing.T) {
	if os.Getenv("GATE_CHILD") != "" {
		few(t)
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^TestT44_TheAcceptLoopOutlivesHavingNoFiles$", "-test.v")
	child.Env = append(os.Environ(), "GATE_CHILD=1")
	quit, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(patience, func() { _ = child.Process.Kill() })
	defer guard.Stop()
	lines := bufio.NewScanner(out)
	address := next(t, lines, "listening on ")

	in, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if status, err := request(in, "Upgrade: websocket\r\n"); err != nil || !strings.Contains(status, "101") {
		t.Fatalf("at first: %q, %v", status, err)
	}
	const rounds = 3
	for round := range rounds {
		var held []net.Conn
		for range 60 { // twice what the child can hold
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			held = append(held, c)
		}
		next(t, lines, "too many open files")
		// Who is in is served, and so is everybody once there are files.
		if err := echoed(in); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		for _, c := range held {
			c.Close()
		}
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if status, err := request(c, "Upgrade: websocket\r\n"); err != nil || !strings.Contains(status, "101") {
			t.Errorf("round %d, after the files came back: %q, %v", round, status, err)
		}
	}
	quit.Close()
	var rest bytes.Buffer
	for lines.Scan() {
		fmt.Fprintln(&rest, lines.Text())
	}
	if err := child.Wait(); err != nil {
		t.Errorf("%v:\n%s", err, rest.String())
	}
}

// echoed sends a byte and waits for it to come back.
func echoed(c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	b := []byte("x")
	if _, err := c.Write(b); err != nil {
		return err
	}
	_, err := io.ReadFull(c, b)
	return err
}

// next reads lines up to one with a mark, and returns what follows it.
func next(t *testing.T, lines *bufio.Scanner, mark string) string {
	t.Helper()
	for lines.Scan() {
		if _, after, ok := strings.Cut(lines.Text(), mark); ok {
			return after
		}
	}
	t.Fatalf("the child ended without %q", mark)
	return ""
}

// few serves until stdin ends, and says on stdout what goes on.
func few(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 40, Max: 40}); err != nil {
		t.Fatal(err)
	}
	l := New(inner, Limits{})
	s := &http.Server{Handler: http.HandlerFunc(upgrade), ConnState: l.ConnState, ErrorLog: log.New(os.Stdout, "", 0)}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	fmt.Printf("\nlistening on %s\n", inner.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	select {
	case err := <-served:
		t.Errorf("Serve ended: %v", err)
	default:
		s.Close()
	}
}
