package server

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seed73300619/relay/codec"
)

// A dribble is a registered client of which a message is on its way.
type dribble struct {
	*net.TCPConn
	ended chan []byte // all that came, when the relay has closed it
}

// newDribble sends the header of a message of n bytes, and nothing of it.
func newDribble(t *testing.T, url string, n int) dribble {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	bound := time.AfterFunc(patience, func() { conn.Close() })
	t.Cleanup(func() { bound.Stop(); conn.Close() })
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer := bufio.NewReader(conn)
	for line := ""; line != "\r\n"; {
		if line, err = answer.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	registration := encode(codec.Registration{Name: "dribble", UUID: alice})
	frames := append([]byte{0x81, 0x80 | byte(len(registration)), 0, 0, 0, 0}, registration...) // short, and masked with zeros
	frames = binary.BigEndian.AppendUint64(append(frames, 0x81, 0xff), uint64(n))
	if _, err := conn.Write(append(frames, 0, 0, 0, 0)); err != nil {
		t.Fatal(err)
	}
	d := dribble{conn.(*net.TCPConn), make(chan []byte, 1)}
	go func() { // ends with the connection
		all, _ := io.ReadAll(answer)
		d.ended <- all
	}()
	return d
}

// Who has registered and goes on with a byte now and then answers no ping, but
// is not silent either.
func TestT39_WhoDribblesAMessageIsTakenForDead(t *testing.T) {
	const every = 10 * time.Millisecond
	s := newServer(t, WithKeepalive(time.Second, time.Second))
	url := listen(t, s)
	d := newDribble(t, url, 1<<20)
	eventually(t, "it is registered", func() bool { return s.Stats().Clients == 1 })
	start, sent := time.Now(), 0
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if _, err := d.Write([]byte{'x'}); err == nil {
				sent++
			}
			if s.Stats().Clients == 0 { // it has been told, and is waited for
				d.CloseWrite()
			}
			continue
		case came := <-d.ended:
			if took := time.Since(start); took < time.Second || !strings.Contains(string(came), reasonSilent) {
				t.Errorf("ended after %v with %q", took, came)
			} else {
				t.Logf("cut %v and %d bytes after it had registered", took.Round(time.Millisecond), sent)
			}
		}
		break
	}
	eventually(t, "it is counted", func() bool { return s.Stats().Closed[codeInternal] == 1 })
}

// A large message over a slow link is one, too, and no ping is answered in it.
func TestT39_WhoIsSlowIsNotTakenForDead(t *testing.T) {
	s := newServer(t, WithKeepalive(200*time.Millisecond, 200*time.Millisecond))
	url := listen(t, s)
	text := message(alice, alice, strings.Repeat("x", 1<<20-1000))
	d := newDribble(t, url, len(text))
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	rest := text
	for start := time.Now(); time.Since(start) < 2*time.Second; <-tick.C { // ten pings
		n := min(len(rest), 1<<10)
		if _, err := io.WriteString(d, rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if rest == "" {
		t.Fatal("it was not slow")
	}
	if _, err := io.WriteString(d, rest); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has arrived", func() bool { return s.Stats().Forwarded == 1 })
}
