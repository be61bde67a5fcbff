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
