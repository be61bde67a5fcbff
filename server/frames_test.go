package server

import (
	"bytes"
	"compress/flate"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// A frameCase is what a registered client sends: m is a message to itself.
type frameCase struct {
	name   string
	frames func(m string) string
	code   int // with which it is closed; 0: it lives
	back   int // how often m comes back, if it lives
}

// The frames of sections 2 to 5 of the Autobahn suite, and of case T34.
func frameCases() []frameCase {
	all := []frameCase{
		// 2: pings and pongs
		{"a ping without a payload", func(m string) string { return masked(fin|9, "") }, 0, 0},
		{"a ping with a text", func(m string) string { return masked(fin|9, "Hello, world!") }, 0, 0},
		{"a ping with bytes that are no text", func(m string) string { return masked(fin|9, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff") }, 0, 0},
		{"a ping of 125 bytes", func(m string) string { return masked(fin|9, strings.Repeat("\xfe", 125)) }, 0, 0},
		{"a ping of 126 bytes", func(m string) string { return masked(fin|9, strings.Repeat("\xfe", 126)) }, 1002, 0},
		{"a ping of 64 KiB", func(m string) string { return masked(fin|9, strings.Repeat("\xfe", 1<<16)) }, 1002, 0},
		{"a pong that nobody asked for, empty", func(m string) string { return masked(fin|10, "") }, 0, 0},
		{"a pong that nobody asked for, and a message", func(m string) string { return masked(fin|10, "payload") + masked(fin|1, m) }, 0, 1},
		{"a pong of 126 bytes", func(m string) string { return masked(fin|10, strings.Repeat("x", 126)) }, 1002, 0},
		{"ten pings, and a message", func(m string) string { return strings.Repeat(masked(fin|9, "x"), 10) + masked(fin|1, m) }, 0, 1},
		// 3: reserved bits
		{"RSV3 on a text", func(m string) string { return masked(fin|0x10|1, m) }, 1002, 0},
		{"RSV2 on a text behind a good one", func(m string) string { return masked(fin|1, m) + masked(fin|0x20|1, m) }, 1002, 0},
		{"RSV2 and RSV3 between good ones", func(m string) string { return masked(fin|1, m) + masked(fin|0x30|1, m) + masked(fin|1, m) }, 1002, 0},
		{"RSV1 on a text", func(m string) string { return masked(fin|0x40|1, m) }, 1002, 0},
		{"RSV1 on a binary", func(m string) string { return masked(fin|0x40|2, m) }, 1002, 0},
		{"RSV1 and RSV3 on a binary", func(m string) string { return masked(fin|0x50|2, m) }, 1002, 0},
		{"RSV1 and RSV2 on a ping", func(m string) string { return masked(fin|0x60|9, "x") }, 1002, 0},
		{"all three on a close", func(m string) string { return masked(fin|0x70|8, "\x03\xe8") }, 1002, 0},
		{"RSV1 on a continuation only", func(m string) string { return masked(1, m[:9]) + masked(fin|0x40, m[9:]) }, 1002, 0},
		{"a deflated message", func(m string) string { return masked(fin|0x40|1, deflated(m)) }, 1002, 0},
		// 5: fragments
		{"a ping in two fragments", func(m string) string { return masked(9, "a") + masked(fin, "b") }, 1002, 0},
		{"a pong in two fragments", func(m string) string { return masked(10, "a") + masked(fin, "b") }, 1002, 0},
		{"a close in two fragments", func(m string) string { return masked(8, "\x03") + masked(fin, "\xe8") }, 1002, 0},
		{"a text in two fragments", func(m string) string { return masked(1, m[:9]) + masked(fin, m[9:]) }, 0, 1},
		{"a text in two fragments, a ping between", func(m string) string { return masked(1, m[:9]) + masked(fin|9, "x") + masked(fin, m[9:]) }, 0, 1},
		{"a text in two fragments, a pong between", func(m string) string { return masked(1, m[:9]) + masked(fin|10, "x") + masked(fin, m[9:]) }, 0, 1},
		{"a text in fragments of one byte", func(m string) string { return pieces(m, 1) }, 0, 1},
		{"a text in fragments of which most are empty", func(m string) string {
			return masked(1, "") + masked(0, "") + masked(0, m) + masked(0, "") + masked(fin, "")
		}, 0, 1},
		{"two texts in fragments, one behind the other", func(m string) string { return pieces(m, 50) + pieces(m, 60) }, 0, 2},
		{"a continuation of nothing, the last", func(m string) string { return masked(fin, m) }, 1002, 0},
		{"a continuation of nothing, not the last", func(m string) string { return masked(0, m) }, 1002, 0},
		{"a continuation of nothing, empty", func(m string) string { return masked(fin, "") }, 1002, 0},
		{"a continuation of nothing, before a good message", func(m string) string { return masked(0, m) + masked(fin|1, m) }, 1002, 0},
		{"a continuation of what has ended", func(m string) string { return masked(fin|1, m) + masked(fin, m) }, 1002, 0},
		{"a continuation of a ping", func(m string) string { return masked(fin|9, "x") + masked(fin, m) }, 1002, 0},
		{"a text inside a text", func(m string) string { return masked(1, m[:9]) + masked(fin|1, m) }, 1002, 0},
		{"a binary inside a text", func(m string) string { return masked(1, m[:9]) + masked(fin|2, m) }, 1002, 0},
		{"a text begun inside a text", func(m string) string { return masked(1, m[:9]) + masked(1, m[9:]) }, 1002, 0},
		{"a reserved opcode inside a text", func(m string) string { return masked(1, m[:9]) + masked(fin|3, "") }, 1002, 0},
		{"a close inside a text", func(m string) string { return masked(1, m[:9]) + closing(1000, "") }, 1000, 0},
		// masks
		{"an unmasked text", func(m string) string { return header(fin|1, uint64(len(m))) + m }, 1002, 0},
		{"an unmasked continuation", func(m string) string { return masked(1, m[:9]) + header(fin, uint64(len(m)-9)) + m[9:] }, 1002, 0},
		{"an unmasked ping", func(m string) string { return header(fin|9, 1) + "x" }, 1002, 0},
		{"an unmasked close", func(m string) string { return header(fin|8, 2) + "\x03\xe8" }, 1002, 0},
		{"a mask of zeroes", func(m string) string { return headerOnly(fin|1, 16, uint64(len(m))) + m }, 0, 1},
		// lengths
		{"16 bits for a length of 0", func(m string) string { return headerOnly(fin|1, 16, 0) }, 1002, 0},
		{"16 bits for a length of 125", func(m string) string { return headerOnly(fin|1, 16, 125) }, 1002, 0},
		{"64 bits for the length of a message", func(m string) string { return headerOnly(fin|1, 64, uint64(len(m))) + m }, 1002, 0},
		{"64 bits for a length of 65535", func(m string) string { return headerOnly(fin|1, 64, 65535) }, 1002, 0},
		{"64 bits for the length of a continuation", func(m string) string { return masked(1, m[:9]) + headerOnly(fin, 64, 9) }, 1002, 0},
		{"16 bits for the length of a ping", func(m string) string { return headerOnly(fin|9, 16, 1) + "x" }, 1002, 0},
		{"64 bits for the length of a close", func(m string) string { return headerOnly(fin|8, 64, 2) + "\x03\xe8" }, 1002, 0},
		{"a length of 63 bits", func(m string) string { return headerOnly(fin|1, 64, 1<<63-1) }, 1009, 0},
		{"a length of 62 bits", func(m string) string { return headerOnly(fin|2, 64, 1<<62) }, 1009, 0},
		{"a length of 2 GiB", func(m string) string { return headerOnly(fin|1, 64, 1<<31) }, 1009, 0},
		{"a length of 4 GiB and a little", func(m string) string { return headerOnly(fin|1, 64, 1<<32+5) }, 1009, 0},
		{"a negative length", func(m string) string { return headerOnly(fin|1, 64, 1<<63) }, 1009, 0},
		{"the negative length -1", func(m string) string { return headerOnly(fin|1, 64, 1<<64-1) }, 1009, 0},
		{"a negative length of a continuation", func(m string) string { return masked(1, m) + headerOnly(fin, 64, 1<<64-2) }, 1009, 0},
		{"lengths whose sum overflows", func(m string) string { return masked(1, m) + headerOnly(fin, 64, 1<<63-1) }, 1009, 0},
		{"a length one over the limit", func(m string) string { return headerOnly(fin|1, 64, maxFrameBytes+1) }, 1009, 0},
		{"lengths whose sum is one over the limit", func(m string) string {
			return masked(1, strings.Repeat("x", maxFrameBytes-9)) + masked(fin, "0123456789")
		}, 1009, 0},
	}
	// 4: opcodes that are reserved, alone and behind a good message
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		all = append(all,
			frameCase{fmt.Sprintf("opcode %#x", op), func(m string) string { return masked(fin|op, "") }, 1002, 0},
			frameCase{fmt.Sprintf("opcode %#x with a payload, behind a good message", op), func(m string) string { return masked(fin|1, m) + masked(fin|op, m) }, 1002, 0},
			frameCase{fmt.Sprintf("opcode %#x begun", op), func(m string) string { return masked(op, "x") }, 1002, 0})
	}
	return all
}

func deflated(text string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression) // the level is valid
	_, _ = w.Write([]byte(text))
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// What RFC 6455 allows is served, all else is refused with 1002 or 1009, and
// nobody else notices, whether it comes in one piece or byte by byte.
func TestT34_TheFrameTable(t *testing.T) {
	s := newServer(t)
	url := listen(t, s)
	others := newBystanding(t, url)
	cases := frameCases()
	ends := map[int]int{}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			id := uuid.New()
			m := message(id, id, "it lives")
			for _, chunk := range []int{1 << 30, 1} {
				if frames := test.frames(m); chunk > 1 || len(frames) < 1000 {
					test.play(t, dialRaw(t, url).register(id), frames, m, chunk)
					ends[test.code]++
				}
				others.served()
				eventually(t, "only the others are left", func() bool { return s.Stats().Clients == 2 })
			}
		})
	}
	eventually(t, "every end was counted", func() bool {
		closed := s.Stats().Closed
		return closed[1002] == uint64(ends[1002]) && closed[1009] == uint64(ends[1009])
	})
	t.Logf("%d rows; %d connections closed with 1002, %d with 1009, %d served; %d rounds of others",
		len(cases), ends[1002], ends[1009], ends[0]+ends[1000], others.rounds)
	if len(cases) < 60 || ends[1002] < 100 || ends[1009] < 15 {
		t.Error("that is not the whole table")
	}
}

