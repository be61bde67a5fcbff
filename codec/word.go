package codec

import "math/bits"

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
// quote, a backslash or a control character. It says nothing of bytes beyond
// ASCII. With its second bit flipped, a quote comes right behind the control
// characters, so that one subtraction finds them all.
func tooSmall(x uint64) uint64 {
	return ((x ^ ones*2) - ones*(' '+1)) | ((x ^ ones*'\\') - ones)
}

// special finds quotes, backslashes and control characters: what cannot stand
// for itself in a JSON string.
func special(x uint64) uint64 { return tooSmall(x) &^ x & tops }

// unprintable finds what special does, DEL, and all that is not ASCII: the
// addition finds 0x7f to 0xfe, and 0xff is one of the bytes beyond ASCII that
// tooSmall takes for a hit.
func unprintable(x uint64) uint64 { return (tooSmall(x) | (x + ones)) & tops }

// first returns which of the eight bytes is hit first.
func first(hits uint64) int { return bits.TrailingZeros64(hits) / 8 }

// hexDigits returns the eight lower-case hexadecimal digits of x, the first one
// highest.
func hexDigits(x uint32) uint64 {
	n := uint64(x)
	n = (n<<16 | n) & 0x0000ffff_0000ffff
	n = (n<<8 | n) & 0x00ff00ff_00ff00ff
	n = (n<<4 | n) & 0x0f0f0f0f_0f0f0f0f // a digit in each byte
	letters := (n + ones*6) >> 4 & ones  // 1 for those above 9
	return n + ones*'0' + letters*('a'-'0'-10)
}

// hexNumber is the inverse of hexDigits. Of what are no such digits it makes
// something.
func hexNumber(digits uint64) uint32 {
	letters := digits >> 6 & ones
	n := digits&(ones*0xf) + letters*9
	n = (n | n>>4) & 0x00ff00ff_00ff00ff
	n = (n | n>>8) & 0x0000ffff_0000ffff
	return uint32(n | n>>16)
}
