package server

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
)

// A rawPeer writes bytes and reads frames, by code that shares nothing with the
// server.
type rawPeer struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

// dialRaw opens a WebSocket; the lines are further headers of the request.
func dialRaw(t *testing.T, url string, lines ...string) rawPeer {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	bound := time.AfterFunc(patience, func() { conn.Close() })
	t.Cleanup(func() { bound.Stop(); conn.Close() })
	p := rawPeer{t, conn, bufio.NewReader(conn)}
	p.put("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + strings.Join(append(lines, "\r\n"), "\r\n"))
	answer, err := http.ReadResponse(p.r, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", answer, err)
	}
	if extensions := answer.Header.Values("Sec-WebSocket-Extensions"); len(extensions) > 0 {
		t.Fatalf("extensions %q", extensions)
	}
	return p
}

// put writes what the server may not care to read to its end.
func (p rawPeer) put(bytes ...string) {
	for _, b := range bytes {
		if _, err := io.WriteString(p.Conn, b); err != nil {
			return // the reader finds out why
		}
	}
}

// next reads one frame, which must be one that a server may send.
func (p rawPeer) next() (op byte, payload string, err error) {
	var head [10]byte
	if _, err := io.ReadFull(p.r, head[:2]); err != nil {
		return 0, "", err
	}
	size := uint64(head[1])
	switch size {
	case 126:
		_, err = io.ReadFull(p.r, head[2:4])
		size = uint64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		_, err = io.ReadFull(p.r, head[2:])
		size = binary.BigEndian.Uint64(head[2:])
	}
	if op = head[0] & 0xf; err != nil || head[0]&0xf0 != 0x80 || head[1] > 127 || size > 2<<20 || op >= 8 && size > 125 {
		return 0, "", fmt.Errorf("a frame with the header % x: %w", head, err)
	}
	body := make([]byte, size)
	_, err = io.ReadFull(p.r, body)
	return op, string(body), err
}

// verdict reads up to a pong that says payload or to the close frame, and returns the
// messages that came before. Code 0 is for the pong, 1005 for a close frame without a code.
func (p rawPeer) verdict(payload string) (messages []string, code int, reason string) {
	p.t.Helper()
	for {
		op, data, err := p.next()
		switch {
		case err != nil:
			p.t.Fatalf("neither a pong nor a close: %v", err)
		case op == 1:
			messages = append(messages, data)
		case op == 10 && data == payload:
			return messages, 0, ""
		case op == 8 && data == "":
			return messages, 1005, ""
		case op == 8:
			return messages, int(binary.BigEndian.Uint16([]byte(data))), data[2:]
		}
	}
}

// fin is the bit of the last frame of a message.
const fin = 0x80

// masked is a frame as a client sends it: the first byte, and the payload.
func masked(first byte, payload string) string {
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	b := append([]byte(header(first, uint64(len(payload)))), key[:]...)
	b[1] |= 0x80
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return string(b)
}

// header is that of an unmasked frame.
func header(first byte, size uint64) string {
	switch {
	case size <= 125:
		return string([]byte{first, byte(size)})
	case size <= 0xffff:
		return string(binary.BigEndian.AppendUint16([]byte{first, 126}, uint16(size)))
	}
	return string(binary.BigEndian.AppendUint64([]byte{first, 127}, size))
}

// headerOnly is a masked header that announces size in 16 or 64 bits, whether it
// needs them or not.
func headerOnly(first byte, bits int, size uint64) string {
	if bits == 16 {
		return string(binary.BigEndian.AppendUint16([]byte{first, 0xfe}, uint16(size))) + "\x00\x00\x00\x00"
	}
	return string(binary.BigEndian.AppendUint64([]byte{first, 0xff}, size)) + "\x00\x00\x00\x00"
}

// pieces is a text in frames of at most size bytes.
func pieces(text string, size int) string {
	var b strings.Builder
	first := byte(1)
	for ; len(text) > size; text = text[size:] {
		b.WriteString(masked(first, text[:size]))
		first = 0
	}
	b.WriteString(masked(first|fin, text))
	return b.String()
}

func closing(code int, reason string) string {
	return masked(fin|8, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+reason)
}

func (p rawPeer) register(id uuid.UUID) rawPeer {
	p.t.Helper()
	p.put(masked(fin|1, encode(codec.Registration{Name: "raw", UUID: id})))
	if _, answer, err := p.next(); err != nil || answer != registered {
		p.t.Fatalf("%q, %v", answer, err)
	}
	return p
}

// A bystanding pair talks through the same server all the time.
type bystanding struct {
	a, b   peer
	rounds int
}

func newBystanding(t *testing.T, url string) *bystanding {
	t.Helper()
	return &bystanding{a: dial(t, url).register(alice), b: dial(t, url).register(bob)}
}

// served checks that the server still serves others: a message and its answer pass.
func (p *bystanding) served() {
	p.a.t.Helper()
	p.rounds++
	text := fmt.Sprint("round ", p.rounds)
	p.a.send(alice, bob, text)
	if m := p.b.receive(); m.Description != text || m.Error != "" {
		p.a.t.Fatalf("%+v instead of %q", m, text)
	}
	p.b.send(bob, alice, text)
	if m := p.a.receive(); m.Description != text || m.Error != "" {
		p.a.t.Fatalf("%+v instead of %q", m, text)
	}
}
