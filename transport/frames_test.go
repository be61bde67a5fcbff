package transport

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// rawConn speaks WebSocket by hand, to break the rules.
type rawConn struct {
	net.Conn
	r      *bufio.Reader
	masked bool
}

// frame reads one frame.
func (c *rawConn) frame(t *testing.T) (op opcode, payload []byte) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	head := make([]byte, 2)
	if _, err := io.ReadFull(c.r, head); err != nil {
		t.Fatalf("raw read: %v", err)
	}
	var key [4]byte
	if head[1]&0x80 != 0 {
		_, _ = io.ReadFull(c.r, key[:])
	}
	payload = make([]byte, head[1]&0x7f) // these tests read no longer ones
	_, _ = io.ReadFull(c.r, payload)
	for i := range payload {
		payload[i] ^= key[i&3]
	}
	return opcode(head[0] & 0xf), payload
}

// rawPair connects a Conn with a raw peer; the Conn is the server or the client.
func rawPair(t *testing.T, server bool) (Conn, *rawConn) {
	t.Helper()
	noLeaks(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if !server {
		return rawServer(t, ln)
	}
	accepted := make(chan Conn, 1)
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := new(Upgrader).Upgrade(w, r)
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	})}
	served := result(func() error { return h.Serve(ln) })
	t.Cleanup(func() { _ = h.Close(); <-served })
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	raw := &rawConn{conn, bufio.NewReader(conn), true}
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+
		"Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: chat\r\n\r\n")
	answer, err := http.ReadResponse(raw.r, nil)
	if err != nil || answer.StatusCode != 101 || answer.Header.Get("Sec-WebSocket-Extensions")+answer.Header.Get("Sec-WebSocket-Protocol") != "" {
		t.Fatal(answer, err)
	}
	return <-accepted, raw
}

