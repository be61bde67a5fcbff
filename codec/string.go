package codec

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// unescapeLetter holds what the character after a backslash makes of it, 0 when
// it makes no escape of two characters.
var unescapeLetter = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// unescape returns the character that the escape at the start of b stands for,
// and the length of the escape, 0 when it is none. Half of a surrogate pair
// stands for U+FFFD, as in encoding/json.
func unescape(b []byte) (r rune, n int) {
	if len(b) < 2 {
		return 0, 0
	}
	if c := unescapeLetter[b[1]]; c != 0 {
		return rune(c), 2
	}
	if b[1] != 'u' {
		return 0, 0
	}
	r, ok := hex4(b[2:])
	switch {
	case !ok:
		return 0, 0
	case !utf16.IsSurrogate(r):
		return r, 6
	case len(b) >= 8 && b[6] == '\\' && b[7] == 'u':
		if low, ok := hex4(b[8:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, 12
			}
		}
	}
	return utf8.RuneError, 6
}

// hex4 reads the four hexadecimal digits at the start of b.
func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	w, x, y, z := hexValue[b[0]], hexValue[b[1]], hexValue[b[2]], hexValue[b[3]]
	return rune(w)<<12 | rune(x)<<8 | rune(y)<<4 | rune(z), w|x|y|z < 16
}

// appendText appends the value at s as a program sees it: a string unescaped,
// null as nothing, anything else as the JSON text that it is.
func appendText(b *strings.Builder, frame []byte, s span) {
	raw := s.inner(frame)
	if !s.isString(frame) && string(raw) == "null" {
		return
	}
	if !s.escaped() {
		b.Write(raw)
		return
	}
	// Piece by piece: to tell b each bit of it takes a tenth longer, because that
	// writes a pointer, which a collection of garbage must be told of.
	var space [512]byte
	piece := space[:0]
	for len(raw) > 0 {
		if len(piece) > len(space)-utf8.UTFMax {
			b.Write(piece)
			piece = space[:0]
		}
		switch {
		case raw[0] != '\\':
			n := min(len(raw), len(space)-len(piece))
			if next := bytes.IndexByte(raw[:n], '\\'); next >= 0 {
				n = next
			}
			piece = append(piece, raw[:n]...)
			raw = raw[n:]
		case hasPrefix(raw, `\\r\\n`): // the end of a line, when JSON stands in JSON
			piece = append(piece, `\r\n`...)
			raw = raw[len(`\\r\\n`):]
		default:
			// As in scanEscape, and written by hand: with utf8.AppendRune it takes 8 % longer.
			if len(raw) >= 6 && raw[1] == 'u' {
				if r, ok := hex4(raw[2:]); ok && r >= 0x80 && !utf16.IsSurrogate(r) {
					if r < 0x800 {
						piece = append(piece, 0xc0|byte(r>>6), 0x80|byte(r)&0x3f)
					} else {
						piece = append(piece, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f)
					}
					raw = raw[6:]
					continue
				}
			}
			r, n := unescape(raw)
			piece = utf8.AppendRune(piece, r)
			raw = raw[n:]
		}
	}
	b.Write(piece)
}

func hasPrefix(b []byte, text string) bool {
	return len(b) >= len(text) && string(b[:len(text)]) == text
}

// unquote returns the text of the value at s in memory of its own.
func unquote(frame []byte, s span) string {
	var b strings.Builder
	b.Grow(s.size)
	appendText(&b, frame, s)
	return b.String()
}
