package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/transport"
)

// answered asks the operations' server.
func answered(t *testing.T, address, path string) int {
	t.Helper()
	answer, err := http.Get("http://" + address + path)
	if err != nil {
		return 0 // gone
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

func TestT51_TheEndComesInTheOrderThatCostsClientsLeast(t *testing.T) {
	serve := start(t, nil, "serve", "--addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0", "--drain-delay", "1s")
	address := serve.stdout.await(t, "listening on ws://")
	operations, _, _ := strings.Cut(serve.stderr.await(t, " ops_addr="), " ")
	if code := answered(t, operations, "/readyz"); code != 200 {
		t.Errorf("at first it is not ready: %d", code)
	}
	client := dial(t, "ws://"+address, relay.WithReconnect(false))

	serve.interrupt()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); answered(t, operations, "/readyz") != 503; {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it is still ready")
		}
	}
	// First it only looks as if it were going.
	if code := answered(t, operations, "/healthz"); code != 200 {
		t.Errorf("while draining it is not healthy: %d", code)
	}
	late := dial(t, "ws://"+address, relay.WithReconnect(false))
	if err := late.Send(t.Context(), relay.Message{PeerUUID: client.UUID(), Description: "still here"}); err != nil {
		t.Error(err)
	}
	if m, err := client.Recv(t.Context()); err != nil || m.Description != "still here" {
		t.Errorf("%v, %v", m, err)
	}
	// Then it listens no longer, and only then sends its clients away.
	for event := range client.Events() {
		change, ok := event.(relay.StateChange)
		if !ok || change.From != relay.Connected {
			continue
		}
		if _, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("it was sent away while the relay was listening: %v", err)
		}
		if closed, ok := errors.AsType[*transport.CloseError](change.Err); !ok || closed.Code != 1001 {
			t.Errorf("the client heard %v", change.Err)
		}
		break
	}
	if code := serve.wait(t); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

func TestWhoIsInTheHandshakeWhenTheEndComesMayCompleteIt(t *testing.T) {
	serve := start(t, nil, "serve", "--addr", "127.0.0.1:0", "--log-level", "debug")
	conn, err := net.Dial("tcp", serve.stdout.await(t, "listening on ws://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
	if _, err := io.WriteString(conn, request[:20]); err != nil {
		t.Fatal(err)
	}
	// Connections are accepted in their order: so this one's has been.
	_ = dial(t, "ws://"+conn.RemoteAddr().String(), relay.WithReconnect(false))
	serve.interrupt()
	serve.stderr.await(t, "msg=stopping")
	if _, err := io.WriteString(conn, request[20:]); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 101" {
		t.Errorf("%q, %v: a Python client ends its process at 503", answer, err)
	}
	_ = conn.Close()
	if code := serve.wait(t); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}