// play sends the frames in chunks, and looks at what becomes of them.
func (test frameCase) play(t *testing.T, p rawPeer, frames, m string, chunk int) {
	t.Helper()
	for rest := frames + masked(fin|9, "the end"); rest != ""; {
		n := min(chunk, len(rest))
		p.put(rest[:n])
		rest = rest[n:]
	}
	back, code, reason := p.verdict("the end")
	if code != test.code || code == 1002 && reason == "" {
		t.Fatalf("closed with %d %q, want %d", code, reason, test.code)
	}
	if code == 0 {
		if len(back) != test.back || len(back) > 0 && back[len(back)-1] != m {
			t.Errorf("came back: %q, want %d of them", back, test.back)
		}
		p.put(closing(1000, ""))
		if _, code, _ := p.verdict(""); code != 1000 {
			t.Errorf("the goodbye is answered with %d", code)
		}
	}
	p.Close()
}

// A header promises what it likes; memory is for what has arrived.
func TestT34_AnAnnouncedLengthCostsNoMemory(t *testing.T) {
	s := newServer(t)
	url := listen(t, s)
	const peers = 100
	for name, sent := range map[string]string{
		"63 bits":                       headerOnly(fin|1, 64, 1<<63-1),
		"-1":                            headerOnly(fin|1, 64, 1<<64-1),
		"one over the limit":            headerOnly(fin|1, 64, maxFrameBytes+1) + strings.Repeat("x", 1000),
		"the limit, of which 10 arrive": headerOnly(fin|1, 64, maxFrameBytes) + "0123456789",
	} {
		t.Run(name, func(t *testing.T) {
			var all []rawPeer
			for range peers {
				all = append(all, dialRaw(t, url).register(uuid.New()))
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			received := s.Stats().Received
			for _, p := range all {
				p.put(sent)
			}
			for _, p := range all {
				if strings.HasSuffix(sent, "9") { // it is waited for the rest
					p.Conn.(interface{ CloseWrite() error }).CloseWrite()
					p.next() // until the end
				} else if _, code, _ := p.verdict(""); code != 1009 {
					t.Errorf("closed with %d", code)
				}
			}
			eventually(t, "all are gone", func() bool { return s.Stats().Clients == 0 })
			runtime.ReadMemStats(&after)
			each := (after.TotalAlloc - before.TotalAlloc) / peers
			t.Logf("%d bytes allocated for each of %d", each, peers)
			if each > 64<<10 {
				t.Errorf("%d bytes allocated for each", each)
			}
			if s.Stats().Received != received {
				t.Error("a message was taken")
			}
		})
	}
}

// Compression is offered in vain, in every spelling, and what comes compressed
// all the same is not even inflated.
func TestT34_CompressionIsNeverNegotiated(t *testing.T) {
	s := newServer(t)
	url := listen(t, s)
	others := newBystanding(t, url)
	bomb := masked(fin|0x40|1, deflated(strings.Repeat("x", 16<<20)))
	t.Logf("a bomb of %d bytes that would be 16 MiB", len(bomb))
	for _, offer := range []string{
		"permessage-deflate", "permessage-deflate; client_max_window_bits", "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
		"x-webkit-deflate-frame", "permessage-bzip2, permessage-deflate", "permessage-deflate; server_max_window_bits=8",
	} {
		p := dialRaw(t, url, "Sec-WebSocket-Extensions: "+offer).register(carol) // fails if one is agreed on
		m := message(carol, carol, strings.Repeat("what a compressor would make short. ", 100))
		p.put(masked(fin|1, m), masked(fin|9, "plain"))
		if back, code, _ := p.verdict("plain"); code != 0 || len(back) != 1 || back[0] != m {
			t.Errorf("%s: %d, %q", offer, code, back)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p.put(bomb)
		if _, code, reason := p.verdict(""); code != 1002 || !strings.Contains(reason, "RSV1") {
			t.Errorf("%s: closed with %d %q", offer, code, reason)
		}
		p.Close()
		eventually(t, "it is gone", func() bool { return s.Stats().Clients == 2 })
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 256<<10 {
			t.Errorf("%s: %d bytes allocated for the bomb", offer, grown)
		} else {
			t.Logf("%s: %d bytes allocated for the bomb", offer, grown)
		}
		others.served()
	}
}
