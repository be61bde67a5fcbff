package codec

// Eight bytes of text at a time, in one 64-bit word with the first byte lowest.
// A test sets the top bit of each byte that it hits. A borrow or a carry out of
// a hit may make false hits of later bytes, never of earlier ones: the first
// hit is always a true one.

const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// load64 returns the first eight bytes of s. The compiler makes one load of it.
func load64[T string | []byte](s T) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// tooSmall subtracts so that the top bit of a byte gets set where x holds a
// quote, a backslash or a control character. It says nothing of bytes beyond ASCII.
func tooSmall(x uint64) uint64 {
	return (x - ones*' ') | ((x ^ ones*'"') - ones) | ((x ^ ones*'\\') - ones)
}

// special finds quotes, backslashes and control characters: what cannot stand
// for itself in a JSON string.
func special(x uint64) uint64 { return tooSmall(x) &^ x & tops }

// unprintable finds what special does, DEL, and all that is not ASCII.
func unprintable(x uint64) uint64 { return (tooSmall(x) | (x + ones) | x) & tops }

// isVisible reports whether all of text is ASCII without control characters; DEL
// is none of those. Adding moves each byte from the space on to where the top bit
// is set, so nothing needs to be decided before the end: this is some five times
// as fast as a search.
func isVisible[T string | []byte](text T) bool {
	const shift = ones * (0x80 - ' ')
	beyond, visible := uint64(0), uint64(tops)
	i := 0
	for ; i+32 <= len(text); i += 32 {
		a, b, c, d := load64(text[i:i+8]), load64(text[i+8:i+16]), load64(text[i+16:i+24]), load64(text[i+24:i+32])
		beyond |= a | b | c | d
		visible &= (a + shift) & (b + shift) & (c + shift) & (d + shift)
	}
	for ; i+8 <= len(text); i += 8 {
		a := load64(text[i : i+8])
		beyond |= a
		visible &= a + shift
	}
	for ; i < len(text); i++ {
		if text[i] < ' ' || text[i] >= 0x80 {
			return false
		}
	}
	return beyond&tops == 0 && visible == tops
}

// hex8 reads eight hexadecimal digits, letters in lower case, as the four bytes
// that they stand for, the first one lowest. A UUID takes 10 ns so, instead of 25
// with a table.
func hex8(x uint64) (v uint32, ok bool) {
	letter := x >> 6 & ones // 1 where the digit is a letter
	digit := x&(ones*0xf) + letter*9
	wrong := digit & (ones * 0xf0)
	wrong |= (digit+ones*6)>>4&ones ^ letter            // a letter is ten at least, and nothing else is
	wrong |= digit + ones*'0' + letter*('a'-'0'-10) ^ x // and nothing else looks the same
	digit = (digit<<4 | digit>>8) & 0x00ff00ff00ff00ff
	digit = (digit | digit>>8) & 0x0000ffff0000ffff
	return uint32(digit | digit>>16), wrong == 0
}
