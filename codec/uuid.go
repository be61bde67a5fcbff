package codec

import (
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// hexValue holds the values of hexadecimal digits, and 0xff for all other bytes.
var hexValue = func() (table [256]byte) {
	for i := range table {
		table[i] = 0xff
	}
	for value, c := range []byte("0123456789abcdef") {
		table[c] = byte(value)
	}
	for value, c := range []byte("ABCDEF") {
		table[c] = byte(10 + value)
	}
	return table
}()

// appendUUID appends the canonical spelling: lower-case digits and four hyphens.
// As in parseCanonical, eight digits at a time take a third less than one byte
// after another.
func appendUUID(dst []byte, id uuid.UUID) []byte {
	dst = append(dst, "........-....-....-....-............"...)
	text := dst[len(dst)-36:]
	high, low := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	b, c := hexDigits(uint32(high)), hexDigits(uint32(low>>32))
	binary.BigEndian.PutUint64(text[0:], hexDigits(uint32(high>>32)))
	binary.BigEndian.PutUint32(text[9:], uint32(b>>32))
	binary.BigEndian.PutUint32(text[14:], uint32(b))
	binary.BigEndian.PutUint32(text[19:], uint32(c>>32))
	binary.BigEndian.PutUint32(text[24:], uint32(c))
	binary.BigEndian.PutUint64(text[28:], hexDigits(uint32(low)))
	return dst
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

// parseCanonical reads the canonical spelling.
func parseCanonical(text []byte) (id uuid.UUID, ok bool) {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return id, false
	}
	a := binary.BigEndian.Uint64(text[0:])
	b := uint64(binary.BigEndian.Uint32(text[9:]))<<32 | uint64(binary.BigEndian.Uint32(text[14:]))
	c := uint64(binary.BigEndian.Uint32(text[19:]))<<32 | uint64(binary.BigEndian.Uint32(text[24:]))
	d := binary.BigEndian.Uint64(text[28:])
	w, x, y, z := hexNumber(a), hexNumber(b), hexNumber(c), hexNumber(d)
	binary.BigEndian.PutUint64(id[:8], uint64(w)<<32|uint64(x))
	binary.BigEndian.PutUint64(id[8:], uint64(y)<<32|uint64(z))
	// They were digits if they come out again.
	return id, hexDigits(w) == a && hexDigits(x) == b && hexDigits(y) == c && hexDigits(z) == d
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
