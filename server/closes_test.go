package server

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
)

// A close frame is answered with its own code, or with 1002 if RFC 6455, section
// 7.4, or IANA's list has no such code for it.
func TestT36_TheCloseTable(t *testing.T) {
	type row struct {
		name, frame string
		code        int
		reason      string
	}
	const invalid = 1002
	rows := []row{
		{"no payload", masked(fin|8, ""), 1005, ""},
		{"1 byte", masked(fin|8, "\x03"), invalid, "close frame of one byte"},
		{"2 bytes", closing(1000, ""), 1000, ""},
		{"125 bytes", closing(1000, strings.Repeat("é", 61)+"x"), 1000, ""},
		{"126 bytes", closing(1000, strings.Repeat("x", 124)), invalid, "len > 125 for control"},
		{"a reason that is not UTF-8", closing(1000, "\xce\xba\xe1\xbd\xb9\xed\xa0\x80"), invalid, "invalid utf8 payload in close frame"},
		{"a reason cut inside a rune", closing(4000, strings.Repeat("é", 61)+"\xc3"), invalid, "invalid utf8 payload in close frame"},
		{"another frame behind it", closing(1000, "") + masked(fin|1, message(carol, alice, "too late")) + masked(fin|9, "x"), 1000, ""},
		{"another close behind it", closing(1001, "first") + closing(1011, "second"), 1001, ""},
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4001, 4004, 4999} {
		rows = append(rows, row{fmt.Sprint("code ", code), closing(code, "bye"), code, ""})
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		rows = append(rows, row{fmt.Sprint("code ", code), closing(code, ""), invalid, fmt.Sprint("bad close code ", code)})
	}
	s := newServer(t)
	url := listen(t, s)
	others := newBystanding(t, url)
	ends := map[int]uint64{}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			p := dialRaw(t, url).register(carol)
			p.put(row.frame)
			if _, code, reason := p.verdict(""); code != row.code || reason != row.reason {
				t.Errorf("answered with %d %q, want %d %q", code, reason, row.code, row.reason)
			}
			if op, payload, err := p.next(); err == nil {
				t.Errorf("behind the close comes opcode %d, %q", op, payload)
			}
			p.Close()
			eventually(t, "it is gone", func() bool { return s.Stats().Clients == 2 })
			others.served() // and nothing came too late
			ends[known(row.code)]++
		})
	}
	eventually(t, "every end was counted", func() bool {
		for code, n := range ends {
			if s.Stats().Closed[code] != n {
				return false
			}
		}
		return true
	})
	t.Logf("%d rows, %d of them answered with 1002", len(rows), ends[invalid])
}

// Our own reasons are cut to what fits, at a rune; ProxyStore's relay fails to
// send its own reason of 172 characters for a wrong audience.
func TestT36_ALongReasonIsCutAtARune(t *testing.T) {
	const audience = "ForbiddenError: The audience of the token does not include this relay server. The token was issued for " +
		"another service; ask for one with the scope of the relay server and try again."
	for name, reason := range map[string]string{
		"172 characters and more":    audience,
		"123 bytes":                  strings.Repeat("r", 123),
		"124 bytes":                  strings.Repeat("r", 124),
		"a rune of 2 at the limit":   strings.Repeat("r", 122) + strings.Repeat("é", 10),
		"a rune of 3 at the limit":   strings.Repeat("r", 121) + strings.Repeat("漢", 10),
		"a rune of 4 at the limit":   strings.Repeat("r", 120) + strings.Repeat("😀", 10),
		"a rune that just fits":      strings.Repeat("r", 119) + strings.Repeat("😀", 10),
		"100,000 bytes":              strings.Repeat("漢", 33_333),
		"bytes that are no text":     strings.Repeat("\xff", 200),
		"no text beyond the limit":   strings.Repeat("r", 123) + "\xff",
		"no text cut at the limit":   strings.Repeat("r", 122) + "\xe6\xbc",
		"an empty one":               "",
		"control characters and NUL": "a\x00\r\nb",
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, WithAuthenticator(asks(func(context.Context, *Credentials) (User, error) {
				return User{}, &RefusedError{Code: CodeForbidden, Reason: reason}
			})))
			p := dialRaw(t, listen(t, s))
			p.put(masked(fin|1, encode(codec.Registration{Name: "raw", UUID: uuid.New()})))
			_, code, got := p.verdict("")
			clean := strings.ToValidUTF8(reason, "\uFFFD")
			if code != 4002 || len(got) > 123 || !utf8.ValidString(got) || !strings.HasPrefix(clean, got) {
				t.Fatalf("%d %q (%d bytes)", code, got, len(got))
			}
			if len(got) < len(clean) {
				if _, size := utf8.DecodeRuneInString(clean[len(got):]); len(got)+size <= 123 {
					t.Errorf("%d bytes are sent, one rune more would fit", len(got))
				}
			}
		})
	}
}
