package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
)

func TestChaos_ListTellsAll(t *testing.T) {
	code, stdout, stderr := execute(t, "", "chaos", "--list")
	if code != exitDone || stderr != "" || stdout != relaytest.ChaosIndex("ws://127.0.0.1:8765") {
		t.Errorf("%d, %q\n%s", code, stderr, stdout)
	}
}

// A client dials what it is to suffer, comes back, and at the end is told.
func TestChaos_ServesUntilItsSignal(t *testing.T) {
	c := start(t, nil, "chaos", "--addr", "127.0.0.1:0")
	url := c.stdout.await(t, "listening on ")

	victim, err := relay.New(url+"/close/1011?after=1ms&times=1&reason=s3cr3t", relay.WithBackoff(time.Millisecond, time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	healthy, err := relay.New(url)
	if err != nil {
		t.Fatal(err)
	}
	defer healthy.Close()
	if err := healthy.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	for connects := uint64(0); connects < 2; connects = victim.Stats().Connects {
		if err := victim.Send(t.Context(), relay.Message{PeerUUID: healthy.UUID(), Description: "hello"}); err != nil {
			t.Fatal(err)
		}
		if err := victim.Flush(t.Context()); err != nil {
			t.Log("as it should be:", err)
		}
	}
	if m, err := healthy.Recv(t.Context()); err != nil || m.Description != "hello" {
		t.Error(m, err)
	}
	dead, err := relay.New(url + "/half-open")
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	if err := dead.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}

	index, err := http.Get("http" + strings.TrimPrefix(url, "ws"))
	if err != nil {
		t.Fatal(err)
	}
	defer index.Body.Close()
	if body, err := io.ReadAll(index.Body); err != nil || string(body) != relaytest.ChaosIndex(url) {
		t.Errorf("%v\n%s", err, body)
	}

	c.interrupt()
	if code := c.wait(t); code != exitDone {
		t.Error("exit code", code)
	}
	lines := c.stderr.String()
	if !strings.Contains(lines, `address="/close/1011?on=after"`) || !strings.Contains(lines, "healthy again") || strings.Contains(lines, "s3cr3t") {
		t.Error(lines)
	}
}

// SIGINT ends the process, with connections open that nothing can be said to.
func TestChaos_EndsOnSIGINT(t *testing.T) {
	cmd := exec.Command(binary, "chaos", "--addr", "127.0.0.1:0", "--quiet")
	stdout, stderr := newOutput(), newOutput()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(stdout.await(t, "listening on "), "ws://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /half-open?on=upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	// It has the connection when it answers another one.
	if _, err := http.Get("http://" + address); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || stderr.String() != "" {
		t.Error(err, stderr)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error("the half-open connection is open:", err)
	}
}