func rawServer(t *testing.T, ln net.Listener) (Conn, *rawConn) {
	raws := make(chan *rawConn, 1)
	serve := result(func() error {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		raw := &rawConn{conn, bufio.NewReader(conn), false}
		raws <- raw
		return answerUpgrade(raw.r, conn, "")
	})
	client, err := (&Dialer{Proxy: noProxy}).Dial(t.Context(), "ws://"+ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := <-serve; err != nil {
		t.Fatal(err)
	}
	raw := <-raws
	t.Cleanup(func() { _ = raw.Close(); _ = ln.Close() })
	return client, raw
}

// A rawCase is what a raw peer sends, and what becomes of it.
type rawCase struct {
	name   string
	send   func(masked bool) []byte
	frames []string // read before the error
	binary bool
	want   error // nil: a CloseError
	code   int   // of the close frame sent
}

// rawFrame is a frame with this first byte.
func rawFrame(first byte, payload string) func(masked bool) []byte {
	return func(masked bool) []byte {
		b := appendFrame(nil, opText, []byte(payload), masked)
		b[0] = first
		return b
	}
}

func rawJoin(parts ...func(bool) []byte) func(masked bool) []byte {
	return func(masked bool) (all []byte) {
		for _, p := range parts {
			all = append(all, p(masked)...)
		}
		return all
	}
}

// rawHeader is a header, with a key of zeroes where one is due, and a payload.
func rawHeader(head, payload string) func(masked bool) []byte {
	return func(masked bool) []byte {
		b := []byte(head)
		if masked {
			b[1] |= 0x80
			b = append(b, 0, 0, 0, 0)
		}
		return append(b, payload...)
	}
}

func rawClose(code uint16, reason string) func(masked bool) []byte {
	return rawFrame(0x88, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

// What breaks the framing is refused with 1002 or 1009, by either side.
func TestT34_BrokenFramesFromEitherSideAreRefused(t *testing.T) {
	checkRaw(t, []rawCase{
		{"fragments are put together around a ping", rawJoin(rawFrame(0x01, "ab"), rawFrame(0x89, "?"), rawFrame(0x00, ""), rawFrame(0x80, "c"), rawClose(1000, "")), []string{"abc"}, false, nil, 1000},
		{"a binary message is told apart", rawJoin(rawFrame(0x82, "\x00\x01"), rawClose(4000, "x")), []string{"\x00\x01"}, true, nil, 4000},
		{"invalid UTF-8 is passed on", rawJoin(rawFrame(0x81, "\xff"), rawClose(3001, "")), []string{"\xff"}, false, nil, 3001},
		{"a pong that nobody asked for", rawJoin(rawFrame(0x8a, "!"), rawClose(4999, "")), nil, false, nil, 4999},
		{"the shortest frame of each form of length", rawJoin(
			rawHeader("\x81\x7d", strings.Repeat("x", 125)), rawHeader("\x81\x7e\x00\x7e", strings.Repeat("x", 126)),
			rawHeader("\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00", strings.Repeat("x", 1<<16)), rawClose(1000, "")),
			[]string{strings.Repeat("x", 125), strings.Repeat("x", 126), strings.Repeat("x", 1<<16)}, false, nil, 1000},
		{"RSV1", rawFrame(0xc1, "x"), nil, false, ErrProtocol, 1002},
		{"RSV2", rawFrame(0xa1, "x"), nil, false, ErrProtocol, 1002},
		{"RSV3", rawFrame(0x91, "x"), nil, false, ErrProtocol, 1002},
		{"RSV1 behind the first fragment", rawJoin(rawFrame(0x01, "x"), rawFrame(0xc0, "x")), nil, false, ErrProtocol, 1002},
		{"RSV1 on a ping", rawFrame(0xc9, ""), nil, false, ErrProtocol, 1002},
		{"opcode 3", rawFrame(0x83, "x"), nil, false, ErrProtocol, 1002},
		{"opcode 4", rawFrame(0x84, "x"), nil, false, ErrProtocol, 1002},
		{"opcode 5", rawFrame(0x85, "x"), nil, false, ErrProtocol, 1002},
		{"opcode 6", rawFrame(0x86, "x"), nil, false, ErrProtocol, 1002},
		{"opcode 7", rawFrame(0x87, "x"), nil, false, ErrProtocol, 1002},
		{"opcode 11", rawFrame(0x8b, "x"), nil, false, ErrProtocol, 1002},
		{"opcode 12", rawFrame(0x8c, "x"), nil, false, ErrProtocol, 1002},
		{"opcode 13", rawFrame(0x8d, "x"), nil, false, ErrProtocol, 1002},
		{"opcode 14", rawFrame(0x8e, "x"), nil, false, ErrProtocol, 1002},
		{"opcode 15", rawFrame(0x8f, "x"), nil, false, ErrProtocol, 1002},
		{"a long ping", rawFrame(0x89, strings.Repeat("x", 126)), nil, false, ErrProtocol, 1002},
		{"a long pong", rawFrame(0x8a, strings.Repeat("x", 126)), nil, false, ErrProtocol, 1002},
		{"a ping in fragments", rawFrame(0x09, "x"), nil, false, ErrProtocol, 1002},
		{"a pong in fragments", rawFrame(0x0a, "x"), nil, false, ErrProtocol, 1002},
		{"a close in fragments", rawFrame(0x08, ""), nil, false, ErrProtocol, 1002},
		{"a continuation of nothing", rawFrame(0x80, "x"), nil, false, ErrProtocol, 1002},
		{"a continuation of what has ended", rawJoin(rawFrame(0x81, "x"), rawFrame(0x80, "x")), []string{"x"}, false, ErrProtocol, 1002},
		{"a message within a message", rawJoin(rawFrame(0x01, "x"), rawFrame(0x81, "x")), nil, false, ErrProtocol, 1002},
		{"the wrong masking", func(masked bool) []byte { return rawFrame(0x81, "x")(!masked) }, nil, false, ErrProtocol, 1002},
		{"16 bits for a length of 125", rawHeader("\x81\x7e\x00\x7d", strings.Repeat("x", 125)), nil, false, ErrProtocol, 1002},
		{"64 bits for a length of 65535", rawHeader("\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff", strings.Repeat("x", 65535)), nil, false, ErrProtocol, 1002},
		{"16 bits for no length, behind a good message", rawJoin(rawFrame(0x81, "x"), rawHeader("\x81\x7e\x00\x00", "")), []string{"x"}, false, ErrProtocol, 1002},
		{"a length of 63 bits", rawHeader("\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", ""), nil, false, ErrFrameTooLarge, 1009},
		{"a negative length", rawHeader("\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", ""), nil, false, ErrFrameTooLarge, 1009},
		{"the lowest negative length", rawHeader("\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00", ""), nil, false, ErrFrameTooLarge, 1009},
		{"fragments whose lengths overflow", rawJoin(rawFrame(0x01, "x"), rawHeader("\x00\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", "")), nil, false, ErrFrameTooLarge, 1009},
		{"a header one byte over the limit", rawHeader("\x81\x7f\x00\x00\x00\x00\x00\x10\x00\x01", ""), nil, false, ErrFrameTooLarge, 1009},
		{"fragments over the limit", rawJoin(rawFrame(0x01, strings.Repeat("x", 1<<20)), rawFrame(0x00, "x")), nil, false, ErrFrameTooLarge, 1009},
	})
}

func TestT36_CloseFramesFromEitherSide(t *testing.T) {
	cases := []rawCase{
		{"a close frame without a code", rawFrame(0x88, ""), nil, false, nil, 1005},
		{"a close frame of one byte", rawFrame(0x88, "\x03"), nil, false, ErrProtocol, 1002},
		{"a close frame of 125 bytes", rawClose(1000, strings.Repeat("é", 61)+"x"), nil, false, nil, 1000},
		{"a close frame of 126 bytes", rawClose(1000, strings.Repeat("x", 124)), nil, false, ErrProtocol, 1002},
		{"a close reason that is not UTF-8", rawClose(1000, "\xff"), nil, false, ErrProtocol, 1002},
		{"a close reason cut inside a rune", rawClose(1000, "\xc3"), nil, false, ErrProtocol, 1002},
		{"a close reason with half a surrogate pair", rawClose(1000, "\xed\xa0\x80"), nil, false, ErrProtocol, 1002},
	}
	for _, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		cases = append(cases, rawCase{fmt.Sprint("close code ", code), rawClose(code, ""), nil, false, nil, int(code)})
	}
	for _, code := range []uint16{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65535} {
		cases = append(cases, rawCase{fmt.Sprint("close code ", code), rawClose(code, ""), nil, false, ErrProtocol, 1002})
	}
	checkRaw(t, cases)
}

// checkRaw plays each case against a server and against a client.
func checkRaw(t *testing.T, cases []rawCase) {
	t.Helper()
	for _, tt := range cases {
		for _, server := range []bool{true, false} {
			t.Run(tt.name+map[bool]string{true: " from a client", false: " from a server"}[server], func(t *testing.T) {
				c, raw := rawPair(t, server)
				wrote := result(func() error { _, err := raw.Write(tt.send(raw.masked)); return err })
				for _, want := range tt.frames {
					p, binary, err := c.ReadFrame()
					if err != nil || string(p) != want || binary != tt.binary {
						t.Fatalf("got %q (binary %v), %v", p, binary, err)
					}
				}
				_, _, err := c.ReadFrame()
				var goodbye *CloseError
				if tt.want == nil && (!errors.As(err, &goodbye) || goodbye.Code != tt.code) || tt.want != nil && !errors.Is(err, tt.want) {
					t.Errorf("ReadFrame: %v", err)
				}
				within(t, "the raw writer", wrote)
				op, payload := raw.frame(t)
				if op != opClose || parseClose(payload).Code != tt.code {
					t.Errorf("sent opcode %d %q, want close %d", op, payload, tt.code)
				}
				closed := result(func() error { return c.Close(1000, "") })
				if tt.want != nil && !server { // what still comes is thrown away, not reset
					if _, err := raw.Write(make([]byte, 100_000)); err != nil {
						t.Errorf("the peer was reset: %v", err)
					}
				}
				_ = raw.SetReadDeadline(time.Now().Add(5 * time.Second))
				if n, err := raw.r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("after the close frame: %d bytes, %v", n, err)
				}
				_ = raw.Close()
				if err := within(t, "Close", closed); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		}
	}
}
