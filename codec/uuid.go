package codec

import (
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// hexValue holds the values of hexadecimal digits, and 0xff for all other bytes.
var hexValue = hexTable("0123456789abcdef", "0123456789ABCDEF")

func hexTable(alphabets ...string) (table [256]byte) {
	for i := range table {
		table[i] = 0xff
	}
	for _, digits := range alphabets {
		for value, c := range []byte(digits) {
			table[c] = byte(value)
		}
	}
	return table
}

// parseUUID reads the UUID in the value at s: the canonical spelling on a fast
// path that allocates nothing, the others as Python does.
func parseUUID(frame []byte, s span) (id uuid.UUID, canonical, ok bool) {
	if !s.isString(frame) {
		return id, false, false
	}
	if id, canonical = parseCanonical(s.inner(frame)); canonical {
		return id, true, true
	}
	id, ok = parsePython(unquote(frame, s))
	return id, false, ok
}

// parseCanonical reads a UUID of lower-case digits and four hyphens.
func parseCanonical(raw []byte) (id uuid.UUID, ok bool) {
	if len(raw) != 36 || raw[8] != '-' || raw[13] != '-' || raw[18] != '-' || raw[23] != '-' {
		return id, false
	}
	le := binary.LittleEndian
	a, okA := hex8(le.Uint64(raw))
	b, okB := hex8(uint64(le.Uint32(raw[9:])) | uint64(le.Uint32(raw[14:]))<<32)
	c, okC := hex8(uint64(le.Uint32(raw[19:])) | uint64(le.Uint32(raw[24:]))<<32)
	d, okD := hex8(le.Uint64(raw[28:]))
	le.PutUint32(id[0:], a)
	le.PutUint32(id[4:], b)
	le.PutUint32(id[8:], c)
	le.PutUint32(id[12:], d)
	return id, okA && okB && okC && okD
}

// parsePython reads every spelling that Python's uuid.UUID takes. That drops
// "urn:", "uuid:", outer braces and all hyphens, wants 32 characters then, and
// leaves them to int(text, 16): white space around, a sign, a 0x, single
// underscores between digits, and the decimal digits of all scripts are fine
// (those of Go's version of Unicode, which may know more scripts than Python's).
func parsePython(s string) (id uuid.UUID, ok bool) {
	s = strings.ReplaceAll(s, "urn:", "")
	s = strings.ReplaceAll(s, "uuid:", "")
	s = strings.Trim(s, "{}")
	s = strings.ReplaceAll(s, "-", "")
	if utf8.RuneCountInString(s) != 32 {
		return id, false
	}
	s = strings.Trim(strings.Map(toASCII, s), " \t\n\v\f\r")
	s = strings.TrimPrefix(s, "+")
	if len(s) > 1 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') {
		s = strings.TrimPrefix(s[2:], "_")
	}
	if s == "" {
		return id, false
	}
	var hi, lo uint64
	previous := byte('_') // so that none may lead
	for i := range len(s) {
		c := s[i]
		if digit := hexValue[c]; digit < 16 {
			hi, lo = hi<<4|lo>>60, lo<<4|uint64(digit)
		} else if c != '_' || previous == '_' {
			return id, false
		}
		previous = c
	}
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint64(id[8:], lo)
	return id, previous != '_'
}

// toASCII maps white space and the decimal digits of all scripts to ASCII, as
// Python does before it reads a number.
func toASCII(r rune) rune {
	switch {
	case r < utf8.RuneSelf:
		return r
	case unicode.IsSpace(r):
		return ' '
	}
	// The digits of a script are ten in a row, from zero on.
	for _, t := range unicode.Nd.R16 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return '0' + (r-rune(t.Lo))%10
		}
	}
	for _, t := range unicode.Nd.R32 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return '0' + (r-rune(t.Lo))%10
		}
	}
	return '?'
}
