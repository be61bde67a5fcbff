package relaytest_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/server"
)

// ground is a Chaos in memory, inside a bubble.
type ground struct {
	t     *testing.T
	relay *relaytest.Relay // for its network
	chaos *relaytest.Chaos
}

func onGround(t *testing.T, test func(t *testing.T, g *ground), opts ...server.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := &ground{t: t, relay: relaytest.NewInMemory(t), chaos: relaytest.NewChaos(t, opts...)}
		g.relay.Handle(g.chaos)
		test(t, g)
	})
}

// raw is a client that sends and reads what it is told to, byte for byte.
type raw struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	mute bool // answers no pings
}

// open sends a handshake and reads nothing.
func open(t *testing.T, conn net.Conn, path string) *raw {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: relay.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", path)
	if err != nil {
		t.Fatal(err)
	}
	return &raw{t: t, conn: conn, in: bufio.NewReader(conn)}
}

func (g *ground) open(path string) *raw {
	g.t.Helper()
	return open(g.t, dialled(g.t, g.relay), path)
}

// answer reads the answer to the handshake.
func (c *raw) answer() *http.Response {
	c.t.Helper()
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatal("the answer to the handshake:", err)
	}
	return response
}

// upgraded opens a WebSocket.
func (g *ground) upgraded(path string) *raw {
	g.t.Helper()
	c := g.open(path)
	if response := c.answer(); response.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(response.Body)
		g.t.Fatalf("%s: %s: %s", path, response.Status, body)
	}
	return c
}

// registered opens a WebSocket and registers, with a reply.
func (g *ground) registered(path, id string) *raw {
	g.t.Helper()
	c := g.upgraded(path)
	c.register(id)
	if got, want := c.next(), "text "+success; got != want {
		g.t.Fatalf("%s: the reply is %s", path, got)
	}
	return c
}

const (
	success = `{"success": true, "message": null, "error": false, "message_type": "relay_response"}`
	aliceID = "aaaaaaaa-0000-4000-8000-000000000001"
	bobID   = "bbbbbbbb-0000-4000-8000-000000000002"
)

func (c *raw) register(id string) {
	c.t.Helper()
	c.send(1, fmt.Sprintf(`{"name": "raw", "uuid": "%s", "message_type": "relay_registration"}`, id))
}

func message(from, to, text string) string {
	return fmt.Sprintf(`{"source_uuid": "%s", "source_name": "raw", "peer_uuid": "%s", "description_type": "offer", `+
		`"description": "%s", "error": null, "message_type": "peer_connection"}`, from, to, text)
}

// send sends a frame, masked with zeros.
func (c *raw) send(opcode byte, payload string) {
	c.t.Helper()
	frame := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		frame = append(frame, 0x80|byte(n))
	default:
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(n))
	}
	frame = append(append(frame, 0, 0, 0, 0), payload...)
	_ = c.conn.SetWriteDeadline(time.Now().Add(time.Minute))
	if _, err := c.conn.Write(frame); err != nil {
		c.t.Fatal("send:", err)
	}
}

// next describes what comes within two minutes: a frame, or how the stream ends.
func (c *raw) next() string {
	c.t.Helper()
	return c.within(2 * time.Minute)
}

func (c *raw) within(d time.Duration) string {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(d))
	got := make([]byte, 0, 256)
	read := func(n int) error {
		m, err := io.ReadFull(c.in, got[len(got):len(got)+n])
		got = got[:len(got)+m]
		return err
	}
	if err := read(2); err != nil {
		return ended(len(got), err)
	}
	head, size := got[0], int(got[1])
	if size == 126 {
		if err := read(2); err != nil {
			return ended(len(got), err)
		}
		size = int(binary.BigEndian.Uint16(got[2:]))
	}
	got = slices.Grow(got, size)
	start := len(got)
	if err := read(size); err != nil {
		return ended(len(got), err)
	}
	payload := got[start:]
	switch head {
	case 0x81:
		return "text " + string(payload)
	case 0x82:
		return fmt.Sprintf("binary %x", payload)
	case 0x88:
		if len(payload) < 2 {
			return "close"
		}
		return fmt.Sprintf("close %d %s", binary.BigEndian.Uint16(payload), payload[2:])
	case 0x89:
		if !c.mute {
			c.send(10, "")
		}
		return "ping"
	case 0x8a:
		return "pong " + string(payload)
	}
	return fmt.Sprintf("frame %x %s", head, payload)
}

// ended tells how the stream has ended, and with how many bytes of a frame.
func ended(n int, err error) string {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return "silence"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("end after %d bytes", n)
	}
	return fmt.Sprintf("%v after %d bytes", err, n)
}

// expect reads what must come, in this order; pings in between do not count.
func (c *raw) expect(want ...string) {
	c.t.Helper()
	for _, want := range want {
		end := time.Now().Add(2 * time.Minute)
		got := c.within(time.Until(end))
		for got == "ping" {
			got = c.within(time.Until(end))
		}
		if got != want {
			c.t.Fatalf("got %s\nwant %s", got, want)
		}
	}
}

// echoed makes sure that the relay handles messages: one to oneself comes back.
func (c *raw) echoed(id, text string) {
	c.t.Helper()
	m := message(id, id, text)
	c.send(1, m)
	c.expect("text " + m)
}

// silent makes sure that nothing comes for a while, but for pings if allowed.
func (c *raw) silent(d time.Duration, pings bool) {
	c.t.Helper()
	c.mute = !pings
	for end := time.Now().Add(d); ; {
		switch got := c.within(time.Until(end)); {
		case got == "silence":
			return
		case got != "ping" || !pings:
			c.t.Fatalf("after %v of %v: %s", d-time.Until(end), d, got)
		}
	}
}

// paths returns the paths of all behaviours, from the index.
func paths() []string {
	var all []string
	for line := range strings.Lines(relaytest.ChaosIndex("ws://x")) {
		if strings.HasPrefix(line, "/") {
			all = append(all, strings.TrimSpace(line))
		}
	}
	return all
}
