package relaytest_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
)

// Over TCP and over TLS it is the same: what is cut is cut beneath TLS, and what
// is half-open is open until the end.
func TestChaos_OverSockets(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){"TCP": (*httptest.Server).Start, "TLS": (*httptest.Server).StartTLS} {
		t.Run(name, func(t *testing.T) {
			chaos := relaytest.NewChaos(nil)
			front := httptest.NewUnstartedServer(chaos)
			start(front)
			defer front.Close()
			address := front.Listener.Addr().String()
			dial := func(path string) *raw {
				t.Helper()
				conn, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				if name == "TLS" {
					conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
				}
				return open(t, conn, path)
			}
			g := &ground{t: t, chaos: chaos}

			c := dial("/cut?at=10")
			c.answer()
			c.register(aliceID)
			c.expect("end after 10 bytes")

			// The reset may take the last bytes along.
			c = dial("/cut?at=10&with=reset")
			c.answer()
			c.register(aliceID)
			if got := c.next(); !strings.HasPrefix(got, "read") || !strings.Contains(got, syscall.ECONNRESET.Error()) {
				t.Errorf("reset: %s", got)
			}

			c = dial("/cut?on=upgrade&at=20")
			if answer, err := io.ReadAll(c.conn); len(answer) != 20 || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%q, %v", answer, err)
			}

			dead := dial("/half-open")
			dead.answer()
			dead.register(aliceID)
			dead.expect("text " + success)
			silent := dial("/half-open?on=upgrade")
			g.comesBack(front)
			g.chaos.Close()
			for _, c := range []*raw{dead, silent} {
				if got := c.next(); got == "silence" {
					t.Error("a half-open connection is left open")
				}
			}
		})
	}
}

// comesBack has a client of ours crash three times and come back.
func (g *ground) comesBack(front *httptest.Server) {
	g.t.Helper()
	c, err := relay.New("ws"+strings.TrimPrefix(front.URL, "http")+"/cut?after=1ms&with=reset&times=3",
		relay.WithBackoff(time.Millisecond, time.Millisecond), relay.WithInsecureSkipVerify())
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	c.Inbox()
	late := time.After(time.Minute)
	for connects := 0; connects < 4; {
		select {
		case e := <-c.Events():
			if change, ok := e.(relay.StateChange); ok && change.To == relay.Connected {
				connects++
			}
		case <-late:
			g.t.Fatalf("%d connections in a minute, want 4", connects)
		}
	}
	if err := c.Send(g.t.Context(), relay.Message{PeerUUID: c.UUID(), Description: "alive"}); err != nil {
		g.t.Fatal(err)
	}
	if m, err := c.Recv(g.t.Context()); err != nil || m.Description != "alive" {
		g.t.Error(m, err)
	}
}

// After Close nothing is left: neither a goroutine nor a file.
func TestChaos_LeavesNoFile(t *testing.T) {
	files := func() int {
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no /proc here")
		}
		return len(names)
	}
	chaos := relaytest.NewChaos(nil)
	front := httptest.NewServer(chaos)
	address := front.Listener.Addr().String()
	before := files()
	for _, path := range []string{"/", "/half-open", "/half-open?on=upgrade", "/no-reply", "/stall", "/slow?delay=1m", "/deaf"} {
		for range 20 {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			c := open(t, conn, path)
			if path != "/slow?delay=1m" && path != "/half-open?on=upgrade" {
				c.answer()
				c.register(aliceID)
			}
		}
	}
	during := files()
	chaos.Close()
	front.Close()
	// The test's own ends are open until it ends, and the listener was there before.
	if after := files(); after > before+140 {
		t.Errorf("%d files before, %d during, %d after the end", before, during, after)
	} else {
		t.Logf("%d files before, %d with 140 connections, %d after the end, of which 140 are the test's", before, during, after)
	}
}
