package server

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
)

// A message that never ends is put up with until the limit, be it in bytes or,
// where they are empty, in fragments, and not for one fragment more.
func TestT35_EndlessFragmentsEndAtTheLimit(t *testing.T) {
	s := newServer(t)
	url := listen(t, s)
	others := newBystanding(t, url)
	tests := []struct {
		size  int
		first byte
	}{{0, 1}, {1, 1}, {1 << 10, 1}, {64 << 10, 1}, {maxFrameBytes, 1}, {1 << 10, 2}}
	for _, test := range tests {
		t.Run(fmt.Sprintf("opcode %d, %d bytes each", test.first, test.size), func(t *testing.T) {
			p := dialRaw(t, url).register(carol)
			n := maxFrameBytes / max(test.size, 1)
			fragment := strings.Repeat("x", test.size)
			p.put(masked(test.first, fragment))
			p.repeat(n-1, masked(0, fragment))
			p.put(masked(fin|9, "still here"))
			if back, code, _ := p.verdict("still here"); code != 0 || len(back) != 0 {
				t.Fatalf("%d fragments: %d, %q", n, code, back)
			}
			others.served()
			p.put(masked(0, fragment))
			if _, code, reason := p.verdict(""); code != 1009 || reason != "frame exceeds limit of 1048576 bytes" {
				t.Errorf("fragment %d: %d %q", n+1, code, reason)
			}
			p.Close()
			eventually(t, "it is gone", func() bool { return s.Stats().Clients == 2 })
			others.served()
		})
	}
	eventually(t, "every end was counted", func() bool { return s.Stats().Closed[1009] == uint64(len(tests)) })
}

// repeat writes a frame n times, in writes of some size.
func (p rawPeer) repeat(n int, frame string) {
	const atOnce = 4096
	many := strings.Repeat(frame, min(n, atOnce))
	for ; n >= atOnce; n -= atOnce {
		p.put(many)
	}
	p.put(many[:n*len(frame)])
}

// A message of the largest size in fragments of one byte is a message, and costs
// processor time in proportion to its bytes, not more.
func TestT35_FragmentsOfOneByteCostALinearTime(t *testing.T) {
	s := newServer(t)
	url := listen(t, s)
	others := newBystanding(t, url)
	perFragment := func(size int) time.Duration {
		id := uuid.New()
		m := message(id, id, strings.Repeat("x", size-len(message(id, id, ""))))
		p := dialRaw(t, url).register(id)
		frames := pieces(m, 1)
		before := cpu(t)
		done := make(chan struct{})
		go func() { // ends with the connection
			defer close(done)
			p.put(frames)
		}()
		for sent := false; !sent; {
			select {
			case <-done:
				sent = true
			default:
			}
			others.served()
		}
		if op, back, err := p.next(); err != nil || op != 1 || back != m {
			t.Fatalf("%d fragments: opcode %d, %d bytes, %v", size, op, len(back), err)
		}
		took := cpu(t) - before
		p.put(closing(1000, ""))
		p.verdict("")
		p.Close()
		t.Logf("%d fragments: %v of processor time, with that of the test and of %d rounds of others", size, took, others.rounds)
		return took / time.Duration(size)
	}
	small, large := perFragment(maxFrameBytes/16), perFragment(maxFrameBytes)
	if large > 4*small+time.Microsecond || large > 50*time.Microsecond {
		t.Errorf("%v a fragment among few, %v among many", small, large)
	}
}

// cpu is the processor time that the process has taken.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestT35_TextThatIsNoUTF8AndBinaryMessages(t *testing.T) {
	const no, unknown = 1007, 4000
	id := carol
	in := func(text string) string { return strings.Replace(message(id, id, "HERE"), "HERE", text, 1) }
	good := in("hello")
	type row struct {
		name, frames string
		code         int // 0: it comes back
	}
	tests := []row{
		{"a binary message", masked(fin|2, good), unknown},
		{"an empty binary message", masked(fin|2, ""), unknown},
		{"a binary message in fragments", masked(2, good[:20]) + masked(0, good[20:40]) + masked(fin, good[40:]), unknown},
		{"a binary message that is no text", masked(fin|2, "\x00\xff\xfe"), unknown},
		{"a binary message of 1 MiB", masked(fin|2, strings.Repeat("\xff", maxFrameBytes)), unknown},
		{"nothing but a stray byte", masked(fin|1, "\xff"), no},
		{"a rune cut by the end of a fragment, and whole", masked(1, in("é")[:strings.Index(in("é"), "é")+1]) + masked(fin, in("é")[strings.Index(in("é"), "é")+1:]), 0},
		{"a rune cut by the end of the message", masked(1, good) + masked(fin, "\xc3"), no},
	}
	for name, text := range map[string]string{
		"two bytes, the lowest": "\u0080", "three bytes, the highest": "\uffff", "four bytes, the highest": "\U0010ffff",
		"a noncharacter": "\ufdd0", "the runes around the surrogates": "\ud7ff\ue000", "DEL": "\x7f", "κόσμε": "κόσμε",
	} {
		tests = append(tests, row{name, masked(fin|1, in(text)), 0})
	}
	for name, text := range map[string]string{
		"a continuation byte alone": "\x80", "a start alone": "\xc3", "a start and a letter": "\xe2a", "three bytes, one missing": "\xe2\x82",
		"four bytes, one missing": "\xf0\x9f\x98", "an overlong slash": "\xc0\xaf", "an overlong slash of three bytes": "\xe0\x80\xaf",
		"an overlong slash of four bytes": "\xf0\x80\x80\xaf", "an overlong NUL": "\xc0\x80", "half a surrogate pair": "\xed\xa0\x80",
		"a surrogate pair": "\xed\xa0\xbd\xed\xb8\x80", "beyond the last rune": "\xf4\x90\x80\x80", "five bytes": "\xf8\x88\x80\x80\x80",
		"six bytes": "\xfc\x84\x80\x80\x80\x80", "0xfe and 0xff": "\xfe\xff", "Latin-1": "caf\xe9",
	} {
		tests = append(tests, row{name, masked(fin|1, in(text)), no}, row{name + ", in fragments of a byte", pieces(in(text), 1), no})
	}
	s := newServer(t)
	url := listen(t, s)
	others := newBystanding(t, url)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := dialRaw(t, url).register(id)
			p.put(test.frames)
			back, code, reason := "", 0, ""
			switch op, payload, err := p.next(); {
			case err != nil:
				t.Fatal(err)
			case op == 8:
				code, reason = int(payload[0])<<8|int(payload[1]), payload[2:]
			default:
				back = payload
			}
			want := map[int]string{no: "", unknown: reasonUnknown, 0: ""}[test.code]
			if code != test.code || reason != want || (code == 0) != strings.HasPrefix(back, `{"source_uuid"`) {
				t.Errorf("closed with %d %q, want %d %q; came back: %q", code, reason, test.code, want, back)
			}
			others.served()
			p.Close()
			eventually(t, "it is gone", func() bool { return s.Stats().Clients == 2 })
		})
	}
	t.Logf("%d rows", len(tests))
}
