package relay_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/transport"
)

// unmasked is a frame as a relay sends it.
func unmasked(first byte, payload string) string {
	switch n := len(payload); {
	case n <= 125:
		return string([]byte{first, byte(n)}) + payload
	case n <= 0xffff:
		return string(binary.BigEndian.AppendUint16([]byte{first, 126}, uint16(n))) + payload
	}
	return string(binary.BigEndian.AppendUint64([]byte{first, 127}, uint64(len(payload)))) + payload
}

// nextFrame reads one frame of at most 64 KiB of a client.
func nextFrame(r *bufio.Reader) (opcode byte, payload []byte, err error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, err
	}
	opcode = head[0] & 0xf
	size := int(head[1] & 0x7f)
	if size == 126 {
		_, err = io.ReadFull(r, head)
		size = int(binary.BigEndian.Uint16(head))
	}
	rest := make([]byte, 4+size)
	if err == nil {
		_, err = io.ReadFull(r, rest)
	}
	for i := range rest[4:] {
		rest[4+i] ^= rest[i%4]
	}
	return opcode, rest[4:], err
}

// brokenFrames are what no relay may send, and the code with which a client closes.
var brokenFrames = []struct {
	name, frames string
	code         int
}{
	{"a masked frame", "\x81\x81\x00\x00\x00\x00x", 1002},
	{"a masked ping", "\x89\x80\x01\x02\x03\x04", 1002},
	{"a masked close", "\x88\x82\x00\x00\x00\x00\x03\xe8", 1002},
	{"RSV1", unmasked(0xc1, "x"), 1002},
	{"RSV2", unmasked(0xa1, "x"), 1002},
	{"RSV3", unmasked(0x91, "x"), 1002},
	{"RSV1 on a ping", unmasked(0xc9, ""), 1002},
	{"opcode 3", unmasked(0x83, ""), 1002},
	{"opcode 4", unmasked(0x84, "x"), 1002},
	{"opcode 5", unmasked(0x85, ""), 1002},
	{"opcode 6", unmasked(0x86, ""), 1002},
	{"opcode 7", unmasked(0x87, ""), 1002},
	{"opcode 11", unmasked(0x8b, ""), 1002},
	{"opcode 12", unmasked(0x8c, "x"), 1002},
	{"opcode 13", unmasked(0x8d, ""), 1002},
	{"opcode 14", unmasked(0x8e, ""), 1002},
	{"opcode 15", unmasked(0x8f, ""), 1002},
	{"a ping of 126 bytes", unmasked(0x89, strings.Repeat("x", 126)), 1002},
	{"a ping in fragments", unmasked(0x09, "a") + unmasked(0x80, "b"), 1002},
	{"a close in fragments", unmasked(0x08, ""), 1002},
	{"a continuation of nothing", unmasked(0x80, "x"), 1002},
	{"a message inside a message", unmasked(0x01, "x") + unmasked(0x81, "x"), 1002},
	{"a close of one byte", unmasked(0x88, "\x03"), 1002},
	{"close code 1005", unmasked(0x88, "\x03\xed"), 1002},
	{"a close reason that is no UTF-8", unmasked(0x88, "\x03\xe8\xff"), 1002},
	{"16 bits for a length of 5", "\x81\x7e\x00\x05hello", 1002},
	{"64 bits for a length of 5", "\x81\x7f\x00\x00\x00\x00\x00\x00\x00\x05hello", 1002},
	{"a length of 63 bits", "\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 1009},
	{"a negative length", "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 1009},
	{"a length of 1 GiB", "\x81\x7f\x00\x00\x00\x00\x40\x00\x00\x00", 1009},
}

// A relay, or what stands for it, that breaks the protocol costs the connection:
// the client says why, keeps what came before, and is back within its backoff.
func TestT34_AClientReconnectsAfterABrokenFrame(t *testing.T) {
	for _, test := range brokenFrames {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var attempts clock
				closed := make(chan int, 1)
				network := piped(func(conn net.Conn) {
					attempts.tick()
					upgraded(conn)
					r := bufio.NewReader(conn)
					_, _, _ = nextFrame(r) // the registration
					if len(attempts.ticks()) > 1 {
						_, _ = io.WriteString(conn, unmasked(0x81, okReply)+unmasked(0x81, message("back")))
						_, _ = io.Copy(io.Discard, r)
						return
					}
					_, _ = io.WriteString(conn, unmasked(0x81, okReply)+unmasked(0x81, message("before"))+test.frames)
					for {
						opcode, payload, err := nextFrame(r)
						if err != nil || opcode == 8 {
							closed <- int(binary.BigEndian.Uint16(append(payload, 0, 0)))
							return
						}
					}
				})
				c, err := relay.New("ws://relay.test", network)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = c.Close() }()
				told := watching(c)
				equal(t, "messages", receive(t, c, 2), []string{"before", "back"})
				if code := <-closed; code != test.code {
					t.Errorf("the client closed with %d, want %d", code, test.code)
				}
				if at := attempts.ticks(); len(at) != 2 || at[1].Sub(at[0]) > time.Second {
					t.Errorf("attempts at %v", at)
				}
				var why error
				for _, change := range of[relay.StateChange](told) {
					if change.To == relay.Backoff {
						why = change.Err
					}
				}
				want := map[int]error{1002: transport.ErrProtocol, 1009: transport.ErrFrameTooLarge}[test.code]
				if !errors.Is(why, want) {
					t.Errorf("the event says %v, want %v", why, want)
				}
				if stats := c.Stats(); stats.Connects != 2 || stats.Received != 2 || stats.Malformed != 0 {
					t.Errorf("%+v", stats)
				}
			})
		})
	}
}
